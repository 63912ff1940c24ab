"""Score against the number of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._utils.names import set_module
from ._axes import axes_of, end_at_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..model_selection import LabelEfficiencyCurves


@set_module("sktransfer.inspection")
class LabelEfficiencyDisplay:
    """Score against labels per class, with intervals.

    `from_curves` makes it, and so does `plot` of the result of
    `label_efficiency_curve`. The parameters are what it draws.

    Parameters
    ----------
    curves : dict of str to list of dict
        Points of each estimator, with ``labels_per_class``, ``score``, ``low`` and
        ``high``.
    score_name : str, default="score"
        Label of the axis.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.inspection import LabelEfficiencyDisplay
    >>> from sktransfer.model_selection import label_efficiency_curve
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> model = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    >>> curves = label_efficiency_curve(
    ...     model, texts, ["+", "-"] * 10, labels_per_class=[2, 5], cv=2
    ... )
    >>> list(LabelEfficiencyDisplay.from_curves(curves, plot=False).curves)
    ['TextClassifier']
    """

    def __init__(
        self, curves: dict[str, list[dict[str, Any]]], *, score_name: str = "score"
    ) -> None:
        self.curves, self.score_name = curves, score_name

    @classmethod
    def from_curves(
        cls,
        curves: LabelEfficiencyCurves,
        *,
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> LabelEfficiencyDisplay:
        """Draw label efficiency curves.

        Parameters
        ----------
        curves : LabelEfficiencyCurves
            Result of `label_efficiency_curve`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        LabelEfficiencyDisplay
        """
        display = cls(
            {name: curves.of(name) for name in curves.names},
            score_name=curves.score_name,
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax: Axes | None = None, **options: Any) -> LabelEfficiencyDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        LabelEfficiencyDisplay
            Itself.
        """
        ax = axes_of(ax, type(self).__name__)
        is_alone = not ax.has_data()
        sizes = sorted({p["labels_per_class"] for c in self.curves.values() for p in c})
        for name, points in self.curves.items():
            places, scores, lows, highs = (
                [point[key] for point in points]
                for key in ("labels_per_class", "score", "low", "high")
            )
            (line,) = ax.plot(
                places, scores, **{"marker": "o", "label": name} | options
            )
            ax.fill_between(
                places, lows, highs, color=line.get_color(), alpha=0.18, linewidth=0
            )
        if is_alone:
            scores = [p["score"] for points in self.curves.values() for p in points]
            for line in ax.lines:
                end_at_bounds(ax, scores, line, self.score_name)
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("labels per class")
        ax.set_ylabel(f"{self.score_name} (bands: interval of the mean)")
        ax.legend()
        self.figure_, self.ax_ = ax.figure, ax
        return self
