"""FeatureStore: base class of places that keep rows for a FeatureCache."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._utils.names import set_module


@set_module("sktransfer.cache")
class FeatureStore(ABC):
    """Base class of a store, which keeps arrays by key for many processes.

    Pass an instance as `FeatureCache(store=...)`; the folder of a `FeatureCache` is
    such a store too. A key names everything that an array depends on, so the array of a
    key never becomes wrong. Several threads may call a store at the same time.

    A subclass must have `get_many`, `put_many` and `clear`, and be picklable for the
    workers of ``n_jobs``. With `claim` and `release`, processes do not compute the same
    row twice; such a store should also have `discard`. `begin_call` and `note_origin`
    pass more information, and are optional.

    Notes
    -----
    A store chooses how it fails: an exception ends the call of the estimator, and
    arrays that it does not return are computed again.

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
        """Return the arrays of some keys.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        iterable of (bytes, ndarray)
            Keys and arrays that were found, in any order. The cache marks the arrays as
            read-only.
        """

    @abstractmethod
    def put_many(self, records: Mapping[bytes, np.ndarray]) -> None:
        """Store arrays, and end this thread's claims on their keys.

        Parameters
        ----------
        records : mapping of bytes to ndarray
            Arrays of any numeric data type and shape, C-contiguous or not.
        """

    @abstractmethod
    def clear(self) -> None:
        """Delete every array."""

    def begin_call(self) -> None:  # noqa: B027
        """Note that the next keys of this thread belong to a new call.

        A store with a size limit may stop rows of the same call from replacing each
        other. Otherwise a call with more rows than the limit allows finds none of them
        the next time.
        """

    def note_origin(self, prefix: bytes, origin: Mapping[str, Any]) -> None:  # noqa: B027
        """Note the origin of the rows whose keys begin with a prefix.

        The call comes before the first `put_many` of such rows, and may be repeated.

        Parameters
        ----------
        prefix : bytes
            The first 20 bytes of the keys; the other 20 are the content of a row.
        origin : mapping of str to object
            Origin, which can be written as JSON: the name of a network under "network",
            and a mapping of package to major and minor version under "versions".
        """

    def discard(self, keys: Sequence[bytes]) -> None:  # noqa: B027
        """Delete invalid arrays, for example too short ones.

        They are computed again. A store with `claim` should implement this: otherwise
        nobody can claim the key.

        Parameters
        ----------
        keys : sequence of bytes
        """

    def claim(self, keys: Sequence[bytes]) -> set[bytes]:
        """Claim rows that this thread computes, so that nobody else does.

        A claim ends with `put_many` or `release`, and must expire by itself when its
        owner dies. This default grants every key.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        set of bytes
            Keys that this thread has to compute. The others are computed elsewhere, or
            are finished by now.
        """
        return set(keys)

    def release(self, keys: Sequence[bytes]) -> None:  # noqa: B027
        """Release claims of this thread.

        Parameters
        ----------
        keys : sequence of bytes
        """
