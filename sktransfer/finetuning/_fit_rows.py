"""Rows that a fit trains on, and their activations."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import DataConversionWarning

from .._extraction.activations import ActivationRunner, InputRunner
from .._utils.callbacks import UNWATCHED, Task, n_parts
from .._utils.labels import label_names, read_labels
from .._utils.validation import check_rows, check_sample_domain
from ..cache._default import resolve_cache
from ..cache._feature_cache import DEFAULT_MEMORY_BUDGET
from ..cache._memory import new_scan
from ._activations import Rows


class Part(NamedTuple):
    """Rows to train on, or to watch.

    Attributes
    ----------
    views : list of sequence of ndarray
        As `RowsDataset` takes them.
    targets, weights : ndarray
        For every row of the views; entries of rows that take no part are never read.
    rows : ndarray of int
        Rows that take part.
    parts : list of ndarray, default=None
        As `RowsDataset` takes them.
    """

    views: list[Any]
    targets: np.ndarray
    weights: np.ndarray
    rows: np.ndarray
    parts: list[Any] | None = None


class Views(NamedTuple):
    """Rows of a column, as a fit reads them.

    Attributes
    ----------
    views : list of sequence of ndarray
        The rows, once for each view of them.
    bad : set of int
        Rows that are missing or cannot be read.
    first : ndarray of int
        For each row of the column the first one with the same content.
    parts : list of ndarray or None
        For each row its places in the views, where rows have several.
    """

    views: list[Any]
    bad: set[int]
    first: np.ndarray
    parts: list[Any] | None


class Reading(NamedTuple):
    """How rows become activations.

    Attributes
    ----------
    run : callable
        ``ColumnEstimator._run`` of the estimator.
    request : Request
    cache : object
        The parameter.
    activation_dtype : str
    augmentation : Augmentation or None
    view_seed : int
        Seed of fixed views; grid candidates share it, so that views are kept for all.
    task : Task
        Gets a subtask for each call of `views`.
    """

    run: Any
    request: Any
    cache: Any
    activation_dtype: str
    augmentation: Any = None
    view_seed: int = 0
    task: Task = UNWATCHED

    @property
    def is_on_the_fly(self):
        """True if every epoch makes views anew, from inputs."""
        return self.augmentation is not None and self.augmentation.views is None

    def runner(self, request=None, scan=None):
        """Return what runs rows up to the trained blocks."""
        request = self.request if request is None else request
        if request.depth == 0:
            return InputRunner(request)
        cache = resolve_cache(self.cache)
        return ActivationRunner(request, cache, self.activation_dtype, scan)

    def views(self, column, only, *, is_first_only=False):
        """Return the rows `only` once for each view, or for the first view.

        No other row is read, let alone run.
        """
        scan = new_scan()  # of all views, which would push each other out
        if self.is_on_the_fly:
            runners = [InputRunner(self.request)]
        else:
            runners = [self.runner(scan=scan)]
        n_views = 1 if self.augmentation is None else self.augmentation.views or 1
        if n_views > 1 and not is_first_only:
            from ._augment import AugmentedPreprocess

            # View 0 is the image itself.
            for view in range(1, n_views):
                changed = AugmentedPreprocess(
                    self.request.preprocess,
                    self.augmentation.kind,
                    self.view_seed,
                    view,
                )
                of_view = self.request._replace(preprocess=changed)
                runners.append(self.runner(of_view, scan))
        cache = resolve_cache(self.cache)
        budget = DEFAULT_MEMORY_BUDGET if cache is None else cache.memory_budget
        views, bad, first = [], set(), np.arange(len(column.cells))
        parts: Any = None
        n_subtasks = len(runners) * n_parts(len(only))
        with self.task.subtask("frozen-blocks", n_subtasks) as task:
            for runner in runners:
                ran = self.run(
                    column,
                    runner,
                    lambda n, _: Rows(n, budget // len(runners)),
                    only,
                    task=task,
                )
                bad |= ran.bad
                found, rows = ran.found, np.asarray(ran.rows, int)
                if ran.parts is not None:
                    # The same for every view, which are views of the same cells.
                    parts = [np.empty(0, int)] * len(column.cells)
                    places = ran.parts.by_row()
                    for row, there in zip(rows, places, strict=True):
                        parts[row] = there
                    first[rows] = rows[_first_alike(found.first, places)]
                else:
                    first[rows] = rows[found.first[: len(rows)]]
                    if len(rows) < len(column.cells):
                        by_row = {row: i for i, row in enumerate(rows.tolist())}
                        found = _Selected(found, by_row)
                views.append(found)
        return Views(views, bad, first, parts)


def _first_alike(first, places):
    """Return for each row the first one whose parts have the same contents."""
    known: dict = {}
    keys = [tuple(first[there].tolist()) for there in places]
    return np.array([known.setdefault(key, i) for i, key in enumerate(keys)], int)


class _Selected:
    """Rows by their number among all rows, where some are missing."""

    def __init__(self, rows, positions):
        self.rows, self.positions = rows, positions

    def __getitem__(self, row):
        return self.rows[self.positions[row]]

    def peek(self, row):
        """Return something with the row's shape and dtype."""
        return self.rows.peek(self.positions[row])


def without(used, bad, column, caller, kind="rows"):
    """Return rows without the bad ones, and say which these are.

    Raises
    ------
    ValueError
        If none is left.
    """
    bad = sorted(bad & set(used.tolist()))
    if not bad:
        return used
    names = ", ".join(column.describe(row) for row in bad[:5])
    warnings.warn(
        f"{caller} leaves out {len(bad)} of {len(used)} {kind}, which are "
        f"missing or unreadable: {names}{', ...' if bad[5:] else ''}.",
        UserWarning,
        stacklevel=4,
    )
    left = np.setdiff1d(used, bad)
    if len(left) == 0:
        raise ValueError(
            f"{caller}: none of the {len(used)} {kind} can be used; all are missing or "
            "unreadable."
        )
    return left


def row_weights(sample_weight, n_rows, caller, name="sample_weight"):
    """Return a weight for each row."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight = check_rows(np.asarray(sample_weight), n_rows, name, caller)
    weight = np.array(weight, np.float64)
    if weight.ndim != 1 or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(
            f"{caller}: {name} must be one finite number >= 0 per row; got an array "
            f"of shape {weight.shape}."
        )
    return weight


def rows_by_domain(weight, sample_domain, needs, caller):
    """Return the source rows, and the target rows (None if they take no part).

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
        Rows of weight 0 take no part.
    sample_domain : array-like or None
    needs : str or None
        The parameter that needs rows of a target domain.
    caller : str
    """
    is_source = np.ones(len(weight), bool)
    if sample_domain is not None:
        is_source = check_sample_domain(sample_domain, len(weight), caller) >= 0
    source = np.flatnonzero((weight > 0) & is_source)
    target = np.flatnonzero((weight > 0) & ~is_source)
    if needs is None:
        if len(source) == 0:
            raise ValueError(
                f"{caller}: no row is left to train on: every one has "
                "a sample_weight of zero or a negative sample_domain."
            )
        return source, None
    if len(source) == 0 or len(target) == 0:
        missing = " (it was not passed)" if sample_domain is None else ""
        raise ValueError(
            f"{caller}: {needs} needs rows of both domains, which "
            f"sample_domain{missing} tells apart: >= 0 for source rows, whose y is "
            f"read, and < 0 for target rows, whose y is not. Got {len(source)} "
            f"source and {len(target)} target rows with a sample_weight above 0."
        )
    return source, target


def labelled(y, used, n_rows, caller, *, warns=False):
    """Return `y` of the rows that are used; that of the others is never read.

    Theirs may be None, NaN or of another kind.
    """
    if y is None:
        raise ValueError(f"{caller} requires y to be passed, but the target y is None.")
    y = read_labels(y, n_rows, caller, rows=used)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
        if warns:
            warnings.warn(
                f"A column-vector y was passed when a 1d array was expected by "
                f"{caller}.",
                DataConversionWarning,
                stacklevel=5,
            )
    return y


def for_all_rows(known, used, n_rows):
    """Return an array with an entry for every row of X, from those of the used rows.

    Row numbers then mean the same from here to the loader. Entries of rows that take no
    part are never read.
    """
    entries = np.zeros((n_rows, *known.shape[1:]), known.dtype)
    entries[used] = known
    return entries


def watched_column(read, watched, trained, codec, caller):
    """Return column, targets, weights and rows of a validation set; None without one.

    Parameters
    ----------
    read : callable
        ``read(X)`` returns a `Column`.
    watched : (X, y, sample_weight)
        The set, as `fit` got it.
    trained : Column
        Column of the rows to train on, whose name has to be the same.
    codec : ClassCodec or NumberCodec
    caller : str
    """
    X, y, sample_weight = watched
    if X is None:
        if y is not None or sample_weight is not None:
            raise ValueError(
                f"{caller}: y_val and sample_weight_val need X_val, the rows that they "
                "belong to."
            )
        return None
    column = read(X)
    n_rows = len(column.cells)
    names = [c.name for c in (column, trained) if c.is_frame and c.name is not None]
    if len(set(names)) > 1:
        raise ValueError(
            f"{caller}: X_val has the column {names[0]!r}, and X has {names[1]!r}; "
            "expected the same column."
        )
    if y is None:
        raise ValueError(f"{caller}: X_val needs y_val, the targets of its rows.")
    weight = row_weights(sample_weight, n_rows, caller, "sample_weight_val")
    used = np.flatnonzero(weight > 0)
    if len(used) == 0:
        raise ValueError(
            f"{caller}: X_val has no row with a sample_weight_val above 0."
        )
    try:
        known = codec.encode(labelled(y, used, n_rows, caller), label_names(y))
    except ValueError as err:
        raise ValueError(f"{caller}: y_val does not fit X_val and y. {err}") from err
    return column, for_all_rows(known, used, n_rows), weight, used


def watched_part(reading, valid, caller):
    """Return the rows of a validation set that can be read.

    Parameters
    ----------
    reading : Reading
    valid : tuple
        From `watched_column`.
    caller : str
    """
    column, encoded, weight, used = valid
    found = reading.views(column, used, is_first_only=True)
    used = without(used, found.bad, column, caller, "rows of X_val")
    return Part(found.views, encoded, weight, used, found.parts)
