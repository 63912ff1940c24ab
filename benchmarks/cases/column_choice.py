"""`TableEncoder(choose=)` against every fixed encoder, on six tables.

Three of five outer folds, of whose training parts so many rows are drawn. The error is
the Brier score, or the root of the mean squared error, of two models that follow.
Networks are tuned for the two sets of texts alone, as that takes 16 fits a fold. With
``SKTRANSFER_BENCHMARK_MEMORY`` naming a folder, what was run is kept there, and a run
goes on where it was cut off.
"""

import itertools
import os
import statistics
import tempfile
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from sktransfer import FeatureCache, ImageEncoder, TableEncoder, TextEncoder
from sktransfer.tables import Choose, _ways, guess_kinds
from sktransfer.tables._heads import HEADS, neg_brier_score

from .._few import draw_rows, interval, solar_cells, texts
from .._harness import SEED, claim, counting, stopwatch
from .table_encoder import load

N_FOLDS, MOST_TESTED = 5, 400
OUTER = 0, 1, 2  # of the folds; each takes a quarter of an hour
N_INTENTS = 20  # of banking77: six rows of each
# Kind of the image and text columns, rows to learn from, and whether to tune networks.
TABLES = {
    "sms_spam": ("text", 120, True),
    "banking77": ("text", 120, True),
    "clothing_kids": ("image", 600, False),
    "elpv": ("image", 600, False),
    "streaming_titles": ("text", 600, False),
    "seattle_airbnb": ("text", 600, False),
}
MODELS = tuple(HEADS)
ENCODERS = {"image": ImageEncoder(missing="mean"), "text": TextEncoder()}
FOLDER = os.environ.get("SKTRANSFER_BENCHMARK_MEMORY") or tempfile.mkdtemp()
memory = joblib.Memory(FOLDER, verbose=0)


class Kept(ClassifierMixin, BaseEstimator):
    """A classifier of which a folder keeps what it said, for both models."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        """Train when somebody asks."""
        self.rows_, self.classes_ = (X, y), np.unique(y)
        self.key_ = joblib.hash((type(self.model).__name__, list(X), y))
        return self

    def decision_function(self, X):
        """Return what it says of some rows."""
        path = Path(FOLDER, f"{self.key_}-{joblib.hash(list(X))}.npy")
        if not path.exists():
            if not hasattr(self, "fitted_"):
                self.fitted_ = clone(self.model).fit(*self.rows_)
            np.save(path, self.fitted_.decision_function(X))
        return np.load(path)


def run(full):
    jobs = [(name, fold) for fold in OUTER for name in TABLES]
    rows = Parallel(n_jobs=2)(delayed(cell)(*job) for job in jobs)
    figures = {model: {name: [] for name in TABLES} for model in MODELS}
    for (name, _), found in zip(jobs, rows, strict=True):
        for model, row in found.items():
            figures[model][name].append(row)
    passes = {name: passed(name) for name in ("sms_spam", "clothing_kids")}
    found = [c for model in MODELS for c in claims(model, figures[model])]
    for name, row in passes.items():
        text = f"{name}: rows through {row['networks']} networks, none tuned"
        least = row["least"]
        found.append(claim(text, row["rows"], f"<= {least}", row["rows"] <= least))
    return {"figures": figures, "passes": passes, "claims": found}


# -- data ------------------------------------------------------------------------------


def table_of(name):
    """Return a table, the target and groups."""
    import pandas as pd

    if name in ("clothing_kids", "seattle_airbnb", "streaming_titles"):
        X, y, groups, _, _ = load(name)
        return X, y.to_numpy(), groups
    if name == "elpv":
        from elpv_dataset.utils import load_dataset

        photos, probability = solar_cells()
        X = pd.DataFrame({"type": load_dataset()[2]})
        X["photo"] = list(photos)
        return X, np.where(probability > 0.5, "defective", "sound"), None
    X, y, _, _ = texts(name)
    if name == "banking77":
        is_kept = np.isin(y, np.unique(y)[:N_INTENTS])
        X, y = X[is_kept], y[is_kept]
    return pd.DataFrame({"text": X}), y.astype(str), None


def parts_of(name, fold):
    """Return training rows of a fold, with target and groups, and rows to test."""
    X, y, groups = table_of(name)
    is_numbers = y.dtype.kind == "f"
    kind = KFold if is_numbers else StratifiedKFold
    kind = kind if groups is None else StratifiedGroupKFold
    splitter = kind(N_FOLDS, shuffle=True, random_state=SEED)
    train, test = list(splitter.split(X, y, groups))[fold]
    rng, n_rows = np.random.default_rng(fold), TABLES[name][1]
    some = rng.permutation(len(train))[:n_rows]
    train = train[some if is_numbers else draw_rows(y[train], n_rows, fold)]
    test = rng.permutation(test)[:MOST_TESTED]
    groups = None if groups is None else groups.to_numpy()[train]
    return X.iloc[train], y[train], groups, X.iloc[test], y[test]


# -- one fold --------------------------------------------------------------------------


@memory.cache
def cell(name, fold):
    """Return, for each model, the errors of the choice and of each fixed encoder."""
    import torch

    torch.set_num_threads(1)
    X, y, groups, X_test, y_test = parts_of(name, fold)
    kind, _, is_tuned = TABLES[name]
    if y.dtype.kind != "f":
        y, y_test = np.split(np.unique([*y, *y_test], return_inverse=True)[1], [len(y)])
    task = "numbers" if y.dtype.kind == "f" else "classes"
    names = [way for way in _ways.WAYS if is_tuned or way != "tuned"]
    tuned, found = _ways._tuned, {}
    with mock.patch.object(_ways, "_tuned", lambda *args: Kept(tuned(*args))):
        for model in MODELS:
            with stopwatch() as clock:
                encoder = TableEncoder(choose=Choose(names, estimator=model))
                numbers = encoder.fit_transform(X, y, groups=groups)
            row = {"choice": error(numbers, encoder, X_test, y, y_test, task, model)}
            row["seconds"] = clock.wall_s
            row["choosing"] = list(encoder.choosing_)
            row["fixed"] = {}
            base = ENCODERS[kind]
            ways = _ways.ways_of(
                names,
                base,
                kind,
                is_classes=task == "classes",
                n_rows=len(X) * 4 // 5,
                cv=5,
                seed=0,
            )
            columns = [n for n, k in guess_kinds(X).items() if k in ENCODERS]
            for label, way in ways.items():
                if label == "drop" and len(columns) == X.shape[1]:
                    continue  # nothing would be left
                encoder = TableEncoder(kinds=dict.fromkeys(columns, way))
                numbers = encoder.fit_transform(X, y, groups=groups)
                wrong = error(numbers, encoder, X_test, y, y_test, task, model)
                row["fixed"][label] = wrong
            found[model] = row
            taken = encoder_choices(row)
            print(name, fold, model, row["choice"], taken, row["fixed"], flush=True)
    return found


def encoder_choices(row):
    """Return the candidate that was taken for each column."""
    return {r["column"]: r["candidate"] for r in row["choosing"] if r["taken"]}


def error(numbers, encoder, X_test, y, y_test, task, model):
    """Return the Brier score, or the root of the mean squared error."""
    fitted, X_test = HEADS[model](task).fit(numbers, y), encoder.transform(X_test)
    if task == "classes":
        return -neg_brier_score(fitted, X_test, y_test)
    return float(root_mean_squared_error(y_test, fitted.predict(X_test)))


def passed(name):
    """Count rows through networks, with a cache that has nothing yet."""
    X, y, groups, _, _ = parts_of(name, 0)
    kind, n_rows, _ = TABLES[name]
    encoder = clone(ENCODERS[kind]).set_params(cache=FeatureCache())
    names = [way for way in _ways.WAYS if way != "tuned"]
    table = TableEncoder(
        **{f"{kind}_encoder": encoder}, choose=Choose(names, estimator="linear")
    )
    larger = _ways._larger(encoder, kind)
    for network in (encoder, *larger.values()):  # a few rows compare what is loaded
        clone(network).set_params(cache=None).fit_transform(X.iloc[:1][_column(X)])
    with counting() as count, stopwatch() as clock:
        table.fit(X, y, groups=groups)
    return {
        "rows": count.rows,
        "networks": 1 + len(larger),
        "least": n_rows * (1 + len(larger)),
        "seconds": clock.wall_s,
    }


def _column(X):
    """Return the name of the first image or text column."""
    return next(n for n, kind in guess_kinds(X).items() if kind in ENCODERS)


# -- claims ----------------------------------------------------------------------------


def claims(model, tables):
    """Return what the case has to say about one model."""
    pairs = list(itertools.product(*(_labels(tables, k) for k in ENCODERS)))
    named = {pair: dict(zip(ENCODERS, pair, strict=True)) for pair in pairs}
    fixed = {pair: _logs(tables, labels) for pair, labels in named.items()}
    best = min(fixed, key=lambda pair: np.mean(fixed[pair]))
    choice = np.concatenate([np.log([r["choice"] for r in t]) for t in tables.values()])
    oracle = np.concatenate([np.log(_best(rows)[1]) for rows in tables.values()])
    mean, ends, low = _gain(choice, fixed[best])
    gap, _, _ = _gain(oracle, fixed[best])
    text = (
        f"{model}: error below the best fixed encoders, {' and '.join(best)}, %, "
        f"{ends}; the oracle's {gap:.1f}"
    )
    holds = low > 0 or (mean >= -0.2 and mean >= gap / 2)
    wanted = "above 0, or above -0.2 and half the oracle's"
    found = [claim(text, round(mean, 1), wanted, holds)]
    default = _logs(tables, dict.fromkeys(ENCODERS, "frozen"))
    mean, ends, low = _gain(choice, default)
    text = f"{model}: error below the default encoders, %, {ends}"
    found.append(claim(text, round(mean, 1), "above 0", low > 0))
    for name, rows in tables.items():
        label, errors = _best(rows)
        worse = np.log([row["choice"] for row in rows]) - np.log(errors)
        mean, sem = worse.mean(), np.std(worse, ddof=1) / np.sqrt(len(worse))
        text = f"{model}, {name}: error above its best fixed encoder, {label}, %"
        value = round(float(100 * np.expm1(mean)), 1)
        wanted = f"<= {100 * np.expm1(sem):.1f}"
        found.append(claim(text, value, wanted, mean <= sem))
    return found


def _gain(logs, others):
    """Return by how much an error is below another, in %, its interval and low end."""
    low, high = (100 * -np.expm1(-end) for end in interval(others - logs))
    mean = float(100 * -np.expm1(-np.mean(others - logs)))
    return mean, f"95 % {low:+.1f} to {high:+.1f}", low


def _labels(tables, kind):
    """Return the labels that all tables of a kind have, or that some have."""
    rows = [tables[name][0]["fixed"] for name in tables if TABLES[name][0] == kind]
    return list(dict.fromkeys(label for row in rows for label in row))


def _logs(tables, labels):
    """Return the logarithms of the errors of fixed encoders, table by table.

    A table that has not tried one has its own encoder in place of it.
    """
    errors = [
        row["fixed"].get(labels[TABLES[name][0]], row["fixed"]["frozen"])
        for name, rows in tables.items()
        for row in rows
    ]
    return np.log(errors)


def _best(rows):
    """Return the label that is best on average, and its errors."""
    errors = {n: [row["fixed"][n] for row in rows] for n in rows[0]["fixed"]}
    label = min(errors, key=lambda name: np.mean(np.log(errors[name])))
    return label, errors[label]


def table(result):
    rows = [["table", "model", "choice", "best fixed", "frozen", "taken, by fold"]]
    for model, tables in result["figures"].items():
        for name, found in tables.items():
            label, errors = _best(found)
            taken = [
                ", ".join(sorted(set(encoder_choices(row).values()))) for row in found
            ]
            means = (
                statistics.fmean(values)
                for values in (
                    [row["choice"] for row in found],
                    errors,
                    [row["fixed"]["frozen"] for row in found],
                )
            )
            choice, best, frozen = (f"{mean:.3f}" for mean in means)
            best = f"{best} ({label})"
            rows.append([name, model, choice, best, frozen, "; ".join(taken)])
    return rows
