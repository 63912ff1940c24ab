"""BackboneRanking: scores and costs of candidates as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .._utils.names import set_module
from .._utils.row_table import RowTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inspection import BackboneRankingDisplay

COLUMNS = (
    "backbone",
    "depth",
    "pooling",
    "score",
    "rank",
    "difference",
    "low",
    "high",
    "not_worse",
    "embed_seconds",
    "score_seconds",
    "rows_per_second",
    "n_features",
    "megabytes",
)


@set_module("sktransfer.model_selection")
class BackboneRanking(RowTable):
    """Scores and costs of candidates: a sequence of dicts, and a table.

    `rank_backbones` makes it, best first; `layer_profile` makes it, shallow first.

    Parameters
    ----------
    rows : list of dict
        Rows of the table, with the keys below.
    score_name : str
        Name of the score, for figures.
    by_depth : bool, default=False
        True if the rows are the depths of one network.

    Attributes
    ----------
    best_ : dict
        Row of rank 1.
    not_worse_ : list of dict
        Rows of rank 1 and of the candidates that the data cannot tell from it.

    Notes
    -----
    A row has these keys:

    ``backbone`` (str or Backbone), ``depth`` (str), ``pooling`` (str)
        Parameters of an encoder. ``depth`` is the name of the last block that runs.
    ``score`` (float), ``rank`` (int)
        Greater is better; rank 1 is best.
    ``difference``, ``low``, ``high`` (float)
        Score minus that of rank 1, and the ends of its 95 % interval. "probe" estimates
        the interval from its folds, other methods by leaving out a fifth of the rows at
        a time. It is infinite if there are too few rows.
    ``not_worse`` (bool)
        True if the interval reaches 0: this number of rows cannot tell the candidate
        from rank 1. Take the cheapest of these, or the one that you know.
    ``embed_seconds``, ``score_seconds`` (float)
        Time spent in this call. Candidates that differ only in depth share one pass,
        whose seconds are counted for the first of them. Features from the cache take
        almost no time.
    ``rows_per_second`` (float)
        Rows per second through the network up to that depth, measured on a few rows
        without the cache. NaN if not measured.
    ``n_features`` (int)
        Width of the vectors.
    ``megabytes`` (float)
        Size of the weights of the blocks that run, in units of 10**6 bytes.

    See Also
    --------
    sktransfer.inspection.BackboneRankingDisplay : Draws it.

    Examples
    --------
    >>> from sktransfer.model_selection import rank_backbones
    >>> texts = [f"{word} {i}" for i in range(10) for word in ("good", "bad")]
    >>> ranking = rank_backbones(texts, ["+", "-"] * 10, ["tiny-bert"], n_timed=0)
    >>> len(ranking), ranking.best_["rank"], ranking[0]["n_features"]
    (1, 1, 16)
    """

    _columns = COLUMNS

    def __init__(
        self, rows: list[dict[str, Any]], *, score_name: str, by_depth: bool = False
    ) -> None:
        super().__init__(rows)
        self.score_name, self.by_depth = score_name, by_depth

    @property
    def best_(self) -> dict[str, Any]:
        """The row of rank 1."""
        return min(self._rows, key=lambda row: row["rank"])

    @property
    def not_worse_(self) -> list[dict[str, Any]]:
        """Rows of rank 1 and of the candidates that the data cannot tell from it."""
        return [row for row in self._rows if row["not_worse"]]

    def __repr__(self) -> str:
        """Show a table; "=" stands beside ranks that are not worse than 1."""
        head = ("rank", "score", "rows/s", "features", "MB", "candidate")
        lines = ["{:>5} {:>9} {:>8} {:>8} {:>7}  {}".format(*head)]
        for row in self._rows:
            same = "=" if row["not_worse"] else " "
            lines.append(
                f"{same}{row['rank']:4d} {row['score']:9.4f} "
                f"{row['rows_per_second']:8.1f} "
                f"{row['n_features']:8d} {row['megabytes']:7.1f}  {self.label(row)}"
            )
        return "\n".join(lines)

    @staticmethod
    def label(row: dict[str, Any]) -> str:
        """Return a short name of a candidate.

        Parameters
        ----------
        row : dict
            Row of the ranking.

        Returns
        -------
        str
        """
        backbone = row["backbone"]
        name = backbone.name if hasattr(backbone, "name") else backbone
        return f"{name}, {row['depth']}, {row['pooling']}"

    def plot(
        self,
        *,
        cost: Literal["milliseconds", "megabytes", "n_features"] = "milliseconds",
        ax: Axes | None = None,
        **options: Any,
    ) -> BackboneRankingDisplay:
        """Draw score against cost, or against depth.

        Parameters
        ----------
        cost : {"milliseconds", "megabytes", "n_features"}, default="milliseconds"
            Cost of a candidate: time per row through the network, size of the weights,
            or number of features. The depths of one network are drawn in order instead.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        BackboneRankingDisplay
        """
        from ..inspection import BackboneRankingDisplay

        return BackboneRankingDisplay.from_ranking(self, cost=cost, ax=ax, **options)
