"""FeatureCache: one row through the network once, whoever asks again.

A row is found again by its content, never by a name, an index or a fold. The key also
holds everything that makes the vector: the network's cache identity and how it runs.
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
