"""Backbones from timm."""

import warnings
from pathlib import Path

from .._base import Backbone
from .._blocks import WholeTimm
from .._hub import check_safetensors, from_hub
from .._preprocess import ImagePreprocess
from .._recipe import find_recipe, is_same, run_recipe, whole
from .._state import State
from . import convnets, transformers
from .matcher import by_group_matcher

RECIPES = convnets.RECIPES | transformers.RECIPES


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


def build_record(spec):
    """Build what a folder, or a hub repository, with timm's ``config.json`` holds."""
    import timm

    is_local = Path(spec.name).is_dir()
    if is_local and spec.pretrained:
        check_safetensors(spec.name)
    source = "local-dir" if is_local else "hf-hub"
    model = from_hub(
        lambda: timm.create_model(f"{source}:{spec.name}", pretrained=spec.pretrained),
        spec.name,
        is_local=is_local,
    )
    return as_backbone(model, name=spec.name)


def as_backbone(model, *, name, fingerprint=None):
    """Turn a timm model into a Backbone.

    The family's recipe cuts it, else its own group matcher, and what comes out is
    compared with the model's own features. Where they differ, it runs as a whole, as
    one block.
    """
    model.eval()
    preprocess = _preprocess(model)
    recipe = find_recipe(RECIPES, model)
    cut = recipe(model) if recipe else by_group_matcher(model)
    if cut is None or not _is_faithful(cut, model, preprocess):
        cut = whole(model, WholeTimm(model), "none", has_recipe=cut is not None)
    return Backbone(
        name, "image", preprocess=preprocess, fingerprint=fingerprint, **cut._asdict()
    )


def _is_faithful(cut, model, preprocess):
    import torch

    pixels = torch.from_numpy(preprocess.example())[None]
    state = preprocess.to_input(State(pixels))
    with torch.inference_mode():
        want = model.forward_head(model.forward_features(state.hidden), pre_logits=True)
        try:
            got = run_recipe(cut, state)
        except Exception as err:
            # Parts put together in a wrong way fail in any way; the model runs whole.
            warnings.warn(
                f"{type(model).__name__} is not cut into blocks and runs as a whole: "
                f"its parts do not run one after the other ({type(err).__name__}).",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
    return is_same(want, got)


def _preprocess(model):
    from timm.data import resolve_data_config

    config = resolve_data_config({}, model=model)
    # A model that was made for another size than its record's says so.
    patches = getattr(model, "patch_embed", None)
    size = getattr(patches, "img_size", None) or config["input_size"][1:]
    return ImagePreprocess(
        size=tuple(size),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
        fixed_size=bool(model.pretrained_cfg.get("fixed_input_size", False)),
    )


def _plain(name):
    return name.removeprefix("timm/")
