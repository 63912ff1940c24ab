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
    **means,
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
    **means
        Options of class means; a linear model needs none.

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


def set_prototypes(
    head,
    features,
    targets,
    weights,
    *,
    given=None,
    class_weights=None,
    is_again=False,
    goes_on=False,
    **probe,
):
    """Set a head to the means of the classes.

    Means are centred and brought to length 1, as rows are. The shares of the classes
    are those of the summed weights. The scale of the cosines
    is the one at which the softmax suits rows best that take no part in the mean of
    their own class. After a training it stays: the rows were trained to stand on the
    means, and would all ask for the greatest.

    Parameters
    ----------
    head : torch.nn.Sequential
        From ``make_head("prototype", ...)``; changed in place.
    features : ndarray of float, shape (n_samples, n_features)
    targets : ndarray of int, shape (n_samples,)
    weights : ndarray of shape (n_samples,)
        Weights of the rows for the scale.
    given : ndarray of shape (n_samples,), default=None
        Weights of the rows in the mean of their class, on one scale in all calls; None
        is `weights`.
    class_weights : ndarray of shape (n_classes,), default=None
        Weights of the classes in their shares, beside those of their rows.
    is_again : bool, default=False
        Keep the scale: the features were trained against the means of before.
    goes_on : bool, default=False
        Add the rows to those that the head was set by before, as if all had come
        together; 1 / scale is the mean over the rows of all calls.
    **probe
        Options of a linear model; means need none.

    References
    ----------
    Y. Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
    Learning", 2019, https://arxiv.org/abs/1911.04623
    """
    last = head[-1]
    before = None
    if goes_on:
        before = [part.cpu().double().numpy() for part in (last.means, last.totals)]
    given = weights if given is None else given
    found = ClassMeans(features, targets, given, len(last.totals), before)
    centre, directions = found.centred()
    log_shares = found.log_shares(class_weights)
    for name, array in (
        ("directions", directions),
        ("log_shares", log_shares),
        ("means", found.means),
        ("totals", found.totals),
    ):
        _copy(getattr(last, name), array)
    _copy(head[0].mean, centre)
    if is_again and not goes_on:
        return
    scale, n_scaled = found.scale(centre, directions, weights, log_shares)
    if n_scaled:
        # The mean of temperatures, as a few rows that are all right ask for any scale.
        n_before = float(last.n_scaled) if goes_on else 0.0
        total = n_before + n_scaled
        last.scale.fill_(total / (n_before / float(last.scale) + n_scaled / scale))
        last.n_scaled.fill_(total)


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
        Options of a linear model and of means that go on; these need none.

    References
    ----------
    .. [1] H. Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face
       Recognition", CVPR 2018, https://arxiv.org/abs/1801.09414
    """
    n_classes = len(head[-1].weight)
    found = ClassMeans(features, targets, weights, n_classes)
    centre, directions = found.centred()
    _copy(head[0].mean, centre)
    _copy(head[-1].weight, directions)
    scale, n_scaled = found.scale(centre, directions, weights)
    if not n_scaled:
        return
    if is_start and n_classes > 1:
        odds = (n_classes - 1) * START_SHARE / (1 - START_SHARE)
        scale = min(scale, (1 - 1 / n_classes) * np.log(odds))
    _copy(head[-1].scale, np.array(scale))


def _copy(tensor, array):
    import torch

    with torch.no_grad():
        tensor.copy_(torch.from_numpy(array))


class ClassMeans:
    """Means of classes, and what cosines with them need.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    targets : ndarray of int, shape (n_samples,)
    weights : ndarray of shape (n_samples,)
    n_classes : int
    before : (ndarray, ndarray), default=None
        Means and summed weights of the classes, of rows that are no longer there.

    Attributes
    ----------
    means : ndarray of shape (n_classes, n_features)
    totals : ndarray of shape (n_classes,)
        Summed weights of the classes.
    """

    def __init__(self, features, targets, weights, n_classes, before=None):
        self.features, self.targets, self.weights = features, targets, weights
        self.totals = np.bincount(targets, weights, minlength=n_classes)
        sums = np.zeros((n_classes, features.shape[1]))
        np.add.at(sums, targets, features * weights[:, None])
        if before is not None:
            sums += before[0] * before[1][:, None]
            self.totals += before[1]
        self.means = sums / np.where(self.totals > 0, self.totals, 1.0)[:, None]

    def centred(self):
        """Return the mean of the class means, and the directions of the classes.

        A mean of all rows would stand next to the commonest class, whose rows would
        then be as near to the others. Directions have length 1, or 0 for a class
        without rows. With rows of one class only there is nothing to centre by, and the
        first is 0.
        """
        is_there = self.totals > 0
        centre = np.zeros(self.means.shape[1])
        if is_there.sum() > 1:
            centre = self.means[is_there].mean(axis=0)
        return centre, _unit(self.means - centre) * is_there[:, None]

    def log_shares(self, class_weights=None):
        """Return the logarithm of the share of each class.

        A class without rows gets the smallest share that another one has.
        """
        shares = self.totals if class_weights is None else self.totals * class_weights
        is_there = shares > 0
        if not is_there.any():
            return np.zeros(len(shares))
        least = shares[is_there].min()
        return np.log(np.where(is_there, shares, least) / shares.sum())

    def scale(self, centre, directions, weights, log_shares=0.0):
        """Return the best scale of cosines, and the number of rows that say so.

        The rows are those that are not the only ones of their class; where there are
        none, or rows of one class only, the scale is None. `log_shares` are added to
        the scaled cosines.
        """
        left = self.totals[self.targets] - self.weights
        is_used = (left > 1e-6 * self.totals[self.targets]) & (weights > 0)
        there = directions.any(1)
        if not is_used.any() or there.sum() < 2:
            return None, 0
        rows, own = self.features[is_used], self.targets[is_used]
        share, weights = self.weights[is_used] / left[is_used], weights[is_used]
        unit = _unit(rows - centre)
        cosines = unit @ directions.T
        # Without the row its class mean moves away from it.
        without = self.means[own] + (self.means[own] - rows) * share[:, None]
        cosines[np.arange(len(own)), own] = (unit * _unit(without - centre)).sum(1)
        cosines[:, ~there] = -2.0

        def loss(scale):
            outputs = log_softmax(scale * cosines + log_shares, axis=1)
            return -np.average(outputs[np.arange(len(own)), own], weights=weights)

        best = minimize_scalar(loss, bounds=SCALES, method="bounded")
        return float(best.x), len(own)


def _unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _binary(features, targets, weights, C):
    if targets.min() == targets.max():  # a label that all rows have, or none
        return np.zeros(features.shape[1]), 4.0 * (2 * targets[0] - 1)
    coef, intercept = logistic(features, targets.astype(int), weights, C)
    return 2 * coef[1], 2 * intercept[1]
