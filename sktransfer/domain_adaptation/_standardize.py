"""Each domain at mean 0: scaled to unit variance, or to unit length."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.base import OneToOneFeatureMixin

from .._utils.names import set_module
from .._utils.validation import Interval
from ._base import BaseAdapter, is_varying, unit_rows

SOURCE, TARGET = "source", "target"


@set_module("sktransfer")
class DomainStandardScaler(OneToOneFeatureMixin, BaseAdapter):
    """Standardise each domain by its own mean and standard deviation.

    Parameters
    ----------
    with_mean, with_std : bool, default=True
        Centre, and scale to unit variance.

    Attributes
    ----------
    statistics_ : dict
        ``(mean, scale)`` of each domain, and of "source" and "target": all domains of
        that kind together. These two serve rows of domains that `fit` did not see, and
        rows without `sample_domain` if `fit` saw several target domains.
    n_features_in_ : int

    Notes
    -----
    A domain with one row has no standard deviation; it uses that of the source.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainStandardScaler
    >>> X = np.array([[0.0], [2.0], [10.0], [14.0]])
    >>> DomainStandardScaler().fit_transform(X, sample_domain=[0, 0, -1, -1]).ravel()
    array([-1.,  1., -1.,  1.])
    """

    _parameter_constraints = {"with_mean": ["boolean"], "with_std": ["boolean"]}

    def __init__(self, with_mean: bool = True, with_std: bool = True) -> None:
        self.with_mean = with_mean
        self.with_std = with_std

    def _learn(self, X, y, domain):
        fallback = _spread(X[domain >= 0], np.ones(X.shape[1]))
        self.statistics_ = {}
        for key, rows in domain_rows(domain):
            mean = X[rows].mean(axis=0) if self.with_mean else np.zeros(X.shape[1])
            scale = _spread(X[rows], fallback) if self.with_std else np.ones(X.shape[1])
            self.statistics_[key] = (mean, scale)

    def _map(self, X, domain):
        mapped = np.empty_like(X)
        for value in np.unique(domain):
            rows = domain == value
            mean, scale = self.statistics_[domain_key(self.statistics_, value)]
            mapped[rows] = (X[rows] - mean) / scale
        return mapped


@set_module("sktransfer")
class DomainNormalizer(OneToOneFeatureMixin, BaseAdapter):
    """Scale rows to unit length, centre each domain, and scale rows to one length.

    Afterwards, the cosine between two rows is measured from the mean of their own
    domain. For embeddings this works better than division by standard deviations, which
    magnifies columns that hardly vary. It does not suit measurements: of columns in
    different units, the one with the largest numbers decides the direction of a row.

    Parameters
    ----------
    length : float, default=2.0
        Length of every row afterwards. Longer rows make a regularised linear model less
        regularised.

    Attributes
    ----------
    statistics_ : dict
        Mean of each domain's unit-length rows, and of all "source" and all "target"
        rows.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainNormalizer
    >>> X = np.random.default_rng(0).normal(size=(6, 3)) + 5
    >>> X = DomainNormalizer().fit_transform(X, sample_domain=[0, 0, 0, -1, -1, -1])
    >>> np.linalg.norm(X, axis=1)
    array([2., 2., 2., 2., 2., 2.])
    """

    _parameter_constraints = {"length": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, length: float = 2.0) -> None:
        self.length = length

    def _learn(self, X, y, domain):
        if X.shape[1] == 1:
            raise ValueError(
                f"{type(self).__name__} got n_features=1: it keeps the direction of a "
                'row, which for one number is only its sign. Use "standardize" '
                "(DomainStandardScaler)."
            )
        X = unit_rows(X)
        self.statistics_ = {
            key: X[rows].mean(axis=0) for key, rows in domain_rows(domain)
        }

    def _map(self, X, domain):
        mapped = unit_rows(X)
        for value in np.unique(domain):
            key = domain_key(self.statistics_, value)
            mapped[domain == value] -= self.statistics_[key]
        return self.length * unit_rows(mapped)


def domain_rows(domain):
    """Yield each domain and both kinds of domain, with a mask of their rows."""
    for value in np.unique(domain):
        yield int(value), domain == value
    yield SOURCE, domain >= 0
    yield TARGET, domain < 0


def domain_key(statistics, value):
    """Return which statistics serve a domain: its own, else those of its kind."""
    if value in statistics:
        return int(value)
    return SOURCE if value >= 0 else TARGET


def _spread(X, fallback):
    """Return standard deviations; 1 for constant columns."""
    if len(X) < 2:
        return fallback
    return np.where(is_varying(X), X.std(axis=0), 1.0)
