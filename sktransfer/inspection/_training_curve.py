"""Loss or a metric against the epochs of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from .._utils.names import set_module
from ._axes import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

PARTS = {"train": "rows trained on", "valid": "rows watched"}


@set_module("sktransfer.inspection")
class TrainingCurveDisplay:
    """Loss or a metric of each epoch, for rows trained on and rows watched.

    `from_estimator` makes it. The parameters are what it draws.

    Parameters
    ----------
    curves : dict of str to list of float
        Values per epoch, by part: "train" and, if rows were watched, "valid".
    score_name : str, default="loss"
        Label of the axis.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.inspection import TrainingCurveDisplay
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> model = TextClassifier("tiny-bert", scoring="accuracy", random_state=0)
    >>> model = model.fit(texts, ["+", "-"] * 10, X_val=texts[:4], y_val=["+", "-"] * 2)
    >>> display = TrainingCurveDisplay.from_estimator(model, "accuracy", plot=False)
    >>> sorted(display.curves)
    ['train', 'valid']
    """

    def __init__(
        self, curves: dict[str, list[float]], *, score_name: str = "loss"
    ) -> None:
        self.curves, self.score_name = curves, score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        metric: str = "loss",
        *,
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> TrainingCurveDisplay:
        """Draw the curves of a fitted model.

        Parameters
        ----------
        estimator : ImageClassifier, ImageRegressor, TextClassifier or TextRegressor
            Fine-tuning estimator after `fit` or `partial_fit`.
        metric : str, default="loss"
            Values to draw: "loss", or the name of a metric in the model's `scoring`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ValueError
            If the model has no such values, or no history.
        """
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if history is None:
            raise ValueError(
                f"TrainingCurveDisplay: {type(estimator).__name__} has no history_; "
                "expected a fine-tuning estimator. Pass the step of a pipeline, or the "
                "best_estimator_ of a search."
            )
        curves = {
            part: [float(row[f"{part}_{metric}"]) for row in history]
            for part in PARTS
            if history and all(f"{part}_{metric}" in row for row in history)
        }
        if not curves:
            names = {name for row in history for name in row}
            there = {
                name.partition("_")[2]
                for name in names
                if name.startswith(tuple(f"{part}_" for part in PARTS))
                and not name.endswith(("_best", "_count"))
            }
            raise ValueError(
                f"TrainingCurveDisplay: no epoch has {metric!r}; the history of this "
                f"{type(estimator).__name__} has {sorted(there) or 'no epoch'}. Set "
                f"scoring={metric!r} before the fit."
            )
        display = cls(curves, score_name=metric.replace("_", " "))
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax: Axes | None = None, **options: Any) -> TrainingCurveDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        TrainingCurveDisplay
            Itself.
        """
        ax = axes_of(ax, type(self).__name__)
        from matplotlib.ticker import MaxNLocator

        for part, values in self.curves.items():
            epochs = range(1, len(values) + 1)
            ax.plot(epochs, values, **{"marker": "o", "label": PARTS[part]} | options)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_xlabel("epoch")
        ax.set_ylabel(self.score_name)
        ax.legend()
        self.figure_, self.ax_ = ax.figure, ax
        return self
