"""One column of cells: what is read as one, and how its rows are named."""

import os
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from .._utils.validation import is_null, plain, shorten
from . import containers


class CellError(Exception):
    """One cell cannot be used; the text is `reason` and `advice`.

    Parameters
    ----------
    reason : str
        Cause, without the row, for whoever sent the cell: no parameter, package or
        place on this machine is in it.
    advice : str, default=""
        Continuation for whoever wrote the program, which may name all of these.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason, advice)
        self.reason, self.advice = reason, advice

    def __str__(self) -> str:
        """Return both parts."""
        return self.reason + self.advice


class Column(NamedTuple):
    """One column of cells.

    Attributes
    ----------
    cells : sequence
        The cells, in order; an array for image arrays.
    labels : sequence or None
        Index labels of the rows, where the input has an index.
    name : str or None
        Name of the column, where the input has one.
    is_frame : bool
        True if the input was a frame or table, whose names have to be those of fit.
    """

    cells: Any
    labels: Any
    name: str | None
    is_frame: bool = False

    def label(self, row):
        """Index label of `row`, or `row` itself without an index."""
        return row if self.labels is None else self.labels[row]

    def describe(self, row):
        """Name `row` in an error message."""
        text = f"row {row}"
        label = self.label(row)
        if is_null(label) or label != row:
            text += f" (index label {plain(label)!r})"
        return text + (f" of column {self.name!r}" if self.name else "")


def as_column(X, *, caller, cells, allow_arrays=False):
    """Read `X` as one column.

    Parameters
    ----------
    X : list, tuple, 1-D array, Series, Index, one-column frame, pandas or Arrow array
        Also a column of the hub's ``datasets``, a uint8 tensor, and a data set of
        torchvision's that knows its files.
    caller : str
        Class name for messages.
    cells : str
        Kind of cells that is expected, for messages.
    allow_arrays : bool, default=False
        Accept uint8 arrays ``(n, h, w, 3)`` and ``(n, h, w)``.

    Returns
    -------
    Column

    Raises
    ------
    TypeError
        If `X` is a single cell, sparse, or nothing that has rows.
    ValueError
        If `X` is empty or has more than one column.
    """
    column = _dispatch(X, caller, cells, allow_arrays)
    if len(column.cells) == 0:
        raise ValueError(
            f"{caller} got an input with 0 sample(s); at least 1 is required."
        )
    return column


def _dispatch(X, caller, cells, allow_arrays):
    expected = f"{caller} expects one column of {cells}"
    if isinstance(X, np.ndarray):
        return Column(_array_cells(X, expected, allow_arrays), None, None)
    if isinstance(X, (list, tuple)):
        return Column(X, None, None)
    if issparse(X):
        raise TypeError(f"{expected}; got a sparse matrix.")
    found = containers.find(X, lambda names: _only(names, expected))
    if found is not None:
        cells = found.cells
        if isinstance(cells, np.ndarray):
            cells = _array_cells(cells, expected, allow_arrays)
        return Column(cells, None, found.name, found.is_frame)
    advice = containers.way_out(X)
    if advice is not None:
        raise TypeError(f"{expected}; got {containers.full_name(X)}: {advice}.")
    if hasattr(X, "columns") and hasattr(X, "shape"):  # pandas or polars frame
        name = _only(list(X.columns), expected)
        column = _series(X[name], getattr(X, "index", None), name)
        return column._replace(is_frame=True)
    if hasattr(X, "to_list") and hasattr(X, "name"):  # pandas or polars Series
        return _series(X, getattr(X, "index", None), X.name)
    if hasattr(X, "dtype") and hasattr(X, "isna"):  # pandas Categorical, StringArray
        if X.ndim != 1:
            raise ValueError(f"{expected}; got a pandas array of shape {X.shape}.")
        return Column(list(X), None, None)
    hint = "turn it into a list first"
    if isinstance(X, (str, bytes)) or not hasattr(X, "__iter__"):
        hint = "wrap a single item in a list"
        if isinstance(X, (str, os.PathLike)) and os.path.isdir(X):
            hint = (
                "it is a folder; pass the list of its files, or the frame that "
                "sktransfer.datasets.load_image_folder gives"
            )
    raise TypeError(f"{expected}; got {type(X).__name__}: {hint}.")


def _only(names, expected):
    if len(names) != 1:
        raise ValueError(
            f"{expected}; got a frame with {len(names)} columns: "
            f"{shorten(list(names))}. Pick one, or use a ColumnTransformer with one "
            "encoder for each column."
        )
    return names[0]


def _series(series, index, name):
    # A RangeIndex from 0 says no more than the position.
    trivial = index is None or (
        getattr(index, "start", None) == 0 and getattr(index, "step", None) == 1
    )
    labels = None if trivial else index
    return Column(series.to_list(), labels, name if isinstance(name, str) else None)


def _array_cells(X, expected, allow_arrays):
    if allow_arrays and X.ndim == 5 and X.dtype == np.uint8:
        return list(X)  # rows of several images
    is_image_array = X.ndim == 3 or (X.ndim == 4 and X.shape[-1] == 3)
    if allow_arrays and is_image_array:
        if X.dtype != np.uint8:
            advice = "for example with (255 * X).round().astype('uint8')"
            if X.dtype == object:  # of images that happened to be of one size
                advice = "with X.astype('uint8'), or pass a list of images"
            raise ValueError(
                f"{expected}; got an array of shape {X.shape} with dtype {X.dtype}. "
                f"Image arrays must be uint8 with values 0 to 255: "
                f"convert it, {advice}."
            )
        if X.ndim == 3 and X.shape[-1] in (1, 3, 4):
            # As a batch it would be thin grey images, one for each of its rows.
            raise ValueError(
                f"{expected}; got an array of shape {X.shape}, which looks like one "
                "image. Pass X[None] for one image, or list(X) for grey images of a "
                f"width of {X.shape[-1]}."
            )
        return X
    if X.dtype.kind == "S":
        raise ValueError(
            f"{expected}; got dtype {X.dtype}, which cuts trailing zero bytes off. "
            "Use dtype=object for bytes."
        )
    if X.dtype.kind not in "OUT":
        is_grey = allow_arrays and X.ndim == 2 and X.dtype == np.uint8
        shapes = " or uint8 arrays (n, h, w, 3) and (n, h, w)" if allow_arrays else ""
        hint = " Pass X[None] for one grey image." if is_grey else ""
        if allow_arrays and X.ndim == 4 and X.shape[1] == 3:
            hint = " Put the channels last, with numpy.moveaxis(X, 1, -1)."
        elif allow_arrays and X.ndim == 4 and X.shape[-1] == 4:
            hint = (
                " For transparency, pass PIL images: [Image.fromarray(x) for x in X]; "
                "they are laid on white."
            )
        raise ValueError(
            f"{expected}{shapes}; got an array of shape {X.shape}, dtype {X.dtype}."
            + hint
        )
    if X.ndim == 2 and X.shape[1] == 1:
        X = X[:, 0]
    if X.ndim != 1:
        hint = ""
        if allow_arrays and X.ndim == 2:
            hint = " For several images per row, pass a list of lists: X.tolist()."
        raise ValueError(f"{expected}; got an array of shape {X.shape}.{hint}")
    return X


def pick(cells, rows):
    """Return some cells, in the order of `rows`.

    Parameters
    ----------
    cells : sequence
        Cells, as `Column.cells` holds them.
    rows : sequence of int

    Returns
    -------
    ndarray or list
        An array of image arrays, and else a list.
    """
    if isinstance(cells, np.ndarray):
        return cells[rows]
    return [cells[row] for row in rows]
