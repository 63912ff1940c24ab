"""What ``adapter="auto"`` stands for, given the rows."""

from __future__ import annotations

import numpy as np

from ._class_shares import estimate_shares, told_apart_by_class, what_moved
from ._label_shift import LabelShiftCorrection

FEW_ROWS = 30
# On the way from guessing (0) to perfect (1), on source rows set aside. The benchmarks'
# sets that adapting helps are at 0.53 and above, those that it hurts at 0.30 and below.
WEAK = 0.4


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
    # Several columns of targets have no shares, and PseudoLabels refuses them; classes
    # of one row each leave nothing to set aside.
    is_few = min(len(X), len(X_target)) < FEW_ROWS
    if is_few or y.ndim != 1 or np.unique(y, return_counts=True)[1].max() < 2:
        return "few rows", steps, None
    shares = estimate_shares(
        estimator, X, y, X_target, name=name, weights=weights, params=params
    )
    apart = told_apart_by_class(X, y, X_target, shares, weights=weights)
    found = what_moved(shares, *apart)
    if found == "features":
        is_weak = shares.skill < WEAK
        return ("weak classifier", [], None) if is_weak else (found, steps, None)
    is_moved = found == "class shares"
    return found, [LabelShiftCorrection()] if is_moved else [], shares
