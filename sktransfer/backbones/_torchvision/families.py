"""How torchvision's families are cut."""

import torch
from torch import nn

from ..._utils.names import on_disk
from .._blocks import Apply, Nhwc, OnMap, dense_blocks
from .._recipe import Recipe, bare, with_first, with_last


@on_disk
class TorchvisionViTStem(nn.Module):
    """Patches, class token, positions."""

    def __init__(self, model):
        super().__init__()
        self.model = bare(model, "encoder", "heads")
        self.encoder = bare(model.encoder, "layers", "ln")

    def forward(self, pixels):
        """Map pixels to tokens."""
        tokens = self.model._process_input(pixels)
        cls_token = self.model.class_token.expand(len(tokens), -1, -1)
        return torch.cat([cls_token, tokens], dim=1) + self.encoder.pos_embedding


def resnet(model):
    """ResNet, ResNeXt, Wide ResNet."""
    stem = [model.conv1, model.bn1, model.relu, model.maxpool]
    return _maps(_staged(nn.Sequential(*stem), _named(model, "layer")))


def convnext(model):
    """ConvNeXt: the norm comes after pooling, in the classifier."""
    return _maps(_features(model), OnMap(_before_last(model.classifier)))


def efficientnet(model):
    """EfficientNet, V1 and V2."""
    return _maps(_features(model))


def mobilenet(model):
    """MobileNetV2, whose classifier is a Linear alone."""
    return _maps(_features(model))


def mobilenet_v3(model):
    """MobileNetV3: a Linear and its activation come after pooling."""
    return _maps(_features(model), _before_last(model.classifier))


def regnet(model):
    """RegNet."""
    stages = {f"trunk_output.{n}": s for n, s in model.trunk_output.named_children()}
    return _maps(_staged(model.stem, stages))


def densenet(model):
    """DenseNet: each layer adds its maps to those before it."""
    return _maps(dense_blocks(model.features, nn.ReLU()))


def maxvit(model):
    """MaxViT: a norm and a Linear come after pooling."""
    stages = {f"blocks.{i}": stage.layers for i, stage in enumerate(model.blocks)}
    tail = [child for child in model.classifier if not _is_pooling(child)][:-1]
    return _maps(_staged(model.stem, stages), nn.Sequential(*tail))


def mnasnet(model):
    """MNASNet: a first and a last convolution around the stacks of blocks."""
    children = list(model.layers)
    n_first = next(i for i, c in enumerate(children) if isinstance(c, nn.Sequential))
    n_last = next(
        i for i, c in enumerate(children[::-1]) if isinstance(c, nn.Sequential)
    )
    n_stop = len(children) - n_last
    stages = {f"layers.{i}": children[i] for i in range(n_first, n_stop)}
    blocks = _staged(nn.Sequential(*children[:n_first]), stages)
    blocks["head"] = nn.Sequential(*children[n_stop:])
    return _maps(blocks)


def shufflenet(model):
    """ShuffleNetV2."""
    stem = nn.Sequential(model.conv1, model.maxpool)
    blocks = _staged(stem, _named(model, "stage"))
    blocks["conv5"] = model.conv5
    return _maps(blocks)


def vit(model):
    """ViT."""
    blocks: dict[str, nn.Module] = {"stem": TorchvisionViTStem(model)}
    for i, layer in enumerate(model.encoder.layers):
        blocks[f"encoder.layers.{i}"] = layer
    with_last(blocks, model.encoder.ln)
    return Recipe(_applied(blocks), "cls", _before_last(model.heads), 1)


def swin(model):
    """Swin, V1 and V2, whose maps have their channels last."""
    blocks = _features(model)
    with_last(blocks, model.norm)
    first, *others = blocks
    nhwc = {first: Nhwc(blocks[first], takes_maps=True)}
    return _maps(nhwc | {name: Nhwc(blocks[name]) for name in others})


def _features(model):
    """Cut a ``features`` whose children are a stem, stages, and steps between them.

    A step between stages goes in front of the block after it; a last one is a block.
    """
    stem, *children = model.features
    blocks, waiting = {"stem": stem}, nn.Identity()
    for i, child in enumerate(children, start=1):
        name = f"features.{i}"
        if _is_stage(child):
            for j, block in enumerate(with_first(waiting, child)):
                blocks[f"{name}.{j}"] = block
            waiting = nn.Identity()
        elif _is_block(child) or i == len(children):
            blocks[name] = child
        else:
            waiting = child
    return blocks


def _is_stage(module):
    """Whether it is a plain Sequential of blocks, and not a step of norm and conv."""
    return type(module) is nn.Sequential and _is_block(module[0])


def _is_block(module):
    kind = type(module).__name__
    return "Block" in kind or "Residual" in kind or "MBConv" in kind


def _is_pooling(module):
    return isinstance(module, (nn.AdaptiveAvgPool2d, nn.Flatten))


def _named(model, prefix):
    return {n: c for n, c in model.named_children() if n.startswith(prefix)}


def _staged(stem, stages):
    blocks: dict[str, nn.Module] = {"stem": stem}
    for name, stage in stages.items():
        for j, block in enumerate(stage):
            blocks[f"{name}.{j}"] = block
    return blocks


def _before_last(classifier):
    """Return what a classifier does before its last Linear, or None."""
    parts = [p for p in list(classifier)[:-1] if not isinstance(p, nn.Dropout)]
    return nn.Sequential(*parts) if parts else None


def _applied(blocks):
    return {name: Apply(block) for name, block in blocks.items()}


def _maps(blocks, post_pool=None):
    return Recipe(_applied(blocks), "mean", post_pool)


RECIPES = {
    "ConvNeXt": convnext,
    "DenseNet": densenet,
    "EfficientNet": efficientnet,
    "MNASNet": mnasnet,
    "MaxVit": maxvit,
    "MobileNetV2": mobilenet,
    "MobileNetV3": mobilenet_v3,
    "RegNet": regnet,
    "ResNet": resnet,
    "ShuffleNetV2": shufflenet,
    "SwinTransformer": swin,
    "VisionTransformer": vit,
}
