"""Base class and helpers of the adapters."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils import torch_output  # noqa: F401  (set_output(transform="torch"))
from .._utils.callbacks import CallbackSupport, with_callbacks
from .._utils.types import ArrayLike
from .._utils.validation import on_host
from ._domains import check_both_domains, resolve_domain, source_targets


class BaseAdapter(CallbackSupport, TransformerMixin, BaseEstimator):
    """A transformer that brings source and target rows closer together.

    A subclass has `_learn(X, y, domain)`, where `y` is that of the source rows or None,
    and `_map(X, domain)`, which returns an array of its own.
    """

    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__transform = {"sample_domain": True}

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Learn from the features of both domains.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Targets, for adapters that use labels. The `y` of target rows is ignored.
        sample_domain : array-like of int of shape (n_samples,)
            ``>= 0`` for rows of a source domain, ``< 0`` for rows of a target domain.

        Returns
        -------
        self
        """
        self._fit_rows(X, y, sample_domain)
        return self

    @with_callbacks
    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> np.ndarray:
        """Fit, and transform each of the same rows by its domain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
        sample_domain : array-like of int of shape (n_samples,)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
        """
        X, domain = self._fit_rows(X, y, sample_domain)
        return self._map(X, domain)

    def transform(
        self, X: ArrayLike, *, sample_domain: ArrayLike | None = None
    ) -> np.ndarray:
        """Transform rows by their domains.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            Domain of each row, as in `fit`. None treats every row as a target row.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        X = validate_data(self, on_host(X), dtype=np.float64, reset=False)
        return self._map(X, resolve_domain(sample_domain, len(X), type(self).__name__))

    def _fit_rows(self, X, y, sample_domain):
        self._validate_params()
        X = validate_data(self, on_host(X), dtype=np.float64, ensure_min_samples=2)
        name = type(self).__name__
        domain = check_both_domains(sample_domain, len(X), name)
        known = None if y is None else source_targets(y, domain, name)
        with self._fit_task(X, y):
            self._learn(X, known, domain)
        return X, domain


def check_two_rows(source, target, name):
    """Return how many rows the smaller kind of domain has, at least 2.

    Raises
    ------
    ValueError
        If a kind has one row only, which has no spread.
    """
    fewest = min(len(source), len(target))
    if fewest < 2:
        raise ValueError(
            f"{name} needs at least 2 rows of each kind of domain; got {len(source)} "
            f"source and {len(target)} target rows. Add rows, or leave {name} out."
        )
    return fewest


def is_varying(X):
    """Whether each column has a spread beyond the rounding of its own numbers."""
    level = np.abs(X).max(axis=0)
    return X.std(axis=0) > 10 * np.finfo(float).eps * level


def effective_rows(weights):
    """Return how many rows of one weight would be as good (Kish)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def kernel_width(gamma, X):
    """Return the coefficient of a kernel; "scale" goes by the variance of the rows."""
    if gamma == "scale":
        return 1 / (X.shape[1] * (X.var() or 1.0))
    return 1 / X.shape[1] if gamma is None else gamma


def unit_rows(X):
    """Return the rows at length 1; rows of zeros stay."""
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)


def check_n_components(n_components, most, name, what, few=None):
    """Return a number of components that the rows allow; "auto" is `few` or fewer.

    Raises
    ------
    ValueError
        If more are asked for than there can be.
    """
    if n_components is None:
        return most
    if n_components == "auto":
        return min(few, most)
    if n_components > most:
        raise ValueError(
            f"{name} got n_components={n_components}, but {what} allow at most {most}; "
            "lower it, or use None for as many as possible."
        )
    return n_components
