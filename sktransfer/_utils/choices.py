"""The names of a table as a set that a parameter constraint reads."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any


class Choices(Set):
    """Names of the entries of a table, as it is when somebody asks.

    scikit-learn's ``StrOptions`` takes any set. With this one, an entry that is added
    to the table is allowed at once, named in messages and known to every check.

    Parameters
    ----------
    table : mapping of str to object
    fits : callable, default=None
        ``fits(entry)`` says whether an entry counts. None takes all.
    also : tuple of str, default=()
        Names in front that stand for no entry.
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        fits: Callable[[Any], bool] | None = None,
        also: tuple[str, ...] = (),
    ) -> None:
        self._table, self._fits, self._also = table, fits, also

    def __iter__(self) -> Iterator[str]:
        yield from self._also
        for name, entry in self._table.items():
            if self._fits is None or self._fits(entry):
                yield name

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @classmethod
    def _from_iterable(cls, names):
        """Return what set operations give: a plain set."""
        return set(names)

    def __repr__(self) -> str:
        """Show the names in the order of the table."""
        return f"({', '.join(map(repr, self))})"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most alike, whatever its case, or None."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def any_of(names) -> str:
    """Return names as an alternative for a message: "'a', 'b' or 'c'"."""
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last
