"""
Measure how many labels a model needs
=====================================

A learning curve compares a pretrained network with a model on coarse pixels. It is
scikit-learn's ``LearningCurveDisplay`` on two pipelines. The figure shows the score by
the number of labelled images. The curve fits each pipeline 25 times, but the images run
through the network once, because the cache keeps their features.
"""

# %%
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LearningCurveDisplay, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import ImageEncoder
from sktransfer.datasets import load_elpv

table = load_elpv().sample(360, random_state=2)
defective = table["probability"] > 0.5


@cache
def small(path):
    """Grey values of an image at 24 x 24 pixels."""
    return np.asarray(Image.open(path).convert("L").resize((24, 24)), dtype=float)


def shrink(photos):
    """Turn paths into rows of grey values."""
    return np.array([small(path).ravel() for path in photos])


# %%
# Both pipelines have the same last steps.
models = {
    "pretrained network": make_pipeline(
        ImageEncoder(), StandardScaler(), LogisticRegression(C=1e-3, max_iter=2000)
    ),
    "24 x 24 pixels": make_pipeline(
        FunctionTransformer(shrink),
        StandardScaler(),
        LogisticRegression(C=1e-3, max_iter=2000),
    ),
}
figure, ax = plt.subplots(layout="constrained")
for model in models.values():
    LearningCurveDisplay.from_estimator(
        model,
        table["photo"].to_numpy(),
        defective.to_numpy(),
        train_sizes=[20, 40, 80, 160, 252],
        cv=StratifiedShuffleSplit(5, test_size=0.3, random_state=0),
        scoring="roc_auc",
        score_type="test",
        score_name="area under the ROC curve",
        line_kw={"marker": "o"},
        ax=ax,
    )
ax.axhline(0.5, color="grey", linestyle=":", zorder=0)
ax.set_xscale("log")
ax.set_xticks([20, 40, 80, 160, 252], ["20", "40", "80", "160", "252"])
ax.set_xticks([], minor=True)
ax.set(
    xlabel="labelled images",
    title="Mean and standard deviation over 5 splits, 108 test images",
)
lines = ax.get_lines()[:3]
ax.legend(lines, [*models, "guessing"], loc="upper left")
plt.show()

# %%
# With very few labels the coarse pixels are better: they are 576 numbers, where the
# network gives 1,280 features, so the regression has fewer numbers to fit. From some 80
# labels on the network is better, and it improves with every further label, while the
# pixels do not.
