"""Long texts: whole film reviews in pieces, against their first 256 tokens.

Reviews have about 700 words. The same rows are drawn for both; the scores are those of
600 others.
"""

import statistics
import warnings

import numpy as np
from joblib import Parallel, delayed

from sktransfer import FeatureCache, TextClassifier, TextEncoder

from .._few import draw_rows, frozen_features, interval, scores, texts
from .._harness import claim

N_DRAWS = 5
FROZEN_ROWS = 100, 400
TUNED_ROWS = 100
TUNED_DRAWS = 0, 1, 3, 4  # each takes a quarter of an hour
WAYS = {"cut": None, "pieces": "pieces"}


def run(full):
    jobs = [delayed(frozen)(n, draw) for n in FROZEN_ROWS for draw in range(N_DRAWS)]
    jobs += [delayed(tuned)(draw) for draw in TUNED_DRAWS]
    figures = {}
    for name, row in Parallel(n_jobs=2)(jobs):
        for way, accuracy in row.items():
            figures.setdefault(name, {}).setdefault(way, []).append(accuracy)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    found = []
    for name, row in figures.items():
        pairs = zip(row["pieces"], row["cut"], strict=True)
        gains = [100 * (pieces - cut) for pieces, cut in pairs]
        low, high = interval(gains)
        found.append(
            claim(
                f"{name}: pieces against cut, points, 95 % {low:+.1f} to {high:+.1f}",
                round(statistics.fmean(gains), 1),
                "above 0",
                low > 0,
            )
        )
    return found


def frozen(n_rows, draw):
    """Return the accuracies of a tuned logistic regression on frozen features."""
    X, y, X_test, y_test = _rows(n_rows, draw)
    row = {}
    for way, max_length in WAYS.items():
        encoder = TextEncoder(max_length=max_length)
        proba, classes = frozen_features(encoder, X, y, X_test)
        row[way] = scores(y_test, proba, classes)["accuracy"]
    print("frozen", n_rows, draw, row, flush=True)
    return f"frozen, {n_rows} reviews", row


def tuned(draw):
    """Return the accuracies of fine-tuning by its defaults."""
    X, y, X_test, y_test = _rows(TUNED_ROWS, draw)
    row, cache = {}, FeatureCache()
    for way, max_length in WAYS.items():
        model = TextClassifier(max_length=max_length, cache=cache, random_state=draw)
        row[way] = float((model.fit(X, y).predict(X_test) == y_test).mean())
    print("fine-tuned", draw, row, flush=True)
    return f"fine-tuned, {TUNED_ROWS} reviews", row


def _rows(n_rows, draw):
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*texts have more than")
    X, y, X_test, y_test = texts("movie_reviews")
    rows = draw_rows(y, n_rows, draw)
    classes = np.unique(y.astype(str))
    y, y_test = (np.searchsorted(classes, part.astype(str)) for part in (y, y_test))
    return X[rows], y[rows], X_test, y_test


def table(result):
    rows = [["accuracy, mean of draws", "first 256 tokens", "pieces"]]
    for name, row in result["figures"].items():
        means = (statistics.fmean(row[way]) for way in WAYS)
        rows.append([name, *(f"{mean:.3f}" for mean in means)])
    return rows
