"""MemoryStore: the part of a FeatureCache that is in memory, within a budget.

Some calls go through more rows than fit, and are repeated. If the least recently used
rows left, each row would push out one that comes later, and the next call would find
none. So the rows that a call has added or found stay until its end, and its next rows
are not kept.
"""

import itertools
from collections import OrderedDict

from .._utils.allocator import held_bytes

# Bytes that a key, its entry and the header of an array take beside the data.
ENTRY_OVERHEAD = 384

_scans = itertools.count()


def new_scan():
    """Return a number for a call that goes through rows."""
    return next(_scans)


class MemoryStore:
    """Arrays by key; by-products leave first, then the least recently used.

    Methods take a `scan`, a number for each call that goes through rows.

    Parameters
    ----------
    budget : int
        Bytes of arrays that are kept.
    """

    def __init__(self, budget):
        self.budget = budget
        self.n_bytes = 0
        self._asked = OrderedDict()  # key -> the array, and the scan that used it last
        self._spare = OrderedDict()

    def __len__(self):
        return len(self._asked)

    def get(self, key, part=None, scan=None):
        """Return one part of an array, or all of it; None if it is not there."""
        asked_key = _asked_key(key, part)
        if asked_key in self._asked:
            array, _ = self._asked.pop(asked_key)
            self._asked[asked_key] = array, scan
            return array
        spare = self._spare.get(key)
        if spare is None:
            return None
        # Asked for as a whole, it stops being a by-product. Asked for in part, it stays
        # one beside a copy: a view would keep all of it alive after it has left.
        if part is None:
            del self._spare[key]
            self.n_bytes -= _cost(spare)
        array = spare if part is None else spare[part].copy()
        return self._add(asked_key, array, scan)

    def keep(self, key, array, part=None, scan=None):
        """Keep what was asked for, and beside a part the rest as a by-product.

        Returns
        -------
        ndarray
            The part; it cannot be written to.
        """
        # A copy: a view would keep the whole record alive after it has left.
        part_array = array if part is None else array[part].copy()
        kept = self._add(_asked_key(key, part), part_array, scan)
        if part is not None and len(array) > len(kept):
            self.keep_spare(key, array)
        return kept

    def keep_spare(self, key, array):
        """Keep a by-product, which leaves before what was asked for."""
        if key not in self._spare and _asked_key(key, None) not in self._asked:
            self._spare[key] = array
            self.n_bytes += _cost(array)

    def shrink(self, scan=None):
        """Come back within the budget; return whether something asked for left."""
        # By-products first: nobody has asked for them yet, and somebody has for the
        # rest.
        while self.n_bytes > self.budget and self._spare:
            self.n_bytes -= _cost(self._spare.popitem(last=False)[1])
        is_over = self.n_bytes > self.budget
        while self.n_bytes > self.budget and self._asked:
            _, oldest = next(iter(self._asked.values()))
            # The oldest entry is one of this very call: all others are gone already.
            # From here on the newest leaves instead, so that the first rows of the call
            # are still there when the next call begins with them.
            is_own = scan is not None and oldest == scan
            _, (array, _) = self._asked.popitem(last=is_own)
            self.n_bytes -= _cost(array)
        return is_over

    def _add(self, asked_key, array, scan):
        array.flags.writeable = False
        if asked_key not in self._asked:
            self.n_bytes += _cost(array)
        self._asked[asked_key] = array, scan
        return array


def _asked_key(key, part):
    return key if part is None else (key, part.start, part.stop)


def _cost(array):
    # One with a base is from `apart`, and takes whole pages.
    n_bytes = array.nbytes if array.base is None else held_bytes(array.nbytes)
    return n_bytes + ENTRY_OVERHEAD
