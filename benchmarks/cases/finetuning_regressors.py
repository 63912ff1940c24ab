"""Fine-tuned regressors by default against RidgeCV on the same frozen features.

Rows are drawn from the training part of a set with a fresh seed for each draw, and
scored on its test part (500 rows at most). RidgeCV chooses its penalty by leave-one-out
among 13. It is run on features that are standardised one by one, and on features that
are divided by one number, as some channels of a network hardly vary; the better mean of
the two counts for a cell.
"""

import statistics
import time

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    FeatureCache,
    ImageEncoder,
    ImageRegressor,
    TextEncoder,
    TextRegressor,
)

from .._few import ELPV_TRAIN, interval, solar_cells, texts
from .._harness import SEED, airbnb, claim

SETS = {
    "airbnb, log price": [100, 400],
    "airbnb, accommodates": [100, 400],
    "sentiment_sentences, 0 or 1": [100, 400],
    "elpv, probability of a defect": [100],
}
DRAWS = {100: 5, 400: 3}
FIRST_DRAW = 100
TEST_ROWS = 500
ALPHAS = np.logspace(0, 6, 13)


def run(full):
    jobs = [
        (name, n, draw)
        for name, sizes in SETS.items()
        for n in sizes
        for draw in range(DRAWS[n])
    ]
    rows = Parallel(n_jobs=2)(delayed(compare)(*job) for job in jobs)
    figures = {}
    for (name, n, _), row in zip(jobs, rows, strict=True):
        cell = figures.setdefault(f"{name}, {n}", {})
        for key, value in row.items():
            cell.setdefault(key, []).append(value)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    gains = {
        name: statistics.fmean(differences(cell)) for name, cell in figures.items()
    }
    worst, mean = min(gains, key=gains.get), statistics.fmean(gains.values())
    return [
        claim(
            f"R2 over RidgeCV's, the worst of {len(gains)} cells ({worst})",
            round(gains[worst], 3),
            ">= -0.01",
            gains[worst] >= -0.01,
        ),
        claim("R2 over RidgeCV's, mean of cells", round(mean, 3), "> 0", mean > 0),
    ]


def rival(cell):
    """Return the name of the RidgeCV that does better in a cell."""
    return max(("ridge", "ridge, one scale"), key=lambda r: statistics.fmean(cell[r]))


def differences(cell):
    pairs = zip(cell["default"], cell[rival(cell)], strict=True)
    return [ours - theirs for ours, theirs in pairs]


def compare(name, n, draw, is_test=True, **setting):
    """Score the default and RidgeCV on a draw.

    Without `is_test`, rows of the training part are scored.
    """
    import torch

    torch.set_num_threads(1)
    X, y, X_test, y_test = data(name)
    order = np.random.default_rng(FIRST_DRAW + draw).permutation(len(X))
    train = order[:n]
    if not is_test:
        X_test, y_test = X[order[n:]], y[order[n:]]
    test = np.random.default_rng(SEED).permutation(len(X_test))[:TEST_ROWS]
    X_test, y_test = X_test[test], y_test[test]
    kind, encoder = (
        (ImageRegressor, ImageEncoder)
        if name.startswith("elpv")
        else (TextRegressor, TextEncoder)
    )
    cache = FeatureCache(memory_budget=4 * 2**30)
    start = time.perf_counter()
    model = kind(cache=cache, random_state=draw, **setting).fit(X[train], y[train])
    row = {"seconds": time.perf_counter() - start}
    contestants = {"default": model}
    for who, scaler in (
        ("ridge", StandardScaler()),
        ("ridge, one scale", OneScale()),
    ):
        ridge = make_pipeline(encoder(cache=cache), scaler, RidgeCV(ALPHAS))
        contestants[who] = ridge.fit(X[train], y[train])
    for who, fitted in contestants.items():
        row[who] = float(r2_score(y_test, fitted.predict(X_test)))
    print(name, n, draw, setting, row, flush=True)
    return row


class OneScale(TransformerMixin, BaseEstimator):
    """Centre features, and divide them by one number."""

    def fit(self, X, y=None):
        self.mean_, self.scale_ = X.mean(0), (X - X.mean(0)).std()
        return self

    def transform(self, X):
        return (X - self.mean_) / self.scale_


def data(name):
    """Return rows and numbers to draw from, and rows and numbers to score on."""
    if name.startswith("elpv"):
        return _elpv()
    if name.startswith("sentiment"):
        X, y, X_test, y_test = texts("sentiment_sentences")
        return X, (y == "positive") * 1.0, X_test, (y_test == "positive") * 1.0
    found = []
    for split in ("train", "test"):
        frame = airbnb(split).dropna(subset="summary").drop_duplicates("summary")
        found.append(frame["summary"].str[:150].to_numpy(object))
        number = frame["accommodates" if "accommodates" in name else "price"]
        number = number.to_numpy(float)
        found.append(number if "accommodates" in name else np.log(number))
    return tuple(found)


def _elpv():
    X, probability = solar_cells()
    order = np.random.default_rng(SEED).permutation(len(X))
    parts = np.split(order, [ELPV_TRAIN])
    return tuple(whole[part] for part in parts for whole in (X, probability))


def table(result):
    rows = [["set, rows", "draws", "RidgeCV", "default", "difference (95 %)"]]
    for name, cell in result["figures"].items():
        gains = differences(cell)
        low, high = interval(gains)
        rows.append(
            [
                name,
                str(len(gains)),
                f"{statistics.fmean(cell[rival(cell)]):.3f}",
                f"{statistics.fmean(cell['default']):.3f}",
                f"{statistics.fmean(gains):+.3f} ({low:+.3f} to {high:+.3f})",
            ]
        )
    return rows
