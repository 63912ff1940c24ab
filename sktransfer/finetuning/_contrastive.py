"""Supervised contrastive training: the loss, and batches in which classes meet."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .._utils.names import on_disk
from ._batches import RowsLoader

ROWS_OF_A_CLASS = 4  # that come into a batch together
MIN_BATCHES = 5  # of an epoch, so that a handful of rows is trained on enough


@on_disk
class PairLoss(nn.Module):
    """Rows of a class come near each other, and away from those of other classes.

    The mean over rows of the negative logarithm of the share that the row's own class
    has in its similarity to the rest of the batch. A row that has no other of its class
    there is only one of the rest.

    Parameters
    ----------
    temperature : float
        Divides the cosines.

    References
    ----------
    P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020,
    https://arxiv.org/abs/2004.11362
    """

    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, features, classes, weight):
        """Return the loss of a batch of pooled features."""
        unit = functional.normalize(features, dim=1)
        cosines = unit @ unit.T / self.temperature
        itself = torch.eye(len(classes), dtype=torch.bool, device=classes.device)
        cosines = cosines.masked_fill(itself, -torch.inf)
        # The diagonal is -inf here too, and times 0 it would be NaN.
        log_shares = functional.log_softmax(cosines, dim=1).masked_fill(itself, 0.0)
        is_same = (classes[:, None] == classes) & ~itself
        n_same = is_same.sum(1)
        losses = -(log_shares * is_same).sum(1) / n_same.clamp(min=1)
        return (losses * weight).sum() / (n_same > 0).sum().clamp(min=1)


@on_disk
class ContrastiveLoader(RowsLoader):
    """Batches in which several rows of a class stand together.

    A pass over the rows takes them in groups of up to four of one class, in a random
    order: no list of pairs is made, and memory grows with the rows alone.

    Parameters
    ----------
    dataset : RowsDataset
        Its targets are class indices.
    batch_size : int
    shuffle : bool, default=False
        False draws the same order at each epoch.
    n_batches : int, default=None
        Batches of an epoch: several passes, or a random part of the rows. None is a
        pass.
    """

    def __init__(self, dataset, batch_size, shuffle=False, n_batches=None):
        super().__init__(dataset, batch_size, shuffle)
        self.classes = dataset.targets.numpy()[dataset.indices]
        self.n_in_pass = -(-len(dataset) // batch_size)
        self.n_batches = n_batches or self.n_in_pass
        self.generator = np.random.default_rng([dataset.seed, 2])

    def __len__(self):
        return self.n_batches

    def parts(self):
        """Yield the rows of each batch."""
        seed = [self.dataset.seed, 2]
        generator = self.generator if self.shuffle else np.random.default_rng(seed)
        n_left = self.n_batches
        while n_left > 0:
            yield from self.one_pass(generator)[:n_left]
            n_left -= self.n_in_pass

    def one_pass(self, generator):
        """Return the rows of as many batches of like size as a pass has."""
        order = generator.permutation(len(self.classes))
        order = order[np.argsort(self.classes[order], kind="stable")]
        _, starts, counts = np.unique(
            self.classes[order], return_index=True, return_counts=True
        )
        place = np.arange(len(order)) - np.repeat(starts, counts)  # within the class
        is_first = place % ROWS_OF_A_CLASS == 0
        group = np.cumsum(is_first) - 1
        by_group = np.argsort(
            generator.permutation(is_first.sum())[group], kind="stable"
        )
        return np.array_split(self.dataset.indices[order[by_group]], self.n_in_pass)


def batches_of_an_epoch(n_rows, batch_size, max_epochs, max_pairs):
    """Return how many batches an epoch has, so that all keep to a budget of pairs.

    A batch of b rows compares ``b * (b - 1) / 2`` pairs.
    """
    n_in_pass = -(-n_rows // batch_size)
    n_together = -(-n_rows // n_in_pass)
    pairs = max(1, n_together * (n_together - 1) // 2)
    most = max_pairs // pairs // max(1, max_epochs)
    return max(1, min(max(n_in_pass, MIN_BATCHES), most))
