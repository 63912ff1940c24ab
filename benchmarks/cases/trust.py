"""Probabilities, prediction sets, rows like none seen, and classes that come later.

Each set is encoded once, and everything else is a composition on cached features. The
compositions are those of docs/guide/trust.md.
"""

import statistics
from functools import partial

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from sktransfer import FeatureCache, ImageClassifier, TextClassifier

from .._harness import claim
from .._one_pass import N_DRAWS, SETS, OnePass, folds, head, line, not_below

LEVEL = 0.9
UNKNOWN = 4  # one class of so many is held out


def run(full=False):
    figures, claims = {}, []
    for name in SETS:
        data, cache = OnePass(name), FeatureCache()
        parts = {"probabilities": probabilities, "sets": sets}
        if len(data.names) > 2:
            parts |= {"unseen": unseen, "later": partial(later, cache=cache)}
        figures[name] = row = {
            key: [part(data, draw) for draw in range(N_DRAWS)]
            for key, part in parts.items()
        }
        found = [data.claim(), *claims_of(name, row)]
        print(*found, sep="\n", flush=True)
        claims += found
    return {"figures": figures, "claims": claims}


def claims_of(name, row):
    coverage = statistics.fmean(one["coverage"] for one in row["sets"])
    found = [
        claim(
            f"{name}: share of sets that hold the class",
            round(coverage, 3),
            f"{LEVEL} +- 0.02",
            abs(coverage - LEVEL) <= 0.02,
        )
    ]
    if "unseen" in row:
        gains = [100 * (one["both"] - one["max"]) for one in row["unseen"]]
        text = f"{name}: held-out classes, AUROC over that of the max probability"
        found.append(not_below(text, gains))
        most = max(abs(one["grown"] - one["whole"]) for one in row["later"])
        text = f"{name}: classes that came later against one fit, greatest difference"
        found.append(claim(text, round(most, 4), "0", most == 0))
    return found


def probabilities(data, draw):
    """Return log loss and calibration error, as fitted and by a temperature."""
    train, test = data.split(draw)
    # In float32, probabilities do not quite sum to one, of which log_loss warns.
    A, B = (data.features(rows).astype(np.float64) for rows in (train, test))
    y, found = data.y[train], {}
    for name, model in {
        "plain": head(),
        "temperature": CalibratedClassifierCV(
            head(), method="temperature", ensemble=False, cv=folds(draw)
        ),
    }.items():
        proba = model.fit(A, y).predict_proba(B)
        found[f"log loss, {name}"] = log_loss(data.y[test], proba)
        found[f"error, {name}"] = calibration_error(data.y[test], proba)
    return {key: float(value) for key, value in found.items()}


def calibration_error(y, proba, n_bins=10):
    """Return the mean distance of confidence and accuracy over bins of equal size."""
    confidence, is_right = proba.max(1), proba.argmax(1) == y
    bins = np.array_split(np.argsort(confidence), n_bins)
    gaps = [len(b) * abs(confidence[b].mean() - is_right[b].mean()) for b in bins]
    return sum(gaps) / len(y)


def sets(data, draw):
    """Return coverage and size of sets that MAPIE makes."""
    from mapie.classification import SplitConformalClassifier

    train, test = data.split(draw)
    fitted, held = train[::2], train[1::2]
    model = head().fit(data.features(fitted), data.y[fitted])
    conformal = SplitConformalClassifier(model, confidence_level=LEVEL, prefit=True)
    conformal.conformalize(data.features(held), data.y[held])
    _, is_in = conformal.predict_set(data.features(test))
    is_in = is_in[:, :, 0]
    holds = is_in[np.arange(len(test)), data.y[test]]
    top = model.predict_proba(data.features(test)).argmax(1) == data.y[test]
    return {
        "coverage": float(holds.mean()),
        "size": float(is_in.sum(1).mean()),
        "accuracy": float(top.mean()),
    }


def unseen(data, draw):
    """Return the AUROC of scores that tell rows of held-out classes."""
    n_classes = len(data.names)
    hidden = np.random.default_rng(draw).permutation(n_classes)
    hidden = hidden[: max(1, n_classes // UNKNOWN)]
    train, test = data.split(draw)
    train = train[~np.isin(data.y[train], hidden)]
    A, y, B = data.features(train), data.y[train], data.features(test)
    is_new = np.isin(data.y[test], hidden)
    model = head().fit(A, y)
    near = NearestNeighbors(n_neighbors=1, metric="cosine").fit(A)
    usual = np.median(near.kneighbors()[0])
    sure, far = model.predict_proba(B).max(axis=1), near.kneighbors(B)[0][:, 0]
    return {
        "max": float(roc_auc_score(is_new, -sure)),
        "distance": float(roc_auc_score(is_new, far)),
        "both": float(roc_auc_score(is_new, -sure * np.exp(-far / usual))),
    }


def later(data, draw, cache):
    """Return the accuracy of prototypes whose classes come one after the other."""
    train, test = data.split(draw)
    order = np.random.default_rng(draw).permutation(len(data.names))
    n_first = max(2, len(order) // 2)
    kind = ImageClassifier if data.is_images else TextClassifier
    options = {"head": "prototype", "freeze_depth": "all", "cache": cache}
    X, y = data.X, data.y
    whole = kind(**options).fit(X[train], y[train])
    first, others = order[:n_first], order[n_first:]
    rows = train[np.isin(y[train], first)]
    grown = kind(**options).partial_fit(X[rows], y[rows])
    old = test[np.isin(y[test], first)]
    before = grown.predict(X[old])
    for label in others:
        rows = train[y[train] == label]
        grown.partial_fit(X[rows], y[rows], classes=[*grown.classes_, label])
    after = grown.predict(X[old])
    return {
        "whole": float(whole.score(X[test], y[test])),
        "grown": float(grown.score(X[test], y[test])),
        "swapped": float(((after != before) & np.isin(after, first)).mean()),
        "log loss, whole": float(log_loss(y[test], whole.predict_proba(X[test]))),
        "log loss, grown": float(log_loss(y[test], grown.predict_proba(X[test]))),
    }


def table(result):
    figures = result["figures"]
    rows = [["means of ten draws, 95 % interval", *figures]]
    for text, part, name, digits in (
        ("log loss, as fitted", "probabilities", "log loss, plain", 3),
        ("log loss, with a temperature", "probabilities", "log loss, temperature", 3),
        ("calibration error, as fitted", "probabilities", "error, plain", 3),
        ("... with a temperature", "probabilities", "error, temperature", 3),
        ("sets for 90 %: share that hold the class", "sets", "coverage", 3),
        ("... classes in a set", "sets", "size", 2),
        ("... accuracy of the single prediction", "sets", "accuracy", 3),
        ("held-out classes: AUROC of the max probability", "unseen", "max", 3),
        ("... of the distance to the nearest row", "unseen", "distance", 3),
        ("... of both", "unseen", "both", 3),
        ("prototypes, one fit: accuracy", "later", "whole", 3),
        ("... half of the classes one by one", "later", "grown", 3),
        ("... that go from one of the first classes to another", "later", "swapped", 3),
        ("prototypes, one fit: log loss", "later", "log loss, whole", 3),
        ("... half of the classes one by one", "later", "log loss, grown", 3),
    ):
        rows.append(line(figures, text, part, name, digits=digits))
    return rows
