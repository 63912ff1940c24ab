"""Differences of scores that were measured on the same folds."""

import numpy as np
from scipy import stats

LEVEL = 0.95


def reach(differences, folds):
    """Return how far the 95 % interval of a mean difference reaches to each side.

    Training parts of folds share rows, so that differences of folds are alike; the
    variance of the mean is corrected for it [1]_.

    Parameters
    ----------
    differences : ndarray of shape (n_folds,)
    folds : list of (ndarray of int, ndarray of int)

    Returns
    -------
    float
        Infinity for less than two folds.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003.
    """
    n_folds = len(differences)
    if n_folds < 2:
        return np.inf
    ratio = np.mean([len(test) / len(train) for train, test in folds])
    variance = np.var(differences, ddof=1) * (1 / n_folds + ratio)
    return float(stats.t.ppf((1 + LEVEL) / 2, n_folds - 1) * np.sqrt(variance))
