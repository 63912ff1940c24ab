"""Backbones from timm."""

import functools
import warnings
from typing import Any

from .._base import Backbone
from .._blocks import WholeTimm
from .._hub import check_safetensors, from_hub
from .._preprocess import ImagePreprocess
from .._recipe import find_recipe, is_same, run_recipe, whole
from .._repository import fetch_file
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


def builder(spec):
    """Download what is missing, and return the function that builds the network."""
    return functools.partial(build, file=_fetch(spec, _plain(spec.name)))


def build_named(spec, timm_name):
    """Build a network by its timm name.

    Raises
    ------
    WeightsNotFoundError
        If the weights cannot be had.
    """
    return build(spec, timm_name, file=_fetch(spec, timm_name))


def build(spec, timm_name=None, *, file=None):
    """Build the network that a spec names.

    Parameters
    ----------
    spec : BackboneSpec
    timm_name : str, default=None
        None is the name of the spec.
    file : str, default=None
        Weights from the hub. None lets timm look for them elsewhere.
    """
    import timm

    timm_name = timm_name or _plain(spec.name)
    if not spec.pretrained:
        model = timm.create_model(timm_name, pretrained=False)
    else:
        place: dict[str, Any] = {}
        if file is not None:
            place["pretrained_cfg_overlay"] = {"file": file}
        model = from_hub(
            lambda: timm.create_model(timm_name, pretrained=True, **place),
            timm_name,
            is_local=file is not None,
        )
    return as_backbone(model, name=spec.name)


def _fetch(spec, timm_name):
    """Return the file of the weights, if the hub has it as safetensors."""
    import timm

    record = timm.get_pretrained_cfg(timm_name, allow_unregistered=True)
    if not spec.pretrained or record is None or not record.hf_hub_id:
        return None
    name, _, revision = record.hf_hub_id.partition("@")
    file = record.hf_hub_filename or "model.safetensors"
    if not file.endswith(".safetensors"):
        return None
    return fetch_file(name, file, revision or None)


def build_folder(spec, folder):
    """Build the network of a folder with timm's ``config.json``."""
    import timm

    if spec.pretrained:
        check_safetensors(spec.name, folder)
    model = from_hub(
        lambda: timm.create_model(f"local-dir:{folder}", pretrained=spec.pretrained),
        spec.name,
        is_local=True,
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
