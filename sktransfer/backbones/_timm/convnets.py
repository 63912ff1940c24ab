"""How timm's convolutional families are cut."""

from torch import nn

from .._blocks import Apply, OnMap, dense_blocks
from .._recipe import Recipe, with_first, with_last


def efficientnet(model):
    """EfficientNet, its Lite, V2 and other relatives."""
    blocks = _mobile_blocks(model)
    blocks["conv_head"] = nn.Sequential(model.conv_head, model.bn2)
    return _maps(blocks)


def mobilenet(model):
    """MobileNetV3 and V4: conv_head comes after pooling."""
    tail = [model.conv_head, model.norm_head, model.act2]
    return _maps(_mobile_blocks(model), OnMap(nn.Sequential(*tail)))


def resnet(model):
    """ResNet and its relatives."""
    stem = [model.conv1, model.bn1, model.act1, model.maxpool]
    blocks: dict[str, nn.Module] = {"stem": nn.Sequential(*stem)}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for j, block in enumerate(getattr(model, name)):
            blocks[f"{name}.{j}"] = block
    return _maps(blocks)


def convnext(model):
    """ConvNeXt: the norm comes after pooling, in the head."""
    blocks: dict[str, nn.Module] = {"stem": model.stem}
    for i, stage in enumerate(model.stages):
        for j, block in enumerate(with_first(stage.downsample, stage.blocks)):
            blocks[f"stages.{i}.{j}"] = block
    return _maps(with_last(blocks, model.norm_pre), _norm_head(model.head))


def regnet(model):
    """RegNet."""
    blocks: dict[str, nn.Module] = {"stem": model.stem}
    for name in ("s1", "s2", "s3", "s4"):
        for j, block in enumerate(getattr(model, name).children()):
            blocks[f"{name}.{j}"] = block
    return _maps(with_last(blocks, model.final_conv))


def densenet(model):
    """DenseNet: each layer adds its maps to those before it."""
    return _maps(dense_blocks(model.features))


def maxvit(model):
    """MaxViT and CoAtNet."""
    blocks: dict[str, nn.Module] = {"stem": model.stem}
    for i, stage in enumerate(model.stages):
        for j, block in enumerate(stage.blocks):
            blocks[f"stages.{i}.{j}"] = block
    return _maps(with_last(blocks, model.norm), _norm_head(model.head))


def _mobile_blocks(model):
    blocks: dict[str, nn.Module] = {"stem": nn.Sequential(model.conv_stem, model.bn1)}
    for i, stage in enumerate(model.blocks):
        for j, block in enumerate(stage):
            blocks[f"blocks.{i}.{j}"] = block
    return blocks


def _norm_head(head):
    norm = getattr(head, "norm", nn.Identity())
    logits = getattr(head, "pre_logits", nn.Identity())
    if isinstance(norm, nn.Identity) and isinstance(logits, nn.Identity):
        return None
    return OnMap(nn.Sequential(norm, nn.Flatten(1), logits))


def _maps(blocks, post_pool=None):
    wrapped = {name: Apply(block) for name, block in blocks.items()}
    return Recipe(wrapped, "mean", post_pool)


RECIPES = {
    "ConvNeXt": convnext,
    "DenseNet": densenet,
    "EfficientNet": efficientnet,
    "MaxxVit": maxvit,
    "MobileNetV3": mobilenet,
    "RegNet": regnet,
    "ResNet": resnet,
}
