"""Folds that suit a target, and keep groups and copies of a row together."""

import warnings

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)

from .validation import is_integer


def together(groups, copies):
    """Give rows that must not be parted the same number.

    Rows of a group belong together, and so do copies of a row: where groups share a
    copy, they are one.

    Parameters
    ----------
    groups : ndarray of shape (n_samples,) or None
    copies : ndarray of int of shape (n_samples,)
        Equal for copies of a row.

    Returns
    -------
    ndarray of shape (n_samples,) or None
        None where each row stands alone.
    """
    names, copies = np.unique(copies, return_inverse=True)
    n_contents = len(names)
    if n_contents == len(copies):
        return groups
    if groups is None:
        return copies
    names, codes = np.unique(groups, return_inverse=True)
    n_nodes = n_contents + len(names)
    links = coo_array(
        (np.ones(len(codes)), (copies, n_contents + codes)), shape=(n_nodes, n_nodes)
    )
    return connected_components(links, directed=False)[1][copies]


def make_folds(cv, y, *, is_classes, groups, random_state, caller, units=None):
    """Split rows into folds.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        An int makes shuffled folds: stratified where `y` has classes, and with whole
        units or groups where there are any.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    is_classes : bool
        True if `y` is one class per row.
    groups : ndarray of shape (n_samples,) or None
        As callers gave them; a splitter gets them.
    random_state : int
        Seed of the shuffling.
    caller : str
        For messages.
    units : ndarray of shape (n_samples,), default=None
        Numbers from `together`. A splitter knows nothing of them, and may ignore
        groups: callers pass its folds through `apart`.

    Returns
    -------
    list of (ndarray of int, ndarray of int)

    Raises
    ------
    ValueError
        If there are fewer rows, groups or units than folds.
    """
    rows = np.zeros((len(y), 1))
    if not is_integer(cv):
        splitter = check_cv(cv, y, classifier=is_classes)
        with warnings.catch_warnings():
            # Where the splitter ignores them, `apart` does not.
            warnings.filterwarnings("ignore", message="The groups parameter is ignored")
            folds = list(splitter.split(rows, y, groups))
        return [(_positions(train), _positions(test)) for train, test in folds]
    units = groups if units is None else units
    n_units = len(y) if units is None else len(np.unique(units))
    if not 2 <= cv <= n_units:
        raise ValueError(
            f"{caller}: cv={cv} must be from 2 to the number of "
            f"{_name_of(units, groups)}, {n_units}."
        )
    can_stratify = is_classes and np.unique(y, return_counts=True)[1].max() >= cv
    if units is not None:
        kinds = [StratifiedGroupKFold, GroupKFold][not can_stratify :]
    else:
        kinds = [StratifiedKFold if can_stratify else KFold]
    for kind in kinds:
        splitter = kind(n_splits=cv, shuffle=True, random_state=random_state)
        with warnings.catch_warnings():
            # A class of fewer rows than folds cannot be in each of them; no fault.
            warnings.filterwarnings("ignore", message="The least populated class")
            folds = list(splitter.split(rows, y, units))
        if all(len(test) for _, test in folds):  # few units may leave one empty
            break
    return folds


def _positions(side):
    side = np.asarray(side)
    return np.flatnonzero(side) if side.dtype == bool else side


def _name_of(units, groups):
    if units is None:
        return "rows"
    if units is groups:
        return "groups"
    if groups is None:
        return "distinct rows (copies of a row stay in one fold)"
    return "groups (those that have a copy of the same row count as one)"


def apart(folds, units, caller):
    """Leave out of each training part what belongs together with a row to be tested.

    Parameters
    ----------
    folds : list of (ndarray of int, ndarray of int)
    units : ndarray of shape (n_samples,) or None
        Numbers from `together`.
    caller : str
        For messages.

    Returns
    -------
    list of (ndarray of int, ndarray of int)

    Raises
    ------
    ValueError
        If a training part has nothing else.
    """
    if units is None:
        return folds
    parted = []
    for number, (train, test) in enumerate(folds):
        rows = train[~np.isin(units[train], units[test])]
        if len(rows) == 0 < len(train):
            raise ValueError(
                f"{caller}: split {number} of cv leaves nothing to train on: each of "
                f"its {len(train)} training rows is a copy of a row that it tests, or "
                "shares its group. Use fewer folds, or cv with an int, which keeps "
                "copies and groups in one fold."
            )
        parted.append((rows, test))
    return parted


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
