"""
Fine-tune, and let a grid choose how much to freeze
===================================================

``freeze_depth`` says how many of the first blocks are not trained. Their output for a
row is computed once and kept across epochs, folds and candidates, so a grid is cheap
where much is frozen. The first figure shows score and fit time by depth, and the second
one the training loss of the best model.
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
# ``"all"`` trains the head only, ``-1`` also the last block, and so on.
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
# The output says how often the output of the frozen blocks was found in the cache and
# not computed again.
#
# The bars of the next figure are fit times. The hatched bar is the first fit, which
# includes the pass over the images that the others share.
display = FreezeDepthDisplay.from_search(search, score_name="ROC AUC")
display.ax_.set_title(f"{len(table)} images, 3 folds, 3 epochs")
plt.show()

# %%
# With this few rows, the scores of neighbouring depths lie within each other's error
# bars. Draw this figure for your own search before you choose.
#
# The next figure shows the losses of the model that the search fitted on all rows at
# the end.
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

# %%
# The loss still falls in the third epoch, so more epochs may help. The default of
# ``max_epochs`` is higher than the 3 of this example.
