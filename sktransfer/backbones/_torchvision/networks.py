"""Backbones from torchvision's classification networks."""

import hashlib
import re
from collections import OrderedDict
from pathlib import Path

from ...exceptions import UnknownBackboneError, WeightsMismatchError
from .._base import Backbone
from .._blocks import Apply
from .._hub import from_hub
from .._preprocess import ImagePreprocess, crop_share
from .._recipe import find_recipe, is_same, run_recipe, swapped, whole
from .._state import State
from .families import RECIPES

PREFIX = "torchvision/"
# Networks that refuse images of another size than their own.
FIXED_SIZE = {"MaxVit", "VisionTransformer"}
# As torchvision's own builders make them when they load weights. The auxiliary heads
# are for training only.
_INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": True}
OPTIONS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# Published DenseNet weights have "norm.1" where the network now says "norm1".
OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def names():
    """Names of torchvision's classification networks."""
    from torchvision import models

    return models.list_models(module=models)


def is_known(name):
    """Whether torchvision has a network of that name."""
    return _split(name)[0] in names()


def build(spec):
    """Build the network that a spec names.

    Raises
    ------
    UnknownBackboneError
        If there are no such weights, or the network has no last Linear.
    WeightsNotFoundError
        If the weights cannot be had.
    WeightsMismatchError
        If the weights file is not the published one.
    """
    from torchvision import models

    name, tag = _split(spec.name)
    weights = _weights(name, tag)
    options = dict(OPTIONS.get(name, {}))
    if name.startswith("vit_"):  # some weights are for larger images
        options["image_size"] = weights.meta["min_size"][0]
    model = models.get_model(name, weights=None, **options)
    if spec.pretrained:
        _load_weights(model, weights, spec.name)
    preprocess = as_preprocess(
        weights.transforms(), fixed_size=type(model).__name__ in FIXED_SIZE
    )
    return as_backbone(model, preprocess, name=spec.name)


def as_backbone(model, preprocess, *, name):
    """Turn a torchvision classifier into a Backbone.

    Its features are what enters its last Linear. The family's recipe cuts it; where
    there is none, or what comes out differs from the network's own features, it runs
    as a whole, as one block.

    Parameters
    ----------
    model : torch.nn.Module
        Whose last layer is a Linear.
    preprocess : ImagePreprocess
        From the record of the weights.
    name : str
        Display name.

    Returns
    -------
    Backbone
    """
    model.eval()
    headless = _without_head(model, name)
    recipe = find_recipe(RECIPES, model)
    cut = None if recipe is None else recipe(model)
    if cut is None or not _is_faithful(cut, headless, preprocess):
        cut = whole(model, Apply(headless), "none", has_recipe=cut is not None)
    return Backbone(name, "image", preprocess=preprocess, **cut._asdict())


def as_preprocess(preset, *, fixed_size=False):
    """Turn torchvision's ``ImageClassification`` preset into ImagePreprocess."""
    (size,), (resized,) = preset.crop_size, preset.resize_size
    return ImagePreprocess(
        size=(size, size),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
        crop_pct=crop_share(size, resized),
        fixed_size=fixed_size,
    )


def _split(name):
    name, _, tag = name.removeprefix(PREFIX).partition(".")
    return name, tag


def _weights(name, tag):
    from torchvision import models

    entries = models.get_model_weights(name)
    tag = tag or "DEFAULT"
    if tag not in entries.__members__:
        raise UnknownBackboneError(
            f"torchvision has no weights {tag!r} of {name!r}; it has "
            f"{list(entries.__members__)}. Write '{PREFIX}{name}.NAME' with one of "
            f"these, or '{PREFIX}{name}'."
        )
    return entries[tag]


def builder(spec):
    """Download what is missing, and return the function that builds the network."""
    weights = _weights(*_split(spec.name))
    if spec.pretrained and not _cached_file(weights).is_file():
        _read_weights(weights, spec.name)
    return build


def _read_weights(weights, name):
    path = _cached_file(weights)
    return from_hub(
        lambda: weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        ),
        name,
        is_local=path.is_file(),
        endpoint=weights.url,
        cache=str(path),
    )


def _load_weights(model, weights, name):
    state = _read_weights(weights, name)
    _check_hash(_cached_file(weights))
    fitting = OrderedDict(
        (OLD_KEY.sub(r"\1\2", key), tensor)
        for key, tensor in state.items()
        if not key.startswith(AUXILIARY)
    )
    # MNASNet's version stands there.
    fitting._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    from_hub(lambda: model.load_state_dict(fitting), name, is_local=True)


def _cached_file(weights):
    """Return the path at which torch.hub keeps, or would keep, a weights file."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]


def _check_hash(path):
    """Compare a file with the start of its sha256, which its name ends with.

    torch.hub does so after a download, but not for what lies in its cache.
    """
    expected = re.search(r"-([0-9a-f]{8,})\.", path.name)
    with open(path, "rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and not got.startswith(expected[1]):
        raise WeightsMismatchError(
            f"{path} is not the published file: its sha256 starts with "
            f"{got[: len(expected[1])]}, expected {expected[1]}. Delete it, and it is "
            "downloaded again."
        )


def _without_head(model, name):
    """Return a light copy of a classifier whose last Linear is the identity."""
    from torch import nn

    path, last = [], model
    while children := list(last.named_children()):
        child_name, last = children[-1]
        path.append(child_name)
    if not isinstance(last, nn.Linear):
        raise UnknownBackboneError(
            f"{name!r} ends with {type(last).__name__}, not with a Linear layer whose "
            "input would be its features, so it cannot be used as a backbone; choose "
            "another, or describe it with Backbone(...)."
        )
    return swapped(model, ".".join(path), nn.Identity())


def _is_faithful(cut, headless, preprocess):
    import torch

    pixels = torch.from_numpy(preprocess.example())[None]
    state = preprocess.to_input(State(pixels))
    with torch.inference_mode():
        # In-place activations would change what the other one sees.
        want = headless(state.hidden.clone())
        got = run_recipe(cut, state)
    return is_same(want, got)
