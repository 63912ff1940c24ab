"""CORAL: the source gets the covariance of the target."""

from __future__ import annotations

from numbers import Real
from typing import Literal

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.covariance import empirical_covariance, ledoit_wolf, shrunk_covariance

from .._utils.names import set_module
from .._utils.validation import Interval, StrOptions
from ._base import BaseAdapter, check_two_rows, is_varying


@set_module("sktransfer")
class CORALAdapter(OneToOneFeatureMixin, BaseAdapter):
    """Give the source rows the mean and the covariance of the target rows.

    Target rows do not change.

    Parameters
    ----------
    reg : "auto", float in [0, 1] or None, default="auto"
        Shrinkage of both covariances towards a multiple of the identity. "auto"
        estimates it for each covariance by Ledoit and Wolf's formula, on standardised
        features. None does not shrink.

    Attributes
    ----------
    mean_source_, mean_target_ : ndarray of shape (n_features,)
        Means of the source rows and of the target rows.
    mapping_ : ndarray of shape (n_features, n_features)
        Matrix by which centred source rows are multiplied.
    n_features_in_ : int

    References
    ----------
    Sun, Feng and Saenko (2016), `Return of Frustratingly Easy Domain Adaptation
    <https://arxiv.org/abs/1511.05547>`_.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import CORALAdapter
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(50, 2)), 3 * rng.normal(size=(50, 2))])
    >>> domain = np.repeat([0, -1], 50)
    >>> adapted = CORALAdapter(reg=None).fit_transform(X, sample_domain=domain)
    >>> np.allclose(np.cov(adapted[:50].T), np.cov(X[50:].T))
    True
    """

    _parameter_constraints = {
        "reg": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), None]
    }

    def __init__(self, reg: float | Literal["auto"] | None = "auto") -> None:
        self.reg = reg

    def _learn(self, X, y, domain):
        source, target = X[domain >= 0], X[domain < 0]
        check_two_rows(source, target, type(self).__name__)
        self.mean_source_ = source.mean(axis=0)
        self.mean_target_ = target.mean(axis=0)
        whiten = _power(_covariance(source, self.reg), -0.5)
        self.mapping_ = whiten @ _power(_covariance(target, self.reg), 0.5)

    def _map(self, X, domain):
        mapped, rows = X.copy(), domain >= 0
        mapped[rows] = (X[rows] - self.mean_source_) @ self.mapping_ + self.mean_target_
        return mapped


def _covariance(X, reg):
    centred = X - X.mean(axis=0)
    if reg == "auto":
        # A constant column has no variance, and shrinkage must not give it one.
        varies = is_varying(X)
        scale = centred[:, varies].std(axis=0)
        covariance = np.zeros((X.shape[1], X.shape[1]))
        if varies.any():
            found = ledoit_wolf(centred[:, varies] / scale, assume_centered=True)[0]
            covariance[np.ix_(varies, varies)] = found * np.outer(scale, scale)
        return covariance
    covariance = empirical_covariance(centred, assume_centered=True)
    return covariance if reg is None else shrunk_covariance(covariance, reg)


def _power(covariance, exponent):
    """Power of a covariance, on the directions in which the rows vary."""
    values, vectors = np.linalg.eigh(covariance)
    floor = len(values) * np.finfo(float).eps * max(values[-1], 0.0)
    keep = values > floor
    vectors = vectors[:, keep]
    return (vectors * values[keep] ** exponent) @ vectors.T
