"""Score of each candidate for the encoder of a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.names import set_module
from .._utils.validation import shorten
from ._axes import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..tables import ColumnChoices


@set_module("sktransfer.inspection")
class ColumnChoicesDisplay:
    """Scores of the candidate encoders of a column, relative to the one taken.

    `from_choices` makes it, and so does `plot` of a table encoder's ``choosing_``. The
    parameters are what it draws.

    Parameters
    ----------
    candidates : list of str
        Labels, cheapest first.
    differences : ndarray of shape (n_candidates,)
        Score minus that of the candidate taken.
    intervals : ndarray of shape (n_candidates, 2)
        Ends of the 95 % intervals of the differences.
    taken : str
        Candidate taken.
    column, score_name : str
        Names of the column and of the score.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import pandas as pd
    >>> from sktransfer import TableEncoder, TextEncoder
    >>> from sktransfer.inspection import ColumnChoicesDisplay
    >>> from sktransfer.tables import Choose
    >>> reviews = [f"{word} number {i}" for i in range(10) for word in ("good", "bad")]
    >>> encoder = TableEncoder(
    ...     text_encoder=TextEncoder("tiny-bert"),
    ...     kinds={"review": "text"},
    ...     choose=Choose(["words", "frozen"], cv=2),
    ... ).fit(pd.DataFrame({"review": reviews}), ["+", "-"] * 10)
    >>> display = ColumnChoicesDisplay.from_choices(encoder.choosing_, plot=False)
    >>> display.candidates, display.taken
    (['words', 'frozen'], 'words')
    """

    def __init__(
        self,
        candidates: list[str],
        differences: np.ndarray,
        intervals: np.ndarray,
        *,
        taken: str,
        column: str,
        score_name: str,
    ) -> None:
        self.candidates, self.differences = candidates, differences
        self.intervals, self.taken = intervals, taken
        self.column, self.score_name = column, score_name

    @classmethod
    def from_choices(
        cls,
        choices: ColumnChoices,
        *,
        column: str | None = None,
        ax: Axes | None = None,
        plot: bool = True,
        **options: Any,
    ) -> ColumnChoicesDisplay:
        """Draw the candidates of a column.

        Parameters
        ----------
        choices : ColumnChoices
            Choices to draw: a table encoder's ``choosing_``.
        column : str, default=None
            Column to draw. None is allowed if there is only one.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        plot : bool, default=True
            Draw now. With False, call `plot` later.
        **options
            Options of matplotlib's ``errorbar``.

        Returns
        -------
        ColumnChoicesDisplay

        Raises
        ------
        ValueError
            If the column is unknown, or there are several and none is named.
        """
        names = list(choices.taken)
        if column is None and len(names) == 1:
            column = names[0]
        if column not in names:
            raise ValueError(
                f"column={column!r} must be a column for which an encoder was chosen: "
                f"{shorten(names)}."
            )
        rows = [row for row in choices if row["column"] == column]
        display = cls(
            [row["candidate"] for row in rows],
            np.array([row["difference"] for row in rows]),
            np.array([[row["low"], row["high"]] for row in rows]),
            taken=choices.taken[column],
            column=column,
            score_name=choices.score_name,
        )
        return display.plot(ax=ax, **options) if plot else display

    def plot(self, *, ax: Axes | None = None, **options: Any) -> ColumnChoicesDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``errorbar``.

        Returns
        -------
        ColumnChoicesDisplay
            Itself.
        """
        ax = axes_of(ax, type(self).__name__)
        places = np.arange(len(self.candidates))[::-1]
        reaches = np.abs(self.intervals - self.differences[:, None]).T
        style: dict[str, Any] = {"fmt": "o", "capsize": 3} | options
        ax.errorbar(self.differences, places, xerr=reaches, **style)
        taken = self.candidates.index(self.taken)
        ax.plot([0], places[taken], "o", color="tab:orange", zorder=3)
        ax.axvline(0, color="0.7", linewidth=1, zorder=0)
        ax.set_yticks(places, self.candidates)
        ax.set_xlabel(f"{self.score_name}, difference to {self.taken!r} (95 %)")
        ax.set_title(f"column {self.column!r}")
        self.figure_, self.ax_ = ax.figure, ax
        return self
