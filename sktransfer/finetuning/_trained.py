"""The part of a network that is trained: the blocks behind the cut, and a head."""

import contextlib
import copy
import dataclasses

import torch
from torch import nn

from .._utils.names import on_disk
from ..backbones import State
from ..backbones._base import n_parameters
from ..backbones._pooling import pool
from ._row_parts import mean_by_row, one_by_one

BATCH_NORMS = ("frozen", "eval", "train", "target")
BATCH_NORM_TYPES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norms(*parts):
    """Return the BatchNorm layers of modules; None is a part that is not there."""
    there = [part for part in parts if part is not None]
    return [
        m for part in there for m in part.modules() if isinstance(m, BATCH_NORM_TYPES)
    ]


@on_disk
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
    batch_norm : {"frozen", "eval", "train", "target"}
        Behaviour of BatchNorm in training. "eval" uses the statistics of the pretrained
        network and trains weight and bias; "frozen" trains neither; "train" uses and
        updates those of the batches. "target" does so for source rows; target rows are
        normalised by their own part of a batch, which updates nothing, and
        `estimate_statistics` sets the final ones.

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
        return batch_norms(self.blocks, self.post_pool)

    def train(self, mode=True):
        """Set the mode; BatchNorm stays in eval mode unless it is to be trained."""
        super().train(mode)
        if self.batch_norm not in ("train", "target"):
            for norm in self._norms():
                norm.eval()
        return self

    def average_with(self, state):
        """Set the weights to the mean of themselves and others of their form.

        References
        ----------
        M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
        https://arxiv.org/abs/2109.01903
        """
        with torch.no_grad():
            for name, value in self.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(state[name], 0.5)

    def share_of(self, backbone):
        """Return the share of a network's weights that is trained here."""
        parts = [self.blocks, *([] if self.post_pool is None else [self.post_pool])]
        return n_parameters(parts) / max(1, n_parameters(backbone.modules()))

    def tuned(self, backbone, depth):
        """Return a network with what was trained in place of its last blocks."""
        if depth == len(backbone.blocks):
            return backbone
        # One copy of both, so that what they share stays shared.
        trained, post_pool = copy.deepcopy((list(self.blocks), self.post_pool))
        trained = [block.cpu() for block in trained]
        frozen = list(backbone.blocks.values())[:depth]
        return dataclasses.replace(
            backbone,
            name=f"{backbone.name} (tuned)",
            blocks=dict(zip(backbone.block_names, frozen + trained, strict=True)),
            post_pool=None if post_pool is None else post_pool.cpu(),
            fingerprint=None,
        )

    def features(self, hidden, mask=None, lengths=None, n_parts=None):
        """Map activations to pooled features; of several parts, to their mean."""
        if n_parts is not None:
            state = one_by_one(State(hidden, mask, lengths), n_parts)
            return mean_by_row(self.features(*state), n_parts, hidden.shape[1])
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

    def forward(
        self,
        hidden,
        mask=None,
        lengths=None,
        n_parts=None,
        *,
        n_source=None,
        has_head=True,
    ):
        """Map activations to outputs; without the head, to features.

        With `n_source`, the first rows are of one domain and the others of another, and
        the result is a pair of outputs and features.
        """
        inputs = hidden, mask, lengths, n_parts
        if n_source is None:
            features = self.features(*inputs).float()
            return self.head(features) if has_head else features
        features = self._features_of_both(inputs, n_source).float()
        return self.head(features), features

    def _features_of_both(self, inputs, n_source):
        if self.batch_norm != "target":
            return self.features(*inputs)
        source = self.features(*(None if t is None else t[:n_source] for t in inputs))
        with self._statistics_kept():
            rest = self.features(*(None if t is None else t[n_source:] for t in inputs))
        return torch.cat([source, rest])

    @contextlib.contextmanager
    def _statistics_kept(self):
        """Let BatchNorm use a batch's statistics without updating its own."""
        norms = [norm for norm in self._norms() if norm.track_running_stats]
        for norm in norms:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True

    def estimate_statistics(self, batches):
        """Set the statistics of BatchNorm to the means of those of some batches.

        Parameters
        ----------
        batches : iterable of dict
            Inputs of `features`.

        References
        ----------
        Y. Li et al., "Adaptive Batch Normalization for practical domain adaptation",
        Pattern Recognition 80, 2018, https://arxiv.org/abs/1603.04779
        """
        self.eval()
        norms = [norm for norm in self._norms() if norm.track_running_stats]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's name for the plain mean over batches
            norm.train()
        try:
            with torch.no_grad():
                for inputs in batches:
                    self.features(**inputs)
        finally:  # where memory runs out, it is tried again
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            self.eval()
