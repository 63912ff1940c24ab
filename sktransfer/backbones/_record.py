"""The record of a network: the JSON files beside its weights."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from .._untrusted.records import check_activations, check_record, is_record
from ..exceptions import UnknownBackboneError, WeightsNotFoundError
from ._hub import listing

EXPECTED = (
    "a folder of timm's (config.json with 'architecture', and a *.safetensors file), "
    "of transformers' (config.json with 'model_type', as save_pretrained writes it) or "
    "of sentence-transformers' (modules.json)"
)
MODULES = "modules.json"


class Record(NamedTuple):
    """Description of a network by the files of its folder.

    Attributes
    ----------
    library : {"timm", "sentence-transformers", "transformers"}
        Library that wrote it.
    modalities : tuple of str
        Kinds of rows that the network reads; CLIP's two towers read both.
    is_clip : bool
        True of CLIP's two towers in one network.
    """

    library: str
    modalities: tuple
    is_clip: bool = False


def read_record(name, folder):
    """Read the record of a network.

    Parameters
    ----------
    name : str
        The network's, for messages.
    folder : str or Path
        Folder of its files.

    Raises
    ------
    WeightsNotFoundError
        If there is no record.
    UnknownBackboneError
        If the record is of a network that reads neither images nor texts.
    RemoteCodeError
        If it asks for code of its own.
    """
    refuse_code(name, folder)
    if (Path(folder) / MODULES).is_file():
        return Record("sentence-transformers", ("text",))
    config = _read(name, folder, "config.json") or {}
    if "architecture" in config:
        return Record("timm", ("image",))
    if "model_type" in config:
        return _of_transformers(name, config)
    what = f"a folder that holds {listing(folder)}"
    if config:
        what += f", whose config.json has only {sorted(config)[:8]}"
    raise WeightsNotFoundError(
        f"backbone={name!r} is {what}; expected {EXPECTED}, or a registered name."
    )


def refuse_code(name, folder):
    """Refuse a network that asks for code of its own.

    Raises
    ------
    RemoteCodeError
        If any of its JSON files does.
    WeightsNotFoundError
        If one of them is no JSON.
    """
    paths = sorted(path.relative_to(folder) for path in Path(folder).rglob("*.json"))
    for path in filter(is_record, [path.as_posix() for path in paths]):
        check_record(name, path, _read(name, folder, path))
    modules = _read(name, folder, MODULES)
    if modules is not None:
        check_activations(name, modules, lambda path: _read(name, folder, path))


def _of_transformers(name, config):
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    kind = config["model_type"]
    found = kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_MAPPING
    if not found:
        raise UnknownBackboneError(
            f"{name!r} has model_type={kind!r}, which the installed transformers does "
            "not know; networks with code of their own are not run."
        )
    model: Any = MODEL_MAPPING[CONFIG_MAPPING[kind]]
    if isinstance(model, tuple):
        model = model[0]
    if kind == "clip":
        return Record("transformers", ("image", "text"), is_clip=True)
    if hasattr(model, "get_image_features") or model.main_input_name == "pixel_values":
        return Record("transformers", ("image",))
    if model.main_input_name == "input_ids":
        return Record("transformers", ("text",))
    raise UnknownBackboneError(
        f"{name!r} is a {model.__name__}, which reads {model.main_input_name!r}; "
        "backbones read images or texts."
    )


def _read(name, folder, file):
    """Return the content of a JSON file, or None if there is none."""
    path = Path(folder) / file
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        raise WeightsNotFoundError(
            f"backbone={name!r}: its {file} is not JSON ({err}); expected {EXPECTED}."
        ) from err
