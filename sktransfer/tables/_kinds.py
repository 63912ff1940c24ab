"""Guess what a column holds, by its type and its content."""

import datetime
import math
import numbers
import os
import re

import numpy as np

from .._utils.validation import is_null, shorten

IMAGE_SUFFIXES = tuple(
    ".avif .bmp .gif .heic .jp2 .jpeg .jpg .png .ppm .tif .tiff .webp".split()
)
SAMPLE = 500  # non-null cells that a guess looks at
SHARE = 0.9  # of them that must agree
LONGEST_PATH = 1024


def guess_modality(column):
    """Guess whether cells are pictures or texts.

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
    """Return up to `SAMPLE` cells that are not null, spread over the column."""
    there = [cell for cell in cells if not is_null(cell)]
    return there[:: max(1, math.ceil(len(there) / SAMPLE))]


def holds_images(cells):
    """Whether nearly all cells are pictures, image files' bytes or image files' names.

    Parameters
    ----------
    cells : list
        Non-null.
    """
    if not cells:
        return False
    return sum(map(_is_image, cells)) >= SHARE * len(cells)


def _is_image(cell):
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return True
    if isinstance(cell, np.ndarray):
        return cell.dtype == np.uint8 and cell.ndim in (2, 3)
    if isinstance(cell, str):
        is_name = len(cell) <= LONGEST_PATH and "\n" not in cell
        return is_name and not is_url(cell) and _has_image_suffix(cell)
    if hasattr(cell, "__fspath__"):
        return _has_image_suffix(str(cell))
    return hasattr(cell, "convert") and hasattr(cell, "getbands")  # Pillow's


def _has_image_suffix(name):
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_url(cell):
    """Whether a string is an address; no guess ever opens one."""
    return cell.startswith(("http://", "https://", "data:"))


def missing_file(cells):
    """Return the first name, if these are names and not one of the files is there."""
    names = [c for c in cells if isinstance(c, str) or hasattr(c, "__fspath__")]
    if not names or any(os.path.isfile(name) for name in names):
        return None
    return shorten(str(names[0]))


# -- kinds of columns of a table ------------------------------------------------------

KINDS = ("categorical", "date", "drop", "image", "numeric", "text")
FEW = 30  # strings of up to so many values are categories, unless they are long
WORDS = 2.0  # more values of at least so many words are texts
WORDS_OF_A_SENTENCE = 4.0  # and in small tables these, if most differ
ISO_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?"
)


def guess_kind(series):
    """Guess what a column of a frame holds.

    Parameters
    ----------
    series : pandas or polars Series

    Returns
    -------
    {"categorical", "date", "drop", "image", "numeric", "text"}
        "drop" where no cell is there.

    Raises
    ------
    TypeError
        If the cells are of a type that is none of these.
    """
    by_type = kind_of_dtype(series.dtype)
    cells = series.to_list()
    sample = sample_of(cells)
    if not sample:
        return "drop"
    if by_type is not None:
        return by_type
    if holds_images(sample):
        return "image"
    for kind, fits in CHECKS:
        # One cell that is neither would stop the encoder later: look at all of them.
        if all(map(fits, sample)) and all(fits(c) for c in cells if not is_null(c)):
            return kind
    strings = [cell for cell in sample if isinstance(cell, str)]
    if len(strings) < len(sample):
        if all(isinstance(cell, (str, numbers.Number)) for cell in sample):
            return "categorical"
        other = next(cell for cell in sample if not isinstance(cell, str))
        raise TypeError(
            f"Column {series.name!r} holds cells of type {type(other).__name__} "
            f"({shorten(other)}); expected images, texts, categories, numbers or "
            "dates. Convert it, or leave it out with "
            f"kinds={{{series.name!r}: 'drop'}}."
        )
    return "text" if _are_texts(strings, cells) else "categorical"


def kind_of_dtype(dtype):
    """Return the kind that a data type alone tells, or None."""
    if hasattr(dtype, "is_numeric") and hasattr(dtype, "is_temporal"):  # polars
        name = str(dtype)
        if dtype.is_numeric() or name == "Boolean" or name.startswith("Duration"):
            return "numeric"
        if name.startswith(("Categorical", "Enum")):
            return "categorical"
        return "date" if name.startswith("Date") else None
    if str(dtype) == "category":
        return "categorical"
    kind = getattr(dtype, "kind", "O")
    return "numeric" if kind in "biufm" else "date" if kind == "M" else None


def is_number(cell):
    """Whether a string is a number, and no code with a leading zero."""
    digits = cell.strip().lstrip("+-")
    if digits[:1] == "0" and digits[1:2].isdigit():
        return False
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


CHECKS = (
    ("numeric", lambda cell: isinstance(cell, numbers.Number)),
    ("date", lambda cell: isinstance(cell, datetime.date)),
    ("numeric", lambda cell: isinstance(cell, str) and is_number(cell)),
    ("date", lambda cell: isinstance(cell, str) and ISO_DATE.fullmatch(cell.strip())),
)


def _are_texts(strings, cells):
    n_there = sum(not is_null(cell) for cell in cells)
    n_values = len({cell for cell in cells if isinstance(cell, str)})
    n_words = np.mean([len(cell.split()) for cell in strings])
    if n_values > FEW:
        return n_words >= WORDS
    return n_words >= WORDS_OF_A_SENTENCE and n_values > n_there / 2
