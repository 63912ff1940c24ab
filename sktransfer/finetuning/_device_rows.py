"""Rows of a fit on the device that trains, so that no step copies them there."""

from typing import Any, NamedTuple

import numpy as np
import torch

from .._utils.device_memory import give_back, is_out_of_memory, to_device
from ..backbones import State
from ..backbones._state import token_mask

ROOM_SHARE = 0.25  # of the memory that is free; the steps need the rest
ROOM_ELSEWHERE = 2**30  # bytes, where a device does not say what is free
CHUNK_BYTES = 2**26  # copied to the device at once


class Budget:
    """Bytes of a device's memory that rows may take.

    Parameters
    ----------
    device : torch.device
    n_bytes : int
    """

    def __init__(self, device, n_bytes):
        self.device, self.n_bytes = device, n_bytes

    def take(self, n_bytes):
        """Take some of it; return whether there was enough."""
        if n_bytes > self.n_bytes:
            return False
        self.n_bytes -= n_bytes
        return True


def budget_of(device):
    """Return what the rows of a fit may take; None on a CPU, where they are already."""
    return None if device.type == "cpu" else Budget(device, _room_of(device))


def _room_of(device):
    module = torch.get_device_module(device)
    if not hasattr(module, "mem_get_info"):
        return ROOM_ELSEWHERE
    free, _ = module.mem_get_info(device)
    if hasattr(module, "memory_reserved"):  # torch's own, which is free for torch
        free += module.memory_reserved(device) - module.memory_allocated(device)
    return int(ROOM_SHARE * free)


class Gather(NamedTuple):
    """A batch as the host makes it: which units to take, and those to bring along.

    Attributes
    ----------
    index : Tensor of int64
        Number of a unit for each place of the batch; 0 is a unit of zeros.
    lengths : Tensor of int64 or None
        Units of each row, where rows have several.
    places : Tensor of int64 or None
        Places that units of the host come to.
    more : Tensor or None
        These units.
    """

    index: Any
    lengths: Any
    places: Any
    more: Any

    def pinned(self):
        """Return it in memory that CUDA copies from without waiting."""
        return Gather(*(None if part is None else part.pin_memory() for part in self))


class DeviceRows:
    """Rows as one tensor of units: a unit is a row, or a token of a row of tokens.

    A batch is gathered by one call, whatever rows it has. Rows beyond the budget stay
    where they are, and come along with each batch.

    Parameters
    ----------
    views : list of sequence of ndarray
        As `RowsDataset` takes them; they have `peek`.
    rows : ndarray of int
        Rows that take part.
    budget : Budget
    is_text : bool
    """

    def __init__(self, views, rows, budget, is_text):
        self.views, self.device = views, budget.device
        first = views[0].peek(rows[0])
        # A unit of a network that is frozen as a whole is a pooled vector.
        is_pooled = len(first.shape) == 1 and first.dtype.kind == "f"
        self.has_tokens = is_text and not is_pooled
        self.unit_shape = tuple(first.shape[1:] if self.has_tokens else first.shape)
        self.dtype = first.dtype
        shape = (len(views), int(np.max(rows)) + 1)
        self.starts = np.zeros(shape, np.int64)
        self.lengths = np.ones(shape, np.int64)
        kept = self._choose(rows, budget)
        self.is_whole = bool((self.starts[:, rows] > 0).all())
        self._copy(kept)

    def _choose(self, rows, budget):
        """Note where each row stands; return those to copy."""
        # Unit 0 is zeros: padding, and the place of rows that are not kept here.
        kept, place_of, n_units = [], {}, 1
        n_bytes = self.dtype.itemsize * int(np.prod(self.unit_shape))
        budget.take(n_bytes)
        for number, view in enumerate(self.views):
            for row in rows:
                found = view.peek(row)
                unit = found.shape[1:] if self.has_tokens else found.shape
                if tuple(unit) != self.unit_shape or found.dtype != self.dtype:
                    raise UnlikeRows
                length = found.shape[0] if self.has_tokens else 1
                self.lengths[number, row] = length
                # Repeated rows are one object, and stand on the device once.
                if id(found) not in place_of:
                    if not budget.take(length * n_bytes):
                        continue
                    place_of[id(found)] = n_units
                    kept.append((view, row, n_units))
                    n_units += length
                self.starts[number, row] = place_of[id(found)]
        self.n_units = n_units
        return kept

    def _copy(self, kept):
        shape = (self.n_units, *self.unit_shape)
        dtype = torch.from_numpy(np.empty(0, self.dtype)).dtype
        self.units = torch.empty(shape, dtype=dtype, device=self.device)
        self.units[:1].zero_()
        chunk, n_bytes, start = [], 0, 1
        for view, row, _ in kept:
            array = view[row] if self.has_tokens else view[row][None]
            chunk.append(array)
            n_bytes += array.nbytes
            if n_bytes >= CHUNK_BYTES:
                start, chunk, n_bytes = self._put(chunk, start), [], 0
        if chunk:
            self._put(chunk, start)

    def _put(self, chunk, start):
        units = torch.from_numpy(np.concatenate(chunk))
        self.units[start : start + len(units)].copy_(units)
        return start + len(units)

    def gather(self, views, rows):
        """Return a batch as the host makes it.

        Parameters
        ----------
        views : ndarray of int
            Number of a view for each row.
        rows : ndarray of int
        """
        starts, lengths = self.starts[views, rows], self.lengths[views, rows]
        steps = np.arange(lengths.max() if self.has_tokens else 1)
        is_real = steps < lengths[:, None]
        is_here = starts[:, None] > 0
        index = np.where(is_real & is_here, starts[:, None] + steps, 0)
        places: Any = None
        more: Any = None
        missing = np.flatnonzero(starts == 0)
        if len(missing):
            found = [self.views[views[i]][rows[i]] for i in missing]
            more = np.concatenate(found) if self.has_tokens else np.stack(found)
            more = torch.from_numpy(np.ascontiguousarray(more))
            places = torch.from_numpy(np.flatnonzero(is_real & ~is_here))
        return Gather(
            torch.from_numpy(index),
            torch.from_numpy(lengths) if self.has_tokens else None,
            places,
            more,
        )

    def finish(self, gather):
        """Return a State of a batch, on the device."""
        n_rows, length = gather.index.shape
        there: list[Any] = [
            None if part is None else to_device(part, self.device) for part in gather
        ]
        index, lengths, places, more = there
        found = self.units.index_select(0, index.flatten())
        if more is not None:
            found.index_copy_(0, places, more)
        if lengths is None:
            return State(found)
        hidden = found.view(n_rows, length, *self.unit_shape)
        return State(hidden, token_mask(lengths, length), lengths)


class UnlikeRows(Exception):
    """Rows have not one form; they stay on the host."""


def rows_on(views, rows, budget, is_text):
    """Return `DeviceRows`, or None where rows have to stay on the host."""
    try:
        return DeviceRows(views, rows, budget, is_text)
    except UnlikeRows:
        return None
    except RuntimeError as err:
        if not is_out_of_memory(err):
            raise
    give_back(budget.device)  # somebody else has taken it meanwhile
    return None
