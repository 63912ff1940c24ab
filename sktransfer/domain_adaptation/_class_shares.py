"""Class shares of rows without labels, and whether anything else has moved."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

from .._utils.routing import of_rows
from ._base import effective_rows
from ._beliefs import TINY, log_beliefs
from ._distance import told_apart

N_FOLDS = 5
SEED = 0
# Pulls the classes' constants of the calibration to 0: with few rows of many classes
# they would fit the noise. From 0.001 to 0.1 the log loss hardly changes.
PENALTY = 0.01
# Accuracies of a domain classifier, of which 0.5 is guessing. Rows of a class have
# moved where it is above the first by two standard errors, and have not where it is
# below the second by as many. With few rows neither is so: without the second limit
# emoji, drawn down to 4 or 8 rows of a class, were corrected for shares that had not
# moved, and lost 7 to 12 points.
APART, ALIKE = 0.55, 0.62


@dataclass(frozen=True)
class ShareEstimate:
    """Class shares in both kinds of domain, and what they were estimated by.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    source, target : ndarray of shape (n_classes,)
    p_value : float
        Probability of rows like these if the target had the source's shares.
    skill : float
        Balanced accuracy on source rows that took no part in the fit, on a scale from 0
        for guessing to 1.
    scale : float
        Factor of the logarithms of the estimator's probabilities: their calibration.
    constants : ndarray of shape (n_classes,)
        Summands of the same.
    n_effective : float
        Number of source rows that would be as good, when each class counts as in the
        target.
    """

    classes: np.ndarray
    source: np.ndarray
    target: np.ndarray
    p_value: float
    skill: float
    scale: float
    constants: np.ndarray
    n_effective: float

    def have_moved(self, alpha: float = 0.05) -> bool:
        """Whether the shares differ, by a likelihood ratio test at a level."""
        return self.p_value <= alpha


def estimate_shares(
    estimator, X, y, X_target, *, name, fitted=None, weights=None, params=None
):
    """Estimate class shares of target rows (EM of Saerens et al. 2002).

    Out-of-fold probabilities of the source rows calibrate the estimator; a Dirichlet
    prior of one row for each class keeps few rows from driving a class to nothing.

    Parameters
    ----------
    estimator : classifier
        Copies are fitted.
    X : ndarray of shape (n_source, n_features)
    y : ndarray of shape (n_source,)
    X_target : ndarray of shape (n_target, n_features)
    name : str
        Asks for them, for messages.
    fitted : classifier, default=None
        The estimator, fitted on these source rows; None fits a copy.
    weights : ndarray of shape (n_source,), default=None
    params : dict, default=None
        Metadata of the source rows, for `fit`.

    Returns
    -------
    ShareEstimate

    Raises
    ------
    ValueError
        If there are too few rows of each class to set some aside.
    """
    each = np.ones(len(X)) if weights is None else weights
    classes, codes = np.unique(y, return_inverse=True)
    source = np.bincount(codes, weights=each)
    source = np.maximum(source / source.sum(), TINY)
    known = _out_of_fold(estimator, X, y, codes, source, name, weights, params)
    skill = balanced_accuracy_score(
        codes, known.argmax(axis=1), sample_weight=each, adjusted=True
    )
    scale, constants = _calibrate(known, codes, each)
    if fitted is None:
        fitted = _fit(clone(estimator), X, y, weights, params)
    logs = log_softmax(scale * log_beliefs(fitted, X_target, name) + constants, axis=1)
    target = _shares_by_em(logs, source)
    gain = logsumexp(logs + np.log(target / source), axis=1).sum()
    row_weights = each * (target / source)[codes]
    return ShareEstimate(
        classes=classes,
        source=source,
        target=target,
        p_value=float(chi2.sf(max(2 * gain, 0.0), len(classes) - 1)),
        skill=float(skill),
        scale=scale,
        constants=constants,
        n_effective=effective_rows(row_weights),
    )


def told_apart_by_class(
    X, y, X_target, shares, cv=N_FOLDS, random_state=SEED, weights=None
):
    """Return how well domains are told apart once classes have the same shares.

    Parameters
    ----------
    X, y, X_target : ndarray
    shares : ShareEstimate
    cv : int, default=5
    random_state : int, RandomState or None, default=0
    weights : ndarray of shape (n_source,), default=None

    Returns
    -------
    accuracy : float
        Share that a domain classifier tells right on rows it has not seen, where both
        kinds count the same.
    error : float
        Its standard error, about.
    """
    codes = np.searchsorted(shares.classes, y)
    each = (shares.target / shares.source)[codes]
    each = each if weights is None else each * weights
    both = np.concatenate([each, np.ones(len(X_target))])
    is_target = np.repeat([False, True], [len(X), len(X_target)])
    rows = np.concatenate([X, X_target])
    accuracy = told_apart(rows, is_target, cv, random_state, both)
    error = np.sqrt(0.25 / effective_rows(each) + 0.25 / len(X_target)) / 2
    return accuracy, float(error)


def what_moved(shares, accuracy, error):
    """Return "features", "class shares", "nothing", or "unclear" of too few rows."""
    if accuracy - 2 * error > APART:
        return "features"
    if max(accuracy, 0.5) + 2 * error > ALIKE:  # below 0.5 is chance
        return "unclear"
    return "class shares" if shares.have_moved() else "nothing"


def _out_of_fold(estimator, X, y, codes, source, name, weights, params):
    """Return logarithms of beliefs of rows that took no part in the fit."""
    classes = np.unique(y)
    n_folds = min(N_FOLDS, np.bincount(codes).max())
    if n_folds < 2:
        raise ValueError(
            f"{name} needs at least 2 source rows of a class to estimate class shares; "
            f"got 1 of each of the {len(classes)} classes. Add source rows."
        )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=SEED)
    # A class that a fold lacks is believed in as much as there is of it: a belief of
    # next to nothing would decide the scale of the calibration.
    known = np.tile(np.log(source), (len(X), 1))
    with warnings.catch_warnings():
        # Classes of fewer rows than folds are no fault: a class is missing from a fold.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = list(folds.split(X, codes))
    for train, test in parts:
        if len(np.unique(codes[train])) < 2:  # nothing to learn, and most refuse it
            continue
        own = None if weights is None else weights[train]
        fitted = _fit(
            clone(estimator),
            X[train],
            y[train],
            own,
            of_rows(params or {}, train, len(X)),
        )
        columns = np.searchsorted(classes, fitted.classes_)
        known[np.ix_(test, columns)] = log_beliefs(fitted, X[test], name)
    return known


def _fit(estimator, X, y, weights, params):
    options = dict(params or {})
    if weights is not None:
        options["sample_weight"] = weights
    return estimator.fit(X, y, **options)


def _calibrate(logs, codes, weights):
    """Return the scale and the constants with the least log loss."""
    n_classes = logs.shape[1]
    weights = weights / weights.sum()
    rows = np.arange(len(codes))

    def loss(values):
        scale, free = np.exp(values[0]), values[1:]
        constants = free - free.mean()
        moved = log_softmax(scale * logs + constants, axis=1)
        slope = np.exp(moved)
        slope[rows, codes] -= 1
        slope *= weights[:, None]
        down = slope.sum(axis=0) + 2 * PENALTY * constants
        gradient = np.append(
            scale * (slope * logs).sum() + 2e-3 * values[0], down - down.mean()
        )
        total = -weights @ moved[rows, codes] + PENALTY * constants @ constants
        return total + 1e-3 * values[0] ** 2, gradient

    start = np.zeros(1 + n_classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return float(np.exp(found[0])), found[1:] - found[1:].mean()


def _shares_by_em(logs, source, max_iter=2000, tol=1e-7):
    """Return the most likely shares, under a prior of one row for each class."""
    n_rows, n_classes = logs.shape
    shares, beliefs = source, np.exp(logs)
    for _ in range(max_iter):
        moved = beliefs * (shares / source)
        moved /= moved.sum(axis=1, keepdims=True)
        before = shares
        shares = (moved.sum(axis=0) + n_classes * source) / (n_rows + n_classes)
        if np.abs(shares - before).max() < tol:
            break
    return shares
