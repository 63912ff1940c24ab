"""Score of candidates against their cost, or against depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._utils.names import set_module
from ._axes import axes_of, end_at_bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..model_selection import BackboneRanking

UNBOUNDED = ("LogME", "H-score")
COST_LABELS = {
    "milliseconds": "milliseconds per row",
    "megabytes": "weights in MB",
    "n_features": "features",
}


@set_module("sktransfer.inspection")
class BackboneRankingDisplay:
    """Score of candidates against their cost, or against depth.

    `from_ranking` makes it, and so does `plot` of the result of `rank_backbones` and
    `layer_profile`. The parameters are what it draws.

    Parameters
    ----------
    labels : list of str
        Names of the candidates, or of the depths.
    scores : ndarray of shape (n_candidates,)
        Scores of the candidates; greater is better.
    costs : ndarray of shape (n_candidates,) or None
        Costs of the candidates. None draws the scores over the labels, in order.
    score_name, cost_name : str
        Labels of the axes.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from sktransfer.inspection import BackboneRankingDisplay
    >>> from sktransfer.model_selection import rank_backbones
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> ranking = rank_backbones(texts, ["+", "-"] * 10, ["tiny-bert"])
    >>> display = BackboneRankingDisplay.from_ranking(ranking, plot=False)
    >>> display.labels
    ['tiny-bert, layers.1, mean']
    """

    def __init__(
        self,
        labels: list[str],
        scores: np.ndarray,
        costs: np.ndarray | None,
        *,
        score_name: str,
        cost_name: str,
    ) -> None:
        self.labels, self.scores, self.costs = labels, scores, costs
        self.score_name, self.cost_name = score_name, cost_name

    @classmethod
    def from_ranking(
        cls,
        ranking: BackboneRanking,
        *,
        cost: Literal["milliseconds", "megabytes", "n_features"] = "milliseconds",
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> BackboneRankingDisplay:
        """Draw the rows of a ranking.

        Parameters
        ----------
        ranking : BackboneRanking
        cost : {"milliseconds", "megabytes", "n_features"}, default="milliseconds"
            Cost to draw. The depths of one network are drawn in order, without a cost.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        BackboneRankingDisplay

        Raises
        ------
        ValueError
            If `cost` is unknown, or the speed was not measured.
        """
        if cost not in COST_LABELS:
            raise ValueError(f"cost={cost!r} must be one of {list(COST_LABELS)}.")
        scores = np.array([row["score"] for row in ranking])
        if ranking.by_depth:
            labels, costs = [row["depth"] for row in ranking], None
        else:
            labels = [ranking.label(row) for row in ranking]
            if cost == "milliseconds":
                costs = np.array([1000 / row["rows_per_second"] for row in ranking])
            else:
                costs = np.array([row[cost] for row in ranking], dtype=float)
            if np.isnan(costs).any():
                raise ValueError(
                    "The speed was not measured (n_timed=0); rank again with n_timed "
                    "above 0, or plot cost='megabytes'."
                )
        display = cls(
            labels,
            scores,
            costs,
            score_name=ranking.score_name,
            cost_name="depth" if ranking.by_depth else COST_LABELS[cost],
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax: Axes | None = None, **options: Any) -> BackboneRankingDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        BackboneRankingDisplay
            Itself.
        """
        ax = axes_of(ax, type(self).__name__)
        is_alone = not ax.has_data()
        if self.costs is None:
            places = np.arange(len(self.labels))
            (line,) = ax.plot(places, self.scores, **{"marker": "o"} | options)
            ax.set_xticks(places, self.labels, rotation=45, ha="right")
        else:
            # Names lie on each other where candidates are alike; numbers are short.
            style = {"marker": "o", "linestyle": "none"}
            (line,) = ax.plot(self.costs, self.scores, **style | options)
            points = zip(self.labels, self.costs, self.scores, strict=True)
            for number, (label, cost, score) in enumerate(points, 1):
                ax.plot([], [], linestyle="none", label=f"{number}: {label}")
                ax.annotate(
                    str(number),
                    (cost, score),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize="small",
                )
            if np.max(self.costs) > 10 * np.min(self.costs):
                ax.set_xscale("log")
            ax.legend(
                loc="upper left",
                bbox_to_anchor=(1.02, 1),
                handlelength=0,
                handletextpad=0,
                fontsize="small",
            )
        if is_alone and not self.score_name.startswith(UNBOUNDED):
            end_at_bounds(ax, self.scores, line, self.score_name)
        ax.set_xlabel(self.cost_name)
        ax.set_ylabel(self.score_name)
        self.figure_, self.ax_ = ax.figure, ax
        return self
