"""Data sets as data frames: from folders of images, and from packages of PyPI."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ._cells.folders import by_suffix, files_in, say_left_out
from ._cells.guess import is_image_suffix
from ._utils.names import set_module
from ._utils.optional import import_optional
from .exceptions import MissingDependencyError

if TYPE_CHECKING:
    import pandas

__all__ = ["load_elpv", "load_image_folder"]

ELPV_PACKAGE = "elpv_dataset"
# Sub-folders of these names alone are parts of a data set, and no classes.
PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}


@set_module("sktransfer.datasets")
def load_image_folder(folder: str | os.PathLike[str]) -> pandas.DataFrame:
    """List images in one sub-folder per class, as for torchvision's `ImageFolder`.

    No file is opened: the frame lists the files in the order of their names. Hidden
    files are left out. Files whose suffix Pillow does not know are left out with a
    warning that counts them.

    Parameters
    ----------
    folder : str or path-like
        Folder with one sub-folder per class.

    Returns
    -------
    DataFrame of shape (n_images, 3)
        One row per image. ``path`` is the file (str) and ``label`` the name of its
        class (str). ``group`` (str) is for `GroupKFold` and similar splitters: the
        sub-folder within the class that holds the image, such as one per patient or
        session, relative to `folder`. An image directly in the folder of its class is
        its own group.

    Raises
    ------
    NotADirectoryError
        If `folder` is no folder.
    ValueError
        If `folder` has no images in sub-folders, if it also holds images itself, or if
        the sub-folders are parts of a data set, such as "train" and "test".
    OSError
        If a folder cannot be read.
    MissingDependencyError
        If pandas is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktransfer.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat/1.png", "dog/rex/1.png", "dog/rex/2.png"):
    ...         path = Path(folder, name)
    ...         path.parent.mkdir(parents=True, exist_ok=True)
    ...         Image.new("RGB", (8, 8)).save(path)
    ...     frame = load_image_folder(folder)
    >>> frame[["label", "group"]].values.tolist()
    [['cat', 'cat/1.png'], ['dog', 'dog/rex'], ['dog', 'dog/rex']]
    """
    pandas = import_optional("pandas", purpose="load_image_folder")
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise NotADirectoryError(
            f"load_image_folder: {str(folder)!r} is no folder; expected one with one "
            "sub-folder per class."
        )
    files = files_in(root)
    images = [path for path in files if is_image_suffix(path.suffix)]
    places = [path.relative_to(root).parts for path in images]
    _check_places(root, places)
    left_out = say_left_out(by_suffix(files, images))
    if left_out:
        warnings.warn(f"load_image_folder: {left_out}.", UserWarning, stacklevel=2)
    return pandas.DataFrame(
        {
            "path": [str(path) for path in images],
            "label": [parts[0] for parts in places],
            "group": [
                "/".join(parts if len(parts) == 2 else parts[:-1]) for parts in places
            ],
        }
    )


def _check_places(root, places):
    """Refuse a folder whose images do not all have a class."""
    loose = [parts[0] for parts in places if len(parts) == 1]
    if loose and len(loose) < len(places):
        raise ValueError(
            f"load_image_folder: {len(loose)} images are directly in {str(root)!r}, "
            f"beside the sub-folders, and have no class, such as {loose[0]!r}. Move "
            "each into the sub-folder of its class."
        )
    if not places or loose:
        raise ValueError(
            f"load_image_folder: {str(root)!r} has no sub-folders with images "
            f"({len(loose)} images are directly in it); expected one sub-folder per "
            "class."
        )
    names = {parts[0].lower() for parts in places}
    if names <= PARTS:
        first = places[0][0]
        raise ValueError(
            f"load_image_folder: the sub-folders of {str(root)!r} are parts of a data "
            f"set ({sorted(names)}), not classes. Load each part separately, such as "
            f"{str(root / first)!r}."
        )


@set_module("sktransfer.datasets")
def load_elpv() -> pandas.DataFrame:
    """Load electroluminescence images of solar cells, with their defect probability.

    The data set has 2,624 grey images of 300 x 300 pixels from 44 photovoltaic modules
    [1]_ [2]_. An expert graded each cell with the probability of a defect: 0, 1/3, 2/3
    or 1. The images are in the package ``elpv-dataset``, so nothing is downloaded.

    Returns
    -------
    DataFrame of shape (2624, 3)
        One row per cell. ``photo`` is the path of a PNG file (str), ``type`` is "mono"
        or "poly" (str), and ``probability`` is the probability of a defect, from 0 to 1
        (float).

    Raises
    ------
    MissingDependencyError
        If ``elpv-dataset`` or pandas is not installed.

    Notes
    -----
    The images and labels have the licence CC BY-NC-SA 4.0: no commercial use, with
    attribution, share alike.

    References
    ----------
    .. [1] S. Deitsch et al., "Automatic classification of defective photovoltaic module
       cells in electroluminescence images", Solar Energy 185, 2019, pp. 455-468,
       https://doi.org/10.1016/j.solener.2019.02.067
    .. [2] C. Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective
       Solar Cells in Electroluminescence Imagery", EU PVSEC 2018,
       https://doi.org/10.4229/35thEUPVSEC20182018-5CV.3.15

    Examples
    --------
    >>> from sktransfer.datasets import load_elpv
    >>> cells = load_elpv()
    >>> cells.shape
    (2624, 3)
    >>> cells["type"].value_counts().to_dict()
    {'poly': 1550, 'mono': 1074}
    """
    pandas = import_optional("pandas", extra="demo", purpose="load_elpv")
    data = _package_folder(ELPV_PACKAGE) / "data"
    frame = pandas.read_csv(
        data / "labels.csv",
        sep=r"\s+",
        header=None,
        names=["photo", "probability", "type"],
        dtype={"photo": str, "probability": float, "type": str},
    )
    frame["photo"] = [str(data / path) for path in frame["photo"]]
    return frame[["photo", "type", "probability"]]


def _package_folder(package):
    """Find an installed package's folder; importing this one reads every image."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"load_elpv needs the package {package!r}, which is not installed; "
            'run: pip install "sktransfer[demo]"'
        )
    return Path(spec.submodule_search_locations[0])
