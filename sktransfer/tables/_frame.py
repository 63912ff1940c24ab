"""Tables of other libraries as frames."""

import importlib
import importlib.util

from scipy.sparse import issparse

from .._cells import containers
from .._utils.choices import nearest
from .._utils.optional import import_optional
from .._utils.validation import shorten

OF_SPARSE = (
    "make a frame of the sparse matrix with "
    "pandas.DataFrame.sparse.from_spmatrix(X, columns=[...])"
)


def as_frame(X):
    """Return a table as a pandas or polars frame.

    Parameters
    ----------
    X : pandas or polars DataFrame, pyarrow Table or RecordBatch, or data set of the hub

    Raises
    ------
    TypeError
        If it is no table, or one that has to be computed or fetched first.
    ValueError
        If it has one dimension, or its names are not different strings.
    MissingDependencyError
        If an Arrow table is given, and neither pandas nor polars is installed.
    """
    if containers.is_hub_data(X):
        X = containers.hub_table(X)
    if hasattr(X, "to_pylist") and hasattr(X, "column_names"):
        names = list(X.column_names)
        _check_names(names)
        return _frame_of(X)
    way_out = OF_SPARSE if issparse(X) else containers.way_out(X)
    if way_out is not None or not (
        hasattr(X, "columns") and hasattr(X, "shape") and hasattr(X, "dtypes")
    ):
        expected = (
            "TableEncoder expects a pandas or polars DataFrame, a pyarrow Table or a "
            f"data set of the hub; got a {containers.full_name(X)}"
        )
        if way_out is None and len(getattr(X, "shape", ())) == 1:
            raise ValueError(
                f"{expected}, of one dimension. Reshape your data: "
                "pandas.DataFrame({'name': X}) is a frame of one column."
            )
        advice = way_out or "wrap an array in pandas.DataFrame(X, columns=[...])"
        raise TypeError(f"{expected}: {advice}.")
    _check_names(list(X.columns))
    return X


def check_some(X):
    """Return the names of the columns of a frame, and refuse one without cells."""
    names = list(X.columns)
    if not names:
        raise ValueError(
            f"TableEncoder: Found array with 0 feature(s) (shape={X.shape}) while "
            "a minimum of 1 is required."
        )
    if len(X) == 0:
        raise ValueError(
            "TableEncoder got an input with 0 sample(s); at least 1 is required."
        )
    return names


def check_columns(X, names):
    """Refuse a frame that lacks one of some columns."""
    there = set(X.columns)
    gone = [name for name in names if name not in there]
    if gone:
        # One of the columns that are new here may be a missing one.
        new = {old: nearest(old, there.difference(names)) for old in gone}
        asked = [f" Is {old!r} called {n!r} here?" for old, n in new.items() if n]
        raise ValueError(
            f"TableEncoder: columns that fit saw are missing: {shorten(gone)}."
            f"{''.join(asked[:3])} Got {shorten(sorted(there))}."
        )


def _check_names(names):
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong or len(set(names)) < len(names):
        raise ValueError(
            f"TableEncoder: names of columns must be different strings; got "
            f"{shorten(names)}. Rename them, for example with X.columns = [...]."
        )


def _frame_of(table):
    """Return an Arrow table as a frame of what is installed."""
    there = [n for n in ("pandas", "polars") if importlib.util.find_spec(n) is not None]
    if there[:1] == ["polars"]:
        return importlib.import_module("polars").from_arrow(table)
    import_optional("pandas", purpose="A frame of an Arrow table")
    return table.to_pandas()
