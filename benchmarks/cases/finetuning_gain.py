"""Fine-tuning by default against tuned frozen features and a tuned training loop.

Rows are drawn from the training part of a set, by class, with a fresh seed for each
draw, and scored on its test part (1,000 rows at most). Frozen features have a logistic
regression whose `C` is chosen by cross-validation. The loop is `benchmarks._reference`;
what it reached is kept in `results/reference`, as it takes hours (``--full`` runs the
cells that are missing).
"""

import json
import statistics
import time

import numpy as np
from joblib import Parallel, delayed

from sktransfer import (
    FeatureCache,
    ImageClassifier,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
)

from .._few import draw_rows, frozen_features, images, interval, scores, texts
from .._harness import ROOT, SEED, claim

TEXTS = "banking77", "sentiment_sentences", "subjectivity", "pros_cons"
IMAGES = "clothing10", "trash6", "emoji noto", "elpv"
DRAWS = {100: 5, 400: 3, 1500: 2}
ROWS = {name: [100, 400] for name in (*TEXTS, *IMAGES)}
for _name in ("banking77", "subjectivity", "elpv"):
    ROWS[_name].append(1500)
TEST_ROWS = 1000
CHOSEN_BY = 99  # the seed of the draw by which the loop's settings are chosen
FIRST_DRAW = 100
RECORDS = ROOT / "benchmarks" / "results" / "reference"


def run(full):
    cells = [(name, n) for n in DRAWS for name in ROWS if n in ROWS[name]]
    if full:
        left = [cell for cell in cells if not record_of(*cell).exists()]
        Parallel(n_jobs=2)(delayed(reference)(*cell) for cell in left)
    cells = [cell for cell in cells if record_of(*cell).exists()]
    jobs = [(*cell, draw) for cell in cells for draw in range(DRAWS[cell[1]])]
    rows = Parallel(n_jobs=2)(delayed(compare)(*job) for job in jobs)
    figures = {}
    for (name, n, draw), row in zip(jobs, rows, strict=True):
        cell = figures.setdefault(f"{name}, {n}", {})
        loop = json.loads(record_of(name, n).read_text())["draws"][draw]
        for contestant, found in (row | {"loop": loop}).items():
            for key, value in found.items():
                cell.setdefault(contestant, {}).setdefault(key, []).append(value)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    kept, others, lows, ratios = [], [], [], []
    for cell in figures.values():
        ours = differences(cell, "default", "frozen")
        loop = differences(cell, "loop", "frozen")
        if interval(loop)[0] > 0:
            kept.append(statistics.fmean(ours) / statistics.fmean(loop))
        else:
            others.append(statistics.fmean(ours))
            lows.append(interval(ours)[1])
        mean = {name: statistics.fmean(cell[name]["log_loss"]) for name in cell}
        ratios.append(mean["default"] / mean["frozen"])
    found = []
    if kept:
        value = statistics.fmean(kept)
        found.append(
            claim(
                f"share of the loop's gain, mean of {len(kept)} cells where it gains",
                round(value, 2),
                ">= 0.75",
                value >= 0.75,
            )
        )
    if others:
        value, worst = statistics.fmean(others), min(lows)
        found += [
            claim(
                f"against frozen features elsewhere, mean of {len(others)}, points",
                round(value, 2),
                ">= -0.5",
                value >= -0.5,
            ),
            claim(
                "upper end of the worst cell's interval there, points",
                round(worst, 2),
                ">= -1",
                worst >= -1,
            ),
        ]
    return [
        *found,
        claim(
            "log loss over that of frozen features, median of cells",
            round(statistics.median(ratios), 2),
            "<= 1",
            statistics.median(ratios) <= 1,
        ),
        claim(
            "log loss over that of frozen features, worst cell",
            round(max(ratios), 2),
            "<= 1.2",
            max(ratios) <= 1.2,
        ),
    ]


def differences(cell, one, other):
    """Return the difference of two contestants in each draw, in points."""
    pairs = zip(cell[one]["accuracy"], cell[other]["accuracy"], strict=True)
    return [100 * (a - b) for a, b in pairs]


def data(name):
    """Return the modality, all rows, their class numbers, and which are to score on."""
    modality = "text" if name in TEXTS else "image"
    X, y, X_test, y_test = (texts if modality == "text" else images)(name)
    test = len(X) + np.random.default_rng(SEED).permutation(len(X_test))[:TEST_ROWS]
    _, y = np.unique(np.concatenate([y, y_test]).astype(str), return_inverse=True)
    return modality, np.concatenate([X, X_test]), y, len(X), test


def record_of(name, n):
    return RECORDS / f"{name.replace(' ', '_')}_{n}.json"


def reference(name, n):
    """Tune the loop for a cell, run it on each draw, and write its record."""
    import torch

    from .._reference import NETWORKS, Rows, choose, fit, probabilities

    torch.set_num_threads(1)
    modality, X, y, n_pool, test = data(name)
    rows = Rows(modality, X)
    one = draw_rows(y[:n_pool], n, CHOSEN_BY)
    chosen, tried = choose(rows, y, one, np.setdiff1d(np.arange(n_pool), one), SEED)
    draws = []
    for seed in range(FIRST_DRAW, FIRST_DRAW + DRAWS[n]):
        start = time.process_time()
        net = fit(rows, y, draw_rows(y[:n_pool], n, seed), seed=seed, **chosen)
        seconds = time.process_time() - start
        proba = probabilities(net, rows, test)
        found = scores(y[test], proba, np.arange(proba.shape[1]))
        draws.append(found | {"seconds": seconds})
    RECORDS.mkdir(parents=True, exist_ok=True)
    record = {
        "set": name,
        "rows": n,
        "network": NETWORKS[modality],
        "versions": {"torch": torch.__version__},
        "chosen": chosen,
        "tried": tried,
        "draws": draws,
    }
    record_of(name, n).write_text(json.dumps(record, indent=1) + "\n")
    print(name, n, chosen, [round(draw["accuracy"], 3) for draw in draws], flush=True)


def compare(name, n, draw):
    """Score the default and tuned frozen features on a draw."""
    import torch

    torch.set_num_threads(1)
    modality, X, y, n_pool, test = data(name)
    seed = FIRST_DRAW + draw
    train = draw_rows(y[:n_pool], n, seed)
    cache = FeatureCache(memory_budget=4 * 2**30)
    kind, encoder = (
        (TextClassifier, TextEncoder)
        if modality == "text"
        else (ImageClassifier, ImageEncoder)
    )
    part = X[train], y[train]
    start = time.process_time()
    model = kind(cache=cache, random_state=seed).fit(*part)
    seconds = time.process_time() - start
    tuned = scores(y[test], model.predict_proba(X[test]), model.classes_)
    frozen = scores(y[test], *frozen_features(encoder(cache=cache), *part, X[test]))
    row = {"frozen": frozen, "default": tuned | {"seconds": seconds}}
    print(
        name, n, draw, {k: round(v["accuracy"], 3) for k, v in row.items()}, flush=True
    )
    return row


def table(result):
    rows = [
        [
            "set, rows",
            "frozen features",
            "loop, tuned",
            "default",
            "loop's gain, points (95 %)",
            "default's gain",
            "log loss: frozen, default",
        ]
    ]
    for name, cell in result["figures"].items():
        mean = {who: statistics.fmean(cell[who]["accuracy"]) for who in cell}
        loss = {who: statistics.fmean(cell[who]["log_loss"]) for who in cell}
        rows.append(
            [
                name,
                *(f"{mean[who]:.3f}" for who in ("frozen", "loop", "default")),
                *(
                    "{:+.1f} ({:+.1f} to {:+.1f})".format(
                        statistics.fmean(gain), *interval(gain)
                    )
                    for gain in (
                        differences(cell, who, "frozen") for who in ("loop", "default")
                    )
                ),
                f"{loss['frozen']:.2f}, {loss['default']:.2f}",
            ]
        )
    return rows
