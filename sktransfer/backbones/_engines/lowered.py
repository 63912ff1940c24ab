"""Blocks whose weights have a lower precision than float32."""

import torch
from torch import nn

from ..._utils.names import on_disk


def computes_in(device, precision):
    """Whether a device computes faster in weights of a precision than by autocast.

    A CPU does so in bfloat16 where it has instructions for it (AVX512-BF16 or AMX).
    """
    if device.type != "cpu":
        return True
    if precision != "bfloat16":
        return False
    names = "_is_avx512_bf16_supported", "_is_amx_tile_supported"
    return any(getattr(torch.cpu, name, bool)() for name in names)


@on_disk
class Lowered(nn.Module):
    """A block that computes in a precision of its own, whatever its input has.

    Parameters
    ----------
    block : torch.nn.Module
        From State to State, with weights of that precision.
    dtype : torch.dtype
    """

    def __init__(self, block, dtype):
        super().__init__()
        self.block, self.dtype = block, dtype

    def forward(self, state):
        """Run the block."""
        hidden = state.hidden
        if hidden.is_floating_point() and hidden.dtype is not self.dtype:
            state = state._replace(hidden=hidden.to(self.dtype))
        with torch.autocast(hidden.device.type, enabled=False):
            return self.block(state)


def lower(block, dtype, with_buffers):
    """Turn the weights of a block, whose modules are the caller's own, to a precision.

    Parameters
    ----------
    block : torch.nn.Module
        Changed in place; its tensors are not.
    dtype : torch.dtype
    with_buffers : bool
        False leaves buffers as they are, such as tables of positions whose values are
        too fine for it; those of BatchNorm go with its weights.

    Returns
    -------
    Lowered
    """
    made: dict[int, nn.Parameter] = {}  # tied weights stay tied
    for module in block.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.is_floating_point():
                if id(weight) not in made:
                    value = weight.detach().to(dtype)
                    made[id(weight)] = nn.Parameter(value, requires_grad=False)
                setattr(module, name, made[id(weight)])
        is_norm = hasattr(module, "running_mean")
        if with_buffers or is_norm:
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.is_floating_point():
                    setattr(module, name, buffer.to(dtype))
    return Lowered(block, dtype)
