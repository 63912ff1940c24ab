"""
Choose the depth of the features by a grid search
=================================================

The last blocks of a network are the most specialised in the images that it was trained
on. Images of solar cells are very different, so the output of an earlier block may be
the better feature. This example searches over ``depth``, and the figure shows the score
at ten depths. The whole search costs one pass over the images, because the cache keeps
the output of every block for each row.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageEncoder, cache_info, clear_cache
from sktransfer.datasets import load_elpv

table = load_elpv().sample(300, random_state=0)
defective = table["probability"] > 0.5

# %%
# Negative depths count blocks from the end and mean the same on every network.
# ``"all"`` runs all blocks.
depths = ["all", -1, -2, -3, -4, -6, -8, -10, -12, -14]
model = make_pipeline(
    ImageEncoder(), StandardScaler(), LogisticRegression(max_iter=2000)
)
clear_cache()
search = GridSearchCV(
    model,
    {"imageencoder__depth": depths, "logisticregression__C": [1e-4, 1e-3, 1e-2]},
    scoring="roc_auc",
    cv=StratifiedKFold(5, shuffle=True, random_state=0),
).fit(table["photo"], defective)
print(search.best_params_, f"{search.best_score_:.3f}")
print(
    f"{cache_info().misses} rows went through the network, for {len(depths) * 15} fits"
)

# %%
# The best depth leaves out the last block. Each of the 300 images ran through the
# network once, although the search made 150 fits.
#
# The figure uses the best ``C`` at each depth. The bars are standard deviations over
# the folds, which share training rows.
results = search.cv_results_
at = np.array([str(depth) for depth in results["param_imageencoder__depth"]])
best = [
    max(np.flatnonzero(at == str(depth)), key=lambda i: results["mean_test_score"][i])
    for depth in depths
]
figure, ax = plt.subplots(layout="constrained")
places = np.arange(len(depths))
ax.errorbar(
    places,
    results["mean_test_score"][best],
    results["std_test_score"][best],
    marker="o",
    capsize=3,
)
ax.set_xticks(places, [str(depth) for depth in depths])
ax.set(
    xlabel="depth (whole network to its first blocks)",
    ylabel="area under the ROC curve, 5 folds",
    title="Score by depth of EfficientNet-Lite0",
)
ax.grid(axis="y", alpha=0.4)
plt.show()

# %%
# The bars overlap, so most of these depths cannot be distinguished with 300 images. The
# deepest features are not the best ones, and the search finds this out without a second
# pass.
