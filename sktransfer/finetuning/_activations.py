"""Storage of the activations of a fit: in memory, and beyond a budget in a file."""

import tempfile
import weakref
from typing import Any, NamedTuple

import numpy as np

from .._utils.threads import ForkLock


class _Place(NamedTuple):
    """Place of an array in the file."""

    start: int
    dtype: np.dtype
    shape: tuple


class Rows:
    """A list of arrays, of which those beyond a budget are in a file.

    Parameters
    ----------
    n_rows : int
    budget : int
        Bytes that may be in memory.

    Attributes
    ----------
    first : ndarray of int
        For each row the first one of the same content.
    """

    def __init__(self, n_rows, budget):
        self._rows = [None] * n_rows
        self.first = np.arange(n_rows)
        self._budget = budget
        self._n_bytes = 0
        self._file: Any = None  # made when something spills
        self._lock = ForkLock()

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, row):
        kept = self._rows[row]
        return self._read(kept) if isinstance(kept, _Place) else kept

    def peek(self, row):
        """Return something with the row's shape and dtype, without reading a file.

        It is the same object for rows of the same content.
        """
        return self._rows[row]

    def __setitem__(self, row, array):
        if array.nbytes and self._n_bytes + array.nbytes > self._budget:
            self._rows[row] = self._spill(array)
        else:
            self._n_bytes += array.nbytes
            self._rows[row] = array

    def repeat(self, row, first):
        """Let a row be what another one is, at no cost."""
        self.first[row] = self.first[first]
        self._rows[row] = self._rows[first]

    def _spill(self, array):
        """Write an array to a file that has no name and goes with this process."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="sktransfer-")  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        with self._lock:
            start = self._file.seek(0, 2)
            self._file.write(array.tobytes())
        return _Place(start, array.dtype, array.shape)

    def _read(self, place):
        array = np.empty(place.shape, place.dtype)
        with self._lock:
            self._file.seek(place.start)
            self._file.readinto(array.reshape(-1).view(np.uint8))
        return array


class Forward:
    """Takes activations and gives what a module makes of them, a batch at a time.

    It stands where `Rows` stands during a fit, so that predicting holds no more than a
    batch of activations.

    Parameters
    ----------
    run : callable
        ``run(list of arrays)`` returns one output for each.
    n_rows : int
    batch_size : int
    """

    def __init__(self, run, n_rows, batch_size):
        self.outputs = [None] * n_rows
        self._run = run
        self._batch_size = batch_size
        self._waiting = {}
        self._repeats = []

    def __setitem__(self, row, array):
        self._waiting[row] = array
        if len(self._waiting) == self._batch_size:
            self._flush()

    def repeat(self, row, first):
        """Let a row have the output of another one."""
        self._repeats.append((row, first))

    def finish(self):
        """Run what is left; return the outputs, None for a row that never came."""
        self._flush()
        for row, first in self._repeats:
            self.outputs[row] = self.outputs[first]
        return self.outputs

    def _flush(self):
        if self._waiting:
            outputs = self._run(list(self._waiting.values()))
            for row, output in zip(self._waiting, outputs, strict=True):
                self.outputs[row] = output
            self._waiting = {}
