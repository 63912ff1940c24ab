"""Logistic regression with a penalty, by scikit-learn or on the features' device."""

import contextlib
import functools
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

MAX_ITER, TOLERANCE = 200, 1e-3  # of scikit-learn's
# On a device a step costs little. Under the default penalties scikit-learn's stops
# where probabilities are 1e-3 to 1e-1 from those of the minimum, and this one 1e-3.
DEVICE_TOLERANCE = 1e-5
MOST_THREADS = 4  # more wait for each other: the products are small


def logistic(features, targets, weights, C):
    """Fit the model of scikit-learn's `LogisticRegression`.

    Parameters
    ----------
    features : ndarray or Tensor of float64, shape (n_samples, n_features)
        A tensor is fitted where it is, by torch.
    targets : ndarray of shape (n_samples,)
        Classes, at least two of them.
    weights : ndarray of shape (n_samples,)
    C : float

    Returns
    -------
    coef : ndarray of shape (n_classes, n_features)
    intercept : ndarray of shape (n_classes,)
    """
    fit = _by_scikit_learn if isinstance(features, np.ndarray) else _by_torch
    coef, intercept = fit(features, targets, weights, C)
    if len(coef) > 1:
        return coef, intercept
    # Two classes are one row there, and two opposite ones under a softmax.
    half = coef / 2, intercept / 2
    return np.vstack([-half[0], half[0]]), np.hstack([-half[1], half[1]])


def _by_scikit_learn(features, targets, weights, C):
    model = LogisticRegression(C=C, max_iter=MAX_ITER, tol=TOLERANCE)
    with warnings.catch_warnings(), _few_threads():
        # It may stop where it stands: training goes on from there.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, targets, sample_weight=weights)
    return model.coef_, model.intercept_


@functools.cache
def _blas():
    """Return the libraries of BLAS, which are loaded by now: a look takes 10 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def _few_threads():
    """Let BLAS compute on a few threads inside, and never on more than before."""
    found = _blas()
    many = [
        library["filepath"]
        for library in found.info()
        if library["num_threads"] > MOST_THREADS
    ]
    if not many:
        yield
        return
    with found.select(filepath=many).limit(limits=MOST_THREADS):
        yield


def _by_torch(features, targets, weights, C):
    """Minimise scikit-learn's objective by L-BFGS, in float64.

    The mean of the losses and the penalty are scaled as there, so that the tolerances
    mean the same. The gradient is written out: a graph would hold the features twice.
    """
    import torch
    from torch.nn import functional

    classes, codes = np.unique(targets, return_inverse=True)
    n_features = features.shape[1]
    n_rows = 1 if len(classes) == 2 else len(classes)
    device = features.device
    y = torch.from_numpy(codes.reshape(-1, 1)).to(device)
    share = torch.from_numpy(weights / weights.sum()).to(device)[:, None]
    penalty = 1 / (C * weights.sum())
    model = features.new_zeros(n_rows * (n_features + 1))

    def loss():
        coef = model[: n_rows * n_features].view(n_rows, n_features)
        outputs = features @ coef.T + model[n_rows * n_features :]
        if n_rows == 1:
            losses = functional.softplus(outputs) - y * outputs
            wrong = outputs.sigmoid() - y
        else:
            log_shares = outputs.log_softmax(1)
            losses = -log_shares.gather(1, y)
            wrong = log_shares.exp()
            wrong.scatter_add_(1, y, wrong.new_full(y.shape, -1.0))
        wrong = wrong * share
        slope = wrong.T @ features + penalty * coef
        model.grad = torch.cat([slope.flatten(), wrong.sum(0)])
        return (share * losses).sum() + penalty / 2 * coef.square().sum()

    optimizer = torch.optim.LBFGS(
        [model],
        max_iter=MAX_ITER,
        max_eval=2 * MAX_ITER,
        tolerance_grad=DEVICE_TOLERANCE,
        tolerance_change=1e-12,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(loss)
    found = model.cpu().numpy()
    coef = found[: n_rows * n_features].reshape(n_rows, n_features)
    return coef, found[n_rows * n_features :]
