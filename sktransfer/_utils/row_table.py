"""Result of a comparison: a sequence of dicts that is also a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .optional import import_optional

if TYPE_CHECKING:
    import pandas


class RowTable(Sequence):
    """Rows of a table, each a dict with the same keys.

    Parameters
    ----------
    rows : list of dict
    """

    _columns: tuple[str, ...] | None = None  # of the frame; None takes the keys

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """Return one row, a dict, or a list of them."""
        return self._rows[index]

    def to_frame(self) -> pandas.DataFrame:
        """Return the rows as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", purpose="to_frame")
        return pandas.DataFrame(self._rows, columns=self._columns)
