"""Copies of a row: which rows of X have the same content."""

import hashlib
import os
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse

from .._utils.labels import as_list
from .._utils.threads import readers
from .._utils.validation import is_tensor
from . import digests
from .column import CellError
from .containers import hub_cells, hub_table, is_hub_column, is_hub_data, pixels_of
from .guess import is_image_name, is_image_struct
from .images import hash_image, read_image
from .parts import is_list, is_missing

TEXT = "text"  # a string is what it says, whatever it looks like


class _File(NamedTuple):
    """The name of a file, whose bytes are its content."""

    name: str


def number_by_content(X, *, source=None):
    """Give copies of a row, and no other rows, the same number.

    Files are compared by their bytes, and those that were read before and have not
    changed are not read again. URLs are not fetched: equal ones are copies. Null rows
    have no content, so each has a number of its own; so do rows that nothing is known
    of.

    Parameters
    ----------
    X : list, array, sparse matrix, Series, frame or Arrow array of n_samples rows
        Whatever an estimator takes.
    source : {"text", "path", "base64", "url", "intranet", "bytes"}, default=None
        How to interpret a string: as a text, or as an image as encoders do. None takes
        it for the name of a file where it looks like that of an image, and there is
        such a file.

    Returns
    -------
    ndarray of int, shape (n_samples,)
    """
    columns = [_keys(column, source) for column in _columns_of(X)]
    if len(columns) == 1:
        keys = columns[0]
    else:
        rows = zip(*columns, strict=True)
        keys = [None if all(k is None for k in row) else row for row in rows]
    numbers = np.empty(len(keys), dtype=np.intp)
    known: dict = {}
    n_seen = 0
    for row, key in enumerate(keys):
        numbers[row] = n_seen if key is None else known.setdefault(key, n_seen)
        n_seen += numbers[row] == n_seen
    return numbers


def _columns_of(X):
    """Return the columns of `X`, each a sequence of cells."""
    if issparse(X):
        return [_sparse_rows(X)]
    if isinstance(X, np.ndarray):
        if X.dtype == object and X.ndim == 2:
            return list(X.T)
        return [X]
    if is_hub_column(X):
        return [hub_cells(X)]
    if is_hub_data(X):
        X = hub_table(X)
    if hasattr(X, "to_pylist"):  # pyarrow
        if hasattr(X, "column_names"):
            return [X.column(i).to_pylist() for i in range(X.num_columns)]
        return [X.to_pylist()]
    if hasattr(X, "columns") and hasattr(X, "iloc"):  # pandas, also of equal names
        return [X.iloc[:, i].to_list() for i in range(X.shape[1])]
    if hasattr(X, "columns") and hasattr(X, "shape"):  # polars
        return [X[name].to_list() for name in X.columns]
    return [as_list(X)]


def _sparse_rows(X):
    table = X.tocsr(copy=True)
    table.sum_duplicates()
    table.eliminate_zeros()
    table.sort_indices()
    ends = zip(table.indptr[:-1], table.indptr[1:], strict=True)
    parts = [slice(start, end) for start, end in ends]
    return [(table.indices[part], table.data[part]) for part in parts]


def _keys(cells, source):
    """Return what each cell is compared by; None for one that is no copy."""
    keys = [_key(cell, source) for cell in cells]
    files = {file for key in keys for file in _files_in(key)}
    if not files:
        return keys
    contents = dict(zip(files, readers().map(_digest_of, files), strict=True))
    return [_by_content(key, contents) for key in keys]


def _files_in(key):
    if isinstance(key, _File):
        return [key]
    return [f for part in key for f in _files_in(part)] if type(key) is tuple else []


def _by_content(key, contents):
    if isinstance(key, _File):
        return contents[key]
    if type(key) is tuple:  # of a list of images, or of an image and its label
        return tuple(_by_content(part, contents) for part in key)
    return key


def _key(cell, source):
    if is_missing(cell):
        return None
    if isinstance(cell, str):
        return _key_of_string(str(cell), source)
    if isinstance(cell, os.PathLike):
        return _File(os.fspath(cell))
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return hash_image(bytes(cell))
    if isinstance(cell, np.generic):
        return cell.item()
    if is_image_struct(cell):
        inner = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
        return _key(inner, source)
    if hasattr(cell, "convert") and hasattr(cell, "getexif"):  # PIL image
        return _content(cell, "bytes")
    if is_list(cell):
        return tuple(_key(value, source) for value in cell)
    if isinstance(cell, dict):
        return tuple((name, _key(cell[name], source)) for name in sorted(cell, key=str))
    if is_tensor(cell):
        return _key_of_array(pixels_of(cell, is_batch=False))
    if hasattr(cell, "__array__"):
        return _key_of_array(np.asarray(cell))
    try:
        hash(cell)
    except TypeError:
        return None
    return cell


def _key_of_string(text, source):
    if source == "path" or (source is None and is_image_name(text)):
        return _File(text)
    return _content(text, source) if source == "base64" else text


def _key_of_array(array):
    if array.dtype.kind in "OT":
        return tuple(_key(value, TEXT) for value in array.ravel())
    if array.dtype.kind == "f" and np.isnan(array).all():
        return None
    if array.dtype == np.uint8:  # as pixels of a PIL image
        return hash_image(array)
    content = np.ascontiguousarray(array).tobytes()
    digest = hashlib.blake2b(content, digest_size=20).digest()
    return array.dtype.str, array.shape, digest


def _content(cell, source):
    try:
        return hash_image(read_image(cell, source))
    except CellError:
        return cell if isinstance(cell, str) else None


def _digest_of(file):
    """Return the digest of a file's bytes; its name, where it cannot be read."""
    digest = digests.recall(file.name, None)
    if digest is not None:
        return digest
    remember = digests.before_reading(file.name, None)
    try:
        digest = hash_image(read_image(file.name, "path"))
    except CellError:
        return file.name
    remember(digest)
    return digest
