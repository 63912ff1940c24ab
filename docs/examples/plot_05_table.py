"""
Predict from a table of images and categories
=============================================

A ``TableEncoder`` finds the column of images and the column of categories without being
told. This example predicts defects from both, and asks which column the score depends
on. The figure shows the permutation importance of each column of the table: the column
of images counts as one column, like any other.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import TableEncoder
from sktransfer.datasets import load_elpv
from sktransfer.tables import guess_kinds

table = load_elpv().sample(360, random_state=0).reset_index(drop=True)
defective = table["probability"] > 0.5
rng = np.random.default_rng(0)
X = table[["photo", "type"]].assign(shift=rng.integers(1, 4, len(table)))
print(X.head(3).drop(columns="photo"))
print(guess_kinds(X))

# %%
# ``type`` is the kind of cell and belongs to the data. ``shift`` is made up and carries
# no information. The table above shows both, and below it is the kind that
# ``guess_kinds`` found for each column. The image becomes 20 components.
model = make_pipeline(
    TableEncoder(n_components=20),
    HistGradientBoostingClassifier(max_iter=60, random_state=0),
)
splits = StratifiedShuffleSplit(4, test_size=0.3, random_state=0)
scores = {
    "everything": cross_val_score(model, X, defective, cv=splits, scoring="roc_auc"),
    "without the image": cross_val_score(
        model, X.drop(columns="photo"), defective, cv=splits, scoring="roc_auc"
    ),
}
for name, found in scores.items():
    print(f"{name}: {found.mean():.3f}, ± {found.std():.3f} over {len(found)} splits")

# %%
# Without the image the score is little better than chance (0.5).
#
# Shuffling a column makes no new images, so no image runs through the network again.
train, test = next(splits.split(X, defective))
model.fit(X.iloc[train], defective[train])
importance = permutation_importance(
    model,
    X.iloc[test],
    defective[test],
    scoring="roc_auc",
    n_repeats=10,
    random_state=0,
)
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
order = importance.importances_mean.argsort()
ax.boxplot(
    importance.importances[order].T,
    orientation="horizontal",
    tick_labels=X.columns[order],
)
ax.axvline(0, color="grey", linestyle=":")
ax.set(
    xlabel="area under the ROC curve lost when the column is shuffled",
    title=f"{len(test)} test rows, 10 shuffles",
)
plt.show()

# %%
# The score depends on the image. The kind of cell and the made-up column lose next to
# nothing when they are shuffled.
