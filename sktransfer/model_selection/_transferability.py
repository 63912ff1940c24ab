"""How well features suit a target, without fine-tuning: four scores.

Each takes features of shape ``(n_samples, n_features)`` and a `Target`. The first two
rest on one decomposition of the features, so that they cost a small part of what a
cross-validated linear model does.
"""

import warnings

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, r2_score

from .._utils.folds import make_folds
from ._neighbors import nearest
from ._standardized import Standardized

METHODS = ("hscore", "knn", "logme", "probe")
GROUP_METHODS = ("knn", "probe")  # those that use groups
PROBE_C = (0.001, 0.01, 0.1, 1.0)
N_INNER = 3  # folds of a training part that choose among them
SCORE_NAMES = {
    "classes": "accuracy",
    "labels": "mean average precision",
    "numbers": "R2",
}


# -- scores from one decomposition -----------------------------------------------------


def decompose(features, columns):
    """Return columns in the basis of a matrix's left singular vectors.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    columns : ndarray of shape (n_samples, n_outputs)

    Returns
    -------
    inside : ndarray of shape (rank, n_outputs)
        ``left.T @ columns``; the vectors themselves are never made.
    squares : ndarray of shape (rank,)
        Squared singular values, greater than zero.
    """
    n_rows, n_features = features.shape
    is_wide = n_rows <= n_features
    squares, vectors = np.linalg.eigh(
        features @ features.T if is_wide else features.T @ features
    )
    is_kept = squares > squares[-1] * max(n_rows, n_features) * np.finfo(float).eps
    squares, vectors = squares[is_kept], vectors[:, is_kept]
    if is_wide:
        return vectors.T @ columns, squares
    return vectors.T @ (features.T @ columns) / np.sqrt(squares)[:, None], squares


def logme(features, target):
    """Logarithm of the maximum evidence of a Bayesian linear model, for each row.

    For each column `y` of the target the model is ``y ~ N(F w, 1/beta)`` with the
    prior ``w ~ N(0, 1/alpha)``. The evidence is maximised over both. For a given ratio
    ``t = alpha / beta`` the best `beta` has a closed form, so that one number is left
    to search, on a grid that is narrowed around its best point: the published
    iteration takes long where `t` goes to zero.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    target : Target

    Returns
    -------
    float
        Mean over the columns, in nats per row. Greater is better.

    References
    ----------
    K. You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer
    Learning", ICML 2021, https://arxiv.org/abs/2102.11005
    """
    columns = target.columns()
    inside, squares = decompose(features, columns)
    inside = inside**2
    outside = np.maximum((columns**2).sum(axis=0) - inside.sum(axis=0), 0.0)
    n_rows = len(columns)

    def evidence(log_t):
        """Return the log evidence, at one ratio for each output."""
        t = np.exp(log_t)
        q = (inside * (t / (t + squares[:, None]))).sum(axis=0) + outside
        q = np.maximum(q, np.finfo(float).tiny)
        volume = np.log1p(squares[:, None] / t).sum(axis=0)
        return -(n_rows * (np.log(2 * np.pi * q / n_rows) + 1) + volume) / 2

    top = np.log(squares[-1]) if len(squares) else 0.0
    center, step, reach = np.full(columns.shape[1], top), 1.0, 30
    best = center
    for _ in range(6):
        grid = center + step * np.arange(-reach, reach + 1)[:, None]
        values = np.stack([evidence(row) for row in grid])
        place = values.argmax(axis=0)[None]
        best = np.take_along_axis(values, place, axis=0)[0]
        center = np.take_along_axis(grid, place, axis=0)[0]
        step, reach = step / 10, 10
    return float(best.mean() / n_rows)


def h_score(features, target, *, shrinkage="auto"):
    """How far apart the classes' means are, in the features' own covariance.

    ``trace(inv(cov(F)) cov(E[F | y]))``. With few rows the covariance cannot be
    estimated and the plain score is the same for all features; it is then shrunk, as
    Ibrahim et al. do.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    target : Target
        Classes or labels; of several labels it is the mean.
    shrinkage : "auto" or float, default="auto"
        Share of the identity in the covariance; "auto" is Ledoit's and Wolf's, and 0
        the plain score with a pseudoinverse.

    Returns
    -------
    float
        From 0 to the number of classes minus 1. Greater is better.

    Raises
    ------
    ValueError
        If the target is made of numbers.

    References
    ----------
    Y. Bao et al., "An Information-Theoretic Approach to Transferability in Task
    Transfer Learning", ICIP 2019.
    S. Ibrahim et al., "Newer is not always better: Rethinking transferability metrics,
    their peculiarities, stability and performance", ECML 2022,
    https://arxiv.org/abs/2110.06893
    """
    if target.task == "numbers":
        raise ValueError(
            "method='hscore' compares the means of classes, and y is made of numbers; "
            "use method='logme', 'knn' or 'probe'."
        )
    centered = features - features.mean(axis=0)
    n_rows, n_features = centered.shape
    columns = target.columns()
    if target.task == "labels":
        columns = np.concatenate([columns, 1 - columns], axis=1)
    counts = columns.sum(axis=0)
    # A class mean is a mean of rows, so it lies in the space of the left vectors.
    means, squares = decompose(centered, columns / counts)
    if shrinkage == "auto":
        shrinkage = ledoit_wolf_shrinkage(centered, assume_centered=True)
    spread = squares / n_rows
    inflated = (1 - shrinkage) * spread + shrinkage * spread.sum() / n_features
    scale = (1 - shrinkage) * squares / inflated
    total = (scale[:, None] * means**2 * counts / n_rows).sum()
    return float(total / (len(counts) // 2 if target.task == "labels" else 1))


# -- scores from predictions -----------------------------------------------------------


def knn(features, target, *, n_neighbors, apart=()):
    """Predict each row from the nearest other rows, by cosine.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    target : Target
    n_neighbors : int
    apart : sequence of ndarray of shape (n_samples,)
        Rows that agree in one of these, such as rows of a group or copies of a row, are
        no neighbours of each other.

    Returns
    -------
    ndarray
        Guess of the neighbours of each row, for `accuracy_of`.

    Raises
    ------
    ValueError
        If a row has no other that may be its neighbour.
    """
    values = target.values
    if target.task == "classes":
        values = np.eye(values.max() + 1)[values]
    means = np.empty(values.shape)
    n_neighbors = max(1, min(n_neighbors, target.n_rows - 1))
    for rows, near, is_there in nearest(features, n_neighbors, apart):
        votes = is_there.astype(np.float64)
        if target.task == "classes":  # of classes with as many votes the nearest row's
            votes[:, 0] += 0.5
        votes /= votes.sum(axis=1, keepdims=True)
        means[rows] = np.einsum("rk,rkc->rc", votes, values[near])
    return means.argmax(axis=1) if target.task == "classes" else means


def probe(features, target, *, folds, units=None, random_state=0):
    """Cross-validated score of a linear model, whose penalty each training part gives.

    The penalty of a fold is the one of `PROBE_C` that does best in folds of its
    training part, so that no row has a say in the model that is tested on it.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    target : Target
    folds : list of (ndarray of int, ndarray of int)
    units : ndarray of shape (n_samples,), default=None
        Rows with the same number stay in one of the inner folds.
    random_state : int, default=0
        Seed of the inner folds.

    Returns
    -------
    score : float
        Score of the predictions of all folds together: accuracy, mean average
        precision of labels, or R2.
    parts : ndarray of shape (n_folds,)
        Score of the predictions of each.
    """
    table = Standardized(features)
    penalties = [
        _penalty(table, target, fold[0], units, random_state) for fold in folds
    ]
    outputs = _out_of_fold(table, target, folds, penalties)
    parts = [accuracy_of(outputs[test], target.part(test)) for _, test in folds]
    return accuracy_of(outputs, target), np.array(parts)


def _penalty(table, target, train, units, random_state):
    """Return the penalty that does best in folds of these rows; of equals the most."""
    own = None if units is None else units[train]
    n_units = len(train) if own is None else len(np.unique(own))
    if n_units < 2:
        return PROBE_C[0]
    folds = make_folds(
        min(N_INNER, n_units),
        target.values[train],
        is_classes=target.task == "classes",
        groups=None,
        random_state=random_state,
        caller="rank_backbones",
        units=own,
    )
    folds = [tuple(train[part] for part in fold) for fold in folds]
    scores = [
        accuracy_of(_out_of_fold(table, target, folds, [C] * len(folds)), target)
        for C in PROBE_C
    ]
    return PROBE_C[int(np.nan_to_num(scores, nan=-np.inf).argmax())]


def _out_of_fold(table, target, folds, penalties):
    """Return predictions of models of the training parts, each with its penalty."""
    outputs = None
    for (train, test), C in zip(folds, penalties, strict=True):
        fitted, unseen = table.parts(train, test)
        predicted = _linear(fitted, target.values[train], unseen, target.task, C)
        if outputs is None:
            outputs = np.full((target.n_rows, *predicted.shape[1:]), np.nan)
        outputs[test] = predicted
    return outputs


def _linear(features, values, unseen, task, C):
    if task == "numbers":
        return (
            Ridge(alpha=1 / C)
            .fit(features, values)
            .predict(unseen)
            .reshape(len(unseen), -1)
        )
    if task == "classes":
        if values.min() == values.max():
            return np.full(len(unseen), values[0])
        return _logistic(features, values, C).predict(unseen)
    parts = []
    for column in values.T:
        if column.min() == column.max():
            # The log-odds of a label that all of so many rows have, or none.
            odds = np.log(2 * len(column) + 1)
            parts.append(np.full(len(unseen), odds if column[0] else -odds))
        else:
            parts.append(_logistic(features, column, C).decision_function(unseen))
    return np.column_stack(parts)


def _logistic(features, values, C):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # In a part of a training part, of few rows; of all rows it would be said.
        warnings.filterwarnings("ignore", message="The number of unique classes is")
        return LogisticRegression(C=C, max_iter=300).fit(features, values)


def accuracy_of(predicted, target):
    """Return the accuracy, the mean average precision of labels, or R2.

    Rows whose prediction is NaN are left out: not every splitter tests every row. NaN
    if no label varies.
    """
    values = target.values
    if np.asarray(predicted).dtype.kind == "f":
        is_there = ~np.isnan(predicted.reshape(len(predicted), -1)).any(axis=1)
        predicted, values = predicted[is_there], values[is_there]
    if target.task == "classes":
        return float(np.mean(predicted == values))
    if target.task == "numbers":
        return float(r2_score(values, predicted)) if len(values) > 1 else np.nan
    is_mixed = np.ptp(values, axis=0) > 0
    if not is_mixed.any():
        return np.nan
    return float(average_precision_score(values[:, is_mixed], predicted[:, is_mixed]))
