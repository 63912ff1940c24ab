"""
Keep rows whose images are missing
==================================

Images are missing in many tables. ``missing="mean"`` replaces a missing image by the
mean vector of the training rows, and ``add_indicator=True`` adds a column that marks
it. No row is dropped. This example removes images at random, and the figure shows the
score by the share of missing images.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktransfer import ImageEncoder
from sktransfer.datasets import load_elpv

table = load_elpv().sample(300, random_state=0).reset_index(drop=True)
defective = table["probability"] > 0.5

# %%
# Without a policy, an encoder stops at the first missing image and names its row:
holes = table["photo"].astype(object).copy()
holes[[3, 5]] = None
try:
    ImageEncoder().fit(holes[:8])
except ValueError as err:
    print(err)

# %%
# With the policy, every row gets features. Each share of missing images is drawn three
# times. The baseline uses the type of the cell alone.
encoder = ImageEncoder(missing="mean", add_indicator=True)
model = make_pipeline(
    make_column_transformer((encoder, "photo"), (OneHotEncoder(), ["type"])),
    StandardScaler(),
    LogisticRegression(C=1e-3, max_iter=1000),
)
folds = StratifiedKFold(5, shuffle=True, random_state=0)
shares = [0, 0.2, 0.4, 0.6, 0.8, 0.95]
scores = []
for share in shares:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        gone = rng.permutation(len(table))[: round(share * len(table))]
        holes = table["photo"].astype(object).copy()
        holes[gone] = None
        X = table.assign(photo=holes)
        found = cross_val_score(model, X, defective, cv=folds, scoring="roc_auc")
        scores.append((share, found.mean()))
scores = np.array(scores)

only_type = make_pipeline(
    make_column_transformer((OneHotEncoder(), ["type"])), LogisticRegression()
)
alone = cross_val_score(only_type, table, defective, cv=folds, scoring="roc_auc")

figure, ax = plt.subplots(layout="constrained")
ax.plot(*scores.T, marker="o", linestyle="none", alpha=0.6, label="3 draws of holes")
means = [scores[scores[:, 0] == share, 1].mean() for share in shares]
ax.plot(shares, means, color="C0", label="their mean")
ax.axhline(alone.mean(), color="grey", linestyle=":", label="type of the cell alone")
ax.set(
    xlabel="share of images that are missing",
    ylabel="area under the ROC curve, 5 folds",
    title=f"{len(table)} rows, none dropped",
)
ax.legend()
plt.show()

# %%
# The score falls as more images go missing. At the right end it reaches the score of
# the cell type alone, which is no better than guessing (0.5).
