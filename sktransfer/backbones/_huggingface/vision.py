"""Backbones from transformers' vision networks: folders and hub names."""

import dataclasses
import inspect

from ...exceptions import UnknownBackboneError
from .._base import Backbone
from .._blocks import WholeVision
from .._recipe import find_recipe, is_same, run_recipe, whole
from .._state import State
from .load import load_model
from .processor import as_preprocess, read_processor
from .vision_families import RECIPES

# A pooler after the class token is trained with a head of its own, and many
# checkpoints come without it.
OPTIONAL = ("pooler.", "vision_model.pooler.")


def build(spec, folder):
    """Build the image network, or image tower, of a folder.

    Parameters
    ----------
    spec : BackboneSpec
    folder : str

    Raises
    ------
    WeightsNotFoundError
        If its files cannot be had.
    WeightsMismatchError
        If weights are missing.
    UnknownBackboneError
        If its preprocessing has a step that is not known.
    """
    record = read_processor(spec.name, folder)
    model, missing = load_model(spec, folder, optional=OPTIONAL)
    preprocess = as_preprocess(record, name=spec.name)
    return as_backbone(model, preprocess, name=spec.name, has_pooler=not missing)


def as_backbone(model, preprocess, *, name, has_pooler=True):
    """Turn a vision network of transformers' into a Backbone.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The network. If it has two towers, the one for images is taken, with its
        projection.
    preprocess : ImagePreprocess
        From the record of the weights.
    name : str
        Display name.
    has_pooler : bool, default=True
        False if the weights of its pooler are random.

    Returns
    -------
    Backbone
    """
    model.eval()
    _check_takes_pixels(model, name)
    block = WholeVision(model, has_pooler=has_pooler)
    recipe = find_recipe(RECIPES, model)
    cut = None if recipe is None else recipe(model)
    if cut is None or not _is_faithful(cut, block, preprocess):
        cut = whole(model, block, "none", has_recipe=cut is not None)
    if not _takes_another_size(block, preprocess):
        preprocess = dataclasses.replace(preprocess, fixed_size=True)
    return Backbone(name, "image", preprocess=preprocess, **cut._asdict())


def _check_takes_pixels(model, name):
    """Refuse a network that wants more than an image, as NaFlex networks do."""
    forward = getattr(model, "get_image_features", model.forward)
    wanted = [
        parameter.name
        for parameter in inspect.signature(forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.name != "pixel_values"
    ]
    if wanted:
        raise UnknownBackboneError(
            f"{name!r} is a {type(model).__name__}, which takes {', '.join(wanted)} "
            "beside the image. Take a network of one size: for SigLIP 2, for instance, "
            "timm's 'vit_base_patch16_siglip_224.v2_webli'."
        )


def _is_faithful(cut, block, preprocess):
    """Compare with the network's own features, as the recipe's pooling has them."""
    import torch

    state = _example(preprocess)
    with torch.inference_mode():
        got = run_recipe(cut, state)
        want = block.own_features(state.hidden, cut.pooling)
    return is_same(want, got)


def _takes_another_size(block, preprocess):
    """Try a smaller image: networks differ, and no record says which do."""
    import torch

    smaller = tuple(max(32, side // 2 // 32 * 32) for side in preprocess.size)
    if smaller == preprocess.size:
        smaller = tuple(2 * side for side in smaller)
    state = _example(dataclasses.replace(preprocess, size=smaller))
    try:
        with torch.inference_mode():
            block(state)
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True


def _example(preprocess):
    import torch

    pixels = torch.from_numpy(preprocess.example())[None]
    return preprocess.to_input(State(pixels))
