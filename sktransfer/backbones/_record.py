"""The record of a network: the JSON files beside its weights, in a folder or a hub."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from .._untrusted.records import (
    ADAPTER,
    check_activations,
    check_record,
    is_record,
    records_of_modules,
)
from ..exceptions import UnknownBackboneError, WeightsNotFoundError
from ._hub import from_hub, listing

EXPECTED = (
    "a folder of timm's (config.json with 'architecture', and a *.safetensors file), "
    "of transformers' (config.json with 'model_type', as save_pretrained writes it) or "
    "of sentence-transformers' (modules.json)"
)
# Where a repository of the hub may ask for code of its own, beside its modules.
HUB_RECORDS = (
    "config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    ADAPTER,
)
MODULES = "modules.json"


class Record(NamedTuple):
    """What a folder or repository says of its network.

    Attributes
    ----------
    library : {"timm", "sentence-transformers", "transformers"}
        Who wrote it.
    modalities : tuple of str
        What the network reads; CLIP's two towers read images and texts.
    is_clip : bool
        True of CLIP's two towers in one network.
    """

    library: str
    modalities: tuple
    is_clip: bool = False


def read_record(name):
    """Read the record of a folder or of a hub repository.

    Raises
    ------
    WeightsNotFoundError
        If there is no record, or the hub is out of reach.
    UnknownBackboneError
        If the record is of a network that reads neither images nor texts.
    RemoteCodeError
        If it asks for code of its own.
    """
    refuse_code(name)
    if _has(name, MODULES):
        return Record("sentence-transformers", ("text",))
    config = _read(name, "config.json") or {}
    if "architecture" in config:
        return Record("timm", ("image",))
    if "model_type" in config:
        return _of_transformers(name, config)
    what = "a hub repository without a record"
    if Path(name).is_dir():
        what = f"a folder that holds {listing(name)}"
        if config:
            what += f", whose config.json has only {sorted(config)[:8]}"
    raise WeightsNotFoundError(
        f"backbone={name!r} is {what}; expected {EXPECTED}, or a registered name."
    )


def refuse_code(name):
    """Refuse a folder or a repository of the hub that asks for code of its own.

    Raises
    ------
    RemoteCodeError
        If any of its JSON files does.
    WeightsNotFoundError
        If one of them is no JSON.
    """
    if Path(name).is_dir():
        paths = sorted(path.relative_to(name) for path in Path(name).rglob("*.json"))
        for path in filter(is_record, [path.as_posix() for path in paths]):
            check_record(name, path, _read(name, path))
        modules = _read(name, MODULES)
    else:
        modules = _read(name, MODULES)
        files = [*HUB_RECORDS]
        if modules is not None:
            check_record(name, MODULES, modules)
            files += records_of_modules(modules)
        for file in dict.fromkeys(files):
            content = _read(name, file)
            if content is not None:
                check_record(name, file, content)
    if modules is not None:
        check_activations(name, modules, lambda path: _read(name, path))


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


def _has(name, file):
    if Path(name).is_dir():
        return (Path(name) / file).is_file()
    return _read(name, file) is not None


def _read(name, file):
    """Return the content of a JSON file, or None if there is none."""
    if Path(name).is_dir():
        path = Path(name) / file
        if not path.is_file():
            return None
    else:
        path = from_hub(lambda: _download(name, file), name)
        if path is None:
            return None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        raise WeightsNotFoundError(
            f"backbone={name!r}: its {file} is not JSON ({err}); expected {EXPECTED}."
        ) from err


def _download(name, file):
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return hf_hub_download(name, file)
    except LocalEntryNotFoundError:
        # Out of reach: the cache has the repository, but never saw this file.
        others = ("config.json", "modules.json")
        if any(isinstance(try_to_load_from_cache(name, f), str) for f in others):
            return None
        raise
    except EntryNotFoundError:
        return None
