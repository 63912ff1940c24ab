"""Labels and targets as callers hand them in: one rule for every estimator."""

from __future__ import annotations

import decimal
import fractions
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .validation import check_rows, is_null, is_tensor, on_host, plain, shorten

NESTED = (list, tuple, set, frozenset, np.ndarray)


def read_labels(
    y: Any,
    n_rows: int,
    caller: str,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    missing: str = "Leave such rows out of X and y.",
) -> np.ndarray:
    """Return what `y` says of some rows: strings, bools or numbers.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        A list, array, Series, frame, Arrow array or sparse matrix, also of nullable
        types, of categories, of decimals, or of objects.
    n_rows : int
        Rows of X.
    caller : str
        Class or function name for messages.
    rows : sequence of int, default=None
        The rows whose labels count; those of the others are not looked at.
    missing : str
        Advice on missing labels, appended to the error message.

    Returns
    -------
    ndarray of shape (len(rows),) or (len(rows), n_outputs)
        Strings have dtype object; numbers of no dtype of NumPy's are float64.

    Raises
    ------
    ValueError
        If a label is missing or infinite, if labels are of several types or of one that
        is none, or if there is not one for each row.
    """
    table = check_rows(_as_array(y, caller), n_rows, "y", caller)
    rows = np.arange(n_rows) if rows is None else np.asarray(rows)
    table = table[rows]
    if table.dtype.kind == "T":
        table = table.astype(object)
    if table.dtype == object:
        table = _from_objects(table, caller)
        is_missing = np.array([is_null(v) for v in table.flat]).reshape(table.shape)
        _refuse_missing(is_missing, rows, caller, missing)
        table = _one_type(table, caller)
        if isinstance(y, (list, tuple)) and table.dtype == object:
            return np.array(table.tolist())  # as NumPy makes an array of a list
        return table
    if table.dtype.kind == "c":
        raise ValueError(
            f"{caller}: Complex data not supported: y is complex; expected labels or "
            "real numbers."
        )
    if table.dtype.kind in "mM":
        _refuse_missing(np.isnat(table), rows, caller, missing)
    elif table.dtype.kind == "f":
        _refuse_missing(~np.isfinite(table), rows, caller, missing)
    if table.dtype.kind not in "biufU":
        raise ValueError(
            f"{caller}: y has the dtype {table.dtype}; expected strings, numbers or "
            "bools."
        )
    return table


def label_names(y: Any) -> np.ndarray | None:
    """Return the column names of a frame of several labels; None for other things."""
    names = getattr(y, "columns", None)
    if names is None or not hasattr(y, "shape") or len(names) < 2:
        return None
    return np.asarray(list(names), dtype=object)


def check_groups(groups: Any, n_rows: int, caller: str) -> np.ndarray | None:
    """Return the group of each row, or None for none.

    Raises
    ------
    ValueError
        If there is not one for each row, or one is missing.
    """
    if groups is None:
        return None
    cells = _as_array(groups, caller)
    if cells.shape != (n_rows,):
        check_rows(cells, n_rows, "groups", caller)
        raise ValueError(
            f"{caller}: groups has the shape {cells.shape}; expected one group per row."
        )
    for row, cell in enumerate(cells):
        if is_null(cell):
            raise ValueError(
                f"{caller}: groups has a missing value at row {row}; every row needs a "
                "group. Give each row without a group its own value."
            )
    if cells.dtype == object and len({isinstance(c, str) for c in cells}) > 1:
        return np.array([str(plain(cell)) for cell in cells])  # to be compared
    return cells if cells.dtype != object else np.array(cells.tolist())


def _as_array(y, caller):
    """Return an array; of objects, unless it has a dtype of NumPy's already."""
    if issparse(y):
        return np.asarray(y.toarray())
    if isinstance(y, np.ndarray):
        return y
    if is_tensor(y):
        return on_host(y)
    if hasattr(y, "to_pylist"):  # pyarrow
        if hasattr(y, "column_names"):
            columns = [y.column(i).to_pylist() for i in range(y.num_columns)]
            return _stack(columns)
        return _objects(y.to_pylist())
    if hasattr(y, "columns") and hasattr(y, "shape"):  # pandas or polars frame
        return _stack([y[name].to_list() for name in y.columns])
    if hasattr(y, "dtype") and isinstance(y.dtype, np.dtype) and y.dtype != object:
        return np.asarray(y)
    if not hasattr(y, "__len__") and hasattr(y, "__array__"):
        return np.asarray(y)
    if not hasattr(y, "__len__") or isinstance(y, (str, bytes)):
        raise ValueError(
            f"{caller}: y is {shorten(y)}; expected one label or number for each row."
        )
    return _objects(as_list(y))


def _stack(columns):
    table = np.empty((len(columns[0]) if columns else 0, len(columns)), dtype=object)
    for i, column in enumerate(columns):
        table[:, i] = column
    return table


def as_list(values):
    """Return the items of a sequence, as Python's own where its type knows how."""
    # Categories of pandas warn of the one name, and polars does not have the other.
    read = getattr(values, "tolist", None) or getattr(values, "to_list", None)
    return list(values) if read is None else read()


def _objects(cells):
    array = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        # Data sets of torch give each label as a tensor.
        array[i] = cell.item() if is_tensor(cell) and cell.ndim == 0 else cell
    return array


def _from_objects(table, caller):
    """Return rows of several outputs, each a sequence, as a table."""
    if table.ndim != 1 or not any(isinstance(cell, NESTED) for cell in table):
        return table
    lengths = {len(cell) if isinstance(cell, NESTED) else -1 for cell in table}
    has_strings = any(
        isinstance(value, str)
        for cell in table
        if isinstance(cell, NESTED)
        for value in cell
    )
    is_set = any(isinstance(cell, (set, frozenset)) for cell in table)
    if has_strings or is_set or len(lengths) > 1:
        raise ValueError(
            f"{caller}: y has a list of labels in each row, or rows of several "
            "lengths. For several labels per row turn them into an indicator matrix: "
            "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
        )
    wide = np.empty((len(table), lengths.pop()), dtype=object)
    for i, cell in enumerate(table):
        wide[i] = list(cell)
    return wide


def _refuse_missing(is_missing, rows, caller, advice):
    per_row = is_missing.any(axis=tuple(range(1, is_missing.ndim)))
    if per_row.any():
        more = int(per_row.sum())
        raise ValueError(
            f"{caller}: Input y contains NaN, None or infinity at row "
            f"{int(rows[int(per_row.argmax())])} ({more} such row"
            f"{'s' if more > 1 else ''}). {advice}"
        )


def _one_type(table, caller):
    """Return objects without a null as strings, bools or numbers."""
    kinds = {type(plain(cell)) for cell in table.flat}
    if all(issubclass(kind, str) for kind in kinds):
        return table
    is_number = all(
        issubclass(kind, (numbers.Real, decimal.Decimal, fractions.Fraction))
        for kind in kinds
    )
    if is_number:
        values = np.array([plain(cell) for cell in table.flat])
        if values.dtype.kind not in "biuf":  # decimals, and integers beyond 64 bits
            values = values.astype(np.float64)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{caller}: Input y contains infinity.")
        return values.reshape(table.shape)
    names = sorted(kind.__name__ for kind in kinds)
    what = (
        f"mixes values of the types {names}"
        if len(names) > 1
        else f"has values of type {names[0]}"
    )
    raise ValueError(
        f"{caller}: y {what}; expected strings, numbers or bools alone. Convert them "
        "first, for example with str()."
    )
