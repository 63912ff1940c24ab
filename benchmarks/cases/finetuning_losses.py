"""Balanced labels and quantiles: what the weights and the loss are for.

Several labels: eight words and signs that a question of banking77 may have, 250 rows to
train on and 250 others to score on, with ``class_weight="balanced"`` and without.
Quantiles: the probability that a photo of elpv shows a defective cell, 400 photos to
train on and 500 others to count on.
"""

import statistics

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import average_precision_score

from sktransfer import FeatureCache, ImageRegressor, TextClassifier
from sktransfer.finetuning import QuantileLoss

from .._few import interval, solar_cells
from .._harness import SEED, banking77, claim

WORDS = (
    "card",
    "transfer|payment",
    r"\?",
    "why",
    "top",
    "cash|atm",
    "pin",
    "exchange|currency",
)
N_DRAWS = 5
N_TEXTS = 250
N_PHOTOS, N_COUNTED = 400, 500
QUANTILES = 0.1, 0.5, 0.9


def run(full):
    labels = [delayed(balanced)(draw) for draw in range(N_DRAWS)]
    shares = [
        delayed(coverage)(quantile, draw)
        for draw in range(N_DRAWS)
        for quantile in QUANTILES
    ]
    found = Parallel(n_jobs=2)([*labels, *shares])
    figures = {"labels": {}, "coverage": {}}
    for row in found[:N_DRAWS]:
        for key, value in row.items():
            figures["labels"].setdefault(key, []).append(value)
    for quantile, share in found[N_DRAWS:]:
        figures["coverage"].setdefault(str(quantile), []).append(share)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    found = []
    for depth in ("all", "auto"):
        gaps = gains(figures, depth)
        low, high = interval(gaps)
        found.append(
            claim(
                f"balanced against plain, mean AP, points, freeze_depth={depth!r} "
                f"(95 %: {low:+.2f} to {high:+.2f})",
                round(statistics.fmean(gaps), 2),
                ">= 0, or 0 in the interval",
                high >= 0,
            )
        )
    misses = {
        quantile: 100 * abs(statistics.fmean(shares) - float(quantile))
        for quantile, shares in figures["coverage"].items()
    }
    worst = max(misses, key=misses.get)
    found.append(
        claim(
            f"share of photos below the quantile, points off, worst of "
            f"{len(misses)} quantiles ({worst})",
            round(misses[worst], 1),
            "<= 5",
            misses[worst] <= 5,
        )
    )
    return found


def gains(figures, depth):
    labels = figures["labels"]
    pairs = zip(labels[f"balanced, {depth}"], labels[f"None, {depth}"], strict=True)
    return [100 * (ours - plain) for ours, plain in pairs]


def balanced(draw):
    """Return the mean average precision with and without balanced labels."""
    import torch

    torch.set_num_threads(1)
    X, _ = banking77("train")
    X = X.drop_duplicates().sample(2 * N_TEXTS, random_state=draw)
    Y = np.stack([X.str.contains(word, case=False) for word in WORDS], 1).astype(int)
    X, cache = X.to_numpy(object), FeatureCache()
    row = {}
    for depth in ("all", "auto"):
        for class_weight in (None, "balanced"):
            model = TextClassifier(
                freeze_depth=depth,
                class_weight=class_weight,
                cache=cache,
                random_state=draw,
            ).fit(X[:N_TEXTS], Y[:N_TEXTS])
            found = model.predict_proba(X[N_TEXTS:])
            row[f"{class_weight}, {depth}"] = float(
                average_precision_score(Y[N_TEXTS:], found)
            )
    print(draw, {k: round(v, 4) for k, v in row.items()}, flush=True)
    return row


def coverage(quantile, draw):
    """Return the share of photos whose probability is below its predicted quantile."""
    import torch

    torch.set_num_threads(1)
    X, probability = solar_cells()
    order = np.random.default_rng([SEED, draw]).permutation(len(X))
    train, counted = order[:N_PHOTOS], order[N_PHOTOS : N_PHOTOS + N_COUNTED]
    # Four values are possible; spread, a share below can be any.
    rng = np.random.default_rng(draw)
    y = probability + rng.uniform(-1 / 6, 1 / 6, len(probability))
    model = ImageRegressor(loss=QuantileLoss(quantile), random_state=draw)
    model.fit(X[train], y[train])
    share = float((y[counted] <= model.predict(X[counted])).mean())
    print(quantile, draw, round(share, 3), flush=True)
    return quantile, share


def table(result):
    figures = result["figures"]
    rows = [["labels", "all blocks frozen", "default"]]
    for class_weight in ("None", "balanced"):
        means = [
            statistics.fmean(figures["labels"][f"{class_weight}, {depth}"])
            for depth in ("all", "auto")
        ]
        rows.append([f"class_weight={class_weight}", *(f"{m:.3f}" for m in means)])
    for quantile, shares in figures["coverage"].items():
        share = f"{statistics.fmean(shares):.3f} of photos below"
        rows.append([f"quantile {quantile}", "", share])
    return rows
