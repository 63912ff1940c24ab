"""The cache of ``cache="auto"``, and the values of a `cache` parameter."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from pathlib import Path
from typing import TypeAlias

from .._utils.names import set_module
from ._feature_cache import FeatureCache
from ._instances import folder_cache
from ._settings import CacheInfo, check_folder_name

ENV_VARIABLE = "SKTRANSFER_CACHE"

# What `cache=` takes: "auto", a folder, a cache, or None for none.
CacheLike: TypeAlias = str | Path | FeatureCache | None


_memory = FeatureCache()
_warned_pids: set[int] = set()


@set_module("sktransfer")
def set_cache_dir(folder: str | Path | None) -> None:
    """Set the folder that ``cache="auto"`` uses in this process and its children.

    This sets the environment variable ``SKTRANSFER_CACHE``, which joblib's workers
    inherit when they start.

    Parameters
    ----------
    folder : str, Path or None
        Folder on a local disk. None returns to memory only.

    Raises
    ------
    ValueError
        If `folder` is a word such as "off", which is probably a mistake; ``"./off"`` is
        a folder.

    Examples
    --------
    >>> import sktransfer
    >>> sktransfer.set_cache_dir(None)
    """
    check_folder_name(folder, "folder")
    if folder is None:
        os.environ.pop(ENV_VARIABLE, None)
    else:
        os.environ[ENV_VARIABLE] = str(Path(folder).expanduser().absolute())


@set_module("sktransfer")
def cache_info() -> CacheInfo:
    """Return the counts and the size of the cache that ``cache="auto"`` uses now.

    Returns
    -------
    CacheInfo

    Examples
    --------
    >>> import sktransfer
    >>> sktransfer.cache_info().memory_budget
    1073741824
    """
    return _current().info()


@set_module("sktransfer")
def clear_cache(*, folder: bool = False) -> None:
    """Empty the cache that ``cache="auto"`` uses now.

    Parameters
    ----------
    folder : bool, default=False
        Empty its folder too.

    Examples
    --------
    >>> import sktransfer
    >>> sktransfer.clear_cache()
    >>> sktransfer.cache_info().rows
    0
    """
    _current().clear(folder=folder)


def resolve_cache(cache: CacheLike) -> FeatureCache | None:
    """Turn an encoder's ``cache`` parameter into a `FeatureCache` or None."""
    if isinstance(cache, FeatureCache) and cache.is_from_elsewhere:
        if not cache.is_shared:
            _warn_worker()
        return cache
    if cache is None or isinstance(cache, FeatureCache):
        return cache
    if isinstance(cache, (str, Path)) and cache != "auto":
        check_folder_name(cache, "cache")
        return folder_cache(FeatureCache, cache)
    if cache != "auto":
        raise TypeError(
            f"cache={cache!r} must be 'auto', a folder, a FeatureCache or None."
        )
    return _current()


def _current() -> FeatureCache:
    """Return what "auto" stands for now."""
    folder = os.environ.get(ENV_VARIABLE)
    if folder:
        check_folder_name(folder, ENV_VARIABLE)
        return folder_cache(FeatureCache, folder)
    _warn_worker()
    return _memory


def _warn_worker():
    """Say once in a worker that what it computes is lost to the others."""
    pid = os.getpid()
    if multiprocessing.parent_process() is None or pid in _warned_pids:
        return
    _warned_pids.add(pid)
    warnings.warn(
        "This is a worker process, whose features other workers and later calls do not "
        "see: each worker runs every row through the network again. Give the estimator "
        "cache=FOLDER, which all workers share; or call "
        "sktransfer.set_cache_dir(FOLDER) before the first parallel call, because "
        "running workers keep the setting with which they started.",
        RuntimeWarning,
        stacklevel=2,
    )
