"""Five and ten labelled images of each class, against logistic regression."""

import statistics

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageClassifier, ImageEncoder

from .._few import EMOJI, draw, images
from .._harness import claim

SETS = ["clothing10", *(f"emoji {vendor}" for vendor in EMOJI)]
SIZES = [5, 10]
SEEDS = [0, 1, 2, 3, 4]
CS = [0.001, 0.01, 0.1, 1]
OURS = {"loss": "contrastive", "freeze_depth": -2}
MODELS = {
    "contrastive": lambda seed: ImageClassifier(random_state=seed, **OURS),
    "fine-tuned": lambda seed: ImageClassifier(random_state=seed),
    "prototypes": lambda seed: ImageClassifier(
        head="prototype", freeze_depth="all", random_state=seed
    ),
    "frozen, C by cross-validation": lambda seed: GridSearchCV(
        make_pipeline(
            ImageEncoder(), StandardScaler(), LogisticRegression(max_iter=2000)
        ),
        {"logisticregression__C": CS},
    ),
    "frozen, C=1": lambda seed: make_pipeline(
        ImageEncoder(), StandardScaler(), LogisticRegression(max_iter=2000)
    ),
}
FROZEN = [name for name in MODELS if name.startswith("frozen")]


def run(full=False):
    figures = {}
    for name in SETS:
        X, y, X_test, y_test = images(name)
        for n_each in SIZES:
            row = {model: [] for model in MODELS}
            for seed in SEEDS:
                rows = draw(y, n_each, seed)
                for kind, make in MODELS.items():
                    model = make(seed).fit(X[rows], y[rows].astype(str))
                    found = model.predict(X_test)
                    row[kind].append(float(np.mean(found == y_test.astype(str))))
            figures[f"{name}, {n_each} per class"] = row
            print(name, n_each, {k: mean(v) for k, v in row.items()}, flush=True)
    return outcome(figures)


def outcome(figures):
    """Return what the case has to say about measured figures."""
    gains = {
        name: 100 * (mean(row["contrastive"]) - max(mean(row[f]) for f in FROZEN))
        for name, row in figures.items()
    }
    claims = [
        claim(
            f"{name}: points over the better frozen", round(gain, 2), ">= 0", gain >= 0
        )
        for name, gain in gains.items()
    ]
    average = mean(gains.values())
    claims.append(claim("points, mean", round(average, 2), "> 0", average > 0))
    return {"figures": figures, "claims": claims}


def mean(values):
    return statistics.fmean(values)


def table(result):
    rows = [["set", *MODELS]]
    for name, figure in result["figures"].items():
        rows.append([name, *(f"{mean(figure[kind]):.3f}" for kind in MODELS)])
    return rows
