"""The defaults of fine-tuning against their neighbours, on training parts alone.

Twelve sets, three networks, 50 to 1,500 rows. Rows are drawn from the training part of
a set and scored on other rows of that part; no test part is read. pros_cons, emoji noto
and sms_spam are left out: they were set aside before any default was chosen. A
neighbour differs from the default in one setting. Without ``--full``, 50 and 100 rows.
"""

import statistics

import numpy as np
from joblib import Parallel, delayed

from sktransfer import (
    FeatureCache,
    ImageClassifier,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
    load_backbone,
)
from sktransfer.finetuning import Head, LogLoss, Optimizer

from .._few import draw_rows, frozen_features, images, scores, texts
from .._harness import airbnb, claim, data_folder

TEXTS = {
    "banking77": "all-MiniLM-L6-v2",
    "sentiment_sentences": "all-MiniLM-L6-v2",
    "subjectivity": "all-MiniLM-L6-v2",
    "movie_reviews": "all-MiniLM-L6-v2",
    "streaming_titles: maturity": "all-MiniLM-L6-v2",
    "emoji_vendors: names": "all-MiniLM-L6-v2",
    "seattle_airbnb: rooms": "all-MiniLM-L6-v2",
}
IMAGES = {
    "clothing10": "efficientnet_lite0",
    "trash6": "efficientnet_lite0",
    "elpv": "efficientnet_lite0",
    "emoji fluent3d": "efficientnet_lite1",
    "fruits_studio_store: store": "efficientnet_lite1",
}
SIZES = {50: 1, 100: 1}  # rows and draws
FULL_SIZES = {50: 2, 100: 2, 400: 1, 1500: 1}
TEST_ROWS = 500


def run(full):
    sizes = FULL_SIZES if full else SIZES
    jobs = [
        (name, n, draw)
        for n, n_draws in sizes.items()
        for draw in range(n_draws)
        for name in (*TEXTS, *IMAGES)
    ]
    rows = Parallel(n_jobs=2)(delayed(compare)(*job) for job in jobs)
    figures = {}
    for (name, n, _), row in zip(jobs, rows, strict=True):
        if row is not None:  # a set of fewer rows
            figures.setdefault(name, {}).setdefault(str(n), []).append(row)
    return {"figures": figures, "claims": claims(figures)}


def claims(figures):
    found = []
    for kind, names in (("texts", TEXTS), ("images", IMAGES)):
        gains = gains_of(figures, names)
        best = max(gains, key=gains.get)
        found += [
            claim(
                f"{kind}: default against tuned frozen features, mean points",
                round(-gains["frozen"], 2),
                ">= 0",
                gains["frozen"] <= 0,
            ),
            claim(
                f"{kind}: the best neighbour ({best}) against the default, mean points",
                round(gains[best], 2),
                "<= 0.5",
                gains[best] <= 0.5,
            ),
        ]
    return found


def gains_of(figures, names, key="accuracy", scale=100):
    """Return the mean gain of each setting over the default."""
    rows = [
        row
        for name in names
        for drawn in figures.get(name, {}).values()
        for row in drawn
    ]
    return {
        setting: statistics.fmean(
            scale * (row[setting][key] - row["default"][key]) for row in rows
        )
        for setting in rows[0]
        if setting != "default"
    }


def compare(name, n, draw):
    """Score the default, its neighbours and frozen features on a draw."""
    import torch

    torch.set_num_threads(1)
    is_text = name in TEXTS
    X, y = data(name)
    _, y = np.unique(y.astype(str), return_inverse=True)
    if n >= 0.8 * len(y):
        return None
    train = draw_rows(y, n, draw)
    rest = np.setdiff1d(np.arange(len(y)), train)
    test = np.random.default_rng(draw).permutation(rest)[:TEST_ROWS]
    part = X[train], y[train]
    network = (TEXTS if is_text else IMAGES)[name]
    cache = FeatureCache(memory_budget=4 * 2**30)
    kind, encoder = (
        (TextClassifier, TextEncoder) if is_text else (ImageClassifier, ImageEncoder)
    )

    def fitted(**setting):
        model = kind(network, cache=cache, random_state=draw, **setting).fit(*part)
        return model, scores(y[test], model.predict_proba(X[test]), model.classes_)

    model, found = fitted()
    row = {
        "default": found,
        "frozen": scores(
            y[test], *frozen_features(encoder(network, cache=cache), *part, X[test])
        ),
    }
    for label, setting in neighbours(model.settings_, network).items():
        row[label] = fitted(**setting)[1]
    print(name, n, draw, {k: round(v["accuracy"], 3) for k, v in row.items()})
    return row


def neighbours(used, network):
    """Return settings that each differ from the used ones in one."""
    names = load_backbone(network).block_names
    n_trained = len(names) - 1 - names.index(used["freeze_depth"])
    half, more = max(1, n_trained // 2), min(len(names), round(1.5 * n_trained))
    return {
        "half of the blocks": {"freeze_depth": -half},
        "half as many blocks more": {"freeze_depth": len(names) - more},
        "lr / 2": {"lr": used["lr"] / 2},
        "lr x 2": {"lr": used["lr"] * 2},
        "epochs / 2": {"max_epochs": max(1, used["max_epochs"] // 2)},
        "epochs x 2": {"max_epochs": 2 * used["max_epochs"]},
        "head__C / 10": {"head": Head(C=used["head__C"] / 10)},
        "head__C x 10": {"head": Head(C=used["head__C"] * 10)},
        "label_smoothing=0": {"loss": LogLoss(label_smoothing=0.0)},
        "label_smoothing=0.1": {"loss": LogLoss(label_smoothing=0.1)},
        "batch_size=32": {"batch_size": 32},
        "layer_decay=0.9": {"optimizer": Optimizer(layer_decay=0.9)},
    }


def data(name):
    """Return rows and labels of a training part."""
    import pandas as pd

    if name in ("seattle_airbnb: rooms",):
        frame = airbnb("train").dropna(subset="summary")
        frame = frame[frame["room_type"] != "Shared room"].drop_duplicates("summary")
        return frame["summary"].str[:150].to_numpy(object), frame["room_type"]
    folder, _, part = name.partition(": ")
    if not part:
        X, y, _, _ = (texts if name in TEXTS else images)(name)
        return X, y
    file = "data.csv" if part == "maturity" else "index.csv"
    frame = pd.read_csv(data_folder(folder) / file)
    frame = frame[frame["split"] == "train"]
    if part == "maturity":
        frame = frame.dropna(subset="description")
        return frame["description"].to_numpy(object), frame["maturity"]
    if part == "names":
        frame = frame.drop_duplicates("name")
        return frame["name"].to_numpy(object), frame["label"]
    frame = frame[frame["domain"] == part]
    paths = [str(data_folder(folder) / path) for path in frame["path"]]
    return np.array(paths, object), frame["label"]


def table(result):
    figures, rows = result["figures"], [["setting", "texts", "images"]]
    columns = []
    for names in (TEXTS, IMAGES):
        accuracy = gains_of(figures, names)
        loss = gains_of(figures, names, "log_loss", 1)
        columns.append(
            {name: f"{accuracy[name]:+.1f} points, {loss[name]:+.2f}" for name in loss}
        )
    return rows + [[name, *(c[name] for c in columns)] for name in columns[0]]
