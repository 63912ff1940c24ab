"""FeatureCache: one row through the network once, whoever asks again.

A row is found again by its content, never by a name, an index or a fold. The key
also holds everything that the vector depends on: the weights' fingerprint, the
preprocessing, the pooling, the precision and how it was computed.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from .._utils.names import on_disk, set_module
from ._folder import FolderStore
from ._memory import MemoryStore
from ._store import FeatureStore

DEFAULT_MEMORY_BUDGET = 2**30
DEFAULT_FOLDER_BUDGET = 10 * 2**30
POLL_S = 0.05


@set_module("sktransfer.cache")
class CacheInfo(NamedTuple):
    """What a cache did and holds.

    Attributes
    ----------
    hits, misses : int
        Rows found, and rows that went through a network because they were not.
    rows : int
        Vectors held in memory.
    n_bytes : int
        Memory they take, in bytes.
    memory_budget : int
        The limit on `n_bytes`.
    folder : str or None
        The folder of the lasting part.
    """

    hits: int
    misses: int
    rows: int
    n_bytes: int
    memory_budget: int
    folder: str | None


@set_module("sktransfer")
class FeatureCache:
    """Vectors of rows that went through a network, in memory and in a folder.

    Give one to several encoders to share it, or a folder's path for short. Copies
    made by ``sklearn.clone`` and ``copy.deepcopy`` are the same cache; a pickled
    cache carries its settings, not its content.

    Parameters
    ----------
    folder : str or Path, default=None
        Folder on a local disk that keeps the vectors for other processes and later
        runs. None keeps them in memory only.
    store : FeatureStore, default=None
        A place of your own in place of a folder.
    memory_budget : int, default=2**30
        Bytes of vectors kept in memory. Beyond it, vectors of depths that nobody
        has asked for go first, then the least recently used ones. The rows of one
        call do not push each other out: those that come too late are not kept.
    folder_budget : int or None, default=10 * 2**30
        Bytes that the folder may take. Beyond it, the least recently used rows go.
        None sets no limit.

    Notes
    -----
    Threads and processes that ask for the same rows at the same time share the work:
    each says which rows it computes, and waits for the others' at the end.

    Examples
    --------
    >>> from sktransfer import FeatureCache, TextEncoder
    >>> cache = FeatureCache(memory_budget=10_000_000)
    >>> encoder = TextEncoder("tiny-bert", cache=cache)
    >>> _ = encoder.fit_transform(["one", "two", "one"])
    >>> cache.info().misses
    2
    >>> _ = encoder.fit_transform(["two", "one"])
    >>> cache.info().misses
    2
    """

    # Of a row that runs, for whoever asks for another depth later.
    _keeps_all_depths = True

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        store: FeatureStore | None = None,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        folder_budget: int | None = DEFAULT_FOLDER_BUDGET,
    ) -> None:
        for name, budget in (
            ("memory_budget", memory_budget),
            ("folder_budget", folder_budget or 0),
        ):
            if not isinstance(budget, Real) or isinstance(budget, bool):
                raise TypeError(
                    f"{name}={budget!r} must be a number of bytes, such as 2**30."
                )
            if budget < 0:
                raise ValueError(f"{name}={budget} must not be negative.")
        if folder is not None and store is not None:
            raise ValueError(
                f"FeatureCache got folder={str(folder)!r} and store={store!r}; give "
                "one of them."
            )
        if store is not None and not isinstance(store, FeatureStore):
            raise TypeError(
                f"store={store!r} must be a sktransfer.cache.FeatureStore, which says "
                "what it must do."
            )
        self.folder = None if folder is None else Path(folder).expanduser()
        self.memory_budget = memory_budget
        self.folder_budget = folder_budget
        self._store = store
        if folder is not None:
            self._store = FolderStore(self.folder, folder_budget)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._claims: dict[
            bytes, tuple[int, int]
        ] = {}  # key -> the thread that computes it
        self._has_warned = False
        self._reset()

    def _reset(self):
        self._memory = MemoryStore(self.memory_budget)
        self._hits = self._misses = 0

    def __repr__(self) -> str:
        """Show the settings."""
        place = repr(None if self.folder is None else str(self.folder))
        if self.folder is None and self._store is not None:
            place = f"store={self._store!r}"
        return (
            f"FeatureCache({place}, memory_budget={self.memory_budget}, "
            f"folder_budget={self.folder_budget})"
        )

    @property
    def is_shared(self) -> bool:
        """Whether other processes may have its rows, or compute them now."""
        return self._store is not None

    def __sklearn_clone__(self) -> Self:
        """Return the cache itself: clones of an encoder share it."""
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the cache itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; a folder is shared by whoever loads them."""
        store = self._store if self.folder is None else None
        budgets = self.memory_budget, self.folder_budget
        return rebuild_cache, (self.folder, store, *budgets)

    def info(self) -> CacheInfo:
        """Say what the cache did and holds.

        Returns
        -------
        CacheInfo
        """
        with self._lock:
            return CacheInfo(
                self._hits,
                self._misses,
                len(self._memory),
                self._memory.n_bytes,
                self.memory_budget,
                None if self.folder is None else str(self.folder),
            )

    def clear(self, *, folder: bool = False) -> None:
        """Forget what memory holds and set the counts to 0.

        Parameters
        ----------
        folder : bool, default=False
            Also delete what the folder or the store holds.
        """
        with self._lock:
            self._reset()
            if folder and self._store is not None:
                self._store.clear()

    def get_many(
        self, keys: Sequence[bytes], part: slice | None = None, scan: int | None = None
    ) -> dict[bytes, np.ndarray]:
        """Look up one part of many rows.

        Parameters
        ----------
        keys : sequence of bytes
            Row keys.
        part : slice, default=None
            The part of each row's record that is wanted: the depth. None is all.
        scan : int, default=None
            From `new_scan`: the call whose rows do not push each other out.

        Returns
        -------
        dict of bytes to ndarray
            The rows that are there.
        """
        found = {}
        with self._lock:
            for key in keys:
                array = self._memory.get(key, part, scan)
                if array is not None:
                    found[key] = array
            self._memory.shrink(scan)
        missing = [key for key in keys if key not in found]
        # The store is read outside the lock, so that a slow disk stops no other thread;
        # a row that comes twice in the meantime is only kept once more.
        if missing and self._store is not None:
            for key, record in self._store.get_many(missing):
                with self._lock:
                    found[key] = self._keep(key, record, part, scan)
        with self._lock:
            self._hits += len(found)
        return found

    def claim(self, keys: Sequence[bytes], part: slice | None = None) -> set[bytes]:
        """Say that this thread is going to compute rows that it did not find.

        A claim ends with `put_many` or `release`.

        Parameters
        ----------
        keys : sequence of bytes
        part : slice, default=None
            The part of each row's record that is wanted.

        Returns
        -------
        set of bytes
            The keys that are this thread's to compute. The others are being computed
            by another thread or process, or are there by now: look them up again,
            and where they are still missing, claim them again.
        """
        # Twice: among the threads of this process here, which costs nothing, and then
        # among processes in the store. A key counts as claimed here before the store is
        # asked, or two threads would both ask for it and one owner would grant both.
        me = os.getpid(), threading.get_ident()
        with self._lock:
            free = [
                key
                for key in keys
                if not self._is_claimed(key, me) and self._memory.get(key, part) is None
            ]
            self._claims.update(dict.fromkeys(free, me))
        if self._store is None:
            return set(free)
        granted = self._store.claim(free) if free else set()
        # What another process has is no claim of this thread: another thread here may
        # try for it later.
        with self._changed:
            for key in free:
                if key not in granted:
                    self._claims.pop(key, None)
            self._changed.notify_all()
        return granted

    def release(self, keys: Iterable[bytes]) -> None:
        """Give up claims of this thread.

        Parameters
        ----------
        keys : iterable of bytes
        """
        with self._changed:
            for key in keys:
                self._claims.pop(key, None)
            self._changed.notify_all()
        if self._store is not None:
            self._store.release(list(keys))

    def wait(self) -> None:
        """Wait a little for others to finish rows that they claimed."""
        with self._changed:
            self._changed.wait(POLL_S)

    def _is_claimed(self, key, me):
        owner = self._claims.get(key)
        # A forked process inherits claims of threads that it does not have.
        return owner is not None and owner != me and owner[0] == me[0]

    def put_many(
        self,
        records: dict[bytes, np.ndarray],
        part: slice | None = None,
        scan: int | None = None,
    ) -> None:
        """Keep the records of rows that have just been computed.

        Parameters
        ----------
        records : dict of bytes to ndarray
            One array a row: for an encoder, the vectors of all depths, end to end.
        part : slice, default=None
            The part that was asked for. None is all.
        scan : int, default=None
            As in `get_many`.
        """
        with self._lock:
            for key, record in records.items():
                self._keep(key, record, part, scan)
            self._misses += len(records)
        # The claims end last: whoever waits for one looks the row up next, and must
        # find it in memory or in the store.
        if self._store is not None:
            self._store.put_many(records)
        with self._changed:
            for key in records:
                self._claims.pop(key, None)
            self._changed.notify_all()

    def keep_spare(self, records: dict[bytes, np.ndarray]) -> None:
        """Keep by-products in memory, as long as most of it is free.

        Whoever asks for many rows holds those that were asked for beside the cache.

        Parameters
        ----------
        records : dict of bytes to ndarray
            By key.
        """
        with self._lock:
            for key, record in records.items():
                if self._memory.n_bytes > self._memory.budget // 8:
                    break
                self._memory.keep_spare(key, record)
            self._shrink()

    def _keep(self, key, record, part, scan):
        kept = self._memory.keep(key, record, part, scan)
        self._shrink(scan)
        return kept

    def _shrink(self, scan=None):
        if self._memory.shrink(scan):
            self._warn_full()

    def _warn_full(self):
        if self._has_warned or self.memory_budget == 0 or self._store is not None:
            return
        self._has_warned = True
        warnings.warn(
            f"The feature cache is full ({self.memory_budget / 2**20:.0f} MiB): rows "
            "that it lets go run through the network again when they are asked for "
            "again. Give it a folder (set_cache_dir, or cache=FOLDER), or raise the "
            "memory_budget of a FeatureCache.",
            RuntimeWarning,
            stacklevel=2,
        )


_lock = threading.RLock()
_folders: dict[Path, FeatureCache] = {}


def folder_cache(folder, budgets=None):
    """Return this process's one cache for a folder.

    Two would not see each other's rows in memory, and each would take its own budget.

    Parameters
    ----------
    folder : str or Path
    budgets : dict of str to int, default=None
        Of a cache that is made now.
    """
    path = Path(folder).expanduser().absolute()
    with _lock:
        if path not in _folders:
            _folders[path] = FeatureCache(path, **budgets or {})
        return _folders[path]


@on_disk
def rebuild_cache(folder, store, memory_budget, folder_budget):
    """Return the cache that a pickle stands for."""
    budgets = {"memory_budget": memory_budget, "folder_budget": folder_budget}
    if folder is None:
        return FeatureCache(store=store, **budgets)
    return folder_cache(folder, budgets)
