"""Base classes of the fine-tuning classifiers and regressors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from .._utils.callbacks import with_callbacks
from .._utils.choices import Choices
from .._utils.score import LabelScore
from .._utils.types import ArrayLike, Cells
from .._utils.validation import StrOptions
from ._base import BaseFineTuner
from ._codec import ClassCodec, NumberCodec
from ._domain_losses import DOMAIN_LOSSES
from ._heads import HEADS
from ._losses import LOSSES
from ._options import DomainLoss, Head

if TYPE_CHECKING:
    from sklearn.utils import Tags


class BaseClassifier(LabelScore, ClassifierMixin, BaseFineTuner):
    """A classifier of one class or several labels per row."""

    _parameter_constraints = {
        **BaseFineTuner._parameter_constraints,
        "domain_loss": [StrOptions(Choices(DOMAIN_LOSSES)), DomainLoss, None],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "head": [StrOptions(Choices(HEADS)), Head],
        "loss": [
            StrOptions(Choices(LOSSES, lambda loss: "classes" in loss.tasks)),
            *LOSSES.values(),
            callable,
        ],
    }
    _warns_of_columns = True

    def _learn_codec(self, y, weight, classes):
        name = type(self).__name__
        if classes is None:
            return ClassCodec.learn(y, name)
        if y.ndim == 1:
            return ClassCodec.learn(classes, name)
        codec = ClassCodec.learn(y, name)
        names = np.asarray(classes)
        if names.shape != (codec.n_outputs,):
            raise ValueError(
                f"{name}: classes has the shape {names.shape}, and y has "
                f"{codec.n_outputs} labels per row; expected one name for each, or "
                "None."
            )
        codec.classes = names
        return codec

    def _set_fitted(self, column, plan, net, n_epochs, history):
        super()._set_fitted(column, plan, net, n_epochs, history)
        self.classes_ = plan.codec.classes

    @with_callbacks
    def partial_fit(
        self,
        X: Cells,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on a batch of rows, starting where the last call ended.

        The learning rate falls with the inverse square root of the number of steps of
        all calls, and predictions use the mean of the weights over the last steps.
        Later calls continue the optimizer, the order of the rows, the random changes of
        images, the scale of the weights and the class counts of
        ``class_weight="balanced"``. No rows are set aside.

        With ``head="prototype"`` and ``freeze_depth="all"`` nothing is trained: the
        rows are added to the means of their classes. The model is the one that `fit`
        makes of the rows of all calls, apart from the scale of its outputs.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like, default=None
            All classes of the first and the later calls, needed at the first call only.
            None uses the classes of the first `y`; other classes in a later call are
            then an error. Prototypes of frozen features accept more classes in a later
            call: ``[*model.classes_, "new"]``. With several labels per row, the names
            of the labels.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            As in `fit`. `domain_loss` has its full weight from the first step.

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, classes, sample_weight, sample_domain)

    def decision_function(self, X: Cells) -> np.ndarray:
        """Return the outputs of the head, before softmax or sigmoid.

        Parameters
        ----------
        X : list, 1-D array, Series or frame of one column
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
        """
        outputs = self._outputs(X)
        return self._codec.decision(outputs)

    def predict_proba(self, X: Cells) -> np.ndarray:
        """Return the probability of each class, or of each label.

        Parameters
        ----------
        X : list, 1-D array, Series or frame of one column
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`. With several labels per row, each column
            is the probability of that label.
        """
        outputs = self._outputs(X)
        return self._codec.proba(outputs)

    def predict(self, X: Cells) -> np.ndarray:
        """Return the predicted class per row, or an indicator matrix of labels.

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
    """A regressor of one or several numbers per row."""

    def _learn_codec(self, y, weight, classes):
        return NumberCodec.learn(y, weight, type(self).__name__)

    @with_callbacks
    def partial_fit(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on a batch of rows, starting where the last call ended.

        The first call sets the scale of `y`. The learning rate falls with the inverse
        square root of the number of steps of all calls, and predictions use the mean of
        the weights over the last steps. Later calls continue the optimizer, the order
        of the rows, the random changes of images and the scale of the weights. No rows
        are set aside.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            As in `fit`. `domain_loss` has its full weight from the first step.

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, None, sample_weight, sample_domain)

    def predict(self, X: Cells) -> np.ndarray:
        """Return the predicted numbers, in the units of `y`.

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
