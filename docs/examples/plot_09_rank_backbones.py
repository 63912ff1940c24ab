"""
Rank networks before a search
=============================

``rank_backbones`` runs each candidate over the rows once and scores its features by a
formula (LogME), without training a model. The first figure compares the ranking with
the cross-validated score of each candidate. The second one shows the score at every
depth of one network.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import kendalltau
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageEncoder
from sktransfer.datasets import load_elpv
from sktransfer.model_selection import layer_profile, rank_backbones

table = load_elpv().sample(150, random_state=0)
defective = np.where(table["probability"] > 0.5, "defective", "sound")

# %%
# A candidate is a name, or a name with a depth and a pooling. Depths of one network
# share a pass.
candidates = [
    (name, depth, "auto")
    for name in ("efficientnet_lite0", "efficientnet_lite1")
    for depth in ("all", -1, -3, -8)
]
ranking = rank_backbones(table["photo"], defective, candidates)
print(ranking)

# %%
# ``=`` marks the candidates that 150 rows cannot distinguish from the first one.
#
# The cross-validated scores use the features in the cache.
folds = StratifiedKFold(5, shuffle=True, random_state=0)
found = []
for row in ranking:
    model = make_pipeline(
        ImageEncoder(row["backbone"], depth=row["depth"], pooling=row["pooling"]),
        StandardScaler(),
        LogisticRegression(C=1e-2, max_iter=2000),
    )
    scores = cross_val_score(
        model, table["photo"], defective, cv=folds, scoring="roc_auc"
    )
    found.append(scores.mean())
logme = [row["score"] for row in ranking]
tau = kendalltau(logme, found).statistic

figure, ax = plt.subplots(layout="constrained")
ax.scatter(logme, found)
for i, (row, x, y) in enumerate(zip(ranking, logme, found, strict=True)):
    name = f"{row['backbone'].removeprefix('efficientnet_')}, {row['depth']}"
    ax.annotate(
        name,
        (x, y),
        xytext=(5, 3 - 12 * (i % 2)),
        textcoords="offset points",
        fontsize=8,
    )
ax.margins(x=0.15)
ax.set(
    xlabel="LogME",
    ylabel="area under the ROC curve, 5 folds",
    title=f"{len(found)} candidates, Kendall's tau {tau:.2f}",
)
plt.show()

# %%
# Whole networks (``conv_head``) are at the bottom of both scores. The order among the
# other candidates differs, as the ``=`` signs suggest. Take the cheapest of them, or
# rank again with more rows.
#
# The next figure shows every depth of one network.
profile = layer_profile(table["photo"], defective, "efficientnet_lite0", n_timed=0)
display = profile.plot()
display.ax_.set_title("LogME by depth of EfficientNet-Lite0")
plt.show()

# %%
# LogME rises with depth and falls at the last block, which is the most specialised in
# the images that the network was trained on.
