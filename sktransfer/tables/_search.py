"""The choice of a column's encoder, by cross-validation of a model of the table."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from .._cells.copies import TEXT, number_by_content
from .._utils.folds import among, apart, make_folds, together
from .._utils.paired import reach
from .._utils.validation import draw_seed, seed_of, take_rows
from ..model_selection._target import as_target
from ._choosing import ColumnChoices
from ._columns import components_of, network_encoders
from ._heads import HEADS, score_name, scorer_of
from ._once import Once
from ._ways import OUT_OF_FOLD, base_label, ways_of

CALLER = "TableEncoder"
TOLERANCE = 0.2  # share of the interval's reach within which scores are equal
N_PASSES = 2  # over several columns: the first judges beside undecided ones
REST = None  # in place of a name: the columns that are neither images nor texts


class Encoded(TransformerMixin, BaseEstimator):
    """Rows of a table by their numbers, each column encoded in one of its ways.

    Parameters
    ----------
    table : WaysOfTable
    ways : dict of str to str
        Label of the way of each column.
    """

    def __init__(self, table, ways):
        self.table, self.ways = table, ways

    def fit(self, X, y=None):
        """Remember which rows are learned from."""
        self.rows_ = X[:, 0]
        return self

    def transform(self, X):
        """Return the numbers of some rows."""
        parts = [
            self.table.part(name, way, self.rows_, X[:, 0])
            for name, way in self.ways.items()
        ]
        return np.column_stack(parts)


class WaysOfTable:
    """A table whose columns are encoded in several ways, each once for some rows.

    Parameters
    ----------
    X : pandas or polars DataFrame
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    groups : ndarray of shape (n_samples,) or None
    make : callable
        ``make(name, way)`` is a table encoder of that column alone, or of `rest`.
    rest : list of str
        Columns that are neither images nor texts.
    """

    def __init__(self, X, y, groups, make, rest):
        self.X, self.y, self.groups, self.make = X, y, groups, make
        self.rest = rest
        self.numbers: dict = {}
        self.fitted: dict = {}
        self.ways: dict = {}  # by column, by label
        self.folds: dict = {}  # by column
        self.models: dict = {}  # of the target, by their rows

    def __sklearn_clone__(self):
        return self  # what has been encoded is for all candidates

    def part(self, name, label, learned, rows):
        """Return the numbers of some rows, by what others taught."""
        if isinstance(self.ways[name][label], str):  # "drop"
            return np.empty((len(rows), 0))
        key = name, label, learned.tobytes(), rows.tobytes()
        if key not in self.numbers:
            encoder, out = self.fit(name, label, learned)
            if not np.array_equal(rows, learned):
                out = encoder.transform(take_rows(self._column(name), rows))
                del self.fitted[key[:3]]  # there is one test part to a training part
            self.numbers[key] = np.asarray(out, dtype=np.float64)
        return self.numbers[key]

    def fit(self, name, label, rows):
        """Return an encoder of some rows, and their numbers."""
        key = name, label, rows.tobytes()
        if key not in self.fitted:
            way = self.ways[name][label]
            if label in OUT_OF_FOLD:
                folds, cv = self.folds[name], way.cv
                tested = np.sort(np.concatenate([test for _, test in folds]))
                if np.array_equal(tested, np.arange(len(self.X))):
                    cv = among(folds, rows, len(self.X))  # so that models are shared
                model = Once(way.estimator, self.models.setdefault((name, label), {}))
                way = clone(way).set_params(cv=cv, estimator=model)
            column, y = (take_rows(part, rows) for part in (self._column(name), self.y))
            groups = None if self.groups is None else self.groups[rows]
            encoder = self.make(name, way)
            with warnings.catch_warnings():
                # A column of few words has them all.
                warnings.filterwarnings("ignore", message="The matrix shape is")
                out = encoder.fit_transform(column, y, groups=groups)
            self.fitted[key] = encoder, out
        return self.fitted[key]

    def with_all_rows(self, name, label):
        """Return the column encoder of a way, and its numbers."""
        table, out = self.fit(name, label, np.arange(len(self.X)))
        column, way = table.columns_[name], self.ways[name][label]
        if label in OUT_OF_FOLD and not column.is_empty:
            column.encoder.set_params(cv=way.cv, estimator=way.estimator)
            column.encoder.estimator_ = column.encoder.estimator_.fitted_
        return column, np.asarray(out, dtype=np.float64)

    def forget(self, name, taken):
        """Forget models of a column, but for those of the way that was taken."""
        for key in [key for key in self.models if key[0] == name and key[1] != taken]:
            del self.models[key]

    def _column(self, name):
        return self.X[self.rest] if name is REST else self.X[[name]]


def folds_of(choose, target, table, name, kind, encoder):
    """Return folds that keep copies of a cell and rows of a group together."""
    source = TEXT if kind == "text" else getattr(encoder, "source", None)
    copies = number_by_content(table.X[name], source=source)
    units = together(table.groups, copies)
    folds = make_folds(
        choose.cv,
        target.values,
        is_classes=target.task == "classes",
        groups=table.groups,
        # As those of a `TargetAwareEncoder` with the same seed.
        random_state=draw_seed(seed_of(choose.random_state)),
        caller="Choose",
        units=units,
    )
    return apart(folds, units, "Choose")


def search(table, name, labels, taken, choose, target, folds):
    """Score ways of one column.

    Returns
    -------
    scores : ndarray of shape (n_ways, n_folds)
    seconds : ndarray of shape (n_ways,)
    """
    values, model = target.values, choose.estimator
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if isinstance(model, str):
        model = HEADS[model](target.task, n_outputs=values[0].size)
    steps = [("encoded", Encoded(table, taken)), ("model", clone(model))]
    grid = {"encoded__ways": [taken | {name: label} for label in labels]}
    found = GridSearchCV(
        Pipeline(steps),
        grid,
        scoring=scorer_of(choose.scoring, target),
        cv=folds,
        refit=False,
        error_score="raise",
    )
    with warnings.catch_warnings():
        # What is to be said of the rows, the fit to all of them says.
        warnings.simplefilter("ignore", UserWarning)
        for train, _ in folds:  # so that no candidate pays for the other columns
            for other in taken.keys() - {name}:
                table.part(other, taken[other], train, train)
        results = found.fit(np.arange(len(values))[:, None], values).cv_results_
    scores = [results[f"split{i}_test_score"] for i in range(len(folds))]
    seconds = results["mean_fit_time"] + results["mean_score_time"]
    return np.column_stack(scores), seconds * len(folds)


def take(scores, folds):
    """Return the number of the first way from which the best does not stand out."""
    means = scores.mean(axis=1)
    best = int(means.argmax())
    for way, row in enumerate(scores[:best]):
        gains = scores[best] - row
        if gains.mean() <= TOLERANCE * reach(gains, folds):
            return way
    return best


class Chosen(NamedTuple):
    """Result of the choice for the image and text columns of a table.

    Attributes
    ----------
    kinds : dict of str to (transformer or "drop")
    choosing : ColumnChoices
    ready : dict of str to (NetworkColumn, ndarray)
        Column encoders that all rows have fitted already, and their numbers.
    """

    kinds: dict[str, Any]
    choosing: ColumnChoices
    ready: dict[str, Any]


def choose_columns(choose, table, encoders, given, kinds, task):
    """Choose the encoder of each image and text column without one of its own.

    Parameters
    ----------
    choose : Choose
    table : WaysOfTable
    encoders : dict of str to transformer
        Encoder of columns of images, and of texts.
    given : dict of str to transformer
        Encoders of columns that have their own.
    kinds : dict of str to str
        Kind of each column.
    task : Task

    Returns
    -------
    Chosen
    """
    target = as_target(table.y, task=choose.task, caller=CALLER)
    networks = {name: kind for name, kind in kinds.items() if kind in encoders}
    taken = {}
    for name, kind in networks.items():
        encoder = given.get(name, encoders[kind])
        taken[name] = base_label(encoder)
        table.ways[name] = {taken[name]: encoder}
    if table.rest:
        table.ways[REST], taken[REST] = {"": None}, ""
    columns = [name for name in networks if name not in given]
    folds, found = {}, {}
    spent: dict = {}
    for number in range(N_PASSES if len(columns) > 1 else 1):
        before = dict(taken)
        for name in columns:
            with task.subtask(f"choose-{name}"):
                kind, encoder = networks[name], encoders[networks[name]]
                if number == 0:
                    folds[name] = folds_of(choose, target, table, name, kind, encoder)
                    table.folds[name] = folds[name]
                    table.ways[name] = ways_of(
                        choose._names(name),
                        encoder,
                        kind,
                        is_classes=target.task != "numbers",
                        n_rows=min(len(train) for train, _ in folds[name]),
                        cv=choose.cv,
                        seed=seed_of(choose.random_state),
                    )
                labels = labels_of(table, name, taken, choose)
                scores, seconds = search(
                    table, name, labels, taken, choose, target, folds[name]
                )
                for label, more in zip(labels, seconds, strict=True):
                    spent[name, label] = spent.get((name, label), 0.0) + float(more)
                seconds = [spent[name, label] for label in labels]
                best = take(scores, folds[name])
                taken[name] = labels[best]
                found[name] = rows_of(name, labels, scores, seconds, best, folds[name])
                table.forget(name, taken[name])
        if taken == before:
            break
    chosen = {name: table.ways[name][taken[name]] for name in columns}
    ready = {
        name: table.with_all_rows(name, taken[name])
        for name, way in chosen.items()
        if way is not encoders[networks[name]] and taken[name] != "drop"
    }
    rows = [row for name in columns for row in found[name]]
    name = score_name(choose.scoring, target)
    return Chosen(chosen, ColumnChoices(rows, score_name=name), ready)


def labels_of(table, name, taken, choose):
    """Return the ways of a column that can be taken; the last column stays."""
    labels = list(table.ways[name])
    if all(taken[n] == "drop" for n in taken.keys() - {name}):
        labels = [label for label in labels if label != "drop"]
    if not labels:
        raise ValueError(
            f"Choose: none of the candidates {choose._names(name)} suits column "
            f"{name!r}, the last column left. Add 'frozen'."
        )
    return labels


def rows_of(name, labels, scores, seconds, taken, folds):
    """Return the rows of a column in the table of choices."""
    rows = []
    for number, label in enumerate(labels):
        differences = scores[number] - scores[taken]
        mean = float(differences.mean())
        error = 0.0 if number == taken else reach(differences, folds)
        rows.append(
            {
                "column": name,
                "candidate": label,
                "score": float(scores[number].mean()),
                "difference": mean,
                "low": mean - error,
                "high": mean + error,
                "seconds": seconds[number],
                "taken": number == taken,
            }
        )
    return rows


def chosen_for(owner, X, y, groups, task):
    """Choose for the columns of a table encoder, whose kinds are known.

    Returns
    -------
    Chosen

    Raises
    ------
    ValueError
        If there is no `y`.
    """
    if y is None:
        raise ValueError(
            "TableEncoder: choose= compares encoders by how well they predict y, and y "
            "is None. Pass y, or set choose=None."
        )
    kinds, encoders = owner.kinds_, network_encoders(owner)
    choose = owner._options("choose")
    choose._check_columns([n for n, kind in kinds.items() if kind in encoders])
    rest = [n for n, kind in kinds.items() if kind not in (*encoders, "drop")]
    sizes = components_of(owner.n_components, kinds)
    given = owner.kinds or {}
    of_rest = {name: kinds[name] for name in rest if name in given}
    if owner.rest == "sklearn":
        of_rest = {name: kinds[name] for name in rest}
    categorical = owner.categorical
    if categorical == "passthrough":
        categorical = "ordinal"  # numbers, for the model of the search

    def make(name, way):
        new = clone(owner).set_params(choose=None)
        if name is REST:
            return new.set_params(kinds=of_rest, categorical=categorical)
        return new.set_params(kinds={name: way}, n_components=sizes[name])

    table = WaysOfTable(X, y, groups, make, rest)
    own = {n: e for n, e in owner._own().items() if kinds[n] in encoders}
    return choose_columns(choose, table, encoders, own, kinds, task)
