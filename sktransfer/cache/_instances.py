"""The caches of this process: one for a folder, and one for each pickled cache.

There are no locks, which a forked child might inherit taken: each step is one operation
of a dict.
"""

import contextlib
import weakref
from pathlib import Path
from typing import Any

N_LOADED = 4  # caches from pickles that a process keeps for its next tasks

_of_folders: dict[Path, Any] = {}
_made: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # by token
_loaded: dict[str, Any] = {}  # by token; those from pickles, which no one else holds


def folder_cache(kind, folder, budgets=None):
    """Return this process's one cache for a folder.

    Two would not see each other's rows in memory, and each would take its own budget.

    Parameters
    ----------
    kind : type
        FeatureCache.
    folder : str or Path
    budgets : dict of str to int, default=None
        Budgets for a cache that is made now.
    """
    path = Path(folder).expanduser().absolute()
    if path not in _of_folders:
        _of_folders.setdefault(path, kind(path, **budgets or {}))
    return _of_folders[path]


def remember(token, cache):
    """Have a pickle of a cache give the cache itself, as long as it lives."""
    _made[token] = cache


def rebuild_cache(kind, folder, store, memory_budget, folder_budget, token, home):
    """Return the cache that a pickle stands for: one in each process."""
    budgets = {"memory_budget": memory_budget, "folder_budget": folder_budget}
    if folder is not None:
        return folder_cache(kind, folder, budgets)
    cache = _made.get(token)
    if cache is None:
        cache = kind(store=store, **budgets)
        cache._token, cache._home = token, home
        cache = _made[token] = _loaded.setdefault(token, cache)
        # Without a limit, caches of calls long past would fill the memory of a worker.
        with contextlib.suppress(KeyError, StopIteration, RuntimeError):
            while len(_loaded) > N_LOADED:
                del _loaded[next(iter(_loaded))]
    return cache
