"""Accuracy of a linear model on frozen features, against features without a network."""

import numpy as np
from PIL import Image
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import ImageEncoder, TextEncoder

from .._harness import SEED, banking77, claim, clothing10

N_TEXTS = 2500
DEPTHS = ["all", -1, -2, -3, -4, -6, -8]
IMAGE_HEAD = {
    "scale": [StandardScaler(), "passthrough"],
    "model__C": [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0],
}


def run(full=False):
    rows, n_test = {}, {}
    rows["clothing10"], n_test["clothing10"] = images()
    rows["banking77"], n_test["banking77"] = texts()
    chosen = {name: table["sktransfer"]["test"] for name, table in rows.items()}
    errors = {
        name: float(np.sqrt(value * (1 - value) / n_test[name]))
        for name, value in chosen.items()
    }
    limits = {"clothing10": 0.77, "banking77": 0.89}
    return {
        "figures": rows,
        "spread": {"standard_error_of_test_accuracy": errors, "test_rows": n_test},
        "claims": [
            claim(
                f"{name}, accuracy",
                round(chosen[name], 4),
                f">= {x}",
                chosen[name] >= x,
            )
            for name, x in limits.items()
        ],
    }


def images():
    train, test = clothing10("train"), clothing10("test")
    X, y, X_test, y_test = train["path"], train["label"], test["path"], test["label"]
    # The test part has other senders than the training part, so the folds do, too.
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=SEED)
    folds = list(splitter.split(X, y, groups=train["sender_id"]))

    def probe(encoder, grid):
        head = [("scale", None), ("model", LogisticRegression(max_iter=2000))]
        search = GridSearchCV(
            Pipeline([("encoder", encoder), *head]), grid, cv=folds, refit=False
        )
        return search.fit(X, y)

    search = probe(ImageEncoder(), {"encoder__depth": DEPTHS, **IMAGE_HEAD})
    rows = {"sktransfer": scored(search, X, y, X_test, y_test)}
    for depth in DEPTHS:
        at = [p["encoder__depth"] == depth for p in search.cv_results_["params"]]
        rows[f"depth={depth!r}"] = scored(search, X, y, X_test, y_test, at)
    histogram = probe(FunctionTransformer(colour_histograms), IMAGE_HEAD)
    rows["colour histogram"] = scored(histogram, X, y, X_test, y_test)
    return rows, len(test)


def texts():
    (X, y), (X_test, y_test) = banking77("train", N_TEXTS), banking77("test")
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)

    def probe(encoder, Cs):
        model = LogisticRegression(max_iter=2000)
        pipeline = Pipeline([("encoder", encoder), ("model", model)])
        search = GridSearchCV(pipeline, {"model__C": Cs}, cv=folds, refit=False)
        return scored(search.fit(X, y), X, y, X_test, y_test)

    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return {
        "sktransfer": probe(TextEncoder(), [0.1, 1.0, 10.0]),
        "C=1, the default": probe(TextEncoder(), [1.0]),
        "normalize=True, C=1": probe(TextEncoder(normalize=True), [1.0]),
        "tf-idf": probe(tfidf, [1.0, 10.0, 100.0, 1000.0]),
    }, len(X_test)


def scored(search, X, y, X_test, y_test, at=None):
    """Refit the candidate that is best in cross-validation, and test it once.

    `at` is a mask of the candidates to choose from; None is all of them.
    """
    results = search.cv_results_
    means = np.where(True if at is None else at, results["mean_test_score"], -np.inf)
    best = int(means.argmax())
    pipeline = clone(search.estimator).set_params(**results["params"][best])
    pipeline.fit(X, y)
    return {
        "params": {k: _plain(v) for k, v in results["params"][best].items()},
        "cv": float(means[best]),
        "cv_std": float(results["std_test_score"][best]),
        "test": float(pipeline.score(X_test, y_test)),
    }


def _plain(value):
    return value if isinstance(value, (int, float, str)) else type(value).__name__


def colour_histograms(paths):
    """Return the share of pixels in each of 8 x 8 x 8 colours."""
    rows = []
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3) // 32
        codes = pixels.astype(int) @ [64, 8, 1]
        rows.append(np.bincount(codes, minlength=512) / len(codes))
    return np.sqrt(rows)  # Hellinger: linear models do better on roots of shares


def table(result):
    rows = [["data", "features", "chosen", "5-fold accuracy", "test accuracy"]]
    for data, table in result["figures"].items():
        for name, row in table.items():
            params = {k.partition("__")[2] or k: v for k, v in row["params"].items()}
            rows.append(
                [data, name, ", ".join(f"{k}={v}" for k, v in params.items())]
                + [f"{row['cv']:.3f} ± {row['cv_std']:.3f}", f"{row['test']:.3f}"]
            )
    return rows
