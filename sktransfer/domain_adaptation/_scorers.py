"""Scores of a fitted model in the target, without the target's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
from scipy.special import entr
from sklearn.base import clone, is_classifier
from sklearn.dummy import DummyClassifier
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._utils.names import set_module
from .._utils.validation import Interval, shorten, take_rows
from ._base import unit_rows
from ._domains import (
    spread_over_rows,
)
from ._scorer_base import BaseDomainScorer, InDomains, features_before_last, scored
from ._weights import DensityRatioWeights, KMMWeights

BATCH = 512  # rows of a matrix of similarities that are held at once


@set_module("sktransfer")
class PredictionEntropyScorer(BaseDomainScorer):
    """Confidence of a classifier on target rows: minus the mean entropy, in nats.

    A confident but wrong model scores well, and so does a model that predicts one class
    for all rows. `InformationMaximizationScorer` detects the latter.

    References
    ----------
    Morerio et al. (2018), `Minimal-Entropy Correlation Alignment for Unsupervised Deep
    Domain Adaptation <https://arxiv.org/abs/1711.10288>`_.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktransfer import PredictionEntropyScorer
    >>> X, y, domain = [[0.0], [1.0], [0.4], [0.6]], [0, 1, -1, -1], [0, 0, -1, -1]
    >>> weak = LogisticRegression(C=1).fit(X[:2], y[:2])
    >>> strong = LogisticRegression(C=1000).fit(X[:2], y[:2])
    >>> score = PredictionEntropyScorer()
    >>> score(weak, X, sample_domain=domain) < score(strong, X, sample_domain=domain)
    True
    """

    def _score(self, estimator, X, y, domain):
        proba = self._target_probabilities(estimator, X, domain)
        return -entr(proba).sum(axis=1).mean()


@set_module("sktransfer")
class InformationMaximizationScorer(BaseDomainScorer):
    """Confidence on each target row, and variety of classes over the rows, in nats.

    The score is the entropy of the mean prediction minus the mean entropy of the
    predictions: the mutual information of rows and predicted classes. It favours
    classes of equal size.

    References
    ----------
    Musgrave, Belongie and Lim (2022), `Three New Validators and a Large-Scale Benchmark
    Ranking for Unsupervised Domain Adaptation <https://arxiv.org/abs/2208.07360>`_.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sktransfer import InformationMaximizationScorer
    >>> model = DummyClassifier().fit([[0.0], [1.0], [1.0]], [0, 1, 1])
    >>> score = InformationMaximizationScorer()
    >>> score(model, [[0.0], [1.0]], sample_domain=[-1, -1])
    0.0
    """

    def _score(self, estimator, X, y, domain):
        proba = self._target_probabilities(estimator, X, domain)
        return entr(proba.mean(axis=0)).sum() - entr(proba).sum(axis=1).mean()


@set_module("sktransfer")
class SoftNeighborhoodDensityScorer(BaseDomainScorer):
    """Density of the groups of target rows that get similar predictions.

    The score is the mean entropy of the similarities between predictions of target
    rows. It is high if each row has many neighbours with the same prediction.

    Parameters
    ----------
    temperature : float, default=0.05
        Temperature of the softmax over the similarities. The default is that of the
        paper.

    Notes
    -----
    A model that predicts one class for all rows scores best. Compare scores of the same
    rows only: they grow with the number of rows.

    References
    ----------
    Saito et al. (2021), `Tune it the Right Way: Unsupervised Validation of Domain
    Adaptation via Soft Neighborhood Density <https://arxiv.org/abs/2108.10860>`_.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sktransfer import SoftNeighborhoodDensityScorer
    >>> model = KNeighborsClassifier(1).fit([[0.0], [4.0]], [0, 1])
    >>> score = SoftNeighborhoodDensityScorer()
    >>> X = [[0.0], [0.1], [0.2], [3.9], [4.0], [4.1]]  # two groups of three
    >>> round(score(model, X, sample_domain=[-1] * 6), 2)  # log(2): two neighbours each
    0.69
    """

    _parameter_constraints = {
        "temperature": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, temperature: float = 0.05) -> None:
        self.temperature = temperature

    def _score(self, estimator, X, y, domain):
        rows = unit_rows(self._target_probabilities(estimator, X, domain))
        if len(rows) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 target rows to score; got 1. "
                "Use fewer folds, or SourceTargetKFold(target='both')."
            )
        total = 0.0
        for part in gen_batches(len(rows), BATCH):
            likeness = rows[part] @ rows.T / self.temperature
            places = np.arange(part.start, part.stop)
            likeness[np.arange(len(places)), places] = -np.inf  # nobody's neighbour
            likeness -= likeness.max(axis=1, keepdims=True)
            likeness = np.exp(likeness)
            likeness /= likeness.sum(axis=1, keepdims=True)
            total += entr(likeness).sum()
        return total / len(rows)


@set_module("sktransfer")
class ImportanceWeightedScorer(BaseDomainScorer):
    """Score on source rows, weighted by how similar they are to target rows.

    Suits domains that differ only in how frequent each kind of row is. The source rows
    to score should be new to the model, as `SourceTargetKFold` makes them.

    Parameters
    ----------
    scoring : str or scorer, default=None
        Scorer of scikit-learn that takes ``sample_weight``. None is "accuracy" for
        classifiers and "r2" for regressors.
    weights : DensityRatioWeights or KMMWeights, default=None
        Estimator of the row weights. In a pipeline it uses the features that reach the
        last step. None is ``DensityRatioWeights()``.

    References
    ----------
    Sugiyama, Krauledat and Müller (2007), Covariate Shift Adaptation by Importance
    Weighted Cross Validation.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktransfer import ImportanceWeightedScorer
    >>> X, y = [[0.0], [1.0], [2.0], [1.9], [2.1]], [0, 1, 0, None, None]
    >>> domain = [0, 0, 0, -1, -1]
    >>> model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> score = ImportanceWeightedScorer()  # the wrong row is like the target's
    >>> score(model, X, y, sample_domain=domain) < model.score(X[:3], y[:3])
    True
    """

    _NEEDS = ("source", "target")
    _parameter_constraints = {
        "scoring": [str, callable, None],
        "weights": [DensityRatioWeights, KMMWeights, None],
    }

    def __init__(
        self,
        scoring: str | Callable[..., Any] | None = None,
        weights: DensityRatioWeights | KMMWeights | None = None,
    ) -> None:
        self.scoring = scoring
        self.weights = weights

    def _score(self, estimator, X, y, domain):
        rows = np.flatnonzero(domain >= 0)
        known = self._source_targets(y, domain)
        weigher = DensityRatioWeights() if self.weights is None else clone(self.weights)
        features = features_before_last(estimator, X, domain, type(self).__name__)
        weigher.fit(features, sample_domain=domain)
        return scored(
            estimator,
            take_rows(X, rows),
            known,
            domain[rows],
            self.scoring,
            sample_weight=weigher.weights_[rows],
        )


@set_module("sktransfer")
class EnsembleAgreementScorer(BaseDomainScorer):
    """Agreement of a classifier with the mean of all candidates, on target rows.

    The mean probabilities of the candidates serve as labels. The candidate that this
    score picks is hardly ever among the worst.

    Parameters
    ----------
    estimators : list of fitted classifiers
        Candidates: classifiers of the same classes, usually one per setting of a
        search.

    References
    ----------
    Hu et al. (2024), Towards Reliable Model Selection for Unsupervised Domain
    Adaptation: An Empirical Study and a Certified Baseline.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainAdaptationClassifier, EnsembleAgreementScorer
    >>> y, domain = np.tile([0, 1], 20), np.repeat([0, -1], 20)
    >>> X = y[:, None] + 5.0 * (domain < 0)[:, None]
    >>> models = [
    ...     DomainAdaptationClassifier(adapter=adapter).fit(X, y, sample_domain=domain)
    ...     for adapter in (None, "standardize", "coral")
    ... ]
    >>> score = EnsembleAgreementScorer(models)
    >>> [score(model, X, sample_domain=domain) for model in models]
    [0.5, 1.0, 1.0]
    """

    _parameter_constraints = {"estimators": [list, tuple]}

    def __init__(self, estimators: Sequence[Any]) -> None:
        self.estimators = estimators

    def __sklearn_clone__(self) -> Self:
        return type(self)(self.estimators)  # they stay fitted

    def _score(self, estimator, X, y, domain):
        if not self.estimators:
            raise ValueError(
                f"{type(self).__name__} got no estimators; pass one fitted classifier "
                "for each setting to compare."
            )
        total = 0.0
        for one in self.estimators:
            check_is_fitted(one)
            if not np.array_equal(one.classes_, estimator.classes_):
                raise ValueError(
                    f"{type(self).__name__} got an estimator of the classes "
                    f"{shorten(one.classes_.tolist())} to score one of "
                    f"{shorten(estimator.classes_.tolist())}; expected the same "
                    "classes."
                )
            total = total + self._target_probabilities(one, X, domain)
        believed = np.argmax(total, axis=1)
        own = self._target_probabilities(estimator, X, domain).argmax(axis=1)
        return np.mean(own == believed)


@set_module("sktransfer")
class CircularValidationScorer(BaseDomainScorer):
    """Score of the way back: predictions on target rows, as labels for the source.

    A copy of the estimator is fitted on the target rows with their predicted labels,
    and with the source as its target domain. The copy is scored on the source rows,
    whose labels are known. Each score costs one fit.

    Parameters
    ----------
    scoring : str or scorer, default=None
        Scorer of scikit-learn. None is "accuracy" for classifiers and "r2" for
        regressors.

    References
    ----------
    Bruzzone and Marconcini (2010), Domain Adaptation Problems: A DASVM Classification
    Technique and a Circular Validation Strategy.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import CircularValidationScorer, DomainAdaptationClassifier
    >>> y, domain = np.tile([0, 1], 20), np.repeat([0, -1], 20)
    >>> X = y[:, None] + 5.0 * (domain < 0)[:, None]
    >>> score = CircularValidationScorer()
    >>> for adapter in (None, "standardize"):
    ...     model = DomainAdaptationClassifier(adapter=adapter)
    ...     model = model.fit(X, y, sample_domain=domain)
    ...     print(score(model, X, y, sample_domain=domain))
    0.5
    1.0
    """

    _NEEDS = ("source", "target")
    _parameter_constraints = {"scoring": [str, callable, None]}

    def __init__(self, scoring: str | Callable[..., Any] | None = None) -> None:
        self.scoring = scoring

    def _score(self, estimator, X, y, domain):
        known = self._source_targets(y, domain)
        source, target = np.flatnonzero(domain >= 0), np.flatnonzero(domain < 0)
        bound = InDomains(estimator, domain[target])
        predicted = np.asarray(bound.predict(take_rows(X, target)))
        if is_classifier(estimator) and len(np.unique(predicted)) < 2:
            back = DummyClassifier().fit(np.zeros((len(target), 1)), predicted)
        else:
            backward = ~domain  # 0 for -1, -1 for 0, and so on
            labels = spread_over_rows(predicted, backward)
            back = clone(estimator).fit(X, labels, sample_domain=backward)
        X, there = take_rows(X, source), ~domain[source]
        return scored(back, X, known, there, self.scoring)
