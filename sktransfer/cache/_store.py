"""FeatureStore: what a place must do to keep rows for a FeatureCache."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .._utils.names import set_module


@set_module("sktransfer.cache")
class FeatureStore(ABC):
    """A place that keeps arrays by key for many processes; the base of your own.

    `FeatureCache(store=...)` takes one. The folder of a `FeatureCache` is such a store
    too. Keys are bytes that name everything an array depends on, so that a store never
    has to forget a row that has become wrong. Threads call it at the same time.

    A subclass has `get_many`, `put_many` and `clear`. One that also has `claim` and
    `release` keeps processes from computing the same row twice. It must be picklable,
    to reach the workers of ``n_jobs``.

    Notes
    -----
    A store decides by itself what its failures cost. What it raises ends the call of
    the estimator; where it returns nothing, rows are computed again.

    Examples
    --------
    >>> from sktransfer import FeatureCache, TextEncoder
    >>> from sktransfer.cache import FeatureStore
    >>> class DictStore(FeatureStore):
    ...     def __init__(self):
    ...         self.arrays = {}
    ...
    ...     def get_many(self, keys):
    ...         return [(key, self.arrays[key]) for key in keys if key in self.arrays]
    ...
    ...     def put_many(self, records):
    ...         self.arrays.update(records)
    ...
    ...     def clear(self):
    ...         self.arrays.clear()
    >>> store = DictStore()
    >>> encoder = TextEncoder("tiny-bert", cache=FeatureCache(store=store))
    >>> _ = encoder.fit_transform(["one", "two", "one"])
    >>> len(store.arrays)
    2
    """

    @abstractmethod
    def get_many(self, keys: Sequence[bytes]) -> Iterable[tuple[bytes, np.ndarray]]:
        """Find arrays.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        iterable of (bytes, ndarray)
            Key and array of those that are there, in any order; the cache marks the
            arrays as read-only.
        """

    @abstractmethod
    def put_many(self, records: Mapping[bytes, np.ndarray]) -> None:
        """Keep arrays, and end this thread's claims on their keys.

        Parameters
        ----------
        records : mapping of bytes to ndarray
            C-contiguous or not, of any numeric data type and shape.
        """

    @abstractmethod
    def clear(self) -> None:
        """Forget every array."""

    def claim(self, keys: Sequence[bytes]) -> set[bytes]:
        """Say that this thread computes rows, so that nobody else does.

        A claim ends with `put_many` or `release`, and must end by itself when its owner
        dies. Without a method of its own, a store grants every key.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        set of bytes
            The keys that are this thread's to compute. The others are being computed
            elsewhere, or are there by now.
        """
        return set(keys)

    def release(self, keys: Sequence[bytes]) -> None:  # noqa: B027
        """Give up claims of this thread.

        Parameters
        ----------
        keys : sequence of bytes
        """
