"""
Fine-tune, and let the grid choose how much to freeze
=====================================================

``freeze_depth`` says how many of the first blocks stay as they are. What they make of a
row is computed once and kept, across epochs, folds and candidates, so that the grid is
cheap where much is frozen.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sktransfer import ImageClassifier, cache_info, clear_cache
from sktransfer.datasets import load_elpv
from sktransfer.inspection import FreezeDepthDisplay

table = load_elpv().sample(90, random_state=1)
defective = table["probability"] > 0.5

# %%
# ``"all"`` trains the head only, ``-1`` the last block too, and so on.
clear_cache()
search = GridSearchCV(
    ImageClassifier(max_epochs=3, random_state=0),
    {"freeze_depth": ["all", -1, -2, -3]},
    scoring="roc_auc",
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
).fit(table["photo"], defective)
info = cache_info()
print(search.best_params_, f"{search.best_score_:.3f}")
print(f"{info.hits:,} activations were found, not computed again")

# %%
# The first fit pays for the first pass over the images. With this few rows the
# scores of neighbouring depths are within each other's bars; the figure is the one to
# draw for your own search.
display = FreezeDepthDisplay.from_search(search, score_name="ROC AUC")
display.ax_.set_title(f"{len(table)} images, 3 folds, 3 epochs")
plt.show()

# %%
# The losses of the model that the search fitted on all rows in the end.
history = search.best_estimator_.history_
figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(
    [epoch["epoch"] for epoch in history],
    [epoch["train_loss"] for epoch in history],
    marker="o",
)
ax.set(xlabel="epoch", ylabel="training loss", title=str(search.best_params_))
ax.set_xticks([epoch["epoch"] for epoch in history])
plt.show()
