"""Blocks: torch modules that map a State to a State."""

import inspect

import torch
from torch import nn

from .._utils.names import on_disk
from ._recipe import with_last

MASKS = "attention_mask", "attn_mask", "sliding_window_mask"
UNUSED_MASK = "causal_attention_mask"  # is part of the other


@on_disk
class Apply(nn.Module):
    """Run a module on the activations and leave the rest of the state."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, state):
        """Map a State to a State."""
        return state._replace(hidden=self.module(state.hidden))


def mask_names(layer):
    """Return the names of a transformer layer's mask, and of masks that stay None.

    transformers 5 has one name. Before, DistilBERT has another, ModernBERT a second one
    for its windows, and CLIP asks for a causal mask of its own.
    """
    known = inspect.signature(layer.forward).parameters
    names = [name for name in MASKS if name in known] or MASKS[:1]
    return names, [UNUSED_MASK] if UNUSED_MASK in known else []


@on_disk
class AttentionBlock(nn.Module):
    """Run a transformer layer under the mask.

    Parameters
    ----------
    layer : torch.nn.Module
        Called as ``layer(hidden, attention_mask=bias)``.
    is_causal : bool, default=False
        Let a token see only itself and those before it.
    """

    def __init__(self, layer, *, is_causal=False):
        super().__init__()
        self.layer = layer
        self.is_causal = is_causal
        self.mask_names, self.unused_masks = mask_names(layer)

    def forward(self, state, allowed=None, **context):
        """Map a State to a State.

        `allowed` is a further bool mask ``(length, length)``, `context` what else the
        layer takes.
        """
        hidden, mask = state.hidden, state.mask
        if self.is_causal:
            size = hidden.shape[1], hidden.shape[1]
            allowed = torch.ones(size, dtype=torch.bool, device=hidden.device).tril()
        bias = None
        if mask is not None:
            bias = additive_mask(mask, hidden.dtype, allowed)
        masks = dict.fromkeys(self.mask_names, bias)
        masks |= dict.fromkeys(self.unused_masks)
        hidden = self.layer(hidden, **masks, **context)
        if isinstance(hidden, tuple):
            hidden = hidden[0]
        return state._replace(hidden=hidden)


@on_disk
class PaddingMaskBlock(nn.Module):
    """Run a layer of torch's own, whose mask is True where there is no token."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, state):
        """Map a State to a State."""
        hidden = self.layer(state.hidden, src_key_padding_mask=~state.mask)
        return state._replace(hidden=hidden)


@on_disk
class Nhwc(nn.Module):
    """Run a module that works on ``(n, height, width, channels)`` maps.

    Between blocks maps are ``(n, channels, height, width)``, whatever the family.
    """

    def __init__(self, module, *, takes_maps=False):
        super().__init__()
        self.module = module
        self.takes_maps = takes_maps

    def forward(self, maps):
        """Map NCHW to NCHW."""
        if not self.takes_maps:
            maps = maps.permute(0, 2, 3, 1)
        return self.module(maps).permute(0, 3, 1, 2)


@on_disk
class DenseStep(nn.Module):
    """Put a dense layer's maps beside those that it was given."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, maps):
        """Map NCHW to NCHW with more channels."""
        return torch.cat([maps, self.layer(maps)], 1)


@on_disk
class OnMap(nn.Module):
    """Run a module that expects a map of one position on pooled vectors."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, vectors):
        """Map vectors to vectors."""
        return self.module(vectors[:, :, None, None]).flatten(1)


@on_disk
class WholeTimm(nn.Module):
    """Run a timm network that is not cut, its own pooling included."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, state):
        """Map a State to a State of vectors."""
        features = self.model.forward_features(state.hidden)
        return state._replace(hidden=self.model.forward_head(features, pre_logits=True))


@on_disk
class WholeTransformer(nn.Module):
    """Run a transformers network that is not cut, up to its last hidden state."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, state):
        """Map a State of token ids to a State of token vectors."""
        mask = state.mask.long()
        output = self.model(input_ids=state.hidden, attention_mask=mask)
        return state._replace(hidden=output.last_hidden_state)


@on_disk
class WholeVision(nn.Module):
    """Run a transformers vision network that is not cut, its own pooling included.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The network. If it has two towers, the one for images runs, with its projection.
    has_pooler : bool, default=True
        False if the weights of the pooler are random: then it is left out.
    """

    def __init__(self, model, *, has_pooler=True):
        super().__init__()
        self.model = model
        self.has_pooler = has_pooler

    def forward(self, state):
        """Map a State of pixels to a State of vectors."""
        return state._replace(hidden=self.own_features(state.hidden))

    def own_features(self, pixels, pooling="none"):
        """Map pixels to vectors.

        `pooling` "cls" asks for the class token of networks with one tower whose
        pooler has a layer of its own, as ViT's.
        """
        if hasattr(self.model, "get_image_features"):
            output = self.model.get_image_features(pixel_values=pixels)
            return getattr(output, "pooler_output", output)
        output = self.model(pixel_values=pixels)
        vectors = getattr(output, "pooler_output", None)
        has_layer = getattr(self.model, "pooler", None) is not None
        if pooling == "cls" and has_layer:
            return output.last_hidden_state[:, 0]
        if vectors is not None and self.has_pooler:
            return vectors.flatten(1)
        hidden = output.last_hidden_state
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)


@on_disk
class Tail(nn.Module):
    """Run what a sentence-transformers model does after pooling."""

    def __init__(self, modules):
        super().__init__()
        self.tail = nn.ModuleList(modules)

    def forward(self, vectors):
        """Map vectors to vectors."""
        features = {"sentence_embedding": vectors}
        for module in self.tail:
            features = module(features)
        return features["sentence_embedding"]


def additive_mask(mask, dtype, allowed=None):
    """Turn a bool mask ``(n, length)`` into an attention bias ``(n, 1, 1, length)``.

    It is built even where no token is masked: kernels differ in the last bit with and
    without a mask, and a row must not change with its neighbours.
    """
    mask = mask[:, None, None, :]
    if allowed is not None:
        mask = mask & allowed
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill_(~mask, torch.finfo(dtype).min)


def dense_blocks(features, last=None):
    """Cut the ``features`` of a DenseNet, timm's or torchvision's."""
    blocks: dict[str, nn.Module] = {}
    waiting: list[nn.Module] = []
    for name, child in features.named_children():
        if "denseblock" not in name:
            waiting.append(child)
            continue
        if not blocks:
            blocks["stem"] = nn.Sequential(*waiting)
            waiting = []
        steps: list[nn.Module] = [DenseStep(layer) for layer in child.children()]
        steps[0] = nn.Sequential(*waiting, steps[0])
        waiting = []
        for j, step in enumerate(steps):
            blocks[f"{name}.{j}"] = step
    tail = [*waiting, *([] if last is None else [last])]
    return with_last(blocks, nn.Sequential(*tail))
