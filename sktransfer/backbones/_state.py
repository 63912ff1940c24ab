"""The state between blocks: activations, mask and lengths of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .._utils.device_memory import to_device
from .._utils.names import set_module

if TYPE_CHECKING:
    import torch


@set_module("sktransfer.backbones")
class State(NamedTuple):
    """Activations of a batch, which blocks take and return.

    Attributes
    ----------
    hidden : Tensor
        Before the first block, the batch from `Backbone.batch`; after it
        ``(n, channels, height, width)``, ``(n, length, features)`` or
        ``(n, features)``.
    mask : bool Tensor of shape (n, length) or None
        Mask of tokens: True for a real token, False for padding.
    lengths : int64 Tensor of shape (n,) or None
        Number of real tokens of each row.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import load_backbone
    >>> tokens = [np.array([5, 6, 7]), np.array([8])]
    >>> load_backbone("tiny-bert").batch(tokens).lengths
    tensor([3, 1])
    """

    hidden: Any
    mask: Any = None
    lengths: Any = None

    def to(self, device: torch.device) -> State:
        """Move the state to a device; from pinned memory to CUDA without waiting.

        Parameters
        ----------
        device : torch.device

        Returns
        -------
        State
        """
        return State(*(None if t is None else to_device(t, device) for t in self))


def token_mask(lengths, length):
    """Return the bool mask ``(n, length)`` of real tokens."""
    import torch

    positions = torch.arange(length, device=lengths.device)
    # A padding row attends to its first position, so that no softmax is empty.
    return positions[None] < lengths.clamp(min=1)[:, None]
