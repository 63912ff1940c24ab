"""What a classifier and a regressor add to the base."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from .._utils.choices import Choices
from .._utils.score import LabelScore
from .._utils.types import ArrayLike, Cells
from .._utils.validation import Interval, StrOptions
from ._base import AUTOMATIC, BaseFineTuner
from ._codec import ClassCodec, NumberCodec
from ._domain_losses import LOSSES
from ._heads import HEADS

if TYPE_CHECKING:
    from sklearn.utils import Tags


class BaseClassifier(LabelScore, ClassifierMixin, BaseFineTuner):
    """Labels, probabilities and class weights."""

    _parameter_constraints = {
        **BaseFineTuner._parameter_constraints,
        "domain_loss": [StrOptions(Choices(LOSSES)), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), AUTOMATIC],
        "head": [StrOptions(Choices(HEADS))],
        "objective": [StrOptions({"log_loss", "contrastive"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "max_pairs": [Interval(Integral, 1, None, closed="left")],
    }

    def _learn_codec(self, y, weight):
        return ClassCodec.learn(y, type(self).__name__)

    def _set_fitted(self, column, request, codec, encoded, weight):
        super()._set_fitted(column, request, codec, encoded, weight)
        self.classes_ = codec.classes

    def partial_fit(
        self,
        X: Cells,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on some rows, from where the last call ended.

        The learning rate is constant.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like, default=None
            All classes that will come, at the first call; None takes those of `y`.
        sample_weight : array-like of shape (n_samples,), default=None
        sample_domain : array-like of shape (n_samples,), default=None
            As for `fit`; `domain_loss` has its whole weight from the start.

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, classes, sample_weight, sample_domain)

    def decision_function(self, X: Cells) -> np.ndarray:
        """Return the outputs before the softmax.

        Parameters
        ----------
        X : list, 1-D array, Series or frame of one column
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
        """
        outputs = self._outputs(X)
        if not self._codec.is_multilabel and outputs.shape[1] == 2:
            return outputs[:, 1] - outputs[:, 0]
        return outputs

    def predict_proba(self, X: Cells) -> np.ndarray:
        """Return probabilities.

        Parameters
        ----------
        X : list, 1-D array, Series or frame of one column
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns are `classes_`. Of several labels each has its own probability.
        """
        outputs = self._outputs(X)
        return self._codec.proba(outputs)

    def predict(self, X: Cells) -> np.ndarray:
        """Return labels of `classes_`, or indicators of several labels.

        Parameters
        ----------
        X : list, 1-D array, Series or frame of one column
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        outputs = self._outputs(X)
        return self._codec.decode(outputs)

    def __sklearn_tags__(self) -> Tags:
        """Describe the estimator to scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class BaseRegressor(LabelScore, RegressorMixin, BaseFineTuner):
    """Numbers, one or several per row."""

    _parameter_constraints = {
        **BaseFineTuner._parameter_constraints,
        "average": ["boolean"],
    }

    def _learn_codec(self, y, weight):
        return NumberCodec.learn(y, weight, type(self).__name__)

    def partial_fit(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on some rows, from where the last call ended.

        The scale of `y` is that of the first call; the learning rate is constant.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        sample_domain : array-like of shape (n_samples,), default=None
            As for `fit`; `domain_loss` has its whole weight from the start.

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, None, sample_weight, sample_domain)

    def predict(self, X: Cells) -> np.ndarray:
        """Return numbers, in the units of `y`.

        Parameters
        ----------
        X : list, 1-D array, Series or frame of one column
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X)
        return self._codec.decode(outputs)

    def __sklearn_tags__(self) -> Tags:
        """Describe the estimator to scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
