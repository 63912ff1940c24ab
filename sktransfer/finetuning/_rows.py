"""Where the activations of a fit stay: in memory, or beyond a budget in a file."""

import mmap
import tempfile
import weakref

import numpy as np


class Rows:
    """A list of arrays, of which those beyond a budget are mapped from a file.

    Parameters
    ----------
    n_rows : int
    budget : int
        Bytes that may be in memory.
    """

    def __init__(self, n_rows, budget):
        self._rows = [None] * n_rows
        self._budget = budget
        self._n_bytes = 0
        self._file = None

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, row):
        return self._rows[row]

    def __setitem__(self, row, array):
        is_new = self._n_bytes + array.nbytes > self._budget
        if is_new and array.nbytes and not isinstance(array.base, mmap.mmap):
            array = self._spill(array)
        else:
            self._n_bytes += array.nbytes
        self._rows[row] = array

    def _spill(self, array):
        """Write an array to a file that has no name and goes with this process."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="sktransfer-")  # noqa: SIM115
            weakref.finalize(self, self._file.close)  # the maps outlive it
        start = self._file.seek(0, 2)
        page = mmap.ALLOCATIONGRANULARITY
        self._file.write(array.tobytes())
        self._file.write(b"\0" * (-array.nbytes % page))
        self._file.flush()
        mapped = mmap.mmap(
            self._file.fileno(), array.nbytes, access=mmap.ACCESS_READ, offset=start
        )
        return np.frombuffer(mapped, array.dtype).reshape(array.shape)


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

    def __getitem__(self, row):
        return _SameAs(row)

    def __setitem__(self, row, array):
        if isinstance(array, _SameAs):
            self._repeats.append((row, array.row))
            return
        self._waiting[row] = array
        if len(self._waiting) == self._batch_size:
            self._flush()

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


class _SameAs:
    def __init__(self, row):
        self.row = row
