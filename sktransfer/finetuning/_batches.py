"""Batches of rows: activations, targets and weights, as the trained part takes them."""

import numpy as np
import torch
from skorch.dataset import Dataset

from .._utils.names import on_disk
from ._augment import apply

SAMPLE_WEIGHT = "sample_weight"  # skorch's name for it among the inputs of a batch


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
        Which of the rows take part.
    seed : int
        Of the order of the rows, and of random views.
    augment : callable, default=None
        A transform of uint8 pixels, applied anew at each epoch.
    target_rows : ndarray of int, default=None
        Rows without a target, which `DomainLoader` adds to the batches.
    """

    def __init__(
        self,
        backbone,
        views,
        targets,
        weights,
        indices,
        *,
        seed,
        augment=None,
        target_rows=None,
    ):
        self.backbone, self.views, self.augment = backbone, views, augment
        self.targets = torch.from_numpy(targets)
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.indices, self.target_rows, self.seed = indices, target_rows, seed
        self.order = torch.Generator().manual_seed(seed)
        self.choice = np.random.default_rng(seed)

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

    def batch(self, rows):
        """Return the inputs of `Trained` with the weights of the rows, and targets."""
        views = self.choice.integers(len(self.views), size=len(rows))
        arrays = [self.views[v][row] for v, row in zip(views, rows, strict=True)]
        if self.augment is not None:
            arrays = [apply(self.augment, array) for array in arrays]
        chosen = torch.from_numpy(rows)
        weights = {SAMPLE_WEIGHT: self.weights[chosen]}
        return inputs_of(self.backbone, arrays) | weights, self.targets[chosen]

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
        for rows in self.parts():
            yield self.dataset.batch(rows)

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


def inputs_of(backbone, arrays):
    """Collate activations of rows to keyword arguments of `Trained`."""
    state = backbone.batch(arrays)
    if state.hidden.dtype == torch.float16:
        state = state._replace(hidden=state.hidden.float())
    return arguments_of(state)


def arguments_of(state):
    """Return a State as keyword arguments of `Trained`."""
    return {k: v for k, v in state._asdict().items() if v is not None}
