"""ColumnChoices: the score of each candidate per column, and the one taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._utils.names import set_module
from .._utils.row_table import RowTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inspection import ColumnChoicesDisplay


@set_module("sktransfer.tables")
class ColumnChoices(RowTable):
    """Scores and seconds of the candidates: a sequence of dicts, and a table.

    `TableEncoder` with ``choose`` makes it: column by column, cheapest candidate first.

    Parameters
    ----------
    rows : list of dict
        Rows of the table, with the keys below.
    score_name : str
        Name of the score, for figures. Greater is better.

    Attributes
    ----------
    taken : dict of str to str
        Candidate taken for each column.

    Notes
    -----
    A row has these keys:

    ``column``, ``candidate`` (str)
        Names of the column and of the candidate.
    ``score`` (float)
        Mean score over the folds.
    ``difference``, ``low``, ``high`` (float)
        Score minus that of the candidate taken, and the ends of its 95 % interval, from
        the differences on the same folds.
    ``seconds`` (float)
        Time spent on the candidate. The first candidate of a network pays for running
        all rows.
    ``taken`` (bool)
        True for the one candidate of each column that was taken.

    See Also
    --------
    Choose : Settings of the choice.
    sktransfer.inspection.ColumnChoicesDisplay : Draws one column.

    Examples
    --------
    >>> from sktransfer.tables import ColumnChoices
    >>> row = {"column": "title", "candidate": "words", "score": 0.8, "taken": True}
    >>> row |= {"difference": 0.0, "low": 0.0, "high": 0.0, "seconds": 0.1}
    >>> ColumnChoices([row], score_name="roc_auc").taken
    {'title': 'words'}
    """

    def __init__(self, rows: list[dict[str, Any]], *, score_name: str) -> None:
        super().__init__(rows)
        self.score_name = score_name

    @property
    def taken(self) -> dict[str, str]:
        """Candidate that was taken for each column."""
        return {row["column"]: row["candidate"] for row in self if row["taken"]}

    def __repr__(self) -> str:
        """Show a table."""
        lines = [f"{'score':>9} {'difference, 95 %':>26} {'seconds':>8}  candidate"]
        column = None
        for row in self:
            if row["column"] != column:
                column = row["column"]
                lines.append(f"{column}:")
            interval = (
                f"{row['difference']:+.4f} ({row['low']:+.4f} {row['high']:+.4f})"
            )
            lines.append(
                f"{row['score']:9.4f} {interval:>26} {row['seconds']:8.1f}  "
                f"{row['candidate']}{' *' if row['taken'] else ''}"
            )
        return "\n".join(lines)

    def plot(
        self, *, column: str | None = None, ax: Axes | None = None, **options: Any
    ) -> ColumnChoicesDisplay:
        """Draw the differences and their intervals.

        Parameters
        ----------
        column : str, default=None
            Column to draw. None is allowed if there is only one.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``errorbar``.

        Returns
        -------
        ColumnChoicesDisplay
        """
        from ..inspection import ColumnChoicesDisplay

        return ColumnChoicesDisplay.from_choices(self, column=column, ax=ax, **options)
