"""Guess what a column holds, by its type and its content."""

import datetime
import math
import numbers
import re

import numpy as np

from .._cells.guess import holds_images, sample_of
from .._utils.validation import is_null, shorten

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
