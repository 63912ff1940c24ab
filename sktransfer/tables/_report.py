"""Report: what of a table was not read as it stood, for one warning."""

import collections
import warnings

from .._utils.validation import shorten

SHOWN = 4  # different cells of a column


class Report:
    """Collect what became of odd cells, and say it once.

    Parameters
    ----------
    n_rows : int
        Number of rows in the table.
    """

    def __init__(self, n_rows):
        self.n_rows = n_rows
        self._lost = collections.defaultdict(list)  # column -> (row, cell)
        self._formatted = collections.defaultdict(list)  # column -> cells
        self._ambiguous = {}  # column -> a cell

    def lost(self, name, row, cell):
        """Note a cell that became NaN: a null word, or no number or date at all."""
        self._lost[name].append((row, cell))

    def formatted(self, name, cell):
        """Note a cell whose format was parsed."""
        self._formatted[name].append(cell)

    def ambiguous(self, name, cell):
        """Note a column of dates of which no cell tells the month from the day."""
        self._ambiguous.setdefault(name, cell)

    def warn(self, with_formats):
        """Give one warning of all columns, if there is something to say.

        Parameters
        ----------
        with_formats : bool
            Also list cells whose format was parsed. `fit` does, `transform` does not.
        """
        lines = [self._line_of_lost(name, odd) for name, odd in self._lost.items()]
        if with_formats:
            lines += [
                f"column {name!r}: {len(cells)} of {self.n_rows} cells were parsed by "
                f"their format, such as {shorten(cells[0])}"
                for name, cells in self._formatted.items()
            ]
        lines += [
            f"column {name!r}: no date tells the day from the month, such as {cell!r}; "
            "the first number was read as the month. If it is the day, convert the "
            "column with pandas.to_datetime(column, dayfirst=True)"
            for name, cell in self._ambiguous.items()
        ]
        if lines:
            warnings.warn(
                "TableEncoder converted some cells. "
                + ". ".join(line[0].upper() + line[1:] for line in lines)
                + ".",
                stacklevel=4,
            )

    def _line_of_lost(self, name, odd):
        rows = collections.defaultdict(list)
        for row, cell in odd:
            rows[shorten(cell)].append(row)
        some = [
            f"{cell} in row {where[0]}"
            + (f" and {len(where) - 1} more" if len(where) > 1 else "")
            for cell, where in list(rows.items())[:SHOWN]
        ]
        dots = ", ..." if len(rows) > SHOWN else ""
        return (
            f"column {name!r}: {len(odd)} of {self.n_rows} cells became NaN "
            f"({', '.join(some)}{dots})"
        )
