"""Guess the kind of a column from its type and its content."""

from __future__ import annotations

import datetime
import numbers
from typing import Any

import numpy as np

from .._cells.guess import holds_images, sample_of
from .._utils.names import set_module
from .._utils.validation import is_null, shorten
from ._dates import find_formats, looks_like_date, read_date
from ._frame import as_frame
from ._numbers import are_codes, counts_as_number, find_decimal, is_null_word, is_plain

# -- kinds of columns of a table ------------------------------------------------------

KINDS = ("categorical", "date", "drop", "image", "numeric", "text")
FEW = 30  # strings of up to so many values are categories, unless they are long
WORDS = 2.0  # more values of at least so many words are texts
WORDS_OF_A_SENTENCE = 4.0  # and in small tables these, if most differ
SHARE = 0.9  # of cells, but for null words, that make a column of numbers or dates
SHARE_OF_DAYS = 0.5  # of them, days of the calendar: MySQL has many 0000-00-00
CATEGORY_TYPES = ("Categorical", "Enum", "category")


@set_module("sktransfer.tables")
def guess_kinds(X: Any) -> dict[str, str]:
    """Guess the kind of each column of a table from its type and its content.

    Parameters
    ----------
    X : pandas or polars DataFrame, pyarrow Table, or data set of the hub

    Returns
    -------
    dict of str to str
        Kind of each column: "image", "text", "categorical", "numeric", "date", or
        "drop" for a column without content.

    Raises
    ------
    TypeError
        If `X` is no frame, or the cells of a column are of another type.

    Notes
    -----
    The data type decides if it can: numbers and booleans are "numeric". Otherwise the
    cells decide, in this order:

    Names of image files, bytes and PIL images are "image". Strings are "numeric" if
    nine in ten are numbers, such as "$1,200.00" and "5%"; they are "date" if as many
    are dates. They are "text" if there are more than 30 values of two words on average,
    or mostly different values of four words. Other strings are "categorical". Cells
    such as "", "n/a", "?" and "unknown" do not count.

    Codes are "categorical": numbers with leading zeros or more than 15 digits, "1e5",
    "+15551234567", versions such as "1.10", and columns of up to 30 values, some of
    which are no numbers. A column of a category type is only checked for images and
    texts. A URL is never an image, because a guess opens no URL.

    See Also
    --------
    TableEncoder : Encodes each column by its kind.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktransfer.tables import guess_kinds
    >>> guess_kinds(pd.DataFrame({"photo": ["a.jpg", "b.jpg"], "price": [1.5, 2.0]}))
    {'photo': 'image', 'price': 'numeric'}
    """
    X = as_frame(X)
    return {name: guess_kind(X[name]) for name in X.columns}


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
    refuse_complex(series)
    if not sample:
        return "drop"
    if by_type is not None:
        return by_type
    if holds_images(sample):
        return "image"
    is_category_type = str(series.dtype).startswith(CATEGORY_TYPES)
    if not is_category_type:
        there = [cell for cell in cells if not is_null(cell) and not is_null_word(cell)]
        if are_numbers(there):
            return "numeric"
        if are_dates(there):
            return "date"
    strings = [cell for cell in sample if isinstance(cell, str)]
    if len(strings) < len(sample):
        if is_category_type or all(_can_be_category(cell) for cell in sample):
            return "categorical"
        other = next(cell for cell in sample if not isinstance(cell, str))
        raise TypeError(
            f"Column {series.name!r} holds cells of type {type(other).__name__} "
            f"({shorten(other)}); expected images, texts, categories, numbers or "
            "dates. Convert it, or leave it out with "
            f"kinds={{{series.name!r}: 'drop'}}."
        )
    return "text" if _are_texts(strings, cells) else "categorical"


def refuse_complex(series):
    """Refuse complex numbers, which no kind of column is for.

    Raises
    ------
    ValueError
        If one is among the cells that are looked at.
    """
    for cell in sample_of(series.to_list()):
        if isinstance(cell, numbers.Complex) and not isinstance(cell, numbers.Real):
            raise ValueError(
                f"Complex data not supported: column {series.name!r} holds "
                f"{shorten(cell)}. Replace it by two columns, its real and its "
                "imaginary part, or leave it out with "
                f"kinds={{{series.name!r}: 'drop'}}."
            )


def kind_of_dtype(dtype):
    """Return the kind that a data type alone tells, or None."""
    if hasattr(dtype, "is_numeric") and hasattr(dtype, "is_temporal"):  # polars
        name = str(dtype)
        if dtype.is_numeric() or name == "Boolean" or name.startswith("Duration"):
            return "numeric"
        return "date" if name.startswith("Date") else None
    kind = getattr(dtype, "kind", "O")
    return "numeric" if kind in "biufm" else "date" if kind == "M" else None


def are_numbers(cells):
    """Whether a column is numeric, some strays apart.

    Parameters
    ----------
    cells : list
        Neither null nor null words.
    """
    sample = sample_of(cells)
    decimal = find_decimal(sample)
    for some in (sample, cells):  # few cells settle most columns
        found = [cell for cell in some if counts_as_number(cell, decimal)]
        if not found or len(found) < SHARE * len(some):
            return False
    plain = [cell for cell in found if isinstance(cell, str) and is_plain(cell)]
    if plain and decimal == "." and are_codes(plain):
        return False
    # Codes such as 1, 2 and A are few; a column of numbers with strays has many values.
    return len(found) == len(cells) or len(set(found)) > FEW


def are_dates(cells):
    """Whether a column is of dates, some strays apart.

    Parameters
    ----------
    cells : list
        Neither null nor null words.
    """
    for some in (sample_of(cells), cells):
        found = [cell for cell in some if looks_like_date(cell)]
        if not found or len(found) < SHARE * len(some):
            return False
    found = sample_of(found)
    formats, _ = find_formats(found)
    n_days = sum(
        not isinstance(cell, str) or read_date(cell, formats) is not None
        for cell in found
    )
    return n_days >= SHARE_OF_DAYS * len(found)


def needs_cleaning(series):
    """Whether strings are neither plain numbers nor ISO dates, as "$5" and "n/a"."""
    return kind_of_dtype(series.dtype) is None and any(
        isinstance(cell, str) and not is_plain(cell) and read_date(cell) is None
        for cell in series.to_list()
    )


def _can_be_category(cell):
    return isinstance(cell, (str, numbers.Number, datetime.date))


def _are_texts(strings, cells):
    n_there = sum(not is_null(cell) for cell in cells)
    n_values = len({cell for cell in cells if isinstance(cell, str)})
    n_words = np.mean([len(cell.split()) for cell in strings])
    if n_values > FEW:
        return n_words >= WORDS
    return n_words >= WORDS_OF_A_SENTENCE and n_values > n_there / 2


def resolve_kinds(X, names, given):
    """Return the kind of each column: the given one, or a guess.

    Raises
    ------
    ValueError
        If a given column is not there, or a kind is none.
    """
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(
            f"TableEncoder: kinds names columns that are not in the table: {unknown}; "
            f"got {shorten(names)}."
        )
    kinds = {}
    for name, kind in given.items():
        if not isinstance(kind, str) and hasattr(kind, "fit_transform"):
            kind = _kind_for_encoder(X[name])
        elif not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(
                f"TableEncoder: kinds={{{name!r}: {kind!r}}} must be one of {KINDS}, "
                "or a transformer for the column."
            )
        if kind != "drop":
            refuse_complex(X[name])
        kinds[name] = kind
    return {
        name: kinds[name] if name in kinds else guess_kind(X[name]) for name in names
    }


def _kind_for_encoder(series):
    """Return the kind of a column that has a transformer of its own."""
    kind = guess_kind(series)
    if kind in ("numeric", "date"):
        raise ValueError(
            f"TableEncoder: column {series.name!r} is {kind}, but kinds takes "
            "transformers only for columns of images or texts. For numbers use "
            "numeric=, or put a ColumnTransformer around the TableEncoder."
        )
    return "image" if kind == "image" else "text"
