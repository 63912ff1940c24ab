"""Guess whether cells are images or texts, by their type, content and suffix."""

import math
import os

import numpy as np

from .._utils.validation import is_null, is_tensor, shorten
from .parts import is_list, is_missing

# Known without Pillow, which knows more; of these HEIC needs a plugin.
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jp2 .jpeg .jpg .mpo .png .ppm .tif .tiff".split()
    + [".webp"]
)
# Pillow only says what these are, or gives them to another program to draw.
NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
LONGEST_SUFFIX = 6
SAMPLE = 500  # non-null cells that a guess looks at
SHARE = 0.9  # of them that must agree
LONGEST_PATH = 1024


def guess_modality(column):
    """Guess whether cells are images or texts.

    Parameters
    ----------
    column : Column

    Returns
    -------
    {"image", "text"}
    """
    cells = column.cells
    if isinstance(cells, np.ndarray) and cells.dtype == np.uint8:
        return "image"
    return "image" if holds_images(sample_of(cells)) else "text"


def sample_of(cells):
    """Return up to `SAMPLE` cells that are there, spread over the column."""
    there = [cell for cell in cells if not is_missing(cell)]
    return there[:: max(1, math.ceil(len(there) / SAMPLE))]


def holds_images(cells):
    """Whether nearly all cells are images, image files' bytes or image files' names.

    Parameters
    ----------
    cells : list
        Non-null.
    """
    if not cells:
        return False
    return sum(map(_is_image, cells)) >= SHARE * len(cells)


def _is_image(cell):
    if is_list(cell):
        return all(_is_image(part) for part in cell if not is_null(part))
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return True
    if isinstance(cell, np.ndarray):
        return cell.dtype == np.uint8 and cell.ndim in (2, 3)
    if is_tensor(cell):
        return str(cell.dtype) == "torch.uint8" and cell.ndim in (2, 3)
    if is_image_struct(cell):
        # The hub has sounds in the same form.
        suffix = os.path.splitext(str(cell.get("path") or ""))[1]
        return not suffix or is_image_suffix(suffix)
    if isinstance(cell, str):
        return is_image_name(cell)
    if hasattr(cell, "__fspath__"):
        return _has_image_suffix(str(cell))
    return hasattr(cell, "convert") and hasattr(cell, "getbands")  # Pillow's


def is_image_name(text):
    """Whether a string looks like the name of an image file; no file is looked for."""
    is_name = len(text) <= LONGEST_PATH and "\n" not in text
    return is_name and not is_url(text) and _has_image_suffix(text)


def _has_image_suffix(name):
    return is_image_suffix(os.path.splitext(name)[1])


def is_image_suffix(suffix):
    """Whether files with a suffix, such as ".jpg", are images that can be decoded."""
    suffix = suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if not 1 < len(suffix) <= LONGEST_SUFFIX or not suffix[1:].isalnum():
        return False  # mostly the end of a text, for which Pillow need not be imported
    from PIL import Image

    kind = Image.registered_extensions().get(suffix)
    return kind in Image.OPEN and kind not in NOT_DECODED


def is_image_struct(cell):
    """Whether a cell is an image as the hub's tables have them: bytes, or a path."""
    return isinstance(cell, dict) and bool(cell) and cell.keys() <= {"bytes", "path"}


def is_url(cell):
    """Whether a string is an address; no guess ever opens one."""
    return cell.startswith(("http://", "https://", "data:"))


def missing_file(cells):
    """Return the first name, if these are names and not one of the files is there."""
    names = [c for c in cells if isinstance(c, str) or hasattr(c, "__fspath__")]
    if not names or any(os.path.isfile(name) for name in names):
        return None
    return shorten(str(names[0]))
