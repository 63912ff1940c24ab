"""Settings of fine-tuning on the training parts of two image sets and one of texts.

Three splits of each training part (clothing10 by photographer) into two thirds and one
third. No test part is read. The frozen features have a logistic regression whose C is
the best on the very rows that are scored, which favours them.
"""

import statistics

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from benchmarks._harness import SEED, banking77, claim, clothing10, data_folder
from sktransfer import (
    FeatureCache,
    ImageClassifier,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
)

N_SPLITS = 3
IMAGE_SETTINGS = {
    "defaults": {},
    'freeze_depth="all"': {"freeze_depth": "all"},
    "freeze_depth=-2": {"freeze_depth": -2},
    "lr=1e-3, backbone_lr_scale=0.3": {"lr": 1e-3, "backbone_lr_scale": 0.3},
    'head_init="random", lr=1e-3': {"head_init": "random", "lr": 1e-3},
    'batch_norm="train"': {"batch_norm": "train"},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
}
TEXT_SETTINGS = {
    "defaults": {},
    'freeze_depth="all"': {"freeze_depth": "all"},
    "freeze_depth=-2": {"freeze_depth": -2},
    'head_init="random", lr=1e-3': {"head_init": "random", "lr": 1e-3},
}


def run(full):
    names = {
        "clothing10": (clothing(), ImageClassifier, ImageEncoder, IMAGE_SETTINGS),
        "emoji fluent3d": (emoji(), ImageClassifier, ImageEncoder, IMAGE_SETTINGS),
        "banking77, 10 a class": (
            intents(),
            TextClassifier,
            TextEncoder,
            TEXT_SETTINGS,
        ),
    }
    figures = {}
    for name, (data, classifier, encoder, settings) in names.items():
        figures[name] = compare(*data, classifier, encoder, settings)
        print(name, figures[name], flush=True)
    gains = {
        name: statistics.fmean(
            a - b for a, b in zip(rows["defaults"], rows["frozen"], strict=True)
        )
        for name, rows in figures.items()
    }
    return {
        "figures": figures,
        "claims": [
            claim(
                f"{name}: defaults against frozen features, points",
                round(100 * gain, 1),
                ">= -1",
                gain >= -0.01,
            )
            for name, gain in gains.items()
        ],
    }


def compare(X, y, splits, classifier, encoder, settings):
    cache = FeatureCache(memory_budget=4 * 2**30)
    rows = {"frozen": [frozen(X, y, split, encoder(cache=cache)) for split in splits]}
    for name, setting in settings.items():
        model = classifier(cache=cache, random_state=SEED, **setting)
        rows[name] = [
            model.fit(X[train], y[train]).score(X[test], y[test])
            for train, test in splits
        ]
    return rows


def frozen(X, y, split, encoder):
    train, test = split
    A, B = encoder.fit_transform(X[train]), encoder.transform(X[test])
    return max(
        LogisticRegression(C=C, max_iter=1000).fit(A, y[train]).score(B, y[test])
        for C in (0.1, 1.0, 10.0)
    )


def clothing():
    frame = clothing10("train")
    X, y = frame["path"].to_numpy(object), frame["label"].to_numpy()
    splitter = GroupShuffleSplit(N_SPLITS, test_size=1 / 3, random_state=SEED)
    return X, y, list(splitter.split(X, y, frame["sender_id"]))


def emoji():
    folder = data_folder("emoji_vendors") / "fluent3d" / "train"
    files = sorted(folder.rglob("*.png"))
    X = np.array([str(path) for path in files], dtype=object)
    y = np.array([path.parent.name for path in files])
    splitter = StratifiedShuffleSplit(N_SPLITS, test_size=1 / 3, random_state=SEED)
    return X, y, list(splitter.split(X, y))


def intents():
    texts, y = banking77("train")
    X, rng, splits = texts.to_numpy(object), np.random.default_rng(SEED), []
    for _ in range(N_SPLITS):
        order = rng.permutation(len(X))
        by_class = [order[y[order] == label][:10] for label in np.unique(y)]
        train = np.concatenate(by_class)
        splits.append((train, np.setdiff1d(order, train)[:2000]))
    return X, y, splits


def table(result):
    rows = [["set", "setting", "accuracy", "against frozen features"]]
    for name, figures in result["figures"].items():
        base = figures["frozen"]
        for setting, values in figures.items():
            gain = statistics.fmean(np.subtract(values, base))
            rows.append(
                [
                    name,
                    setting,
                    f"{statistics.fmean(values):.3f}",
                    "" if setting == "frozen" else f"{100 * gain:+.1f} points",
                ]
            )
            name = ""
    return rows
