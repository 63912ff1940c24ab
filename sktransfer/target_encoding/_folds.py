"""Folds: the rows that train the model for each row."""

from types import SimpleNamespace

import numpy as np
from sklearn.base import clone

from .._cells.copies import TEXT, number_by_content
from .._extraction.estimator import ImageColumn, TextColumn
from .._utils.folds import apart, make_folds, together
from .._utils.routing import of_rows
from .._utils.validation import take_rows

CALLER = "TargetAwareEncoder"


def out_of_fold(cv, X, y, *, estimator, is_classes, groups, seed):
    """Return folds that keep copies of a row and rows of a group together.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
    X : as the estimator takes it
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    estimator : classifier or regressor
        It says what a string in `X` is.
    is_classes : bool
        True if `y` is one class per row.
    groups : ndarray of shape (n_samples,) or None
    seed : int

    Returns
    -------
    folds : list of (ndarray of int, ndarray of int)
    untested : ndarray of int
        Rows that no fold tests, because in time nothing comes before them.

    Raises
    ------
    ValueError
        If there are too few rows that differ, or a row is tested twice, or never though
        it could be.
    """
    copies = number_by_content(X, source=_source_of(estimator))
    units = together(groups, copies)
    folds = make_folds(
        cv,
        y,
        is_classes=is_classes,
        groups=groups,
        random_state=seed,
        caller=CALLER,
        units=units,
    )
    untested = _untested(folds, len(y))
    return apart(folds, units, CALLER), untested


def model_of(rows, estimator, X, y, *, is_classes, params, task):
    """Return a copy of an estimator, fitted to some rows.

    Parameters
    ----------
    rows : ndarray of int
    estimator : classifier or regressor
    X, y : as the estimator takes them
    is_classes : bool
        True if `y` is one class per row.
    params : dict
        Metadata of all rows, for `fit`.
    task : Task
        This fit.
    """
    if is_classes and len(np.unique(y)) > 1:
        there = np.unique(y[rows])
        if len(there) == 1:  # what most classifiers refuse
            with task:
                return SimpleNamespace(classes_=there)
    model = clone(estimator)
    with task.fitting(model):
        return model.fit(take_rows(X, rows), y[rows], **of_rows(params, rows, len(y)))


def _source_of(estimator):
    """Return what a string is to the estimator; None where that is to be guessed."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    sources = {part.source for part in parts if isinstance(part, ImageColumn)}
    sources |= {TEXT for part in parts if isinstance(part, TextColumn)}
    return sources.pop() if len(sources) == 1 else None


def _untested(folds, n_rows):
    """Return the rows that no fold tests: none, unless folds are ordered in time."""
    counts = np.zeros(n_rows, dtype=int)
    for _, test in folds:
        np.add.at(counts, test, 1)
    never = np.flatnonzero(counts == 0)
    if len(never) == 0 and counts.max() == 1:
        return never
    if counts.max() == 1 and _is_ordered(folds, never):
        return never
    row = int(np.flatnonzero(counts != 1)[0])
    raise ValueError(
        f"{CALLER}: row {row} is in {counts[row]} test folds of cv; expected 1. Use a "
        "splitter that tests each row once, such as KFold, or one that trains on "
        "earlier rows only, such as TimeSeriesSplit."
    )


def _is_ordered(folds, never):
    """Whether folds go forward in time, and rows never tested are the earliest ones.

    Then no fold trains on rows that it or a later one tests.
    """
    if len(folds) < 2:
        return False
    trained, tested = (np.concatenate(side) for side in zip(*folds, strict=True))
    later: set = set()
    for train, test in reversed(folds):
        later.update(test.tolist())
        if not later.isdisjoint(train.tolist()):
            return False
    return bool((np.isin(never, trained) | (never < tested.min())).all())
