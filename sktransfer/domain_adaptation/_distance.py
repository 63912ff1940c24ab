"""Whether a classifier can tell the domains apart: the proxy A-distance."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from .._utils.validation import on_host
from ._domains import check_both_domains


def proxy_a_distance(X, *, sample_domain, cv=5, random_state=0):
    """Return the proxy A-distance of `domain_shift` alone; its parameters are those."""
    X = check_array(on_host(X), dtype=np.float64)
    domain = check_both_domains(sample_domain, len(X), "proxy_a_distance")
    is_target = two_of_each(domain, "proxy_a_distance")
    return a_distance(told_apart(X, is_target, cv, random_state))


def a_distance(accuracy):
    """Return ``2 * (1 - 2 * error)`` of a domain classifier, cut to 0 to 2."""
    return max(0.0, 4 * accuracy - 2)


def two_of_each(domain, name):
    """Return which rows are target rows.

    Raises
    ------
    ValueError
        If a kind of domain has fewer than 2 rows.
    """
    is_target = domain < 0
    n_source, n_target = (~is_target).sum(), is_target.sum()
    if min(n_source, n_target) < 2:
        raise ValueError(
            f"{name} needs at least 2 rows of each kind of domain; got {n_source} "
            f"source and {n_target} target rows."
        )
    return is_target


def told_apart(X, is_target, cv=5, random_state=0, weights=None):
    """Return the mean share of each kind of rows that a classifier tells right.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    is_target : ndarray of bool of shape (n_samples,)
    cv : int, default=5
    random_state : int, RandomState or None, default=0
    weights : ndarray of shape (n_samples,), default=None
        Weights of the rows within their kind; both kinds count the same in all.

    Returns
    -------
    float
    """
    weights = np.ones(len(X)) if weights is None else weights
    folds = StratifiedKFold(
        min(cv, is_target.sum(), (~is_target).sum()),
        shuffle=True,
        random_state=random_state,
    )
    right = np.zeros(len(X))
    for train, test in folds.split(X, is_target):
        scaler = StandardScaler().fit(X[train])
        model = LogisticRegression(C=0.1, max_iter=1000)
        balanced = _balanced(weights[train], is_target[train])
        model.fit(scaler.transform(X[train]), is_target[train], balanced)
        right[test] = model.predict(scaler.transform(X[test])) == is_target[test]
    return float(np.average(right, weights=_balanced(weights, is_target)))


def _balanced(weights, is_target):
    """Scale the weights so that both kinds have the same sum, and the mean is 1."""
    balanced = np.array(weights, dtype=float)
    for kind in (is_target, ~is_target):
        balanced[kind] *= len(balanced) / (2 * balanced[kind].sum())
    return balanced
