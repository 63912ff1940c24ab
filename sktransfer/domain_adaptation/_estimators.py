"""Any estimator of scikit-learn, on adapted features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    RegressorMixin,
    clone,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_is_fitted,
)

from .._utils.names import set_module
from .._utils.routing import given, route
from .._utils.score import LabelScore
from .._utils.types import ArrayLike, Estimator
from ._automatic import choose
from ._base_estimator import (
    AdapterLike,
    BaseDomainAdaptation,
    _ends,
    _estimator_has,
)
from ._class_shares import estimate_shares
from ._domains import resolve_domain
from ._label_shift import corrected_answer


@set_module("sktransfer")
class DomainAdaptationClassifier(LabelScore, ClassifierMixin, BaseDomainAdaptation):
    """Classify rows of a target domain without labels, with labels of a source domain.

    Parameters
    ----------
    estimator : classifier, default=None
        Classifier of the adapted features. None is
        ``LogisticRegression(max_iter=1000)``.
    adapter : str, transformer, list of these, or None, default="auto"
        Steps that adapt the features, in order. "auto", meant for embeddings, chooses
        the steps by what has changed between the domains (see Notes); "standardize"
        suits measurements in different units. None adapts nothing. The names:

        - "standardize": `DomainStandardScaler`
        - "normalize": `DomainNormalizer`
        - "coral": `CORALAdapter`
        - "subspace": `SubspaceAlignment`
        - "tca": `TransferComponentAnalysis`
        - "ot": `OptimalTransport`
        - "density_ratio": `DensityRatioWeights`
        - "kmm": `KMMWeights`
        - "pseudo_labels": `PseudoLabels`, which must be last
        - "label_shift": `LabelShiftCorrection`, which must be last

        A transformer of scikit-learn is fitted on all rows, without labels.

    Attributes
    ----------
    estimator_ : classifier
        Classifier fitted on the adapted source rows, and with "pseudo_labels" also on
        target rows with their `pseudo_labels_`.
    adapters_ : list of transformers
        Fitted adapters, in order.
    pseudo_labels_ : ndarray of shape (n_target,)
        Labels of the target rows in the last round of "pseudo_labels".
    shift_ : str
        With "auto", the kind of shift that was found (see Notes).
    target_shares_ : ndarray of shape (n_classes,)
        Estimated class shares of the target, where they were estimated.
    temperature_ : float
    class_factors_ : ndarray of shape (n_classes,)
        Temperature and factors that correct the probabilities of target rows, if there
        is a correction. Corrected probabilities are those of `estimator_` to the power
        of ``1 / temperature_``, times the factors, scaled to a sum of 1.
    classes_ : ndarray
        Classes of the source rows. No other class can be predicted.
    n_features_in_ : int

    See Also
    --------
    domain_shift : How far the target is from the source.
    sktransfer.inspection.DomainShiftDisplay : Draws the domains before and after.

    Notes
    -----
    "auto" estimates the class shares of the target. Then it tests whether a classifier
    can tell the domains apart once both have the same class shares, as `domain_shift`
    does:

    =================  =============================  ================================
    `shift_`           meaning                        steps
    =================  =============================  ================================
    "nothing"          the domains are alike          none
    "class shares"     only the class shares differ   "label_shift"
    "features"         rows of a class differ         "normalize", "coral",
                                                      "normalize", "pseudo_labels"
    "weak classifier"  rows of a class differ, but    none
                       the source's classifier is
                       weak: on rows set aside, less
                       than 0.3 of the way from
                       guessing to perfect
    "unclear"          there are too few rows         none
    =================  =============================  ================================

    With "features" the estimated class shares are not used. Where rows of a class have
    moved as well, the estimates were wrong by 0.02 to 0.9 on the benchmarks' data sets,
    and no check that was tried separated good estimates from bad ones.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainAdaptationClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 20)
    >>> centres = np.where(y == "ham", -2.0, 2.0)[:, None]
    >>> source = centres + rng.normal(size=(40, 3))
    >>> target = centres + rng.normal(size=(40, 3)) + 6
    >>> X, labels = np.concatenate([source, target]), np.append(y, [None] * 40)
    >>> domain = np.repeat([0, -1], 40)
    >>> model = DomainAdaptationClassifier(adapter="standardize")
    >>> model.fit(X, labels, sample_domain=domain).score(target, y)
    1.0
    >>> model.set_params(adapter=None).fit(X, labels, sample_domain=domain)
    DomainAdaptationClassifier(adapter=None)
    >>> model.score(target, y)
    0.5
    """

    _DEFAULT = ("normalize", "coral", "normalize", "pseudo_labels")

    def __init__(
        self,
        estimator: Estimator | None = None,
        adapter: AdapterLike | Sequence[AdapterLike] | None = "auto",
    ) -> None:
        super().__init__(estimator, adapter)

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the source rows."""
        check_is_fitted(self)
        return self.estimator_.classes_

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(
        self,
        X: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        **params: Any,
    ) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            Domain of each row, as in `fit`. None treats every row as a target row.
        **params : dict
            Metadata for the estimator and the adapters that request it.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._predict("predict_proba", X, sample_domain, params)

    @available_if(_estimator_has("decision_function"))
    def decision_function(
        self,
        X: ArrayLike,
        *,
        sample_domain: ArrayLike | None = None,
        **params: Any,
    ) -> np.ndarray:
        """Return the estimator's decision values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_domain : array-like of int of shape (n_samples,), default=None
            Domain of each row, as in `fit`. None treats every row as a target row.
        **params : dict
            Metadata for the estimator and the adapters that request it.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return self._predict("decision_function", X, sample_domain, params)

    def _inner(self):
        if self.estimator is None:
            return LogisticRegression(max_iter=1000)
        return clone(self.estimator)

    def _chosen(self, steps, X, y, X_target, weights, params):
        inner, name = self._inner(), type(self).__name__
        if weights is not None:
            self._check_takes_weights(inner)
        self.shift_, steps, shares = choose(
            steps, inner, X, y, X_target, name=name, weights=weights, params=params
        )
        if shares is not None:
            self.target_shares_ = shares.target
        return steps, shares

    def _correct(self, correction, shares, X, y, X_target, weights, params):
        if shares is None:
            shares = estimate_shares(
                self._inner(),
                X,
                y,
                X_target,
                name=type(correction).__name__,
                fitted=self.estimator_,
                weights=weights,
                params=params,
            )
        self.target_shares_ = shares.target
        factors = correction._factors(shares)
        if factors is not None:
            self.temperature_, self.class_factors_ = 1 / shares.scale, factors

    def _predict(self, method, X, sample_domain, params):
        if not hasattr(self, "class_factors_"):
            return super()._predict(method, X, sample_domain, params)
        routed, name = route(self, method, params), type(self).__name__
        X = self._adapt(X, sample_domain, routed)
        options = given(routed, "estimator", method)
        is_target = resolve_domain(sample_domain, len(X), name) < 0
        parts = {}
        if is_target.any():
            parts[True] = corrected_answer(
                method,
                self.estimator_,
                X[is_target],
                self.temperature_,
                self.class_factors_,
                name=name,
                params=options,
            )
        if not is_target.all():
            answer = getattr(self.estimator_, method)
            parts[False] = answer(X[~is_target], **options)
        some = next(iter(parts.values()))
        whole = np.empty((len(X), *some.shape[1:]), dtype=some.dtype)
        for kind, part in parts.items():
            whole[is_target == kind] = part
        return whole

    def _check_targets(self, y):
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError(
                f"{type(self).__name__} needs source rows of at least 2 classes; got 1 "
                f"class: {np.unique(y)[0]!r}. Add source rows of another class."
            )
        return y


@set_module("sktransfer")
class DomainAdaptationRegressor(LabelScore, RegressorMixin, BaseDomainAdaptation):
    """Predict numbers in a target domain without `y`, with the `y` of a source domain.

    Parameters
    ----------
    estimator : regressor, default=None
        Regressor of the adapted features. None is ``Ridge()``.
    adapter : str, transformer, list of these, or None, default="auto"
        Steps that adapt the features, as in `DomainAdaptationClassifier`, except
        "pseudo_labels" and "label_shift", which need classes. "auto" is
        ``["standardize"]``.

    Attributes
    ----------
    estimator_ : regressor
        Regressor fitted on the adapted source rows.
    adapters_ : list of transformers
        Fitted adapters, in order.
    n_features_in_ : int

    Notes
    -----
    Every adapter that centres the domains treats the difference of their means as
    shift. If the mean of `y` also differs in the target domain, that difference is
    lost.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainAdaptationRegressor
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> y, domain = X[:, 0].copy(), np.repeat([0, -1], 20)
    >>> X[20:] += 5
    >>> y[20:] = np.nan
    >>> model = DomainAdaptationRegressor().fit(X, y, sample_domain=domain)
    >>> model.predict(X[20:]).shape
    (20,)
    """

    _DEFAULT = ("standardize",)

    def __init__(
        self,
        estimator: Estimator | None = None,
        adapter: AdapterLike | Sequence[AdapterLike] | None = "auto",
    ) -> None:
        super().__init__(estimator, adapter)

    def _inner(self):
        return Ridge() if self.estimator is None else clone(self.estimator)

    def _check_targets(self, y):
        return np.asarray(y, dtype=np.float64)

    def _steps(self):
        steps = super()._steps()
        if _ends(steps):
            raise ValueError(
                f"DomainAdaptationRegressor got {type(steps[-1]).__name__}, which "
                "needs classes. Remove it from adapter, or use "
                "DomainAdaptationClassifier."
            )
        return steps
