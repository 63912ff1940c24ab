"""Heads and random starts at their defaults against the linear head's.

Rows are drawn from the training part of a set with a fresh seed for each draw, and
scored on its test part (500 rows at most). banking77 has ten of its intents.
"""

import statistics

import numpy as np
from joblib import Parallel, delayed

from sktransfer import FeatureCache, ImageClassifier, TextClassifier
from sktransfer.finetuning import Head

from .._few import draw_rows, images, interval, scores, texts
from .._harness import SEED, claim

TEXTS = "banking77, 10 intents", "sentiment_sentences"
IMAGES = "clothing10", "elpv"
N_ROWS = 120
N_DRAWS = 5
FIRST_DRAW = 100
TEST_ROWS = 500
HEADS = {
    "linear": {},
    "linear, random start": {"head": Head(init="random")},
    "mlp": {"head": "mlp"},
    "cosine": {"head": "cosine"},
    "prototype": {"head": "prototype"},
}


def run(full):
    jobs = [(name, draw) for draw in range(N_DRAWS) for name in (*TEXTS, *IMAGES)]
    rows = Parallel(n_jobs=2)(delayed(compare)(*job) for job in jobs)
    figures = {}
    for (name, _), row in zip(jobs, rows, strict=True):
        cell = figures.setdefault(name, {})
        for head, found in row.items():
            for key, value in found.items():
                cell.setdefault(head, {}).setdefault(key, []).append(value)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    found = []
    for head in list(HEADS)[1:]:
        gaps = {
            name: statistics.fmean(differences(cell, head))
            for name, cell in figures.items()
        }
        worst = min(gaps, key=gaps.get)
        found.append(
            claim(
                f"{head} against linear, points, mean of {N_DRAWS} draws, the worst "
                f"set ({worst})",
                round(gaps[worst], 1),
                ">= -2",
                gaps[worst] >= -2,
            )
        )
    return found


def differences(cell, head):
    pairs = zip(cell[head]["accuracy"], cell["linear"]["accuracy"], strict=True)
    return [100 * (ours - linear) for ours, linear in pairs]


def compare(name, draw, heads=HEADS):
    """Score heads on a draw."""
    import torch

    torch.set_num_threads(1)
    X, y, X_test, y_test = data(name)
    train = draw_rows(y, N_ROWS, FIRST_DRAW + draw)
    test = np.random.default_rng(SEED).permutation(len(X_test))[:TEST_ROWS]
    kind = TextClassifier if name in TEXTS else ImageClassifier
    cache = FeatureCache(memory_budget=4 * 2**30)
    row = {}
    for head, setting in heads.items():
        model = kind(cache=cache, random_state=draw, **setting).fit(X[train], y[train])
        found = model.predict_proba(X_test[test])
        row[head] = scores(y_test[test], found, model.classes_)
    print(name, draw, {k: round(v["accuracy"], 3) for k, v in row.items()}, flush=True)
    return row


def data(name):
    """Return rows and class numbers to draw from, and those to score on."""
    X, y, X_test, y_test = (texts if name in TEXTS else images)(name.split(",")[0])
    if "10 intents" in name:
        kept = np.random.default_rng(SEED).permutation(np.unique(y.astype(str)))[:10]
        of, of_test = np.isin(y, kept), np.isin(y_test, kept)
        X, y, X_test, y_test = X[of], y[of], X_test[of_test], y_test[of_test]
    _, both = np.unique(np.concatenate([y, y_test]).astype(str), return_inverse=True)
    return X, both[: len(y)], X_test, both[len(y) :]


def table(result):
    rows = [["set", *HEADS]]
    for name, cell in result["figures"].items():
        line = [name]
        for head in HEADS:
            accuracy = statistics.fmean(cell[head]["accuracy"])
            loss = statistics.fmean(cell[head]["log_loss"])
            text = f"{accuracy:.3f}, {loss:.2f}"
            if head != "linear":
                low, high = interval(differences(cell, head))
                text += f" ({low:+.1f} to {high:+.1f} points)"
            line.append(text)
        rows.append(line)
    return rows
