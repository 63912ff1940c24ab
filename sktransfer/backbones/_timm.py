"""Backbones from timm."""

from ._base import Backbone
from ._hub import from_hub
from ._preprocess import ImagePreprocess


def names():
    """Names of timm's networks."""
    import timm

    return timm.list_models()


def is_known(name):
    """Whether timm has a network of that name."""
    import timm

    return timm.is_model(_plain(name).partition(".")[0])


def build(spec):
    """Build the network that a spec names."""
    return build_named(spec, _plain(spec.name))


def build_named(spec, timm_name):
    """Build a network by its timm name.

    Raises
    ------
    WeightsNotFoundError
        If the weights cannot be had.
    """
    import timm

    if not spec.pretrained:
        model = timm.create_model(timm_name, pretrained=False)
    else:
        model = from_hub(
            lambda: timm.create_model(timm_name, pretrained=True), timm_name
        )
    return as_backbone(model, name=spec.name)


def as_backbone(model, *, name, fingerprint=None):
    """Turn a timm model into a Backbone.

    EfficientNets are cut into blocks; others run as a whole, as one block.
    """
    from timm.models.efficientnet import EfficientNet

    if type(model) is EfficientNet:
        blocks, pooling = _efficientnet_blocks(model), "mean"
    else:
        blocks, pooling = _whole(model), "none"
    return Backbone(
        name=name,
        modality="image",
        blocks=blocks,
        preprocess=_preprocess(model),
        pooling=pooling,
        fingerprint=fingerprint,
    )


def _efficientnet_blocks(model):
    from torch import nn

    from ._blocks import Apply

    blocks = {"stem": Apply(nn.Sequential(model.conv_stem, model.bn1))}
    for i, stage in enumerate(model.blocks):
        for j, block in enumerate(stage):
            blocks[f"blocks.{i}.{j}"] = Apply(block)
    blocks["conv_head"] = Apply(nn.Sequential(model.conv_head, model.bn2))
    return blocks


def _whole(model):
    from ._blocks import WholeTimm

    return {"model": WholeTimm(model)}


def _preprocess(model):
    from timm.data import resolve_data_config

    config = resolve_data_config({}, model=model)
    return ImagePreprocess(
        size=tuple(config["input_size"][1:]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
        fixed_size=bool(model.pretrained_cfg.get("fixed_input_size", False)),
    )


def _plain(name):
    return name.removeprefix("timm/")
