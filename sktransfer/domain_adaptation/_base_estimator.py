"""The base of the two meta-estimators: adapters by name, then any estimator."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

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

from .._utils.callbacks import CallbackSupport, with_callbacks
from .._utils.routing import asks_for, given, of_rows, route, router_of
from .._utils.types import ArrayLike, Estimator, Transformer
from .._utils.validation import check_sample_weight, dense, on_host
from ._coral import CORALAdapter
from ._domains import (
    check_both_domains,
    resolve_domain,
    source_targets,
    spread_over_rows,
)
from ._label_shift import LabelShiftCorrection
from ._optimal_transport import OptimalTransport
from ._pseudo_labels import PseudoLabels
from ._standardize import DomainNormalizer, DomainStandardScaler
from ._subspace import SubspaceAlignment, TransferComponentAnalysis
from ._weights import BaseWeights, DensityRatioWeights, KMMWeights

if TYPE_CHECKING:
    from sklearn.utils.metadata_routing import MetadataRouter

PREDICTIONS = ("predict", "predict_proba", "decision_function")
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
    "label_shift": LabelShiftCorrection,
}
LAST = (PseudoLabels, LabelShiftCorrection)  # they fit or correct the estimator
OF_FIT = (
    "pseudo_labels_",
    "shift_",
    "target_shares_",
    "temperature_",
    "class_factors_",
)


# What `adapter=` takes, and a list of.
AdapterLike: TypeAlias = str | Transformer | PseudoLabels | LabelShiftCorrection


def _estimator_has(method):
    def check(self):
        inner = self.estimator_ if hasattr(self, "estimator_") else self._inner()
        getattr(inner, method)  # an AttributeError says what is missing
        return True

    return check


class BaseDomainAdaptation(CallbackSupport, MetaEstimatorMixin, BaseEstimator):
    """Base class of the classifier and the regressor.

    A subclass has `_DEFAULT`, the names behind ``adapter="auto"``, `_inner()`, an
    estimator that is not fitted, and `_check_targets(y)`. It may have `_chosen`, for
    ``adapter="auto"``. One that takes a `LabelShiftCorrection` has `_correct`.
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

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Adapt the features, and fit the estimator on the source rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features of the source rows and the target rows.
        y : array-like of shape (n_samples,)
            Targets. The `y` of target rows is ignored and may be anything, such as
            None, NaN or -1.
        sample_domain : array-like of int of shape (n_samples,), default=None
            Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows. None
            treats all rows as source rows, and nothing is adapted.
        sample_weight : array-like of shape (n_samples,), default=None
            Row weights of the source rows, passed to the estimator's `fit`. Adapters
            get them only if they request them by ``set_fit_request``.
        **params : dict
            Metadata for the estimator and the adapters that request it. The estimator
            gets the entries of its rows. Needs scikit-learn's metadata routing.

        Returns
        -------
        self
        """
        steps, name = self._steps(), type(self).__name__
        routed = route(self, "fit", params)
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
        of_fit = dict(given(routed, "estimator", "fit"))
        sample_weight = of_fit.pop("sample_weight", sample_weight)  # by another name
        # Source rows first, then target rows, as PseudoLabels has them.
        order = np.argsort(~source, kind="stable")
        of_fit = of_rows(of_fit, order, len(X))
        of_source = of_rows(of_fit, np.arange(len(known)), len(X))
        weights = _source_weights(sample_weight, X, source)
        for one in OF_FIT:
            self.__dict__.pop(one, None)
        shares = None
        if steps and self._is_auto():
            parts = X[source], known, X[~source]
            steps, shares = self._chosen(steps, *parts, weights, of_source)
        last = steps.pop() if _ends(steps) else None
        n_subtasks = len(steps) + 1 + isinstance(last, PseudoLabels)
        with self._fit_task(X, y, n_subtasks) as task:
            passed = {"sample_domain": domain, "sample_weight": sample_weight}
            X, factors = self._fit_adapters(steps, X, known, passed, routed, task)
            if factors is not None:
                weights = factors if weights is None else weights * factors
            self.estimator_ = self._fit_source(
                X[source], known, weights, of_source, task.subtask("fit-source-rows")
            )
            if isinstance(last, LabelShiftCorrection):
                parts = X[source], known, X[~source]
                self._correct(last, shares, *parts, weights, of_source)
            elif last is not None:
                rounds = task.subtask("pseudo-labels", last.n_rounds)
                with rounds:
                    self.estimator_, self.pseudo_labels_ = last._fit_rounds(
                        self.estimator_,
                        X[source],
                        known,
                        X[~source],
                        weights,
                        params=of_fit,
                        task=rounds,
                        is_watched=self.estimator is not None,
                    )
        return self

    def predict(
        self,
        X: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        **params: Any,
    ) -> np.ndarray:
        """Predict the target of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            Domain of each row, as in `fit`. None treats every row as a target row.
        **params : dict
            Metadata for the estimator and the adapters that request it.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self._predict("predict", X, sample_domain, params)

    def adapt(
        self, X: ArrayLike, *, sample_domain: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the adapted features, as `estimator_` gets them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            Domain of each row, as in `fit`. None treats every row as a target row.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
        """
        return self._adapt(X, sample_domain, {})

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata goes to the estimator and which to the adapters.

        Returns
        -------
        MetadataRouter
        """
        to_estimator = {method: [method] for method in ("fit", *PREDICTIONS)}
        to_adapter = {method: ["transform"] for method in PREDICTIONS}
        to_adapter["fit"] = ["fit", "transform"]
        inner = {
            f"adapter_{i}": (one, to_adapter)
            for i, one in enumerate(self._adapters())
            if not isinstance(one, LAST)
        }
        inner["estimator"] = (self.estimator, to_estimator)
        return router_of(self, inner, takes_some=True)

    def _predict(self, method, X, sample_domain, params):
        routed = route(self, method, params)
        X = self._adapt(X, sample_domain, routed)
        predict = getattr(self.estimator_, method)
        return predict(X, **given(routed, "estimator", method))

    def _adapt(self, X, sample_domain, routed):
        check_is_fitted(self)
        features = validate_data(
            self, on_host(X), dtype=np.float64, reset=False, copy=True
        )
        domain = resolve_domain(sample_domain, len(features), type(self).__name__)
        for i, adapter in enumerate(self.adapters_):
            params = given(routed, f"adapter_{i}", "transform")
            features = dense(_transform(adapter, features, domain, params))
        return features

    def _is_auto(self):
        return isinstance(self.adapter, str) and self.adapter == "auto"

    def _chosen(self, steps, X, y, X_target, weights, params):
        """Return the steps of "auto" for these rows, and class shares or None."""
        return steps, None

    def _adapters(self):
        """Return what `adapter` stands for, as a list."""
        adapters: Any = self._DEFAULT if self._is_auto() else self.adapter
        if adapters is None:
            return []
        return adapters if isinstance(adapters, (list, tuple)) else [adapters]

    def _steps(self):
        """Return new adapters, in order."""
        steps = [self._step(one) for one in self._adapters()]
        for step in steps[:-1]:
            if isinstance(step, LAST):
                raise ValueError(
                    f"{type(self).__name__} got {type(step).__name__} before other "
                    "adapters, but it works on the estimator and not on the features. "
                    "Put it last, and use only one adapter of its kind."
                )
        return steps

    def _step(self, one):
        if isinstance(one, str) and one in ADAPTERS:
            return ADAPTERS[one]()
        is_adapter = hasattr(one, "fit") and hasattr(one, "transform")
        is_usable = is_adapter or isinstance(one, LAST)
        if isinstance(one, (str, type)) or not is_usable:
            raise ValueError(
                f"{type(self).__name__} got adapter={one!r}; expected 'auto', None, "
                f"one of {sorted(ADAPTERS)}, an adapter or transformer, or a list of "
                "these."
            )
        return clone(one)

    def _fit_adapters(self, steps, X, known, passed, routed, task):
        """Fit them in a row; return the features, and weights of the source rows."""
        domain = passed["sample_domain"]
        targets = spread_over_rows(known, domain)
        passed = {name: value for name, value in passed.items() if value is not None}
        self.adapters_, factors = [], None
        for i, step in enumerate(steps):
            to_step = routed.get(f"adapter_{i}") or {}
            of_fit = {name: passed[name] for name in asks_for(step, "fit", passed)}
            of_fit |= to_step.get("fit", {})
            rows: tuple[Any, ...] = (X,)
            if _takes_domains(step, "fit"):
                rows = (X, targets)
                of_fit["sample_domain"] = domain
            with task.subtask("fit-adapter").fitting(step):
                step.fit(*rows, **of_fit)
            X = dense(_transform(step, X, domain, to_step.get("transform", {})))
            if isinstance(step, BaseWeights):
                own = step.weights_[domain >= 0]
                factors = own if factors is None else factors * own
            self.adapters_.append(step)
        return X, factors

    def _fit_source(self, X, y, weights, params, task):
        inner = self._inner()
        if weights is not None:
            self._check_takes_weights(inner)
            params = params | {"sample_weight": weights}
        with task.fitting(None if self.estimator is None else inner):
            return inner.fit(X, y, **params)

    def _check_takes_weights(self, inner):
        if not has_fit_parameter(inner, "sample_weight"):
            raise ValueError(
                f"{type(self).__name__} has row weights, from sample_weight or an "
                f"adapter that weights rows, but {type(inner).__name__}.fit takes no "
                "sample_weight. Use an estimator that does, or no weights."
            )


def _takes_domains(step, method):
    """Whether a method has the parameter, or hands it on to one that asks for it."""
    parameters = inspect.signature(getattr(step, method)).parameters
    name = "sample_domain"
    return name in parameters or bool(asks_for(step, method, [name]))


def _transform(step, X, domain, params):
    if _takes_domains(step, "transform"):
        params = params | {"sample_domain": domain}
    return step.transform(X, **params)


def _ends(steps):
    """Whether the last step works on the estimator."""
    return bool(steps) and isinstance(steps[-1], LAST)


def _source_weights(sample_weight, X, rows):
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.shape == (len(X),):
        weights, X = weights[rows], X[rows]
    return check_sample_weight(weights, X, dtype=np.float64)
