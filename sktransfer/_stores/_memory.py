"""MemoryStore: the part of a FeatureCache that is in memory, within a budget."""

from collections import OrderedDict

ENTRY_OVERHEAD = 200  # bytes a dict entry and an array header cost beside the data


class MemoryStore:
    """Arrays by key; by-products leave first, then the least recently used.

    Parameters
    ----------
    budget : int
        Bytes of arrays that are kept.
    """

    def __init__(self, budget):
        self.budget = budget
        self.n_bytes = 0
        self._asked = OrderedDict()
        self._spare = OrderedDict()

    def __len__(self):
        return len(self._asked)

    def get(self, key, part=None):
        """Return one part of an array, or all of it; None if it is not there."""
        asked_key = _asked_key(key, part)
        array = self._asked.get(asked_key)
        if array is not None:
            self._asked.move_to_end(asked_key)
            return array
        spare = self._spare.get(key)
        if spare is None:
            return None
        if part is None:
            del self._spare[key]
            self.n_bytes -= _cost(spare)
        return self._add(asked_key, spare if part is None else spare[part].copy())

    def keep(self, key, array, part=None):
        """Keep what was asked for, and beside a part the rest as a by-product.

        Returns
        -------
        ndarray
            The part; it cannot be written to.
        """
        part_array = array if part is None else array[part].copy()
        kept = self._add(_asked_key(key, part), part_array)
        if part is not None and len(array) > len(kept):
            self.keep_spare(key, array)
        return kept

    def keep_spare(self, key, array):
        """Keep a by-product, which leaves before what was asked for."""
        if key not in self._spare and _asked_key(key, None) not in self._asked:
            self._spare[key] = array
            self.n_bytes += _cost(array)

    def shrink(self):
        """Come back within the budget; return whether something asked for left."""
        has_left = False
        for store in (self._spare, self._asked):
            while self.n_bytes > self.budget and store:
                _, array = store.popitem(last=False)
                self.n_bytes -= _cost(array)
                has_left = store is self._asked
        return has_left

    def _add(self, asked_key, array):
        array.flags.writeable = False
        if asked_key not in self._asked:
            self.n_bytes += _cost(array)
        self._asked[asked_key] = array
        return array


def _asked_key(key, part):
    return key if part is None else (key, part.start, part.stop)


def _cost(array):
    return array.nbytes + ENTRY_OVERHEAD
