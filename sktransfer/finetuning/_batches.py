"""Batches of rows: activations, targets and weights, as the trained part takes them."""

from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch.dataset import Dataset

from .._utils.device_memory import to_device
from .._utils.names import on_disk
from ..backbones import State
from ._ahead import ahead
from ._augment import apply
from ._row_parts import by_row

SAMPLE_WEIGHT = "sample_weight"  # skorch's name for it among the inputs of a batch
CPU = torch.device("cpu")
# Devices whose random numbers are their own. On others the steps draw from the CPU's
# generator, and so does augmentation: a thread that is ahead would change the order.
DRAWS_APART = ("cuda", "mps", "xpu")


class Made(NamedTuple):
    """A batch as the host makes it.

    Attributes
    ----------
    rows : Tensor of int64
    gather : Gather or None
        Units to gather on the device.
    inputs : dict of str to Tensor, or None
        Inputs that the host collated.
    n_parts : Tensor of int64 or None
        Parts of each row, which stand in `gather` or `inputs` one after the other.
    """

    rows: Any
    gather: Any
    inputs: Any
    n_parts: Any

    def pinned(self):
        """Return it in memory that CUDA copies from without waiting."""
        inputs = self.inputs and {k: v.pin_memory() for k, v in self.inputs.items()}
        gather = self.gather and self.gather.pinned()
        n_parts = None if self.n_parts is None else self.n_parts.pin_memory()
        return Made(self.rows.pin_memory(), gather, inputs, n_parts)


@on_disk
class RowsDataset(Dataset):
    """Rows, targets and weights, from which `RowsLoader` makes batches.

    skorch's callbacks ask a dataset for `X` and `y`, and predict for its `X`.

    Parameters
    ----------
    backbone : Backbone
        Collates the rows.
    views : list of sequence of ndarray
        The rows, once for each view of them; an epoch takes one at random.
    targets, weights : ndarray
    indices : ndarray of int
        Rows that take part.
    parts : list of ndarray, default=None
        For each row its places in the views, where rows have several.
    seed : int
        Seed of the order of the rows, and of random views.
    augment : callable, default=None
        A transform of uint8 pixels, applied anew at each epoch.
    target_rows : ndarray of int, default=None
        Rows without a target, which `DomainLoader` adds to the batches.
    device : torch.device, default=CPU
        Device of the batches.
    kept : DeviceRows, default=None
        Rows that are there already.
    """

    def __init__(
        self,
        backbone,
        views,
        targets,
        weights,
        indices,
        parts=None,
        *,
        seed,
        augment=None,
        target_rows=None,
        device=CPU,
        kept=None,
    ):
        self.backbone, self.views, self.augment = backbone, views, augment
        self.targets = torch.from_numpy(targets)
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.indices, self.target_rows, self.seed = indices, target_rows, seed
        self.parts = parts
        self.order = torch.Generator().manual_seed(seed)
        self.choice = np.random.default_rng(seed)
        self.device, self.kept = device, kept
        self.there = self.targets.to(device), self.weights.to(device)

    def __len__(self):
        return len(self.indices)

    @property
    def X(self):
        """The rows, as `y` has them."""
        return self

    @property
    def y(self):
        """The targets of the rows that take part."""
        return self.targets[torch.from_numpy(self.indices)]

    @property
    def is_worth_a_thread(self):
        """Whether batches have something to wait for that a thread can do ahead."""
        if self.device.type == "cpu" or (self.kept is not None and self.kept.is_whole):
            return False
        return self.augment is None or self.device.type in DRAWS_APART

    def make(self, rows):
        """Return a batch as the host makes it; only this draws random numbers."""
        views = self.choice.integers(len(self.views), size=len(rows))
        return self._made(views, rows, self.augment)

    def places(self, rows):
        """Return the places of rows in the views."""
        if self.parts is None:
            return rows
        return np.concatenate([self.parts[row] for row in rows])

    @property
    def most_parts(self):
        """The most parts that a row has."""
        return 1 if self.parts is None else max(map(len, self.parts))

    def size_of(self, row):
        """Return the length of a row, as its batches are padded to, and its bytes."""
        found = [self.views[0].peek(place) for place in self.places(np.array([row]))]
        n_bytes = sum(one.dtype.itemsize * int(np.prod(one.shape)) for one in found)
        return max(one.shape[0] for one in found), n_bytes

    def _made(self, views, rows, augment=None):
        chosen, n_parts = torch.from_numpy(rows), None
        if self.parts is not None:
            counts = np.array([len(self.parts[row]) for row in rows])
            views, n_parts = np.repeat(views, counts), torch.from_numpy(counts)
        places = self.places(rows)
        if self.kept is not None:
            return Made(chosen, self.kept.gather(views, places), None, n_parts)
        arrays = [self.views[v][place] for v, place in zip(views, places, strict=True)]
        if augment is not None:
            arrays = [apply(augment, array) for array in arrays]
        is_pinned = self.device.type == "cuda"
        state = self.backbone.batch(arrays, pin_memory=is_pinned)
        return Made(chosen, None, arguments_of(state), n_parts)

    def _inputs(self, made):
        """Return the inputs of `Trained`, on the device."""
        if made.gather is not None:
            inputs = arguments_of(self.kept.finish(made.gather))
        else:
            inputs = {k: to_device(v, self.device) for k, v in made.inputs.items()}
        if made.n_parts is not None:
            n_parts = to_device(made.n_parts, self.device)
            inputs = arguments_of(by_row(State(**inputs), n_parts))
            inputs["n_parts"] = n_parts
        if inputs["hidden"].dtype == torch.float16:
            inputs["hidden"] = inputs["hidden"].float()
        return inputs

    def finish(self, made):
        """Return the inputs of `Trained` with the weights of the rows, and targets."""
        targets, weights = self.there
        chosen = to_device(made.rows, self.device)
        return self._inputs(made) | {SAMPLE_WEIGHT: weights[chosen]}, targets[chosen]

    def batch(self, rows):
        """Return the batch of some rows, on the device."""
        return self.finish(self.make(rows))

    def plain(self, rows):
        """Return the inputs of some rows, in their first view and unchanged."""
        return self._inputs(self._made(np.zeros(len(rows), int), rows))

    def __getitem__(self, position):
        return self.batch(self.indices[position : position + 1])


@on_disk
class RowsLoader:
    """Batches of a `RowsDataset`; a last batch of one row joins the one before.

    Parameters
    ----------
    dataset : RowsDataset
    batch_size : int
    shuffle : bool, default=False
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __len__(self):
        n_rows = len(self.dataset)
        n_batches = -(-n_rows // self.batch_size)
        return n_batches - (n_batches > 1 and n_rows % self.batch_size == 1)

    def __iter__(self):
        for made in self.made():
            yield self.finish(made)

    def ahead(self):
        """Yield the same batches; where that saves time, a thread makes the next ones.

        Close it (`contextlib.closing`) to be sure that no thread is left.
        """
        if not self.dataset.is_worth_a_thread:
            yield from self
            return
        with closing(ahead(self._pinned())) as batches:
            for made in batches:
                yield self.finish(made)

    def _pinned(self):
        is_pinned = self.dataset.device.type == "cuda"
        for made in self.made():
            yield made.pinned() if is_pinned else made

    def made(self):
        """Yield batches as the host makes them."""
        for rows in self.parts():
            yield self.dataset.make(rows)

    def finish(self, made):
        """Return a batch on the device."""
        return self.dataset.finish(made)

    def parts(self):
        """Yield the rows of each batch."""
        indices = self.dataset.indices
        if self.shuffle:
            order = torch.randperm(len(indices), generator=self.dataset.order)
            indices = indices[order.numpy()]
        n_batches = len(self)
        for number in range(n_batches):
            start = number * self.batch_size
            stop = None if number == n_batches - 1 else start + self.batch_size
            yield indices[start:stop]


def inputs_of(backbone, arrays, *, pin_memory=False):
    """Collate activations of rows to keyword arguments of `Trained`."""
    state = backbone.batch(arrays, pin_memory=pin_memory)
    if state.hidden.dtype == torch.float16:
        state = state._replace(hidden=state.hidden.float())
    return arguments_of(state)


def arguments_of(state):
    """Return a State as keyword arguments of `Trained`."""
    return {k: v for k, v in state._asdict().items() if v is not None}
