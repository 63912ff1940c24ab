"""Weights of source rows, by their similarity to target rows."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from .._utils.names import set_module
from .._utils.validation import Interval, StrOptions
from ._base import BaseAdapter, effective_rows, kernel_width


class BaseWeights(OneToOneFeatureMixin, BaseAdapter):
    """An adapter that does not change the features but weights the rows.

    A subclass has `_weigh(source, target)`, weights of the source rows.
    """

    _FEW = 0.1  # of the source rows: an effective number that is worth a warning

    def _learn(self, X, y, domain):
        source = domain >= 0
        weights = self._weigh(X[source], X[~source])
        self.weights_ = np.zeros(len(X))
        self.weights_[source] = weights / weights.mean()
        self.n_effective_ = effective_rows(weights)
        if self.n_effective_ < self._FEW * len(weights):
            name = type(self).__name__
            warnings.warn(
                f"{name}: with these weights {len(weights)} source rows are worth only "
                f"{self.n_effective_:.0f} unweighted rows, because hardly any of them "
                "lie among the target rows. A model fitted with the weights is "
                "probably worse than one without: lower max_weight, or use an adapter "
                'that moves features, such as "normalize".',
                UserWarning,
                stacklevel=2,
            )

    def _map(self, X, domain):
        return X.copy()


@set_module("sktransfer")
class DensityRatioWeights(BaseWeights):
    """Weight source rows by the odds that they are target rows, by a classifier.

    Parameters
    ----------
    C : float, default=1.0
        Inverse regularisation strength of the logistic regression that tells the
        domains apart, on standardised features.
    max_weight : float, default=10.0
        Greatest weight, before the weights are scaled to a mean of 1.
    n_components : int or None, default=20
        Number of principal components that the logistic regression uses, or fewer if
        there are fewer. None uses all features. On all columns of an embedding, even
        two halves of one domain are told apart by chance, and the weights are noise.

    Attributes
    ----------
    weights_ : ndarray of shape (n_samples,)
        Weights of the rows of `fit`: 1 on average for source rows, 0 for target rows.
    n_effective_ : float
        Effective number of source rows: the number of equally weighted rows that would
        be as informative.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DensityRatioWeights
    >>> X = np.array([[0.0], [1.0], [2.0], [2.0], [2.1], [1.9]])
    >>> weights = DensityRatioWeights().fit(X, sample_domain=[0, 0, 0, -1, -1, -1])
    >>> weights.weights_.argsort()[-3:]
    array([0, 1, 2])
    """

    _parameter_constraints = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "max_weight": [Interval(Real, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        C: float = 1.0,
        max_weight: float = 10.0,
        n_components: int | None = 20,
    ) -> None:
        self.C = C
        self.max_weight = max_weight
        self.n_components = n_components

    def _weigh(self, source, target):
        X = StandardScaler().fit_transform(np.concatenate([source, target]))
        if self.n_components is not None and self.n_components < min(X.shape):
            # Whitened, so that the penalty means the same for each component.
            X = PCA(self.n_components, whiten=True, svd_solver="full").fit_transform(X)
        is_target = np.repeat([0, 1], [len(source), len(target)])
        model = LogisticRegression(C=self.C, max_iter=1000, class_weight="balanced")
        odds = model.fit(X, is_target).decision_function(X[: len(source)])
        return np.exp(np.clip(odds, -30.0, np.log(self.max_weight)))


@set_module("sktransfer")
class KMMWeights(BaseWeights):
    """Kernel mean matching: weight source rows to the target's mean in kernel space.

    Parameters
    ----------
    gamma : float, "scale" or None, default="scale"
        Coefficient of the Gaussian kernel. None is one over the number of features,
        which suits features of unit variance. "scale" divides that by the variance of
        all rows.
    max_weight : float, default=3.0
        Greatest weight, before the weights are scaled to a mean of 1. Between two
        review sites, the paper's value of 1000 left an effective 9 % of the source
        rows; 3 left 30 %.
    eps : float, default=None
        Greatest distance of the mean weight from 1. None is ``1 - 1 / sqrt(n_source)``.
    max_iter : int, default=20000
        Greatest number of iterations.
    tol : float, default=1e-5
        Change of the weights, relative to their length, below which the iteration
        stops.

    Attributes
    ----------
    weights_ : ndarray of shape (n_samples,)
        Weights of the rows of `fit`: 1 on average for source rows, 0 for target rows.
    n_effective_ : float
        Effective number of source rows: the number of equally weighted rows that would
        be as informative.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int

    References
    ----------
    Huang et al. (2006), Correcting Sample Selection Bias by Unlabeled Data.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import KMMWeights
    >>> X = np.array([[0.0], [1.0], [2.0], [2.0], [2.1], [1.9]])
    >>> weights = KMMWeights().fit(X, sample_domain=[0, 0, 0, -1, -1, -1]).weights_
    >>> weights.argmax()
    np.int64(2)
    """

    _parameter_constraints = {
        "gamma": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"scale"}),
            None,
        ],
        "max_weight": [Interval(Real, 1, None, closed="left")],
        "eps": [Interval(Real, 0, None, closed="left"), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        gamma: float | Literal["scale"] | None = "scale",
        max_weight: float = 3.0,
        eps: float | None = None,
        max_iter: int = 20_000,
        tol: float = 1e-5,
    ) -> None:
        self.gamma = gamma
        self.max_weight = max_weight
        self.eps = eps
        self.max_iter = max_iter
        self.tol = tol

    def _weigh(self, source, target):
        n = len(source)
        gamma = kernel_width(self.gamma, np.concatenate([source, target]))
        kernel = rbf_kernel(source, gamma=gamma)
        pull = n * rbf_kernel(source, target, gamma=gamma).mean(axis=1)
        eps = 1 - 1 / np.sqrt(n) if self.eps is None else self.eps
        # The mean weight lies in a band, below which all weights could become 0.
        band = max(1 - eps, 1 / n) * n, (1 + eps) * n
        step = 1 / np.linalg.eigvalsh(kernel)[-1]
        weights = ahead = np.ones(n)
        momentum = 1.0
        self.n_iter_ = 0
        while self.n_iter_ < self.max_iter:
            self.n_iter_ += 1
            before = weights
            moved = ahead - step * (kernel @ ahead - pull)
            weights = _project(moved, self.max_weight, *band)
            faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = weights + (momentum - 1) / faster * (weights - before)
            momentum = faster
            change = np.linalg.norm(weights - before)
            if change <= self.tol * np.linalg.norm(weights):
                break
        else:
            warnings.warn(
                f"KMMWeights did not converge in max_iter={self.max_iter} iterations; "
                "increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if pull.max() < 1e-6:  # times n, of at most 1: no source row is near any
            warnings.warn(
                "KMMWeights: with this kernel no source row is near any target row, "
                'and the weights mean nothing. Set gamma="scale" if it is not set, or '
                "use an adapter that moves features.",
                UserWarning,
                stacklevel=2,
            )
        return weights


def _project(weights, most, low, high):
    """Nearest weights between 0 and `most` whose sum is between `low` and `high`."""
    clipped = np.clip(weights, 0, most)
    if low <= clipped.sum() <= high:
        return clipped
    goal = low if clipped.sum() < low else high
    # The sum as a function of a common shift is straight between these knots.
    knots = np.concatenate([-weights, most - weights])
    order = np.argsort(knots)
    knots = knots[order]
    slopes = np.cumsum(np.repeat([1, -1], len(weights))[order])
    sums = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(knots))])
    at = min(np.searchsorted(sums, goal), len(sums) - 1)
    shift = knots[at] - (sums[at] - goal) / max(slopes[at - 1], 1)
    return np.clip(weights + shift, 0, most)
