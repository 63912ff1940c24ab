"""Save a fitted estimator to a folder and load it elsewhere, without pickle."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.types import Estimator
from ..exceptions import (
    DamagedSaveError,
    SaveError,
    SKTransferError,
    UntrustedTypeError,
)
from . import _files, _names, _trust
from ._swap import swap

WEIGHTS = ("reference", "include")


@set_module("sktransfer")
def save(
    estimator: Estimator,
    folder: str | Path,
    *,
    weights: Literal["reference", "include"] = "reference",
    trusted: Sequence[str] = (),
    overwrite: bool = False,
) -> str:
    """Save a fitted estimator, pipeline or search to a folder.

    The folder holds the structure (skops), tensors (safetensors) and a manifest (JSON)
    with the sha256 of every file; it has no pickle. It is written under another name
    and then renamed, so it is complete or absent.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator of sktransfer or scikit-learn, or one made of both. Settings of
        the machine are not saved: `cache` becomes "auto" unless it is None, `memory`
        becomes None, and `verbose` of sktransfer's estimators becomes 0.
    folder : str or Path
        Folder to write. It must not exist, unless `overwrite` is True.
    weights : {"reference", "include"}, default="reference"
        Form of frozen pretrained networks in the save. "reference" saves name and
        fingerprint, which `load` compares. "include" saves the weights, so that the
        folder is all that is needed, except for networks of your own: their structure
        is code, which `register_backbone` provides. Trained weights are always saved.
    trusted : sequence of str, default=()
        Dotted names of your own types and functions in the estimator. `load` needs them
        too.
    overwrite : bool, default=False
        Replace a folder that `save` wrote.

    Returns
    -------
    str
        sha256 of the manifest, for ``load(folder, sha256=...)``.

    Raises
    ------
    UntrustedTypeError
        If the estimator has a type that `load` would refuse; the message names it.
    SaveError
        If `folder` exists or cannot be made, or a network has no name. `save` also
        reads the structure once, as `load` would, and refuses whatever `load` would
        refuse.
    NotFittedError
        If the estimator is not fitted.
    MissingDependencyError
        If skops is not installed.

    See Also
    --------
    load : Loads the folder.
    model_card : Describes the estimator in Markdown.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import TextEncoder, load, save
    >>> model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    >>> _ = model.fit(["good", "bad"], [1, 0])
    >>> digest = save(model, "model")
    >>> load("model", sha256=digest).predict(["good"])
    array([1])
    """
    from ._networks import NetworkWriter, pack
    from ._take_apart import check_can_predict, take_apart

    if weights not in WEIGHTS:
        raise ValueError(f"weights={weights!r} must be one of {WEIGHTS}.")
    check_can_predict(estimator, "save")
    skops = _skops("save")
    with _files.new_folder(folder, overwrite=overwrite) as new:
        networks = NetworkWriter(new, weights)
        structure, nets = take_apart(estimator, networks)
        content = _dump(skops, structure, trusted)
        files = networks.files
        files[_files.STRUCTURE] = _files.write(new, _files.STRUCTURE, content)
        for number, (record, tensors) in enumerate(nets):
            record["file"] = f"net{number}.safetensors"
            files[record["file"]] = _files.write(new, record["file"], pack(tensors))
        manifest = {
            "format": _files.FORMAT,
            "protocol": _files.PROTOCOL,
            "estimator": type(estimator).__name__,
            "weights": weights,
            "versions": _files.versions(),
            "networks": networks.records,
            "nets": [record for record, _ in nets],
            "trusted": sorted(trusted),
            "files": dict(sorted(files.items())),
        }
        content = json.dumps(manifest, indent=1).encode()
        digest = _files.write(new, _files.MANIFEST, content)["sha256"]
        # What `load` would refuse is not saved.
        with _files.SaveReader(new, sha256=digest) as reader:
            _read_structure(skops, reader, trusted, [])
        return digest


@set_module("sktransfer")
def load(
    folder: str | Path,
    *,
    sha256: str | None = None,
    trusted: Sequence[str] = (),
    device: str | None = None,
) -> Any:
    """Load what `save` wrote.

    Before any object is made, every file is compared with its sha256, every type with a
    list of trusted names, and the weights of references with their fingerprint. Each
    file is read once; libraries that read by path get a copy in a temporary folder.

    Parameters
    ----------
    folder : str or Path
        Folder that `save` wrote.
    sha256 : str, default=None
        Digest that `save` returned. The manifest contains the digests of the other
        files, so this digest proves that the folder is the one that was saved.
    trusted : sequence of str, default=()
        Dotted names of your own types and functions that `load` may create. The save
        itself cannot add to this list.
    device : str, default=None
        ``device`` of every sktransfer estimator in it. None keeps the saved device, or
        uses "auto" if the machine lacks it.

    Returns
    -------
    estimator
        Estimator whose predictions on the same machine are bitwise equal to those of
        the saved one.

    Raises
    ------
    IncompleteSaveError
        If files are missing, or the folder is no save.
    DamagedSaveError
        If a file has changed since it was written, or does not match `sha256`.
    UnsafeSaveError
        If the save has names outside the folder, links, unexpected files or packed
        ones.
    UntrustedTypeError
        If the save has a type that is not trusted.
    NewerProtocolError
        If a later version of sktransfer wrote the save.
    UnknownBackboneError
        If the program that saved had registered a network by `register_backbone`, and
        this one has not.
    WeightsMismatchError
        If weights saved by reference differ from those here.

    Warns
    -----
    VersionMismatchWarning
        If relevant packages had other versions when the estimator was saved.

    Examples
    --------
    >>> from sktransfer import TextClassifier, load, save
    >>> model = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    >>> _ = save(model.fit(["good", "bad"], [1, 0]), "tuned", weights="include")
    >>> load("tuned").classes_
    array([0, 1])
    """
    from ._take_apart import put_together

    skops = _skops("load")
    with _files.SaveReader(folder, sha256=sha256) as reader:
        saved = reader.manifest.get("versions")
        lines = _files.compare_versions(saved if isinstance(saved, dict) else {})
        structure = _read_structure(skops, reader, trusted, lines)
        estimator = put_together(structure, reader, device)
    _files.warn_of_versions(lines, reader.folder)
    return estimator


def _skops(caller):
    import_optional("safetensors", extra="ship", purpose=f"sktransfer.{caller}")
    return import_optional("skops.io", extra="ship", purpose=f"sktransfer.{caller}")


def _dump(skops, structure, trusted):
    from skops.io.exceptions import UnsupportedTypeException

    try:
        content = skops.dumps(structure)
    except UnsupportedTypeException as err:
        raise SaveError(
            f"The estimator cannot be saved: {err} Replace that step by another one."
        ) from err
    except RecursionError as err:
        raise SaveError(
            "The estimator cannot be saved: some attribute refers back to the "
            "estimator, or it is nested too deeply. Remove such attributes."
        ) from err
    foreign = _foreign(skops, content, trusted)
    if foreign:
        raise UntrustedTypeError(
            f"The estimator has {foreign}, which load() would refuse as untrusted "
            f"types.{_trust.advice_on(foreign)} Replace them; or, if you know what "
            "they do with the content of a file, pass their names: save(..., "
            f"trusted={foreign}) and load(..., trusted={foreign}).",
            foreign,
        )
    return content


def _foreign(skops, content, trusted):
    found = skops.get_untrusted_types(data=content)
    return sorted(set(found) - set(_trust.TRUSTED) - set(_dotted(trusted)))


def _dotted(trusted):
    if isinstance(trusted, str) or not all(isinstance(t, str) for t in trusted):
        raise TypeError(f"trusted={trusted!r} must be a list of dotted names.")
    return list(trusted)


def _read_structure(skops, reader, trusted, lines):
    content = reader.read(_files.STRUCTURE)
    _files.check_archive(content)
    names = [*_trust.TRUSTED, *_dotted(trusted)]
    versions = f" Versions differ: {'; '.join(lines)}." if lines else ""
    try:
        content = _names.with_new_names(content)
        foreign = _foreign(skops, content, trusted)
        if foreign:
            raise UntrustedTypeError(
                f"{reader.folder} has {foreign}, which are on no list of trusted "
                "types; nothing was loaded. If you know these types and where the save "
                f"comes from, pass trusted={foreign}.",
                foreign,
            )
        with warnings.catch_warnings():
            # One warning of ours says it for all estimators.
            warnings.filterwarnings("ignore", message=".*unpickle estimator.*")
            structure = skops.loads(content, trusted=names)
        return swap(
            structure,
            lambda obj, path: _checked(obj, _trust.PARTIAL not in trusted),
            in_place=True,
        )
    except SKTransferError:
        raise
    except Exception as err:
        # skops and what it calls raise KeyError, TypeError, AttributeError and more on
        # an archive that makes no sense.
        raise DamagedSaveError(
            f"{reader.folder / _files.STRUCTURE} cannot be read "
            f"({type(err).__name__}: {err}).{versions}"
        ) from err


def _checked(obj, has_known_partials):
    """Look at what scikit-learn would follow blindly."""
    if has_known_partials:
        _trust.check_partial(obj)
    _trust.check_indices(obj)
    _trust.check_estimator(obj)
    return obj
