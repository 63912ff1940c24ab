"""The start of a head: a linear model of the features, or the means of classes."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import Ridge

from ._logistic import logistic

SCALES = (1.0, 100.0)  # that cosines of prototypes may get
START_SHARE = 0.99


def start_from_probe(
    head,
    features,
    targets,
    weights,
    *,
    task,
    C,
    label_weights=None,
    best_constants=None,
    is_again=False,
    is_start=False,
):
    """Set a linear head to what a linear model learns on the features.

    Fine-tuning that starts there distorts the features less than one that starts from
    a random head.

    Parameters
    ----------
    head : torch.nn.Sequential
        From ``make_head("linear", ...)``; changed in place.
    features : ndarray or Tensor of float64, shape (n_samples, n_features)
        Changed in place. A tensor, for classes and labels only, is fitted on its
        device.
    targets : ndarray
        As the loss takes them: class indices, indicators or scaled numbers.
    weights : ndarray of shape (n_samples,)
    task : {"classes", "labels", "numbers"}
    C : float
        Inverse strength of the penalty.
    label_weights : ndarray of shape (2, n_labels), default=None
        Weights of rows without a label and with it.
    best_constants : callable, default=None
        ``best_constants(residuals, weights)`` says what a loss adds to a model of the
        mean.
    is_again, is_start : bool, default=False
        Ignored: a linear model is fitted alike before and after a training, and `C`
        holds it back before.

    References
    ----------
    A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054
    """
    scaled = standardize(head, features, weights)
    if task == "classes":
        present = np.unique(targets)
        if len(present) > 1:
            coef, intercept = logistic(scaled, targets, weights, C)
        else:  # the first batch of `partial_fit` may be of one class
            coef, intercept = np.zeros((1, scaled.shape[1])), np.zeros(1)
        n_missing = head[-1].out_features - len(coef)
        if n_missing:  # classes that none of these rows has
            rows = np.zeros((head[-1].out_features, coef.shape[1]))
            shift = np.full(head[-1].out_features, intercept.min() - 1.0)
            rows[present], shift[present] = coef, intercept
            coef, intercept = rows, shift
    elif task == "labels":
        fits = []
        for i, column in enumerate(targets.T):
            both = weights
            if label_weights is not None:
                both = weights * label_weights[column.astype(int), i]
            fits.append(_binary(scaled, column, both, C))
        coef, intercept = (np.stack(part) for part in zip(*fits, strict=True))
    else:
        ridge = Ridge(alpha=1 / C).fit(scaled, targets, sample_weight=weights)
        coef = np.atleast_2d(ridge.coef_)
        intercept = np.atleast_1d(ridge.intercept_)
        if best_constants is not None:
            shift = best_constants(targets - scaled @ coef.T - intercept, weights)
            intercept = intercept if shift is None else intercept + shift
    _copy(head[-1].weight, coef)
    _copy(head[-1].bias, intercept)


def standardize(head, features, weights):
    """Learn the first step of a head; return the features, changed to what it gives."""
    if not isinstance(features, np.ndarray):
        return _standardize_there(head, features, weights)
    mean = np.average(features, axis=0, weights=weights)
    features -= mean
    variance = np.vdot(features, features) / features.size - features.mean() ** 2
    scale = np.sqrt(max(variance, 0.0)) or 1.0
    _copy(head[0].mean, mean)
    _copy(head[0].scale, np.array(float(scale)))
    features /= scale
    return features


def _standardize_there(head, features, weights):
    """Do the same on the device that has the features."""
    import torch

    share = torch.from_numpy(weights / weights.sum()).to(features.device)
    mean = share @ features
    features -= mean
    squared = torch.linalg.vector_norm(features) ** 2 / features.numel()
    scale = (squared - features.mean() ** 2).clamp(min=0.0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    with torch.no_grad():
        head[0].mean.copy_(mean)
        head[0].scale.copy_(scale)
    features /= scale
    return features


def set_prototypes(head, features, targets, weights, *, is_again=False, **probe):
    """Set a head to the means of the classes.

    Features are centred and brought to length 1, and the means too. The scale of the
    cosines is the one at which the softmax suits rows best that take no part in the
    mean of their own class. After a training it stays: the rows were trained to stand
    on the means, and would all ask for the greatest.

    Parameters
    ----------
    head : torch.nn.Sequential
        From ``make_head("prototype", ...)``; changed in place.
    features : ndarray of float, shape (n_samples, n_features)
        Changed in place.
    targets : ndarray of int, shape (n_samples,)
    weights : ndarray of shape (n_samples,)
    is_again : bool, default=False
        Keep the scale: the features were trained against the means of before.
    **probe
        Options of a linear model; means need none.

    References
    ----------
    Y. Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
    Learning", 2019, https://arxiv.org/abs/1911.04623
    """
    directions, scale = class_means(
        standardize(head, features, weights),
        targets,
        weights,
        len(head[-1].directions),
        is_scaled=not is_again,
    )
    _copy(head[-1].directions, directions)
    if scale is not None:
        head[-1].scale.fill_(scale)


def set_cosines(
    head, features, targets, weights, *, is_again=False, is_start=False, **probe
):
    """Set the directions of a cosine head, which are trained, to the class means.

    The best scale separates the rows that it is trained on, and leaves the blocks
    nothing to learn. At the start of their training it is at most the one under which
    a row that stands on its mean, with the others opposite, has `START_SHARE` [1]_.

    Parameters
    ----------
    head : torch.nn.Sequential
        From ``make_head("cosine", ...)``; changed in place.
    features, targets, weights, is_again
        As for `set_prototypes`.
    is_start : bool, default=False
        True where blocks are trained next.
    **probe
        Options of a linear model; means need none.

    References
    ----------
    .. [1] H. Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face
       Recognition", CVPR 2018, https://arxiv.org/abs/1801.09414
    """
    n_classes = len(head[-1].weight)
    directions, scale = class_means(
        standardize(head, features, weights), targets, weights, n_classes
    )
    _copy(head[-1].weight, directions)
    if scale is None:
        return
    if is_start and n_classes > 1:
        odds = (n_classes - 1) * START_SHARE / (1 - START_SHARE)
        scale = min(scale, (1 - 1 / n_classes) * np.log(odds))
    _copy(head[-1].scale, np.array(scale))


def _copy(tensor, array):
    import torch

    with torch.no_grad():
        tensor.copy_(torch.from_numpy(array))


def class_means(features, targets, weights, n_classes, *, is_scaled=True):
    """Return the directions of class means, and the best scale of cosines to them.

    Returns
    -------
    directions : ndarray of shape (n_classes, n_features)
        Vectors of length 1; 0 for a class without rows.
    scale : float or None
        None where every row is the only one of its class, or without `is_scaled`.
    """
    unit = _unit(features)
    sums = np.zeros((n_classes, features.shape[1]))
    np.add.at(sums, targets, unit * weights[:, None])
    directions = _unit(sums)
    is_alone = np.bincount(targets, minlength=len(sums))[targets] == 1
    if not is_scaled or is_alone.all():
        return directions, None
    rows, own = unit[~is_alone], targets[~is_alone]
    cosines = rows @ directions.T
    without = _unit(sums[own] - rows * weights[~is_alone, None])
    cosines[np.arange(len(own)), own] = (rows * without).sum(1)
    cosines[:, ~directions.any(1)] = -2.0

    def loss(scale):
        wrong = -log_softmax(scale * cosines, axis=1)[np.arange(len(own)), own]
        return np.average(wrong, weights=weights[~is_alone])

    best = minimize_scalar(loss, bounds=SCALES, method="bounded")
    return directions, float(best.x)


def _unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _binary(features, targets, weights, C):
    if targets.min() == targets.max():  # a label that all rows have, or none
        return np.zeros(features.shape[1]), 4.0 * (2 * targets[0] - 1)
    coef, intercept = logistic(features, targets.astype(int), weights, C)
    return 2 * coef[1], 2 * intercept[1]
