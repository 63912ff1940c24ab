"""Splits of the rows of a training: rows to set aside, and rows to train on."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from .._utils.folds import make_folds, together
from .._utils.validation import plain, shorten


class SetAside(NamedTuple):
    """Rows to set aside, as a parameter asks for them.

    Attributes
    ----------
    share : float or splitter
    name : str
        The parameter.
    off : str
        Setting under which nothing is set aside, for messages.
    """

    share: Any
    name: str
    off: str


def split(used, encoded, first, groups, codec, set_aside, seed, caller):
    """Return the rows to train on, and those that are set aside.

    Rows of the same content stay together, and so do rows of a group.

    Parameters
    ----------
    used : ndarray of int
        Rows to be split.
    encoded, first : ndarray of shape (n_rows,)
        Targets, and `Views.first`.
    groups : ndarray of shape (n_rows,) or None
    codec : ClassCodec or NumberCodec
    set_aside : callable
        ``set_aside(n)`` returns the `SetAside` of n rows that stand alone, or None.
    seed : int
    caller : str
    """
    units = together(groups, first)
    alone = used if units is None else np.unique(units[used])
    aside = set_aside(len(alone))
    if aside is None:
        return used, used[:0]
    share = aside.share
    if hasattr(share, "split"):
        return _split_by(share, used, encoded, groups, units, seed, caller)
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    if groups is not None:
        within = together(groups[used], first[used])
        _check_set_aside(len(np.unique(within)), "group", aside, caller)
        splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
        parts = next(splitter.split(used, groups=within))
        return tuple(used[part] for part in parts)
    distinct = used[np.unique(first[used], return_index=True)[1]]
    distinct.sort()
    _check_set_aside(len(distinct), "row", aside, caller)
    is_classes = encoded.ndim == 1
    if is_classes:
        _check_stratified(encoded[distinct], codec, share, caller)
    parts = train_test_split(
        distinct,
        test_size=share,
        random_state=seed,
        stratify=encoded[distinct] if is_classes else None,
    )
    if len(distinct) == len(used):
        return tuple(parts)
    is_aside = np.isin(first[used], first[parts[1]])
    return used[~is_aside], used[is_aside]


def _split_by(splitter, used, encoded, groups, units, seed, caller):
    """Return the first split of a splitter of scikit-learn's, of rows that are used.

    Rows that belong together with a row to watch are not trained on.
    """
    y = encoded if encoded.ndim == 1 or encoded.shape[1] > 1 else encoded[:, 0]
    folds = make_folds(
        splitter,
        y,
        is_classes=encoded.ndim == 1,
        groups=groups,
        random_state=seed,
        caller=caller,
    )
    train, aside = (np.intersect1d(part, used) for part in folds[0])
    n_left_out = len(used) - len(train) - len(aside)
    if units is not None:
        train = train[~np.isin(units[train], units[aside])]
    name = f"early_stopping__validation_fraction={shorten(splitter)}"
    if len(train) == 0 or len(aside) == 0:
        raise ValueError(
            f"{caller}: the first split of {name} leaves {len(aside)} rows to watch "
            f"and {len(train)} rows to train on that are no copies of these and in "
            "none of their groups; expected at least one of each."
        )
    if n_left_out:
        warnings.warn(
            f"{caller}: {n_left_out} of {len(used)} rows are on neither side of the "
            f"first split of {name}, and are not used.",
            UserWarning,
            stacklevel=5,
        )
    return train, aside


def _check_set_aside(n, kind, aside, caller):
    if n < 2 or math.ceil(aside.share * n) == n:
        raise ValueError(
            f"{caller}: {aside.name} sets {kind}s aside (a share of {aside.share}), "
            f"and of {n} different {kind}{'s' * (n != 1)} none would be left to train "
            f"on. Give more, or set {aside.off}."
        )


def _check_stratified(encoded, codec, share, caller):
    """Refuse rows of which no part has every class."""
    counts = np.bincount(encoded, minlength=len(codec.classes))
    rare = [plain(c) for c in codec.classes[counts == 1]]
    if rare:
        raise ValueError(
            f"{caller}: early_stopping sets rows of each class "
            f"aside, and {shorten(rare)} have one row only. Give them more "
            "rows, or set early_stopping=False."
        )
    n_rows, n_classes = len(encoded), np.count_nonzero(counts)
    n_aside = math.ceil(share * n_rows)
    if min(n_aside, n_rows - n_aside) >= n_classes:
        return
    # Each class has two rows or more, so that half of them is enough.
    needed = n_classes / n_rows
    if n_aside < n_classes:
        advice = f"{math.ceil(1000 * needed) / 1000:.3g} or more"
    else:
        advice = f"{math.floor(1000 * (1 - needed)) / 1000:.3g} or less"
    raise ValueError(
        f"{caller}: early_stopping sets rows of each class "
        f"aside. With early_stopping__validation_fraction={share}, of "
        f"{n_rows} rows {n_aside} are set aside and {n_rows - n_aside} "
        f"trained on, and there are {n_classes} classes. Set it to {advice}, or set "
        "early_stopping=False."
    )


def check_classes_left(codec, encoded, rows, what, caller):
    """Refuse a class without a row to learn from."""
    if codec.task != "classes":
        return
    counts = np.bincount(encoded[rows], minlength=codec.n_outputs)
    lost = [plain(label) for label in codec.classes[counts == 0]]
    if lost:
        raise ValueError(
            f"{caller}: no row of the class{'es' if len(lost) > 1 else ''} "
            f"{shorten(lost)} {what}, so nothing can be learned about it. Repair such "
            "rows, or leave out the class."
        )
