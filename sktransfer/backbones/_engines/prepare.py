"""A backbone made ready: on its device, folded, in the fast layout and precision."""

import copy
import dataclasses
import functools
import itertools

from ..._utils.arithmetic import weights_precision
from ..._utils.device_memory import load_onto
from ..._utils.turns import turn

TOLERANCE = 1e-4
# Of lower precisions, which are compared with float32 on one example.
LOWER_TOLERANCES = {"float16": 1e-2, "bfloat16": 5e-2}


def prepare_for_inference(backbone, device, *, packed=True, precision="float32"):
    """Return a backbone with the same outputs that runs faster on `device`.

    BatchNorm is folded into convolutions, feature maps are laid out channels last, and
    weights are turned to a lower precision where one is asked for and the device
    computes in it. On a CPU linear layers are packed. The network is compared with the
    original on one example after each of these; where it differs by more than 1e-4 of
    the largest value (`LOWER_TOLERANCES` in a lower precision), it stays as it was
    before.

    Parameters
    ----------
    backbone : Backbone
    device : torch.device
    packed : bool, default=True
        False leaves linear layers as they are, for compilers and exporters.
    precision : str, default="float32"
        Precision to compute in. If the weights stay in float32, the caller's autocast
        casts them at each use.

    Returns
    -------
    ready : Backbone
        Kept with `backbone`, so that it is made once.
    tag : str
        How it computes, for cache keys.
    """
    precision = weights_precision(precision)
    key = str(device), packed, precision
    kept = backbone._prepared.get(key)
    if kept is None:
        with turn(device):  # examples run
            kept = backbone._prepared.get(key)
            if kept is None:
                kept = _prepare(backbone, device, packed, precision)
                backbone._prepared[key] = kept
    return kept


def _prepare(backbone, device, packed, precision):
    if packed:
        return _pack(backbone, device, precision)
    if precision != "float32":
        return _lower(backbone, device, precision)
    return _fold_and_lay_out(backbone, device)


def _lower(backbone, device, precision):
    """Turn the weights to another precision, and with them all that is computed."""
    import torch

    from .lowered import computes_in, lower

    ready, tag = prepare_for_inference(backbone, device, packed=False)
    if not computes_in(device, precision):
        return ready, tag
    dtype, tolerance = getattr(torch, precision), LOWER_TOLERANCES[precision]
    for with_buffers in (False, True):
        try:
            blocks = {
                name: lower(_copy_sharing_tensors(block), dtype, with_buffers)
                for name, block in ready.blocks.items()
            }
            candidate = dataclasses.replace(ready, blocks=blocks)
            is_same = _same_output(ready, candidate, device, tolerance)
        except Exception:  # of a network that cannot be copied, or mixes precisions
            continue
        if is_same:
            return candidate, f"{tag}:{precision}"
    return ready, tag


def _pack(backbone, device, precision):
    from .packed import is_available, pack_children

    ready, tag = prepare_for_inference(
        backbone, device, packed=False, precision=precision
    )
    if device.type != "cpu" or not is_available():
        return ready, tag
    weights: dict = {}
    tolerance = LOWER_TOLERANCES.get(precision, TOLERANCE)
    for takes_gelu in (True, False):
        pack = functools.partial(pack_children, weights=weights, takes_gelu=takes_gelu)
        try:
            candidate, n_packed = _changed(ready, _copy_sharing_tensors, pack)
            if n_packed == 0:
                break
            is_same = _same_output(ready, candidate, device, tolerance)
        except Exception:  # of a network that cannot be copied or changed like this
            break
        if is_same:
            return candidate, f"{tag}:packed"
    return ready, tag


def _fold_and_lay_out(backbone, device):
    folded = False
    ready = backbone
    if backbone.modality == "image":
        # Folding makes new convolutions; all other weights are those of the backbone.
        candidate, n_folded = _changed(backbone, _copy_sharing_tensors, _fold_children)
        folded = n_folded > 0 and _same_output(backbone, candidate)
        ready = candidate if folded else _replaced(backbone, _copy_sharing_tensors)
        ready = _replaced(ready, _channels_last)
    if device.type != "cpu":
        source = ready
        ready = load_onto(
            device, lambda: _replaced(source, lambda m: copy.deepcopy(m).to(device))
        )
    return ready, f"torch:{device.type}:{'folded' if folded else 'plain'}"


def _replaced(backbone, function):
    tail = None if backbone.post_pool is None else function(backbone.post_pool)
    blocks = {name: function(block) for name, block in backbone.blocks.items()}
    return dataclasses.replace(backbone, blocks=blocks, post_pool=tail)


def _changed(backbone, copied, change):
    """Return a copy in which `change` has been at each module, and how often it was."""
    counts = []

    def changed_copy(module):
        module = copied(module)
        counts.append(change(module))
        return module

    return _replaced(backbone, changed_copy), sum(counts)


def _copy_sharing_tensors(module):
    """Copy the structure of a module, and none of its weights."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _channels_last(module):
    """Lay out the weights of convolutions anew, in tensors of their own."""
    import torch
    from torch import nn

    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            if weight.ndim == 4:
                laid = weight.detach().contiguous(memory_format=torch.channels_last)
                setattr(part, name, nn.Parameter(laid, requires_grad=False))
    return module


def _fold_children(module):
    """Fold each BatchNorm into the convolution declared just before it.

    Declaration order is execution order in the networks that people use; where it is
    not, the comparison with the original says so.
    """
    from torch import nn
    from torch.nn.utils import fuse_conv_bn_eval

    n_folded, previous = 0, None
    for name, child in list(module.named_children()):
        is_norm = isinstance(child, nn.BatchNorm2d)
        if is_norm and previous and previous[1].out_channels == child.num_features:
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
            # timm's BatchNormAct2d carries its activation with it.
            setattr(module, name, getattr(child, "act", nn.Identity()))
            n_folded += 1
        elif not is_norm:
            n_folded += _fold_children(child)
        previous = (name, child) if isinstance(child, nn.Conv2d) else None
    return n_folded


def _same_output(backbone, candidate, device=None, tolerance=TOLERANCE):
    """Whether the activations and the pooled vectors of one example are the same."""
    import torch

    with torch.inference_mode():
        state = backbone.batch([backbone.preprocess.example()])
        if device is not None:
            state = state.to(device)
        want, got = (_outputs(one, state) for one in (backbone, candidate))
    return all(
        bool((w - g).abs().max() <= tolerance * w.abs().max())
        for w, g in zip(want, got, strict=True)
    )


def _outputs(backbone, state):
    state = backbone.run(state)
    return state.hidden, backbone.pool(state, backbone.pooling, len(backbone.blocks))
