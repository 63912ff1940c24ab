"""Fine-tuning against frozen features, each with its settings chosen by validation.

Five random splits of each set and three seeds; elpv with 300 and with 500 rows. Both
sides choose on the same third of the training rows, set aside at random (clothing10: by
photographer). Frozen features choose depth and `C` of a logistic regression, and
fine-tuning one of the grid. Both are then fitted on all the training rows.

A pair is one split; the seeds of a split are averaged first, since they share its rows.
"""

import statistics
import tempfile

import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupShuffleSplit,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._few import interval
from benchmarks._harness import SEED, banking77, claim, clothing10, data_folder
from sktransfer import ImageClassifier, ImageEncoder, TextClassifier, TextEncoder

N_SPLITS = 5
SEEDS = (0, 1, 2)
TRAIN_ROWS, TEST_ROWS = 300, 1000  # of the image sets; as many as there are
ELPV_500 = "elpv, 500 rows"
VENDORS = ("fluent3d", "noto", "twemoji")
# Drawn images want what the second line does, photos the first.
IMAGE_GRID = [
    {"freeze_depth": ["all", -2, -6]},
    {
        "freeze_depth": [-6],
        "lr": [1e-3],
        "head__init": ["random"],
        "batch_norm": ["train"],
    },
]
TEXT_GRID = {"freeze_depth": ["all", -1, -2], "lr": [1e-4, 3e-4]}
IMAGE_DEPTHS = ("all", -1, -2, -4, -6)
TEXT_DEPTHS = ("all", -1, -2)
CS = (0.001, 0.01, 0.1, 1.0, 10.0)


def run(full):
    names = [
        "clothing10",
        *(f"emoji {v}" for v in VENDORS),
        "elpv",
        ELPV_500,
        "banking77",
    ]
    jobs = [(name, split) for split in range(N_SPLITS) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        rows = Parallel(n_jobs=2)(delayed(compare)(*job, folder) for job in jobs)
    figures = {name: {"frozen": [], "tuned": [], "chosen": []} for name in names}
    for (name, _), row in zip(jobs, rows, strict=True):
        for key, value in row.items():
            figures[name][key].append(value)
    gains = {name: points(figure) for name, figure in figures.items()}
    by_set = {
        "clothing10": gains["clothing10"],
        "emoji": [*np.mean([gains[f"emoji {v}"] for v in VENDORS], axis=0)],
        "elpv": gains["elpv"],
        "banking77": gains["banking77"],
    }
    low, high = interval(np.mean(list(by_set.values()), axis=0))
    means = {name: statistics.fmean(values) for name, values in by_set.items()}
    return {
        "figures": figures,
        "mean_of_sets": [low, high],
        "claims": [
            claim("mean of the four sets, lower bound", round(low, 2), "> 0", low > 0),
            *(
                claim(f"{name}, points", round(mean, 2), f">= {least}", mean >= least)
                for (name, mean), least in zip(
                    means.items(), (-1, 4, 1, -1), strict=True
                )
            ),
            claim(
                f"{ELPV_500}, points",
                round(statistics.fmean(gains[ELPV_500]), 2),
                ">= 1",
                statistics.fmean(gains[ELPV_500]) >= 1,
            ),
        ],
    }


def points(figure):
    """Return the gain of each split, over seeds, in points."""
    tuned = np.mean(figure["tuned"], axis=1)
    return (100 * (tuned - np.array(figure["frozen"]))).tolist()


def compare(name, split, folder):
    """Score both sides on one split, the tuned one with every seed."""
    X, y, groups = data(name)
    is_text = name == "banking77"
    train, test = rows_of(name, y, groups, split)
    within = None if groups is None else groups[train]
    fold = [divide(y[train], within, split, test_size=1 / 3)]
    kind, encoder = (
        (TextClassifier, TextEncoder) if is_text else (ImageClassifier, ImageEncoder)
    )
    scoring = "roc_auc" if name.startswith("elpv") else "accuracy"
    search = GridSearchCV(
        make_pipeline(
            encoder(cache=folder), StandardScaler(), LogisticRegression(max_iter=2000)
        ),
        {
            f"{encoder.__name__.lower()}__depth": TEXT_DEPTHS
            if is_text
            else IMAGE_DEPTHS,
            "logisticregression__C": CS,
        },
        cv=fold,
        scoring=scoring,
        error_score="raise",
    ).fit(X[train], y[train])
    tuning = GridSearchCV(
        kind(cache=folder, random_state=SEED),
        TEXT_GRID if is_text else IMAGE_GRID,
        cv=fold,
        scoring=scoring,
        refit=False,
        error_score="raise",
    ).fit(X[train], y[train])
    tuned = []
    for seed in SEEDS:
        model = kind(cache=folder, random_state=seed, **tuning.best_params_)
        model.fit(X[train], y[train])
        tuned.append(float(search.scorer_(model, X[test], y[test])))
    row = {
        "frozen": float(search.score(X[test], y[test])),
        "tuned": tuned,
        "chosen": [search.best_params_, tuning.best_params_],
    }
    print(name, split, row, flush=True)
    return row


def divide(y, groups, seed, **sizes):
    kind = StratifiedShuffleSplit if groups is None else GroupShuffleSplit
    return next(kind(1, random_state=seed, **sizes).split(y, y, groups))


def rows_of(name, y, groups, split):
    if name == "banking77":  # ten of each class to learn from
        order = np.random.default_rng(split).permutation(len(y))
        by_class = [order[y[order] == label][:10] for label in np.unique(y)]
        train = np.concatenate(by_class)
        return train, np.setdiff1d(order, train)[: 2 * TEST_ROWS]
    n_rows = 500 if name == ELPV_500 else TRAIN_ROWS
    train, test = divide(y, groups, split, train_size=n_rows / len(y))
    return train, test[:TEST_ROWS]


def data(name):
    """Return rows, labels and, for clothing10, photographers."""
    if name == "banking77":
        texts, y = banking77("train")
        return texts.to_numpy(object), np.asarray(y), None
    if name.startswith("elpv"):
        from elpv_dataset.utils import load_dataset

        images, probability, _ = load_dataset()
        return np.repeat(images[..., None], 3, axis=-1), probability > 0.5, None
    if name == "clothing10":
        import pandas as pd

        frame = pd.concat([clothing10("train"), clothing10("test")])
        X, y = frame["path"].to_numpy(object), frame["label"].to_numpy(object)
        return X, y.astype(str), frame["sender_id"].to_numpy()
    folder = data_folder("emoji_vendors") / name.removeprefix("emoji ")
    files = sorted(folder.rglob("*.png"))
    X = np.array([str(path) for path in files], dtype=object)
    return X, np.array([path.parent.name for path in files]), None


def table(result):
    rows = [["set", "frozen features", "fine-tuned", "gain, points (95 %)"]]
    for name, figure in result["figures"].items():
        low, high = interval(points(figure))
        rows.append(
            [
                name,
                f"{statistics.fmean(figure['frozen']):.3f}",
                f"{np.mean(figure['tuned']):.3f}",
                f"{(low + high) / 2:+.1f} ({low:+.1f} to {high:+.1f})",
            ]
        )
    low, high = result["mean_of_sets"]
    rows.append(["mean of the four sets", "", "", f"{(low + high) / 2:+.1f}"])
    rows[-1][-1] += f" ({low:+.1f} to {high:+.1f})"
    return rows
