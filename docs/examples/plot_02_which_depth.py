"""
How deep should the features be?
================================

The last blocks of a network are the most specialised in what it was trained on.
Images of solar cells are far from holiday snapshots: is an earlier block better?
``depth`` is a hyper-parameter, and a grid over it costs one pass, because the cache
keeps what every block makes of a row.
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
# Negative depths count blocks from the end, alike on every network; ``"all"`` runs all.
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
# The best ``C`` at each depth. The bars are standard deviations over the folds, which
# share training rows: depths a bar apart are not told apart.
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
