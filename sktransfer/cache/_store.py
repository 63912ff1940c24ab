"""FeatureStore: what a place must do to keep rows for a FeatureCache."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._utils.names import set_module


@set_module("sktransfer.cache")
class FeatureStore(ABC):
    """A place that keeps arrays by key for many processes; the base of your own.

    `FeatureCache(store=...)` takes one. The folder of a `FeatureCache` is such a store
    too. Keys are bytes that name everything an array depends on, so that a store never
    has to forget a row that has become wrong. Threads call it at the same time.

    A subclass has `get_many`, `put_many` and `clear`. One that also has `claim` and
    `release` keeps processes from computing the same row twice; it should have
    `discard`, too. `begin_call` and `note_origin` tell it more and may be left out. It
    must be picklable, to reach the workers of ``n_jobs``.

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

    def begin_call(self) -> None:  # noqa: B027
        """Take note that the next keys of this thread belong to a new call.

        A store with a limit on its size may keep the rows of one call from pushing each
        other out: else a call with more rows than there is room for finds none of them
        the next time.
        """

    def note_origin(self, prefix: bytes, origin: Mapping[str, Any]) -> None:  # noqa: B027
        """Take note of what made the rows whose keys begin alike.

        It comes before the first `put_many` of such rows, and may come again.

        Parameters
        ----------
        prefix : bytes
            The first 20 bytes of the keys; the other 20 are the content of a row.
        origin : mapping of str to object
            Can be written as JSON. Under "network" is a name, and under "versions" a
            mapping of package to major and minor version.
        """

    def discard(self, keys: Sequence[bytes]) -> None:  # noqa: B027
        """Delete arrays that are not what they should be, for example too short.

        They are computed anew. A store with `claim` should do it, or nobody is granted
        the key.

        Parameters
        ----------
        keys : sequence of bytes
        """

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
