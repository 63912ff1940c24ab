"""Base of the scorers: domains by metadata routing, and a model that knows them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import check_array

from .._utils.names import on_disk
from .._utils.parameters import Parametrized
from .._utils.types import ArrayLike, Estimator
from .._utils.validation import n_rows_of, on_host, take_rows
from ._domains import (
    SAMPLE_DOMAIN,
    check_routed_domain,
    domain_request,
    source_targets,
)

if TYPE_CHECKING:
    from sklearn.utils.metadata_routing import MetadataRequest


class BaseDomainScorer(Parametrized):
    """A callable for ``scoring=``, told the rows' domains by metadata routing.

    A subclass has `_score(estimator, X, y, domain)`, and `_NEEDS`, the kinds of domain
    of which it needs rows.
    """

    _NEEDS: tuple[str, ...] = ("target",)

    def get_metadata_routing(self) -> MetadataRequest:
        """Request ``sample_domain`` from scikit-learn's metadata routing.

        Returns
        -------
        MetadataRequest
        """
        return domain_request(self, "score")

    def __call__(
        self,
        estimator: Estimator,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_domain: ArrayLike | None = None,
    ) -> float:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like of shape (n_samples, n_features), or what the estimator takes
        y : array-like of shape (n_samples,), default=None
            Targets. The `y` of target rows is ignored.
        sample_domain : array-like of int of shape (n_samples,)
            Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows.

        Returns
        -------
        float
            Greater is better.

        Raises
        ------
        ValueError
            If `sample_domain` is missing or malformed, or a kind of row that the score
            needs is missing.
        TypeError
            If the estimator lacks a method that the score needs.
        """
        self._validate_params()
        name = type(self).__name__
        domain = check_routed_domain(sample_domain, n_rows_of(X), name)
        have = {"source": (domain >= 0).any(), "target": (domain < 0).any()}
        for kind in self._NEEDS:
            if not have[kind]:
                raise ValueError(
                    f"{name} got no {kind} rows among the {len(domain)} rows to score: "
                    f"{SAMPLE_DOMAIN}. Use cv=SourceTargetKFold(), which puts rows of "
                    "both kinds into every test part."
                )
        # Called by hand, where routing is off, a pipeline would not hand it on.
        with sklearn.config_context(enable_metadata_routing=True):
            return float(self._score(estimator, X, y, domain))

    def _score(self, estimator: Any, X: Any, y: Any, domain: np.ndarray) -> float:
        raise NotImplementedError

    def _source_targets(self, y, domain):
        name = type(self).__name__
        if y is None:
            raise ValueError(
                f"{name} needs y: it reads the targets of the source rows."
            )
        return source_targets(y, domain, name)

    def _target_probabilities(self, estimator, X, domain):
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"{type(self).__name__} needs predict_proba, which "
                f"{type(estimator).__name__} lacks. Use an estimator that has it, such "
                "as LogisticRegression, or CircularValidationScorer."
            )
        rows = np.flatnonzero(domain < 0)
        bound = InDomains(estimator, domain[rows])
        return np.asarray(bound.predict_proba(take_rows(X, rows)), dtype=float)


@on_disk
class InDomains:
    """A fitted estimator whose methods are told the domains of the rows they get.

    Parameters
    ----------
    estimator : estimator
        One that takes no ``sample_domain`` is called without.
    domain : ndarray of shape (n_samples,)
    """

    _METHODS = ("predict", "predict_proba", "decision_function", "transform")

    def __init__(self, estimator, domain):
        self._estimator, self._domain = estimator, domain

    def __getattr__(self, name):
        attribute = getattr(self._estimator, name)
        if name not in self._METHODS:
            return attribute
        routing = get_routing_for_object(self._estimator)
        if not routing.consumes(name, ["sample_domain"]):
            return attribute

        @functools.wraps(attribute)  # scikit-learn's scorers look at the name
        def call(X):
            return attribute(X, sample_domain=self._domain)

        return call


def scored(estimator, X, y, domain, scoring, **options):
    """Return what a scorer of scikit-learn makes of rows of known domains."""
    if scoring is None:
        scoring = "accuracy" if is_classifier(estimator) else "r2"
    scorer = get_scorer(scoring)
    return scorer(InDomains(estimator, domain), X, y, **options)


def features_before_last(estimator, X, domain, name):
    """Return what the last step of a pipeline gets, or `X` where there are no steps.

    Raises
    ------
    ValueError
        If that is not a matrix of numbers.
    """
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = InDomains(estimator[:-1], domain).transform(X)
    try:
        return check_array(on_host(X), dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValueError(
            f"{name} weights rows by their features, and cannot use these: {err} Put "
            "the step that makes numbers of the rows, such as an encoder, before the "
            "last step of a Pipeline."
        ) from err
