"""The steps of ``adapter="auto"``, chosen by the rows."""

from __future__ import annotations

import numpy as np

from ._class_shares import estimate_shares, told_apart_by_class, what_moved
from ._label_shift import LabelShiftCorrection

# On the way from guessing (0) to perfect (1), on source rows set aside. Drawn down to
# few rows of a class, emoji and sentiment still gained on average between 0.3 and
# 0.4, the lowest that there were. The streaming platforms, on which adapting cost 2
# points, are at 0.16 to 0.295; the limit lies close above them, for want of others.
WEAK = 0.3


def choose(steps, estimator, X, y, X_target, *, name, weights=None, params=None):
    """Look at what moved, and choose the steps.

    Parameters
    ----------
    steps : list
        Those for rows whose features have moved.
    estimator : classifier
        Copies are fitted.
    X : ndarray of shape (n_source, n_features)
    y : ndarray of shape (n_source,) or (n_source, n_outputs)
    X_target : ndarray of shape (n_target, n_features)
    name : str
        Name of the owner, for messages.
    weights : ndarray of shape (n_source,), default=None
    params : dict, default=None
        Metadata of the source rows, for `fit`.

    Returns
    -------
    found : str
        As `DomainAdaptationClassifier.shift_`.
    steps : list
    shares : ShareEstimate or None
        None where it is not to be relied on.
    """
    if y.ndim != 1:
        raise ValueError(
            f'{name}: adapter="auto" needs one class per row; got y of shape '
            f"{y.shape} for the source rows. Name the adapters, as in "
            'adapter=["normalize", "coral", "normalize"].'
        )
    # Neither a single row nor classes of one row each can be set aside.
    is_single = min(len(X), len(X_target)) < 2
    if is_single or np.unique(y, return_counts=True)[1].max() < 2:
        return "unclear", [], None
    shares = estimate_shares(
        estimator, X, y, X_target, name=name, weights=weights, params=params
    )
    apart = told_apart_by_class(X, y, X_target, shares, weights=weights)
    found = what_moved(shares, *apart)
    if found == "unclear":
        return found, [], None
    if found == "features":
        is_weak = shares.skill < WEAK
        return ("weak classifier", [], None) if is_weak else (found, steps, None)
    is_moved = found == "class shares"
    return found, [LabelShiftCorrection()] if is_moved else [], shares
