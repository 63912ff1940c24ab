"""Linear layers whose weights are laid out once for the CPU's matrix kernels."""

import torch
from torch import nn
from torch.nn import functional as F

from ..._utils.names import on_disk

ROWS = 256  # in a batch: what the layout is chosen for


def is_available():
    """Return whether this torch has oneDNN's packed linear layer, and may use it."""
    names = "_reorder_linear_weight", "_linear_pointwise"
    has_them = all(hasattr(torch.ops.mkldnn, name) for name in names)
    switch = torch.backends.mkldnn
    return has_them and switch.is_available() and switch.enabled


@on_disk
class PackedLinear(nn.Module):
    """A linear layer for inference on a CPU, with a GELU behind it or not.

    oneDNN's kernels on packed weights are 1.1 to 1.3 times as fast here as those that
    `torch.nn.Linear` gets, and compute the activation on the way. Under autocast, or
    for inputs of another precision than its weights, it is an ordinary linear layer.

    Parameters
    ----------
    linear : torch.nn.Linear
        Shares its weights.
    weights : dict, default=None
        Packed weights by the identity of what they were made of, to be shared.
    """

    def __init__(self, linear, weights=None):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.activation = "none"
        weights = {} if weights is None else weights
        key = id(linear.weight)
        if key not in weights:
            weight = linear.weight.detach()
            weights[key] = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self.packed = weights[key]
        self.packed_bias = (
            None if self.bias is None else self.bias.detach().contiguous()
        )

    def forward(self, x):
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        if x.dtype is not self.weight.dtype or torch.is_autocast_enabled("cpu"):
            x = F.linear(x, self.weight, self.bias)
            return x if self.activation == "none" else F.gelu(x)
        return torch.ops.mkldnn._linear_pointwise(
            x, self.packed, self.packed_bias, self.activation, [], "none"
        )


def pack_children(module, *, weights=None, takes_gelu=True):
    """Pack the linear layers in a module; return how many there are.

    A GELU declared just behind one is taken into it. Declaration order is execution
    order in the networks that people use; whoever calls compares the outputs.
    """
    n_packed, previous = 0, None
    for name, child in list(module.named_children()):
        if _can_be_packed(child):
            previous = PackedLinear(child, weights)
            setattr(module, name, previous)
            n_packed += 1
            continue
        if takes_gelu and previous is not None and _is_gelu(child):
            previous.activation = "gelu"
            setattr(module, name, nn.Identity())
        else:
            n_packed += pack_children(child, weights=weights, takes_gelu=takes_gelu)
        previous = None
    return n_packed


def _can_be_packed(module):
    return (
        type(module) is nn.Linear
        and module.weight.dtype in (torch.float32, torch.bfloat16)
        and module.weight.numel() > 0
        and not _has_hooks(module)
    )


def _has_hooks(module):
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _is_gelu(module):
    if _has_hooks(module):
        return False
    if isinstance(module, nn.GELU):
        return module.approximate == "none"
    # transformers' own, which is not imported for this.
    is_theirs = type(module).__name__ == "GELUActivation"
    return is_theirs and getattr(module, "act", None) is F.gelu
