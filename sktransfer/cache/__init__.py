"""FeatureCache: features that were computed once, for later calls and processes.

A row is looked up by its content, never by a name, an index or a fold. The key also
contains the network's cache identity and the settings with which it runs.
"""

from ._default import cache_info, clear_cache, set_cache_dir
from ._feature_cache import FeatureCache
from ._settings import CacheInfo
from ._store import FeatureStore

__all__ = [
    "CacheInfo",
    "FeatureCache",
    "FeatureStore",
    "cache_info",
    "clear_cache",
    "set_cache_dir",
]
