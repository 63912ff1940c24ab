"""Columns of other libraries: which become cells, and which are refused, and why.

Everything is recognised by its methods or by the name of its class's module, so that
no library is imported.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._utils.validation import is_tensor, on_host

# Library -> what to do with its containers, which are computed late, or on a device.
WAYS_OUT = {
    "cudf": "turn it into pandas with X.to_pandas()",
    "dask": (
        "turn it into pandas with X.compute(), or encode one partition after the other "
        "with X.map_partitions"
    ),
    "duckdb": "fetch it with X.df()",
    "ibis": "fetch it with X.to_pandas()",
    "jax": "turn it into NumPy with numpy.asarray(X)",
    "jaxlib": "turn it into NumPy with numpy.asarray(X)",
    "pyspark": "turn it into pandas with X.toPandas()",
    "ray": "turn it into pandas with X.to_pandas()",
    "tensorflow": "turn it into NumPy with X.numpy(), or a data set into a list",
    "xarray": "turn it into NumPy with X.to_numpy()",
}


class Found(NamedTuple):
    """Content of a container.

    Attributes
    ----------
    cells : sequence
    name : str or None
        Name of the column, where the container has one.
    is_frame : bool
        True if the container was a table.
    """

    cells: Any
    name: str | None = None
    is_frame: bool = False


def full_name(X):
    """Return the name of a container's class, with its library."""
    library = type(X).__module__.partition(".")[0]
    name = type(X).__name__
    return name if library == "builtins" else f"{name} of {library}"


def way_out(X):
    """Return what to do with a container that is not read; None for any other."""
    library = type(X).__module__.partition(".")[0]
    if library in WAYS_OUT:
        return WAYS_OUT[library]
    if hasattr(X, "collect") and not hasattr(X, "shape"):  # polars.LazyFrame
        return "collect it first, with X.collect()"
    if library == "datasets" and isinstance(X, dict):
        return f"pick a split, such as X[{next(iter(X), 'train')!r}]"
    if library == "datasets" and not hasattr(X, "__len__"):
        return "it is streamed; take rows of it, for example with list(X.take(1000))"
    if isinstance(X, dict):
        return "pass one of its values, or make a frame with pandas.DataFrame(X)"
    if _is_torch_data(X):
        return (
            "torch's data sets and loaders give images with targets; pass the images "
            "alone, for example [image for image, target in X]"
        )
    return None


def find(X, only):
    """Return what is in a container of pyarrow, the hub or torch; None of any other.

    Parameters
    ----------
    X : object
    only : callable
        ``only(names)`` returns the single name of a table's columns, or raises.
    """
    if hasattr(X, "to_pylist"):  # pyarrow Array, ChunkedArray, Table
        if not hasattr(X, "column_names"):
            return Found(_arrow_cells(X))
        name = only(X.column_names)
        return Found(_arrow_cells(X.column(0)), name, is_frame=True)
    if is_hub_data(X):
        name = only(X.column_names)
        return Found(hub_cells(X[name]), name, is_frame=True)
    if is_hub_column(X):
        return Found(hub_cells(X), X.column_name)
    if is_tensor(X):
        return Found(_batch_of(X))
    paths = _paths_of(X)
    return None if paths is None else Found(paths)


# -- pyarrow and the hub ---------------------------------------------------------------


class ArrowCells(Sequence):
    """Cells of an Arrow array that become Python's one at a time.

    Images of a large file would otherwise all be in memory.

    Parameters
    ----------
    array : pyarrow.Array or pyarrow.ChunkedArray
    """

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, row):
        return self.array[int(row)].as_py()

    @property
    def nulls(self):
        """Numbers of the null rows, for which no cell is read."""
        return np.flatnonzero(self.array.is_null().to_numpy(zero_copy_only=False))


def _arrow_cells(array):
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind)
    is_large = is_bytes or types.is_struct(kind)
    return ArrowCells(array) if is_large else array.to_pylist()


def is_hub_data(X):
    """Whether this is a data set of the hub's library, in memory or mapped."""
    is_data = hasattr(X, "with_format") and hasattr(X, "column_names")
    return is_data and _has_rows(X) and not isinstance(X, dict)  # one of all splits


def is_hub_column(X):
    """Whether this is a column of such a data set."""
    return hasattr(X, "column_name") and hasattr(X, "source") and _has_rows(X)


def _has_rows(X):
    return hasattr(X, "__len__") and hasattr(X, "__getitem__")  # not a stream


def hub_cells(column):
    """Return the stored cells of a column, images as their files' bytes.

    The library decodes an image each time that somebody looks at it; here its bytes
    name it in the cache, and it is decoded if it is not there.
    """
    data = column.source
    is_stored = is_hub_data(data) and data.format["type"] != "custom"
    # An image of a mode of its own is not what is stored.
    if not is_stored or getattr(column.features, "mode", None) is not None:
        return column
    name = column.column_name
    return _arrow_cells(data.select_columns([name]).with_format("arrow")[:][name])


def hub_table(data):
    """Return a data set of the hub as an Arrow table."""
    return data.with_format("arrow")[:]


# -- torch -----------------------------------------------------------------------------


def pixels_of(tensor, *, is_batch):
    """Return a uint8 tensor as an array whose channels are last.

    Channels may come first, as torch has them, or last. Other tensors are returned as
    arrays as they are, which say of their shape and dtype what is wrong.

    Parameters
    ----------
    tensor : torch.Tensor
    is_batch : bool
        True if the first dimension counts images.
    """
    array = on_host(tensor)
    if array.ndim != 3 + is_batch:
        return array
    first, last = array.shape[-3], array.shape[-1]
    if first == 1 and last != 3:
        return array[..., 0, :, :]
    return np.moveaxis(array, -3, -1) if first == 3 else array


def _batch_of(tensor):
    shape = tuple(tensor.shape)
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        # As a batch it would be grey images, one for each of its channels.
        raise ValueError(
            f"A tensor of shape {shape} looks like one image. Pass X[None] for one "
            f"image, or list(X) for {shape[0]} grey ones."
        )
    return pixels_of(tensor, is_batch=True)


def _is_torch_data(X):
    classes = type(X).__mro__
    return any(c.__module__.startswith("torch.utils.data") for c in classes)


def _paths_of(X):
    """Return the files of a data set of torchvision's folders; None of any other."""
    if not _is_torch_data(X):
        return None
    if hasattr(X, "dataset") and hasattr(X, "indices"):  # a part of another one
        inner = _paths_of(X.dataset)
        return None if inner is None else [inner[i] for i in X.indices]
    samples = getattr(X, "samples", None)
    if not isinstance(samples, list) or not all(map(_is_sample, samples)):
        return None
    if getattr(X, "transforms", None) is not None:
        warnings.warn(
            f"The transform of {type(X).__name__} is not applied: its files are read "
            "and prepared as the network's configuration says.",
            stacklevel=7,
        )
    return [sample[0] for sample in samples]


def _is_sample(sample):
    return isinstance(sample, tuple) and bool(sample) and isinstance(sample[0], str)
