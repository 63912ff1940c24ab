"""What stands on the pooled features: linear, two layers, cosines, or prototypes."""

import warnings

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from .._utils.names import on_disk

HEADS = ("linear", "mlp", "cosine", "prototype")
SCALES = (1.0, 100.0)  # that cosines of prototypes may get


@on_disk
class Standardize(nn.Module):
    """Subtract means and divide by one number, which are not trained.

    One number for all features: those that vary little are mostly noise, and a linear
    model with a penalty does worse where each is brought to the same scale.
    """

    def __init__(self, n_features):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features):
        """Map features to features."""
        return (features - self.mean) / self.scale


@on_disk
class Cosine(nn.Module):
    """Cosines between a row and one direction for each output, times a scale."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_outputs, n_features) * 0.01)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, features):
        """Map features to outputs."""
        unit = nn.functional.normalize(features, dim=1)
        return self.scale * unit @ nn.functional.normalize(self.weight, dim=1).T


@on_disk
class Prototypes(nn.Module):
    """Cosines between a row and the mean of each class, times a scale; not trained."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.register_buffer("directions", torch.zeros(n_outputs, n_features))
        self.scale = nn.Parameter(torch.tensor(10.0), requires_grad=False)

    def forward(self, features):
        """Map features to outputs; a class without rows gets less than any other."""
        unit = nn.functional.normalize(features, dim=1)
        is_absent = ~self.directions.any(dim=1)
        return self.scale * (unit @ self.directions.T - 2.0 * is_absent)


def make_head(kind, n_features, n_outputs, dropout):
    """Return a head: dropout, standardisation (the identity at first), and the rest."""
    if kind == "linear":
        last = nn.Linear(n_features, n_outputs)
    elif kind == "cosine":
        last = Cosine(n_features, n_outputs)
    elif kind == "prototype":
        last = Prototypes(n_features, n_outputs)
    else:
        width = min(512, n_features)
        last = nn.Sequential(
            nn.Linear(n_features, width), nn.GELU(), nn.Linear(width, n_outputs)
        )
    return nn.Sequential(Standardize(n_features), nn.Dropout(dropout), last)


def kind_of(head):
    """Return the name under which `make_head` made a head."""
    if isinstance(head[-1], nn.Linear):
        return "linear"
    if isinstance(head[-1], Prototypes):
        return "prototype"
    return "cosine" if isinstance(head[-1], Cosine) else "mlp"


def start_from_probe(head, features, targets, weights, *, task, C):
    """Set a linear head to what a linear model learns on the features.

    Fine-tuning that starts there distorts the features less than one that starts from
    a random head.

    Parameters
    ----------
    head : torch.nn.Sequential
        From ``make_head("linear", ...)``; changed in place.
    features : ndarray of float, shape (n_samples, n_features)
        Changed in place.
    targets : ndarray
        As the loss takes them: class indices, indicators or scaled numbers.
    weights : ndarray of shape (n_samples,)
    task : {"classes", "labels", "numbers"}
    C : float
        Inverse strength of the penalty.

    References
    ----------
    A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054
    """
    scaled = standardize(head, features, weights)
    if task == "classes":
        present = np.unique(targets)
        if len(present) > 1:
            coef, intercept = _logistic(scaled, targets, weights, C)
        else:  # the first batch of `partial_fit` may be of one class
            coef, intercept = np.zeros((1, scaled.shape[1])), np.zeros(1)
        n_missing = head[-1].out_features - len(coef)
        if n_missing:  # classes that none of these rows has
            rows = np.zeros((head[-1].out_features, coef.shape[1]))
            shift = np.full(head[-1].out_features, intercept.min() - 1.0)
            rows[present], shift[present] = coef, intercept
            coef, intercept = rows, shift
    elif task == "labels":
        fits = [_binary(scaled, column, weights, C) for column in targets.T]
        coef, intercept = (np.stack(part) for part in zip(*fits, strict=True))
    else:
        ridge = Ridge(alpha=1 / C).fit(scaled, targets, sample_weight=weights)
        coef = np.atleast_2d(ridge.coef_)
        intercept = np.atleast_1d(ridge.intercept_)
    with torch.no_grad():
        head[-1].weight.copy_(torch.from_numpy(coef))
        head[-1].bias.copy_(torch.from_numpy(intercept))


def standardize(head, features, weights):
    """Learn the first step of a head; return the features, changed to what it gives."""
    mean = np.average(features, axis=0, weights=weights)
    features -= mean
    variance = np.vdot(features, features) / features.size - features.mean() ** 2
    scale = np.sqrt(max(variance, 0.0)) or 1.0
    with torch.no_grad():
        head[0].mean.copy_(torch.from_numpy(mean))
        head[0].scale.fill_(float(scale))
    features /= scale
    return features


def set_prototypes(head, features, targets, weights):
    """Set a head to the means of the classes.

    Features are centred and brought to length 1, and the means too. The scale of the
    cosines is the one at which the softmax suits rows best that take no part in the
    mean of their own class.

    Parameters
    ----------
    head : torch.nn.Sequential
        From ``make_head("prototype", ...)``; changed in place.
    features : ndarray of float, shape (n_samples, n_features)
        Changed in place.
    targets : ndarray of int, shape (n_samples,)
    weights : ndarray of shape (n_samples,)

    References
    ----------
    Y. Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
    Learning", 2019, https://arxiv.org/abs/1911.04623
    """
    unit = _unit(standardize(head, features, weights))
    sums = np.zeros((len(head[-1].directions), features.shape[1]))
    np.add.at(sums, targets, unit * weights[:, None])
    directions = _unit(sums)
    with torch.no_grad():
        head[-1].directions.copy_(torch.from_numpy(directions))
    is_alone = np.bincount(targets, minlength=len(sums))[targets] == 1
    if is_alone.all():
        return
    rows, own = unit[~is_alone], targets[~is_alone]
    cosines = rows @ directions.T
    without = _unit(sums[own] - rows * weights[~is_alone, None])
    cosines[np.arange(len(own)), own] = (rows * without).sum(1)
    cosines[:, ~directions.any(1)] = -2.0

    def loss(scale):
        wrong = -log_softmax(scale * cosines, axis=1)[np.arange(len(own)), own]
        return np.average(wrong, weights=weights[~is_alone])

    best = minimize_scalar(loss, bounds=SCALES, method="bounded")
    head[-1].scale.fill_(float(best.x))


def _unit(vectors):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _logistic(features, targets, weights, C):
    model = LogisticRegression(C=C, max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        # It may stop where it stands: training goes on from there.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, targets, sample_weight=weights)
    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    # Two classes are one row there, and two opposite ones under a softmax.
    half = model.coef_ / 2, model.intercept_ / 2
    return np.vstack([-half[0], half[0]]), np.hstack([-half[1], half[1]])


def _binary(features, targets, weights, C):
    if targets.min() == targets.max():  # a label that all rows have, or none
        return np.zeros(features.shape[1]), 4.0 * (2 * targets[0] - 1)
    coef, intercept = _logistic(features, targets.astype(int), weights, C)
    return 2 * coef[1], 2 * intercept[1]
