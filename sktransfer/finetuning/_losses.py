"""Losses of labelled rows: the objects that users choose, and their names.

The table is read by parameter constraints, so that this file loads no torch.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np

from .._utils.names import set_module
from .._utils.options import Options
from .._utils.validation import Interval
from ._options import AUTOMATIC, FRACTION, NOT_NEGATIVE, POSITIVE
from ._settings import AUTO

SHARE = Interval(Real, 0, 1, closed="left")
CLASSIFICATION = frozenset({"classes", "labels"})
REGRESSION = frozenset({"numbers"})
CALIBRATION_SHARE = 0.2  # of the rows are set aside to correct a quantile by,
CALIBRATION_ROWS = 10  # at least so many
# Of 200 photos, 0.48 of new ones lay below the median, and 0.82 below the quantile 0.9:
# forty rows say less of a median than that.
MIDDLE = 0.3, 0.7


class LossOptions(Options):
    """A loss of labelled rows.

    Attributes
    ----------
    tasks : frozenset of {"classes", "labels", "numbers"}
        Kinds of target that the loss is for.
    has_mean : bool
        True if a model of the mean, such as a ridge regression, is near its optimum.
    """

    tasks: ClassVar[frozenset[str]] = REGRESSION
    has_mean: ClassVar[bool] = False

    def _make(self, task: str, label_smoothing: float) -> Any:
        """Return a module from outputs and targets to a loss for each row.

        Parameters
        ----------
        task : {"classes", "labels", "numbers"}
        label_smoothing : float
            The parameter, with "auto" replaced by its value.
        """
        raise NotImplementedError

    def _best_constants(self, residuals: np.ndarray, weights: np.ndarray) -> Any:
        """Return what to add to a model, for each output; None for nothing.

        Parameters
        ----------
        residuals : ndarray of shape (n_samples, n_outputs)
        weights : ndarray of shape (n_samples,)
        """
        return None

    def _share_aside(self, n_rows: int) -> float | None:
        """Return the share of the rows that it sets aside to correct the outputs by."""
        return None

    def _is_corrected_by(self, n_rows: float) -> bool:
        """Whether the best constants of rows that took no part are added at the end."""
        return False


@set_module("sktransfer.finetuning")
class LogLoss(LossOptions):
    """Cross-entropy: softmax for one class per row, sigmoid for several labels.

    Parameters
    ----------
    label_smoothing : float or "auto", default="auto"
        Share of a label that is spread over all classes. "auto" is 0.05 for one class
        per row, because the probabilities would be overconfident otherwise, and 0 for
        several labels.

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import LogLoss
    >>> model = TextClassifier(loss=LogLoss(label_smoothing=0.1))
    """

    tasks = CLASSIFICATION
    _parameter_constraints = {"label_smoothing": [SHARE, AUTOMATIC]}

    def __init__(self, label_smoothing: float | Literal["auto"] = "auto") -> None:
        self.label_smoothing = label_smoothing

    def _make(self, task, label_smoothing):
        """Return a cross-entropy of rows."""
        from ._row_losses import BinaryCrossEntropy, CrossEntropy

        kind = CrossEntropy if task == "classes" else BinaryCrossEntropy
        return kind(label_smoothing)


@set_module("sktransfer.finetuning")
class FocalLoss(LossOptions):
    """Cross-entropy that gives less weight to rows that are already predicted well.

    Suits rows that are hard to predict [1]_, if blocks are trained. If none is, the
    head starts at a fitted model and the loss hardly changes it. For rare classes and
    labels, set `class_weight` first.

    Parameters
    ----------
    gamma : float, default=2.0
        Exponent of the factor ``1 - p`` of each row's loss, where p is the predicted
        probability of the row's own class. 0 is the plain cross-entropy.
    label_smoothing : float, default=0.0
        Share of a label that is spread over all classes.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
       https://arxiv.org/abs/1708.02002

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import FocalLoss
    >>> model = TextClassifier(loss=FocalLoss(gamma=1.0))
    """

    tasks = CLASSIFICATION
    _parameter_constraints = {"gamma": [NOT_NEGATIVE], "label_smoothing": [SHARE]}

    def __init__(self, gamma: float = 2.0, *, label_smoothing: float = 0.0) -> None:
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def _make(self, task, label_smoothing):
        """Return a focal loss of rows."""
        from ._row_losses import BinaryCrossEntropy, CrossEntropy

        kind = CrossEntropy if task == "classes" else BinaryCrossEntropy
        return kind(label_smoothing, self.gamma)


@set_module("sktransfer.finetuning")
class ContrastiveLoss(LossOptions):
    """Loss that brings rows of the same class together; the head is fitted afterwards.

    Suits a handful of rows per class [1]_. The blocks are trained by comparing the rows
    of a batch with each other. Then the head is fitted to their features: as a logistic
    regression (with the `C` of the head), or as prototypes.

    Parameters
    ----------
    temperature : float, default=0.1
        Divisor of the cosines. A lower temperature gives more weight to the nearest
        rows.
    max_pairs : int, default=1000000
        Greatest number of pairs of rows that the whole training compares. Beyond it, an
        epoch uses a random part of the rows, of at least one batch. With few rows an
        epoch has 5 batches, within this limit.

    References
    ----------
    .. [1] P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020,
       https://arxiv.org/abs/2004.11362

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import ContrastiveLoss
    >>> model = TextClassifier(loss=ContrastiveLoss(temperature=0.2))
    """

    tasks = frozenset({"classes"})
    _parameter_constraints = {
        "temperature": [POSITIVE],
        "max_pairs": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, temperature: float = 0.1, *, max_pairs: int = 1_000_000) -> None:
        self.temperature = temperature
        self.max_pairs = max_pairs

    def _make(self, task, label_smoothing):
        """Return the loss of a batch of features."""
        from ._contrastive import PairLoss

        return PairLoss(self.temperature)


@set_module("sktransfer.finetuning")
class SquaredErrorLoss(LossOptions):
    """Squared error; it predicts the mean.

    Examples
    --------
    >>> from sktransfer import TextRegressor
    >>> from sktransfer.finetuning import SquaredErrorLoss
    >>> model = TextRegressor(loss=SquaredErrorLoss())
    """

    has_mean = True

    def _make(self, task, label_smoothing):
        """Return the squared error of rows."""
        from torch import nn

        return nn.MSELoss(reduction="none")


@set_module("sktransfer.finetuning")
class HuberLoss(LossOptions):
    """Squared error of small errors, absolute error of large ones: robust to outliers.

    Parameters
    ----------
    delta : float, default=1.0
        Error at which the loss becomes linear, in standard deviations of `y`.

    References
    ----------
    .. [1] P. J. Huber, "Robust Estimation of a Location Parameter", Annals of
       Mathematical Statistics 35, 1964, https://doi.org/10.1214/aoms/1177703732

    Examples
    --------
    >>> from sktransfer import TextRegressor
    >>> from sktransfer.finetuning import HuberLoss
    >>> model = TextRegressor(loss=HuberLoss(delta=0.5))
    """

    _parameter_constraints = {"delta": [POSITIVE]}

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def _make(self, task, label_smoothing):
        """Return the Huber loss of rows."""
        from torch import nn

        return nn.HuberLoss(reduction="none", delta=self.delta)


@set_module("sktransfer.finetuning")
class QuantileLoss(LossOptions):
    """Pinball loss; it predicts a quantile [1]_.

    A network fits the rows that it was trained on better than new rows, so its raw
    quantiles cover too few new rows. Therefore some rows are set aside, and the
    predictions are shifted by the quantile of the residuals on these rows [2]_.

    Parameters
    ----------
    quantile : float, default=0.5
        Share of rows whose target should lie below the prediction; 0.5 is the median.
    calibration_fraction : float, "auto" or None, default="auto"
        Share of the rows to set aside for the shift. None shifts nothing. "auto" is 0.2
        if this gives at least 10 rows, and enough for one of them to lie beyond the
        quantile; otherwise None. "auto" is also None for quantiles from 0.3 to 0.7,
        which a close fit hardly moves. If there are as many rows in `X_val`, or set
        aside by `early_stopping`, these serve for both. `partial_fit` sets nothing
        aside.

    References
    ----------
    .. [1] R. Koenker and G. Bassett, "Regression Quantiles", Econometrica 46, 1978,
       https://doi.org/10.2307/1913643
    .. [2] Y. Romano, E. Patterson and E. Candès, "Conformalized Quantile Regression",
       NeurIPS 2019, https://arxiv.org/abs/1905.03222

    Examples
    --------
    >>> from sktransfer import TextRegressor
    >>> from sktransfer.finetuning import QuantileLoss
    >>> model = TextRegressor(loss=QuantileLoss(0.9))
    """

    _parameter_constraints = {
        "quantile": [FRACTION],
        "calibration_fraction": [FRACTION, AUTOMATIC, None],
    }

    def __init__(
        self,
        quantile: float = 0.5,
        *,
        calibration_fraction: float | Literal["auto"] | None = "auto",
    ) -> None:
        self.quantile = quantile
        self.calibration_fraction = calibration_fraction

    def _make(self, task, label_smoothing):
        """Return the pinball loss of rows."""
        from ._row_losses import Pinball

        return Pinball(self.quantile)

    def _best_constants(self, residuals, weights):
        """Return the quantile of the residuals."""
        return _quantiles(residuals, weights, self.quantile)

    def _share_aside(self, n_rows):
        """Return the parameter, with "auto" replaced by its value."""
        if self.calibration_fraction != AUTO:
            return self.calibration_fraction
        is_used = self._is_corrected_by(CALIBRATION_SHARE * n_rows)
        return CALIBRATION_SHARE if is_used else None

    def _is_corrected_by(self, n_rows):
        """Return whether so many rows say something of the quantile."""
        if self.calibration_fraction != AUTO:
            return self.calibration_fraction is not None
        if MIDDLE[0] <= self.quantile <= MIDDLE[1]:
            return False
        n_beyond = n_rows * min(self.quantile, 1 - self.quantile)
        return n_rows >= CALIBRATION_ROWS and round(n_beyond, 6) >= 1


def _quantiles(residuals, weights, quantile):
    """Return a quantile of each column, such that a new row lies below it as often.

    The value at place k of n, in order, is the quantile k / (n + 1).
    """
    found = np.empty(residuals.shape[1])
    for i, column in enumerate(residuals.T):
        order = np.argsort(column)
        share = np.cumsum(weights[order]) / (weights.sum() + weights.mean())
        found[i] = np.interp(quantile, share, column[order])
    return found


class OwnLoss(LossOptions):
    """A module of the user's, for any target."""

    tasks = CLASSIFICATION | REGRESSION

    def __init__(self, module: Any) -> None:
        self.module = module

    def _make(self, task, label_smoothing):
        """Return a copy of the module: a training may change what it learns."""
        import copy

        return copy.deepcopy(self.module)


# The one place that names them: constraints, checks and messages read it, and
# tests/test_docstrings.py compares the docstrings with it.
LOSSES: dict[str, type[LossOptions]] = {
    "log_loss": LogLoss,
    "focal": FocalLoss,
    "contrastive": ContrastiveLoss,
    "squared_error": SquaredErrorLoss,
    "huber": HuberLoss,
    "quantile": QuantileLoss,
}
