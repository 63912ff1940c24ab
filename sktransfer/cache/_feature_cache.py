"""FeatureCache: features that were computed once, for later calls and processes.

A row is looked up by its content, never by a name, an index or a fold. The key also
contains the network's cache identity and the settings with which it runs.
"""

from __future__ import annotations

import os
import threading
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from .._utils.allocator import apart
from .._utils.names import set_module
from ._folder import FolderStore
from ._forks import renew_in_children
from ._instances import rebuild_cache, remember
from ._memory import MemoryStore
from ._settings import CacheInfo, check_budget, check_folder_name
from ._store import FeatureStore

DEFAULT_MEMORY_BUDGET = 2**30
DEFAULT_FOLDER_BUDGET = 10 * 2**30
POLL_S = 0.05
WRONG_RECORD = (
    "A record in the feature cache has a wrong length or form. It is deleted, and the "
    "row is computed again. Results are right."
)


@set_module("sktransfer")
class FeatureCache:
    """Cache of the vectors of rows, in memory and in a folder.

    Encoders share a cache if they get the same object, or the path of its folder.
    ``sklearn.clone``, ``copy`` and ``copy.deepcopy`` return the cache itself. A pickle
    holds the settings, not the content: in the process that made the cache it becomes
    that cache again, as long as it lives. In another process all pickles of one cache
    become one cache, which the tasks of a worker of ``n_jobs`` share; a worker keeps
    the last four.

    Parameters
    ----------
    folder : str or Path, default=None
        Folder on a local disk that keeps the vectors for other processes and later
        runs. None keeps them in memory only. Words such as "memory" and "none" are
        refused; ``"./memory"`` is a folder.
    store : FeatureStore, default=None
        Store of your own, instead of a folder.
    memory_budget : int, default=2**30
        Greatest size of the vectors in memory, in bytes. Beyond it, vectors of depths
        that nobody has asked for are dropped first, then the least recently used ones.
        Rows of the same call do not replace each other: those that come too late are
        not kept.
    folder_budget : int or None, default=10 * 2**30
        Greatest size of the folder, in bytes. Beyond it, the least recently used rows
        are deleted, with the same exception. None sets no limit.

    Raises
    ------
    TypeError
        If a budget is no int, or `store` is no `FeatureStore`.
    ValueError
        If a budget is negative, `folder` is a word such as "none", or both `folder` and
        `store` are given.

    Notes
    -----
    Threads and processes that need the same rows at the same time share the work: each
    one claims the rows that it computes, and waits for the others' rows at the end.

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
        check_folder_name(folder, "folder")
        self.memory_budget = check_budget("memory_budget", memory_budget)
        if folder_budget is not None:
            folder_budget = check_budget("folder_budget", folder_budget)
        self.folder_budget = folder_budget
        if folder is not None and store is not None:
            raise ValueError(
                f"FeatureCache got folder={str(folder)!r} and store={store!r}; "
                "expected only one of them."
            )
        if store is not None and not isinstance(store, FeatureStore):
            raise TypeError(
                f"store={store!r} must be an instance of sktransfer.cache.FeatureStore."
            )
        self.folder = None if folder is None else Path(folder).expanduser()
        self._store = store
        if folder is not None:
            self._store = FolderStore(self.folder, self.folder_budget)
        self._new_lock()
        # key -> the thread that computes it
        self._claims: dict[bytes, tuple[int, int]] = {}
        self._warned: set[str] = set()
        self._local = threading.local()
        self._token, self._home = uuid.uuid4().hex, os.getpid()
        remember(self._token, self)
        self._reset()
        renew_in_children(self)

    def _new_lock(self):
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def _renew_lock(self, was_free):
        """Take a new lock in a forked child, which has none of the parent's threads."""
        self._new_lock()
        if not was_free:  # somebody was changing what memory holds
            self._memory = MemoryStore(self.memory_budget)

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

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether this is a copy of another process's cache."""
        return self._home != os.getpid()

    def __sklearn_clone__(self) -> Self:
        """Return the cache itself: clones of an encoder share it."""
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the cache itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings, and which cache of which process it is."""
        store = self._store if self.folder is None else None
        budgets = self.memory_budget, self.folder_budget
        # A method, because cloudpickle copies a private function into the pickle, and
        # with it the caches that it knows.
        which = self._token, self._home
        return self._rebuild, (self.folder, store, *budgets, *which)

    @classmethod
    def _rebuild(cls, *settings):
        return rebuild_cache(cls, *settings)

    def info(self) -> CacheInfo:
        """Return the counts and the size of the cache.

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
        """Empty the memory and reset the counts.

        Parameters
        ----------
        folder : bool, default=False
            Empty the folder or the store too, and free its disk space.
        """
        with self._lock:
            self._reset()
        if folder and self._store is not None:
            self._store.clear()

    def get_many(
        self,
        keys: Sequence[bytes],
        part: slice | None = None,
        scan: int | None = None,
        is_right: Callable[[np.ndarray], bool] | None = None,
    ) -> dict[bytes, np.ndarray]:
        """Look up one part of many rows.

        Parameters
        ----------
        keys : sequence of bytes
            Row keys.
        part : slice, default=None
            Part of each row's record to return: a depth. None is all.
        scan : int, default=None
            Call whose rows do not replace each other, from `new_scan`.
        is_right : callable, default=None
            Function that says whether an array from the store is valid. An invalid
            array is deleted, with one warning.

        Returns
        -------
        dict of bytes to ndarray
            Rows that were found.
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
            self._begin(scan)
            wrong = []
            for key, record in self._store.get_many(missing):
                if is_right is not None and not is_right(record):
                    wrong.append(key)
                    continue
                (record,) = apart([record], record.dtype)
                with self._lock:
                    found[key] = self._keep(key, record, part, scan)
            if wrong:
                self._store.discard(wrong)
                self._warn(WRONG_RECORD)
        with self._lock:
            self._hits += len(found)
        return found

    def _begin(self, scan):
        """Tell the store when the call that this thread is in is a new one."""
        is_new = scan is not None and scan > getattr(self._local, "scan", -1)
        if is_new and self._store is not None:
            self._local.scan = scan
            self._store.begin_call()

    def note_origin(self, prefix: bytes, origin: Mapping[str, Any]) -> None:
        """Tell the store what makes the rows whose keys begin with a prefix.

        Parameters
        ----------
        prefix : bytes
            First half of the keys.
        origin : mapping of str to object
            As in `FeatureStore.note_origin`.
        """
        if self._store is not None:
            self._store.note_origin(prefix, origin)

    def claim(self, keys: Sequence[bytes], part: slice | None = None) -> set[bytes]:
        """Claim rows that this thread is going to compute.

        A claim ends with `put_many` or `release`.

        Parameters
        ----------
        keys : sequence of bytes
        part : slice, default=None
            Part of each row's record that is needed.

        Returns
        -------
        set of bytes
            Keys that this thread has to compute. The others are computed by another
            thread or process, or are finished by now: look them up again, and claim
            those that are still missing.
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
        """Release claims of this thread.

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
        """Store the records of rows that have just been computed.

        Parameters
        ----------
        records : dict of bytes to ndarray
            One array per row: for an encoder, the vectors of all depths, one after the
            other.
        part : slice, default=None
            Part that was asked for. None is all.
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
            self._begin(scan)
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
        is_full = self._memory.shrink(scan)
        if is_full and self.memory_budget and self._store is None:
            self._warn(
                f"The feature cache is full ({self.memory_budget / 2**20:.0f} MiB): "
                "rows that were dropped run through the network again when they are "
                "needed. Give it a folder (set_cache_dir, or cache=FOLDER), or raise "
                "the memory_budget of a FeatureCache."
            )

    def _warn(self, text):
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, RuntimeWarning, stacklevel=3)
