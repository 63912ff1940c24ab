"""How timm's transformer families are cut."""

import torch
from torch import nn

from ..._utils.names import on_disk
from .._blocks import Apply, Nhwc
from .._recipe import Recipe, bare, with_first, with_last

POOLING_NAMES = {"token": "cls", "avg": "mean", "max": "max", "map": "none"}


@on_disk
class ViTStem(nn.Module):
    """Patches, class and register tokens, positions."""

    def __init__(self, model):
        super().__init__()
        self.model = bare(model, "blocks", "norm", "fc_norm", "head", "attn_pool")

    def forward(self, pixels):
        """Map pixels to tokens."""
        tokens = self.model._pos_embed(self.model.patch_embed(pixels))
        if isinstance(tokens, tuple):  # EVA gives its rotary embedding beside them
            tokens = tokens[0]
        return self.model.norm_pre(tokens)


@on_disk
class RopeBlock(nn.Module):
    """One block of an EVA or DINOv3, with the rotary embedding made again."""

    def __init__(self, model, index):
        super().__init__()
        self.block = model.blocks[index]
        self.rope = model.rope
        self.index = index if getattr(model, "rope_mixed", False) else None
        self.grid = tuple(model.patch_embed.grid_size)
        self.n_prefix = model.num_prefix_tokens
        self.is_dynamic = model.dynamic_img_size

    def forward(self, tokens):
        """Map tokens to tokens."""
        return self.block(tokens, rope=self._embedding(tokens))

    def _embedding(self, tokens):
        if self.rope is None:
            return None
        if self.is_dynamic:  # images are square
            side = int((tokens.shape[1] - self.n_prefix) ** 0.5)
            embedding = self.rope.get_embed(shape=(side, side))
        elif hasattr(self.rope, "feat_shape"):
            embedding = self.rope.get_embed()
        else:
            embedding = self.rope.get_embed(shape=self.grid)
        return embedding if self.index is None else embedding[self.index]


@on_disk
class BeitStem(nn.Module):
    """Patches, class token, positions."""

    def __init__(self, model):
        super().__init__()
        self.model = bare(model, "blocks", "norm", "fc_norm", "head", "rel_pos_bias")

    def forward(self, pixels):
        """Map pixels to tokens."""
        tokens = self.model.patch_embed(pixels)
        cls_token = self.model.cls_token.expand(len(tokens), -1, -1)
        tokens = torch.cat((cls_token, tokens), dim=1)
        if self.model.pos_embed is not None:
            tokens = tokens + self.model.pos_embed
        return tokens


@on_disk
class BeitBlock(nn.Module):
    """One block of a BEiT, with the shared position bias made again."""

    def __init__(self, block, shared_bias):
        super().__init__()
        self.block = block
        self.shared_bias = shared_bias

    def forward(self, tokens):
        """Map tokens to tokens."""
        bias = None if self.shared_bias is None else self.shared_bias()
        return self.block(tokens, shared_rel_pos_bias=bias)


@on_disk
class AttentionPool(nn.Module):
    """A learned pooling, as SigLIP and PE have it."""

    def __init__(self, model):
        super().__init__()
        self.pool = model.attn_pool
        # EVA's takes all tokens.
        takes_prefix = getattr(model, "pool_include_prefix", True)
        self.n_skip = 0 if takes_prefix else model.num_prefix_tokens

    def forward(self, tokens):
        """Map tokens to vectors."""
        return self.pool(tokens[:, self.n_skip :])


def vit(model):
    """ViT, DeiT, DINOv2, CLIP's and SigLIP's image towers."""
    blocks: dict[str, nn.Module] = {"stem": ViTStem(model)}
    for i, block in enumerate(model.blocks):
        blocks[f"blocks.{i}"] = block
    with_last(blocks, model.norm)
    if getattr(model, "attn_pool", None) is not None:
        with_last(blocks, AttentionPool(model))
    n_prefix = 0 if model.pool_include_prefix else model.num_prefix_tokens
    return _tokens(model, blocks, n_prefix=n_prefix)


def distilled_vit(model):
    """DeiT with a distillation token: its head averages the two first tokens."""
    return vit(model)._replace(pooling="prefix", n_prefix_tokens=2)


def eva(model):
    """EVA, DINOv3 and PE, whose blocks need a rotary embedding."""
    blocks: dict[str, nn.Module] = {"stem": ViTStem(model)}
    for i in range(len(model.blocks)):
        blocks[f"blocks.{i}"] = RopeBlock(model, i)
    with_last(blocks, model.norm)
    if getattr(model, "attn_pool", None) is not None:
        with_last(blocks, AttentionPool(model))
    return _tokens(model, blocks)


def beit(model):
    """BEiT."""
    blocks: dict[str, nn.Module] = {"stem": BeitStem(model)}
    for i, block in enumerate(model.blocks):
        blocks[f"blocks.{i}"] = BeitBlock(block, model.rel_pos_bias)
    with_last(blocks, model.norm)
    return _tokens(model, blocks)


def swin(model):
    """Swin, V1 and V2."""
    blocks = {"stem": Nhwc(model.patch_embed, takes_maps=True)}
    for i, layer in enumerate(model.layers):
        for j, block in enumerate(with_first(layer.downsample, layer.blocks)):
            blocks[f"layers.{i}.{j}"] = Nhwc(block)
    name = next(reversed(blocks))
    blocks[name] = Nhwc(nn.Sequential(blocks[name].module, model.norm))
    return Recipe({name: Apply(block) for name, block in blocks.items()}, "mean")


def _tokens(model, blocks, n_prefix=None):
    tail = model.fc_norm
    return Recipe(
        {name: Apply(block) for name, block in blocks.items()},
        POOLING_NAMES.get(model.global_pool, "none"),
        None if isinstance(tail, nn.Identity) else tail,
        model.num_prefix_tokens if n_prefix is None else n_prefix,
    )


RECIPES = {
    "Beit": beit,
    "Eva": eva,
    "SwinTransformer": swin,
    "SwinTransformerV2": swin,
    "VisionTransformer": vit,
    "VisionTransformerDistilled": distilled_vit,
}
