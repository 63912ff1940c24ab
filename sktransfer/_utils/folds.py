"""Folds that suit a target, and keep groups together."""

import warnings

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)

from .validation import is_integer


def make_folds(cv, y, *, is_classes, groups, random_state, caller):
    """Split rows into folds.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        An int makes shuffled folds: stratified where `y` has classes, and with whole
        groups where there are groups.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    is_classes : bool
        Whether `y` is one class a row.
    groups : ndarray of shape (n_samples,) or None
    random_state : int
        Seed of the shuffling.
    caller : str
        For messages.

    Returns
    -------
    list of (ndarray of int, ndarray of int)

    Raises
    ------
    ValueError
        If there are fewer rows or groups than folds.
    """
    rows = np.zeros((len(y), 1))
    if not is_integer(cv):
        splitter = check_cv(cv, y, classifier=is_classes)
        return list(splitter.split(rows, y, groups))
    n_units = len(y) if groups is None else len(np.unique(groups))
    if not 2 <= cv <= n_units:
        units = "rows" if groups is None else "groups"
        raise ValueError(
            f"{caller}: cv={cv} must be from 2 to the number of {units}, {n_units}."
        )
    can_stratify = is_classes and np.unique(y, return_counts=True)[1].max() >= cv
    if groups is not None:
        kind = StratifiedGroupKFold if can_stratify else GroupKFold
    else:
        kind = StratifiedKFold if can_stratify else KFold
    splitter = kind(n_splits=cv, shuffle=True, random_state=random_state)
    with warnings.catch_warnings():
        # A class of fewer rows than folds cannot be in each of them; that is no fault.
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(rows, y, groups))


def among(folds, rows, n_rows):
    """Say folds of all rows in positions among some of them.

    Parameters
    ----------
    folds : list of (ndarray of int, ndarray of int)
    rows : ndarray of int
        The rows that are there.
    n_rows : int
        Number of all rows.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Without folds of which one side has no row left.
    """
    if len(rows) == n_rows:
        return folds
    place = np.full(n_rows, -1)
    place[rows] = np.arange(len(rows))
    parts = [[place[side][place[side] >= 0] for side in fold] for fold in folds]
    return [(train, test) for train, test in parts if len(train) and len(test)]
