"""The part of a network that is trained: the blocks behind the cut, and a head."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .._pooling import pool
from ..backbones import State

BATCH_NORMS = ("frozen", "eval", "train")


class Trained(nn.Module):
    """Blocks, pooling, what follows it, and a head.

    Parameters
    ----------
    blocks : list of torch.nn.Module
        From State to State. Copied, with `post_pool`, so that the backbone stays.
    post_pool : torch.nn.Module or None
    head : torch.nn.Module
    pooling : str
    n_prefix_tokens : int
    batch_norm : {"frozen", "eval", "train"}
        What BatchNorm does while it is trained. "eval" uses the statistics of the
        pretrained network and trains weight and bias; "frozen" trains neither;
        "train" uses and updates those of the batches.

    Attributes
    ----------
    prefix : callable or None
        Maps a State of inputs to one of activations, without gradients. Set while
        training rows are inputs and not activations.
    """

    def __init__(
        self, blocks, post_pool, head, *, pooling, n_prefix_tokens, batch_norm
    ):
        super().__init__()
        # One copy of both, so that what they share stays shared.
        blocks, post_pool = copy.deepcopy((list(blocks), post_pool))
        self.blocks = nn.ModuleList(blocks)
        self.post_pool = post_pool
        self.head = head
        self.pooling = pooling
        self.n_prefix_tokens = n_prefix_tokens
        self.batch_norm = batch_norm
        self.prefix = None
        for part in (self.blocks, self.post_pool):
            if part is not None:
                part.requires_grad_(True)
        if batch_norm == "frozen":
            for norm in self._norms():
                norm.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def _norms(self):
        return [m for m in self.blocks.modules() if isinstance(m, _BatchNorm)]

    def train(self, mode=True):
        """Set the mode; BatchNorm stays in eval mode unless it is to be trained."""
        super().train(mode)
        if self.batch_norm != "train":
            for norm in self._norms():
                norm.eval()
        return self

    def features(self, hidden, mask=None, lengths=None):
        """Map activations to pooled features."""
        state = State(hidden, mask, lengths)
        if self.prefix is not None:
            with torch.no_grad():
                state = self.prefix(state)
        if state.hidden.ndim == 4:
            hidden = state.hidden.contiguous(memory_format=torch.channels_last)
            state = state._replace(hidden=hidden)
        for block in self.blocks:
            state = block(state)
        vectors = pool(state.hidden, state.mask, self.pooling, self.n_prefix_tokens)
        return vectors if self.post_pool is None else self.post_pool(vectors)

    def forward(self, hidden, mask=None, lengths=None):
        """Map activations to outputs."""
        return self.head(self.features(hidden, mask, lengths).float())
