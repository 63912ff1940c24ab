"""Ten chunks through `partial_fit` against one `fit` of the same rows and passes.

Rows are drawn from the training part of a set with a fresh seed for each draw, and
scored on its test part (600 rows at most). Chunks are parts of the rows in a random
order. The head starts at a model of the first chunk alone, and the learning rate is
never near 0; a fit sees all rows at its start, and its rate falls to 0.
"""

import statistics

import numpy as np
from joblib import Parallel, delayed

from sktransfer import FeatureCache, ImageClassifier, TextClassifier

from .._few import draw_rows, images, interval, texts
from .._harness import SEED, claim

TEXTS = "sentiment_sentences", "subjectivity"
IMAGES = ("trash6",)
N_ROWS = 400
N_CHUNKS = 10
N_PASSES = 4
N_DRAWS = 5
FIRST_DRAW = 100
TEST_ROWS = 600


def run(full):
    jobs = [(name, draw) for draw in range(N_DRAWS) for name in (*TEXTS, *IMAGES)]
    rows = Parallel(n_jobs=2)(delayed(compare)(*job) for job in jobs)
    figures = {}
    for (name, _), row in zip(jobs, rows, strict=True):
        for key, value in row.items():
            figures.setdefault(name, {}).setdefault(key, []).append(value)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    gaps = {name: statistics.fmean(differences(c)) for name, c in figures.items()}
    worst = min(gaps, key=gaps.get)
    return [
        claim(
            f"chunks against a fit, points, mean of {N_DRAWS} draws, the worst of "
            f"{len(gaps)} sets ({worst})",
            round(gaps[worst], 2),
            ">= -1",
            gaps[worst] >= -1,
        )
    ]


def differences(cell):
    pairs = zip(cell["chunks"], cell["fit"], strict=True)
    return [100 * (chunks - fit) for chunks, fit in pairs]


def compare(name, draw):
    """Return the accuracy of a fit, and of chunks after the first and last pass."""
    import torch

    torch.set_num_threads(1)
    is_text = name in TEXTS
    X, y, X_test, y_test = (texts if is_text else images)(name)
    rows = draw_rows(y, N_ROWS, FIRST_DRAW + draw)
    rows = np.random.default_rng(draw).permutation(rows)
    test = np.random.default_rng(SEED).permutation(len(X_test))[:TEST_ROWS]
    cache = FeatureCache(memory_budget=4 * 2**30)
    kind = TextClassifier if is_text else ImageClassifier

    def score(model):
        return float(np.mean(model.predict(X_test[test]) == y_test[test]))

    model = kind(cache=cache, random_state=draw, max_epochs=N_PASSES)
    found = {"fit": score(model.fit(X[rows], y[rows]))}
    model = kind(cache=cache, random_state=draw)
    for number in range(N_PASSES):
        for part in np.array_split(rows, N_CHUNKS):
            model.partial_fit(X[part], y[part], classes=np.unique(y.astype(str)))
        if number in (0, N_PASSES - 1):
            found["chunks" if number else "chunks, pass 1"] = score(model)
    print(name, draw, {k: round(v, 3) for k, v in found.items()}, flush=True)
    return found


def table(result):
    rows = [["set", "fit", "chunks", "difference, points (95 %)", "after one pass"]]
    for name, cell in result["figures"].items():
        gaps = differences(cell)
        rows.append(
            [
                name,
                f"{statistics.fmean(cell['fit']):.3f}",
                f"{statistics.fmean(cell['chunks']):.3f}",
                "{:+.1f} ({:+.1f} to {:+.1f})".format(
                    statistics.fmean(gaps), *interval(gaps)
                ),
                f"{statistics.fmean(cell['chunks, pass 1']):.3f}",
            ]
        )
    return rows
