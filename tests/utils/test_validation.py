"""Taking rows of whatever callers hand in."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from sktransfer._utils.validation import take_rows

CELLS = list("abcdef")
SPARSE = [name[:3] for name in dir(scipy.sparse) if name[3:] == "_matrix"]


@pytest.mark.parametrize("rows", [np.array([4, 1]), np.isin(np.arange(6), (1, 4))])
@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        pd.Series,
        pd.array,
        pd.Categorical,
        pd.Index,
        lambda cells: pd.Series(cells, index=cells[::-1]),
        lambda cells: pd.Series(cells).values,  # noqa: PD011
        pl.Series,
        pa.array,
        lambda cells: pa.chunked_array([cells[:2], cells[2:]]),
    ],
)
def test_rows_of_every_column_can_be_taken(make, rows):
    taken = take_rows(make(CELLS), rows)
    cells = taken.to_pylist() if hasattr(taken, "to_pylist") else list(taken)
    assert cells == (["b", "e"] if rows.dtype == bool else ["e", "b"])


class Table:
    """Says how to become an array, and nothing else."""

    def __array__(self, dtype=None, copy=None):
        return np.eye(3)


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", SPARSE)
def test_rows_of_every_sparse_matrix_can_be_taken(form, kind):
    make = getattr(scipy.sparse, f"{form}_{kind}")
    taken = take_rows(make(np.eye(3)), np.array([2, 0]))
    np.testing.assert_array_equal(taken.toarray(), np.eye(3)[[2, 0]])


def test_rows_of_what_can_become_an_array_can_be_taken():
    np.testing.assert_array_equal(take_rows(Table(), np.array([2])), [[0, 0, 1]])


def test_nulls_of_a_pandas_array_stay():
    taken = take_rows(pd.array(["a", None, "b"], dtype="string"), np.array([1, 2]))
    assert taken[0] is pd.NA
    assert taken[1] == "b"
