"""The folder of a save: written at once or not at all, and read with suspicion."""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import secrets
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

from ..exceptions import (
    DamagedSaveError,
    IncompleteSaveError,
    NewerProtocolError,
    SaveError,
    UnsafeSaveError,
    VersionMismatchWarning,
)

PROTOCOL = 1  # raise it when an older sktransfer cannot read what is written
FORMAT = "sktransfer save"
MANIFEST = "manifest.json"
STRUCTURE = "structure.skops"
SUFFIXES = (".json", ".txt", ".model", ".safetensors", ".skops", ".md")
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,4}")
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_UNPACKED_BYTES = 64 * 2**20  # of packed arrays whose ratio is unusual
MAX_RATIO = 50
BLOCK_BYTES = 2**20  # read and hashed at a time
PACKAGES = (
    "sktransfer",
    "scikit-learn",
    "torch",
    "numpy",
    "scipy",
    "skops",
    "timm",
    "torchvision",
    "transformers",
    "sentence-transformers",
)
# A change of these is reported: (package, how many parts of the version count).
COMPARED = {"sktransfer": 2, "scikit-learn": 2, "torch": 2, "numpy": 1, "timm": 2}
COMPARED |= {"transformers": 1, "sentence-transformers": 1, "torchvision": 2}


def sha256(content):
    """Return the hexadecimal sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def versions():
    """Return the versions of Python and of the packages that a save depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def compare_versions(saved):
    """Return a line for each package whose version differs in a way that may matter."""
    here = versions()
    lines = []
    for package, n_parts in COMPARED.items():
        then, now = saved.get(package), here.get(package)
        if then is None or now is None or then == now:
            continue
        if str(then).split(".")[:n_parts] != now.split(".")[:n_parts]:
            lines.append(f"{package} {then} when it was saved, {now} here")
    return lines


def warn_of_versions(lines, folder):
    """Say which packages differ, in one warning."""
    if lines:
        warnings.warn(
            f"{folder} was saved with other versions: {'; '.join(lines)}. Predictions "
            "may differ. Install the versions in its manifest.json, or compare "
            "predictions and save again.",
            VersionMismatchWarning,
            stacklevel=3,
        )


# -- writing ---------------------------------------------------------------------------


@contextlib.contextmanager
def new_folder(folder, *, overwrite):
    """Give a temporary folder that becomes `folder` if nothing goes wrong inside.

    Raises
    ------
    SaveError
        If there is something already, and it is not to be replaced; or if the folder
        cannot be made.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.is_symlink() and overwrite:
        folder = folder.resolve()  # the link stays
    if folder.exists() or folder.is_symlink():
        if not overwrite:
            raise SaveError(
                f"{folder} exists already; give another folder, or overwrite=True."
            )
        if not (folder / MANIFEST).is_file():
            raise SaveError(
                f"{folder} is no save of sktransfer (it has no {MANIFEST}), and "
                "overwrite=True replaces nothing else; give another folder."
            )
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = folder.parent / f".{folder.name}.new-{mark}"
    try:
        temporary.mkdir(parents=True)
    except OSError as err:
        raise SaveError(
            f"{folder} cannot be made ({err.strerror or err}); give another folder."
        ) from err
    try:
        yield temporary
        _sync(temporary)
        if folder.exists():
            old = folder.parent / f".{folder.name}.old-{mark}"
            os.rename(folder, old)
            try:
                os.rename(temporary, folder)
            except BaseException:
                os.rename(old, folder)
                raise
            shutil.rmtree(old)
        else:
            os.rename(temporary, folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write(folder, name, content):
    """Write a file of a save to the disk; return its line in the manifest."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"sha256": sha256(content), "bytes": len(content)}


def _sync(folder):
    """Make the names in a folder last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# -- reading ---------------------------------------------------------------------------


class SaveReader:
    """A save that was read: each file once, and nothing of it is read again.

    Whoever can write to the folder could change a file between a check and its use.
    So the bytes that were checked are kept in memory; those of files that libraries
    read by path (networks as folders) go into a temporary folder of this process.

    Use it in a ``with`` block, at whose end the temporary folder goes.

    Parameters
    ----------
    folder : str or Path
    sha256 : str, default=None
        Expected sha256 of the manifest.

    Raises
    ------
    IncompleteSaveError, DamagedSaveError, UnsafeSaveError, NewerProtocolError
        If it cannot be used.
    """

    def __init__(self, folder, *, sha256=None):
        self.folder = Path(folder).expanduser().absolute()
        self.manifest = self._read_manifest(sha256)
        self.files = self._check_listing()
        self._contents, self._private = {}, None
        try:
            for name in self.files:
                self._take(name)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        """Return the reader."""
        return self

    def __exit__(self, *_):
        """Remove the temporary folder."""
        self.close()

    def close(self):
        """Remove the temporary folder."""
        if self._private is not None:
            self._private.cleanup()

    def _take(self, name):
        """Read a file, and compare it with what was written."""
        digest = hashlib.sha256()
        with open(self.folder / name, "rb") as source:
            if "/" in name:
                path = self._private_folder() / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "xb") as copy:
                    while block := source.read(BLOCK_BYTES):
                        digest.update(block)
                        copy.write(block)
            else:
                self._contents[name] = source.read()
                digest.update(self._contents[name])
        if digest.hexdigest() != self.files[name]["sha256"].lower():
            raise DamagedSaveError(
                f"{self.folder / name} has changed since it was saved: its sha256 is "
                f"{digest.hexdigest()}, expected {self.files[name]['sha256']}. Copy it "
                "again from where it was saved."
            )

    def _private_folder(self):
        if self._private is None:
            self._private = tempfile.TemporaryDirectory(
                prefix="sktransfer-load-", ignore_cleanup_errors=True
            )
        return Path(self._private.name)

    def _read_manifest(self, expected):
        path = self.folder / MANIFEST
        if not path.is_file():
            what = "there is no such folder"
            if self.folder.is_file():
                what = "it is a file and no folder"
            elif self.folder.is_dir():
                what = f"it has no {MANIFEST}, which is written last"
            raise IncompleteSaveError(
                f"{self.folder} is no complete save: {what}. Save again, or copy the "
                "whole folder."
            )
        if path.is_symlink() or path.stat().st_size > MAX_MANIFEST_BYTES:
            raise UnsafeSaveError(f"{path} is a link or too large for a manifest.")
        content = path.read_bytes()
        if expected is not None and sha256_differs(content, expected):
            raise DamagedSaveError(
                f"{path} is not the pinned one: its sha256 is {sha256(content)}, "
                f"expected {expected}. Do not use it."
            )
        try:
            manifest = json.loads(content)
        except (ValueError, RecursionError) as err:
            raise DamagedSaveError(f"{path} is no JSON ({err}).") from err
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise IncompleteSaveError(f"{path} is not a manifest of sktransfer.save.")
        protocol = manifest.get("protocol")
        if not isinstance(protocol, int) or isinstance(protocol, bool) or protocol < 1:
            raise DamagedSaveError(f"{path} has no protocol number: got {protocol!r}.")
        if protocol > PROTOCOL:
            raise NewerProtocolError(
                f"{self.folder} has protocol {protocol}, and this sktransfer reads up "
                f"to {PROTOCOL}; it was saved with sktransfer "
                f"{_text(manifest, 'sktransfer')}. Run: pip install -U sktransfer"
            )
        return manifest

    def _check_listing(self):
        files = self.manifest.get("files")
        if not isinstance(files, dict) or STRUCTURE not in files:
            raise DamagedSaveError(f"{self.folder}: the manifest lists no files.")
        for name, line in files.items():
            path = self.folder / name
            if not NAME.fullmatch(name) or not name.endswith(SUFFIXES):
                raise UnsafeSaveError(
                    f"{self.folder}: the manifest names {name!r}, which is not a valid "
                    "name of a file in a save. Do not use it."
                )
            if not isinstance(line, dict) or not isinstance(line.get("sha256"), str):
                raise DamagedSaveError(f"{self.folder}: no sha256 of {name!r}.")
            if not path.is_file():
                raise IncompleteSaveError(
                    f"{path} is missing. Save again, or copy the whole folder."
                )
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_symlink():
                raise UnsafeSaveError(f"{path} is a link; a save has none. Remove it.")
            if not path.is_dir() and name != MANIFEST and name not in files:
                raise UnsafeSaveError(
                    f"{path} is not in the manifest; a save has no other files. Remove "
                    "it, or save again."
                )
        return files

    def read(self, name):
        """Return the bytes of a file, which are those that were written.

        Raises
        ------
        DamagedSaveError
            If the manifest does not list the file.
        """
        if name not in self._contents:
            raise DamagedSaveError(f"{self.folder}: the manifest lists no {name!r}.")
        return self._contents[name]

    def read_folder(self, name):
        """Return the path of a copy of one of the save's folders.

        Raises
        ------
        DamagedSaveError
            If the manifest lists no file in it.
        """
        if not any(file.startswith(f"{name}/") for file in self.files):
            raise DamagedSaveError(f"{self.folder}: there is no folder {name!r}.")
        return self._private_folder() / name

    def records(self, key):
        """Return a list of records in the manifest."""
        records = self.manifest.get(key, [])
        if not isinstance(records, list) or not all(
            isinstance(record, dict) for record in records
        ):
            raise DamagedSaveError(f"{self.folder}: {key!r} is no list of records.")
        return records


def sha256_differs(content, expected):
    """Whether the sha256 of bytes is not the expected one."""
    return not secrets.compare_digest(
        sha256(content).encode(), str(expected).lower().encode()
    )


def _text(manifest, package):
    saved = manifest.get("versions")
    return saved.get(package, "of a later version") if isinstance(saved, dict) else "?"


def check_archive(content):
    """Refuse a skops archive that would grow far beyond its size when it is read.

    Raises
    ------
    UnsafeSaveError, DamagedSaveError
        If it is packed, has names with folders, or is no archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if len(names) != len(set(names)):
                raise UnsafeSaveError(f"{STRUCTURE} has two parts of one name.")
            for part in archive.infolist():
                stored = part.compress_type == zipfile.ZIP_STORED
                if not stored or part.file_size != part.compress_size:
                    raise UnsafeSaveError(
                        f"{STRUCTURE} is packed, which save never does: "
                        f"{part.filename!r} would grow to {part.file_size} bytes."
                    )
                if not re.fullmatch(
                    r"[A-Za-z0-9_-]+\.(json|npy|npz|bin)", part.filename
                ):
                    raise UnsafeSaveError(f"{STRUCTURE} has a part {part.filename!r}.")
                if part.filename.endswith(".npz"):
                    _check_packed(archive.read(part))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as err:
        if isinstance(err, SaveError):
            raise
        raise DamagedSaveError(f"{STRUCTURE} is no sound archive ({err}).") from err


def _check_packed(content):
    """SciPy packs sparse matrices; see that they stay within bounds."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        n_bytes = sum(part.file_size for part in archive.infolist())
    if n_bytes > MAX_UNPACKED_BYTES and n_bytes > MAX_RATIO * len(content):
        raise UnsafeSaveError(
            f"{STRUCTURE} has a packed matrix that would grow from {len(content)} to "
            f"{n_bytes} bytes."
        )
