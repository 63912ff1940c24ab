"""LabelEfficiencyCurves: scores at some numbers of labels as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.names import set_module
from .._utils.row_table import RowTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inspection import LabelEfficiencyDisplay


@set_module("sktransfer.model_selection")
class LabelEfficiencyCurves(RowTable):
    """Scores at some numbers of labels per class: a sequence of dicts, and a table.

    `label_efficiency_curve` makes it.

    Parameters
    ----------
    rows : list of dict
        Rows of the table, with the keys below.
    score_name : str, default="score"
        Name of the score, for figures.

    Notes
    -----
    A row has these keys:

    ``estimator`` (str), ``labels_per_class`` (int), ``n_labels`` (float)
        Name of the estimator, rows per class, and the number of labelled rows, on
        average over the splits: fewer than asked for if classes have fewer.
    ``score``, ``low``, ``high`` (float)
        Mean score over the splits, and the ends of its interval.
    ``fit_seconds`` (float)
        Median fit time over the splits.
    ``scores`` (list of float)
        Score of each split.

    Examples
    --------
    >>> from sktransfer.model_selection import LabelEfficiencyCurves
    >>> point = {"estimator": "probe", "labels_per_class": 5, "score": 0.8}
    >>> curves = LabelEfficiencyCurves([point], score_name="accuracy")
    >>> curves.names, curves.of("probe")[0]["score"]
    (['probe'], 0.8)
    """

    def __init__(
        self, rows: list[dict[str, Any]], *, score_name: str = "score"
    ) -> None:
        super().__init__(rows)
        self.score_name = score_name

    def __repr__(self) -> str:
        """Show a table."""
        lines = ["{:>9} {:>7} {:>15} {:>8}  {}".format(*HEAD)]
        for row in self._rows:
            lines.append(
                f"{row['labels_per_class']:9d} {row['score']:7.3f} "
                f"{row['low']:7.3f}-{row['high']:.3f}   {row['fit_seconds']:7.2f}  "
                f"{row['estimator']}"
            )
        return "\n".join(lines)

    @property
    def names(self) -> list[str]:
        """Names of the estimators, in order."""
        return list(dict.fromkeys(row["estimator"] for row in self._rows))

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of one estimator, fewest labels first.

        Parameters
        ----------
        name : str
            Name of the estimator, one of `names`.

        Returns
        -------
        list of dict

        Raises
        ------
        KeyError
            If no estimator has that name.
        """
        rows = [row for row in self._rows if row["estimator"] == name]
        if not rows:
            raise KeyError(f"There is no estimator {name!r}; there are {self.names}.")
        return rows

    def to_reach(self, score: float) -> dict[str, Any]:
        """Return the labels and the fit time that each estimator needs for a score.

        Between two points, score and seconds are interpolated linearly in the logarithm
        of the number of labels. If the score falls again after it was reached, that is
        ignored.

        Parameters
        ----------
        score : float
            Score to reach.

        Returns
        -------
        dict of str to dict
            ``labels_per_class`` and ``fit_seconds`` of each estimator; infinite if it
            does not reach the score.
        """
        return {name: _reached(self.of(name), score) for name in self.names}

    def plot(self, *, ax: Axes | None = None, **options: Any) -> LabelEfficiencyDisplay:
        """Draw score against labels per class.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **options
            Options of matplotlib's ``plot``.

        Returns
        -------
        LabelEfficiencyDisplay
        """
        from ..inspection import LabelEfficiencyDisplay

        return LabelEfficiencyDisplay.from_curves(self, ax=ax, **options)


HEAD = ("per class", "score", "interval", "fit in s", "estimator")


def _reached(rows, score):
    before = None
    for row in rows:
        if row["score"] >= score:
            if before is None:
                share, before = 1.0, row
            else:
                gap = row["score"] - before["score"]
                share = (score - before["score"]) / gap
            ends = [
                np.array([one["labels_per_class"], max(one["fit_seconds"], 1e-9)])
                for one in (before, row)
            ]
            found = np.exp((1 - share) * np.log(ends[0]) + share * np.log(ends[1]))
            return dict(
                zip(("labels_per_class", "fit_seconds"), found.tolist(), strict=True)
            )
        before = row
    return {"labels_per_class": np.inf, "fit_seconds": np.inf}
