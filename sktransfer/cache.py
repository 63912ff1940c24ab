"""FeatureCache: one row through the network once, whoever asks again.

A row is found again by its content, never by a name, an index or a fold. The key
also holds everything that the vector depends on: the weights' fingerprint, the
preprocessing, the pooling, the precision and how it was computed.
"""

import os
import threading
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from ._folder_store import FolderStore

__all__ = [
    "CacheInfo",
    "FeatureCache",
    "cache_info",
    "clear_cache",
    "set_cache_dir",
]

ENV_VARIABLE = "SKTRANSFER_CACHE"
DEFAULT_MEMORY_BUDGET = 2**30
ENTRY_OVERHEAD = 200  # bytes a dict entry and an array header cost beside the data


class CacheInfo(NamedTuple):
    """What a cache did and holds.

    Attributes
    ----------
    hits, misses : int
        Rows found, and rows not found, which therefore went through a network.
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
    memory_budget : int, default=2**30
        Bytes of vectors kept in memory. Beyond it, vectors of depths that nobody
        has asked for go first, then the least recently used ones.

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

    def __init__(self, folder=None, *, memory_budget=DEFAULT_MEMORY_BUDGET):
        if memory_budget < 0:
            raise ValueError(f"memory_budget={memory_budget} must not be negative.")
        self.folder = None if folder is None else Path(folder).expanduser()
        self.memory_budget = memory_budget
        self._store = None if folder is None else FolderStore(self.folder)
        self._lock = threading.RLock()
        self._has_warned = False
        self._reset()

    def _reset(self):
        # Asked-for vectors, and by-products: vectors of the other depths of a row.
        self._asked = OrderedDict()
        self._spare = OrderedDict()
        self._n_bytes = 0
        self._hits = self._misses = 0

    def __repr__(self):
        """Show the settings."""
        folder = None if self.folder is None else str(self.folder)
        return f"FeatureCache({folder!r}, memory_budget={self.memory_budget})"

    def __sklearn_clone__(self):
        """Return the cache itself: clones of an encoder share it."""
        return self

    def __deepcopy__(self, memo):
        """Return the cache itself."""
        return self

    def __reduce__(self):
        """Pickle the settings; a folder is shared by whoever loads them."""
        return _rebuild_cache, (self.folder, self.memory_budget)

    def info(self):
        """Return a `CacheInfo`."""
        with self._lock:
            return CacheInfo(
                self._hits,
                self._misses,
                len(self._asked),
                self._n_bytes,
                self.memory_budget,
                None if self.folder is None else str(self.folder),
            )

    def clear(self, *, folder=False):
        """Forget what memory holds and set the counts to 0.

        Parameters
        ----------
        folder : bool, default=False
            Also delete what the folder holds.
        """
        with self._lock:
            self._reset()
            if folder and self._store is not None:
                self._store.clear()

    def get_many(self, keys, part):
        """Look up one part of many rows.

        Parameters
        ----------
        keys : sequence of bytes
            Row keys.
        part : slice
            The part of each row's record that is wanted: the depth.

        Returns
        -------
        dict of bytes to ndarray of shape (part.stop - part.start,), float32
            The rows that are there.
        """
        found = {}
        with self._lock:
            for key in keys:
                vector = self._from_memory(key, part)
                if vector is not None:
                    found[key] = vector
        missing = [key for key in keys if key not in found]
        if missing and self._store is not None:
            records = self._store.get_many(missing)
            with self._lock:
                for key, record in records.items():
                    found[key] = self._keep(key, record, part)
        with self._lock:
            self._hits += len(found)
            self._misses += len(keys) - len(found)
        return found

    def put_many(self, records, part):
        """Keep the records of rows that have just been computed.

        Parameters
        ----------
        records : dict of bytes to ndarray
            One float32 vector a row: those of all depths, end to end.
        part : slice
            The part that was asked for.
        """
        with self._lock:
            for key, record in records.items():
                self._keep(key, record, part)
        if self._store is not None:
            self._store.put_many(records)

    def _from_memory(self, key, part):
        asked_key = (key, part.start, part.stop)
        vector = self._asked.get(asked_key)
        if vector is not None:
            self._asked.move_to_end(asked_key)
            return vector
        record = self._spare.get(key)
        return None if record is None else self._add_asked(key, record, part)

    def _keep(self, key, record, part):
        vector = self._add_asked(key, record, part)
        if len(record) > len(vector) and key not in self._spare:
            self._spare[key] = record
            self._n_bytes += record.nbytes + ENTRY_OVERHEAD
        self._shrink()
        return vector

    def _add_asked(self, key, record, part):
        vector = record[part].copy()
        vector.flags.writeable = False
        asked_key = (key, part.start, part.stop)
        if asked_key not in self._asked:
            self._n_bytes += vector.nbytes + ENTRY_OVERHEAD
        self._asked[asked_key] = vector
        return vector

    def _shrink(self):
        for store in (self._spare, self._asked):
            while self._n_bytes > self.memory_budget and store:
                _, vector = store.popitem(last=False)
                self._n_bytes -= vector.nbytes + ENTRY_OVERHEAD
                if store is self._asked:
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


def _rebuild_cache(folder, memory_budget):
    if folder is None:
        return FeatureCache(memory_budget=memory_budget)
    return _folder_cache(folder, memory_budget)


_lock = threading.RLock()
_memory = FeatureCache()
_folders = {}


def set_cache_dir(folder):
    """Set the folder that ``cache="auto"`` uses in this process and its children.

    It sets the environment variable ``SKTRANSFER_CACHE``, which joblib's workers
    inherit when they start.

    Parameters
    ----------
    folder : str, Path or None
        A folder on a local disk; None goes back to memory only.

    Examples
    --------
    >>> import sktransfer
    >>> sktransfer.set_cache_dir(None)
    """
    if folder is None:
        os.environ.pop(ENV_VARIABLE, None)
    else:
        os.environ[ENV_VARIABLE] = str(Path(folder).expanduser().absolute())


def cache_info():
    """Return the `CacheInfo` of the cache that ``cache="auto"`` uses now.

    Examples
    --------
    >>> import sktransfer
    >>> sktransfer.cache_info().memory_budget
    1073741824
    """
    return resolve_cache("auto").info()


def clear_cache(*, folder=False):
    """Empty the cache that ``cache="auto"`` uses now.

    Parameters
    ----------
    folder : bool, default=False
        Also delete what its folder holds.

    Examples
    --------
    >>> import sktransfer
    >>> sktransfer.clear_cache()
    >>> sktransfer.cache_info().rows
    0
    """
    resolve_cache("auto").clear(folder=folder)


def resolve_cache(cache):
    """Turn an encoder's ``cache`` parameter into a `FeatureCache` or None."""
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, (str, Path)) and cache != "auto":
        return _folder_cache(cache)
    if cache != "auto":
        raise TypeError(
            f"cache={cache!r} must be 'auto', a folder, a FeatureCache or None."
        )
    folder = os.environ.get(ENV_VARIABLE)
    return _folder_cache(folder) if folder else _memory


def _folder_cache(folder, memory_budget=DEFAULT_MEMORY_BUDGET):
    """Return this process's one cache for a folder."""
    path = Path(folder).expanduser().absolute()
    with _lock:
        if path not in _folders:
            _folders[path] = FeatureCache(path, memory_budget=memory_budget)
        return _folders[path]
