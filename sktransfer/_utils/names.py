"""Public names: what a pickle and a save write for a class or a function.

Pickle and skops name a class by its ``__module__``. Without further ado that would be
the file that it stands in, and no file could be moved or split without making older
saves unreadable. So whatever they can name says its home, which never moves.
"""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

# Home of classes that nobody imports, but that files name. `sktransfer.persistence`
# finds them again, by its table ON_DISK.
FILES = "sktransfer.persistence"


def set_module(home: str) -> Callable[[T], T]:
    """Give a class or a function its public home.

    Parameters
    ----------
    home : str
        Module that it can be imported from, for good.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(obj: T) -> T:
        obj.__module__ = home
        return obj

    return decorate


on_disk = set_module(FILES)
