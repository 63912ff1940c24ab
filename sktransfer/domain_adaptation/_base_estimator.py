"""The base of the two meta-estimators: adapters by name, then any estimator."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    clone,
)
from sklearn.utils.validation import (
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)

from .._utils.types import ArrayLike, Estimator, Transformer
from .._utils.validation import check_sample_weight, dense, on_host
from ._coral import CORALAdapter
from ._domains import (
    check_both_domains,
    resolve_domain,
    source_targets,
    spread_over_rows,
)
from ._optimal_transport import OptimalTransport
from ._pseudo_labels import PseudoLabels
from ._standardize import DomainNormalizer, DomainStandardScaler
from ._subspace import SubspaceAlignment, TransferComponentAnalysis
from ._weights import BaseWeights, DensityRatioWeights, KMMWeights

ADAPTERS = {
    "standardize": DomainStandardScaler,
    "normalize": DomainNormalizer,
    "coral": CORALAdapter,
    "subspace": SubspaceAlignment,
    "tca": TransferComponentAnalysis,
    "ot": OptimalTransport,
    "density_ratio": DensityRatioWeights,
    "kmm": KMMWeights,
    "pseudo_labels": PseudoLabels,
}


# What `adapter=` takes, and a list of.
AdapterLike: TypeAlias = str | Transformer | PseudoLabels


def _estimator_has(method):
    def check(self):
        inner = self.estimator_ if hasattr(self, "estimator_") else self._inner()
        getattr(inner, method)  # an AttributeError says what is missing
        return True

    return check


class BaseDomainAdaptation(MetaEstimatorMixin, BaseEstimator):
    """What the classifier and the regressor share.

    A subclass has `_DEFAULT`, the names behind ``adapter="auto"``, `_inner()`, an
    estimator that is not fitted, and `_check_targets(y)`.
    """

    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__predict = {"sample_domain": True}
    __metadata_request__predict_proba = {"sample_domain": True}
    __metadata_request__decision_function = {"sample_domain": True}

    def __init__(
        self,
        estimator: Estimator | None = None,
        adapter: AdapterLike | Sequence[AdapterLike] | None = "auto",
    ) -> None:
        self.estimator = estimator
        self.adapter = adapter

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Adapt the features, and fit the estimator on the source rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of the source and of the target.
        y : array-like of shape (n_samples,)
            That of target rows is never read: None, NaN, -1, anything.
        sample_domain : array-like of int of shape (n_samples,), default=None
            ``>= 0`` for rows of a source domain, ``< 0`` for rows of a target domain.
            With None all rows are source rows, and nothing is adapted.
        sample_weight : array-like of shape (n_samples,), default=None
            Row weights, passed to the estimator's `fit`. Adapters ignore them, and so
            do target rows.

        Returns
        -------
        self
        """
        steps, name = self._steps(), type(self).__name__
        if y is None:
            raise ValueError(
                f"{name} requires y to be passed, but the target y is None."
            )
        if sample_domain is None:
            X = validate_data(self, on_host(X), dtype=np.float64)
            steps, domain = [], np.zeros(len(X), dtype=np.int64)
        else:
            # Of its own: a transformer may work in place.
            X = validate_data(
                self,
                on_host(X),
                dtype=np.float64,
                copy=bool(steps),
                ensure_min_samples=2,
            )
            domain = check_both_domains(sample_domain, len(X), name)
        source = domain >= 0
        known = self._check_targets(source_targets(y, domain, name))
        weights = _source_weights(sample_weight, X, source)
        pseudo_labels = steps.pop() if _is_last_pseudo(steps) else None
        self.__dict__.pop("pseudo_labels_", None)
        X, factors = self._fit_adapters(steps, X, known, domain)
        if factors is not None:
            weights = factors if weights is None else weights * factors
        self.estimator_ = self._fit_source(X[source], known, weights)
        if pseudo_labels is not None:
            self.estimator_, self.pseudo_labels_ = pseudo_labels.fit_estimator(
                self.estimator_, X[source], known, X[~source], weights
            )
        return self

    def predict(
        self, X: ArrayLike, *, sample_domain: ArrayLike | None = None
    ) -> np.ndarray:
        """Predict.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            None takes every row as a target row.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        X = self.adapt(X, sample_domain=sample_domain)
        return self.estimator_.predict(X)

    def adapt(
        self, X: ArrayLike, *, sample_domain: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the features as `estimator_` gets them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            None takes every row as a target row.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
        """
        check_is_fitted(self)
        features = validate_data(
            self, on_host(X), dtype=np.float64, reset=False, copy=True
        )
        domain = resolve_domain(sample_domain, len(features), type(self).__name__)
        for adapter in self.adapters_:
            features = np.asarray(_transform(adapter, features, domain))
        return features

    def _steps(self):
        """Return new adapters, in order."""
        given: Any = self.adapter
        if isinstance(given, str) and given == "auto":
            given = self._DEFAULT
        if given is None:
            given = []
        if not isinstance(given, (list, tuple)):
            given = [given]
        steps = [self._step(one) for one in given]
        if any(isinstance(step, PseudoLabels) for step in steps[:-1]):
            raise ValueError(
                f"{type(self).__name__} got PseudoLabels before other adapters; it is "
                "what fits the estimator, so put it last."
            )
        return steps

    def _step(self, one):
        if isinstance(one, str) and one in ADAPTERS:
            return ADAPTERS[one]()
        is_adapter = hasattr(one, "fit") and hasattr(one, "transform")
        is_usable = is_adapter or isinstance(one, PseudoLabels)
        if isinstance(one, (str, type)) or not is_usable:
            raise ValueError(
                f"{type(self).__name__} got adapter={one!r}; expected 'auto', None, "
                f"one of {sorted(ADAPTERS)}, an adapter or transformer, or a list of "
                "these."
            )
        return clone(one)

    def _fit_adapters(self, steps, X, known, domain):
        """Fit them in a row; return the features, and weights of the source rows."""
        targets = spread_over_rows(known, domain)
        self.adapters_, factors = [], None
        for step in steps:
            if _takes_domains(step.fit):
                step.fit(X, targets, sample_domain=domain)
                X = _transform(step, X, domain)
            else:
                X = step.fit(X).transform(X)
            X = dense(X)
            if isinstance(step, BaseWeights):
                own = step.weights_[domain >= 0]
                factors = own if factors is None else factors * own
            self.adapters_.append(step)
        return X, factors

    def _fit_source(self, X, y, weights):
        inner = self._inner()
        if weights is None:
            return inner.fit(X, y)
        if not has_fit_parameter(inner, "sample_weight"):
            raise ValueError(
                f"{type(self).__name__} has weights for the rows, from sample_weight "
                f"or an adapter that weighs, but {type(inner).__name__}.fit takes no "
                "sample_weight. Use an estimator that does, or no weights."
            )
        return inner.fit(X, y, sample_weight=weights)


def _takes_domains(method):
    return "sample_domain" in inspect.signature(method).parameters


def _transform(step, X, domain):
    if _takes_domains(step.transform):
        return step.transform(X, sample_domain=domain)
    return step.transform(X)


def _is_last_pseudo(steps):
    return bool(steps) and isinstance(steps[-1], PseudoLabels)


def _source_weights(sample_weight, X, rows):
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.shape == (len(X),):
        weights, X = weights[rows], X[rows]
    return check_sample_weight(weights, X, dtype=np.float64)
