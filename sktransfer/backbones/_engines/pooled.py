"""The whole way from a batch to pooled vectors as one module, for export."""

import torch
from torch import nn

from ..._utils.names import on_disk
from .._state import State, token_mask


@on_disk
class PooledVectors(nn.Module):
    """Pooled vectors at some depths, end to end, of a prepared batch.

    Parameters
    ----------
    backbone : Backbone
    depths : sequence of int
        In rising order.
    pooling : str
        As `Backbone.resolve_pooling` gives it.
    """

    def __init__(self, backbone, depths, pooling):
        super().__init__()
        self.parts = nn.ModuleList(backbone.modules())  # so that export sees weights
        self.backbone = backbone
        self.depths = tuple(depths)
        self.pooling = pooling
        self.eval()

    def forward(self, hidden, lengths=None):
        """Map a batch to ``(n, features)``.

        Parameters
        ----------
        hidden : Tensor
            uint8 pixels ``(n, height, width, 3)``, or token ids ``(n, length)``.
        lengths : Tensor of shape (n,), default=None
            Number of real tokens of each text.
        """
        mask = None if lengths is None else token_mask(lengths, hidden.shape[1])
        return torch.cat(self.pooled(State(hidden, mask, lengths)), dim=1)

    def pooled(self, state):
        """Return one matrix ``(n, features)`` for each depth."""
        vectors, done = [], 0
        for depth in self.depths:
            state = self.backbone.run(state, done, depth)
            done = depth
            vectors.append(self.backbone.pool(state, self.pooling, depth).float())
        return vectors
