"""Settings of a cache, and its counts."""

import numbers
from typing import NamedTuple

from .._utils.names import set_module

# What people write for a folder's name and do not mean as one.
WORDS = set(
    "auto cache default disabled disk false file folder local memory never no none "
    "null off on ram true yes 0 1".split()
)


@set_module("sktransfer.cache")
class CacheInfo(NamedTuple):
    """Counts and size of a cache.

    Attributes
    ----------
    hits, misses : int
        Number of rows that were found, and of rows that had to be computed.
    rows : int
        Number of vectors in memory.
    n_bytes : int
        Memory that they take, in bytes.
    memory_budget : int
        Limit of `n_bytes`.
    folder : str or None
        Folder of the cache; None if there is none.
    """

    hits: int
    misses: int
    rows: int
    n_bytes: int
    memory_budget: int
    folder: str | None


def check_budget(name, budget):
    """Return a budget as an int."""
    if not isinstance(budget, numbers.Integral) or isinstance(budget, bool):
        raise TypeError(
            f"{name}={budget!r} must be a number of bytes as an int, for example 2**30 "
            "for 1 GiB."
        )
    if budget < 0:
        raise ValueError(f"{name}={budget} must not be negative.")
    return int(budget)


def check_folder_name(folder, name):
    """Refuse words that stand for something else than a folder of that name.

    Parameters
    ----------
    folder : object
        Only a str can be such a word.
    name : str
        Name of the parameter or variable, for the message.

    Raises
    ------
    ValueError
        If it is one.
    """
    if isinstance(folder, str) and folder.strip().lower() in {"", *WORDS}:
        example = f"./{folder.strip() or 'features'}"
        raise ValueError(
            f"{name}={folder!r} does not name a folder. Write cache='auto' for memory "
            "and the folder of set_cache_dir, cache=FeatureCache() for memory only, "
            f"cache=None for no cache, or a path such as {example!r} for a folder."
        )
