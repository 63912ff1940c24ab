"""Reading one column out of whatever people have."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from sktransfer._cells.column import as_column
from sktransfer._utils.validation import is_null, shorten

TEXTS = ["a", "b", "c"]


def column(X, **kwargs):
    return as_column(X, caller="Encoder", cells="things", **kwargs)


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS, dtype=object)[:, None],
        np.array(TEXTS, dtype=np.dtypes.StringDType()),
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype=object),
        pd.Categorical(TEXTS),
        pd.array(TEXTS, dtype="string"),
        pd.array(TEXTS, dtype="str"),
        pd.array(TEXTS, dtype=pd.ArrowDtype(pa.string())),
        pd.Series(TEXTS).values,  # noqa: PD011  (an ArrowStringArray)
        pd.Series(TEXTS, dtype=object).array,
        pd.arrays.SparseArray(np.array(TEXTS, dtype=object), fill_value="x"),
        pd.Index(TEXTS),
        pd.DataFrame({"x": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"x": TEXTS}),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        pa.table({"x": TEXTS}),
    ],
    ids=lambda X: f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}",
)
def test_every_container_gives_the_same_cells(X):
    assert list(column(X).cells) == TEXTS


def test_names_are_kept_and_labels_only_where_they_say_something():
    frame = pd.DataFrame({"photo": TEXTS}, index=["r1", "r2", "r3"])
    assert column(frame).name == "photo"
    assert column(frame).label(1) == "r2"
    assert "'r2'" in column(frame["photo"]).describe(1)
    assert column(pd.Series(TEXTS)).labels is None
    assert column(pd.Series(TEXTS, index=[5, 6, 7])).label(0) == 5
    assert column(pl.Series("photo", TEXTS)).name == "photo"
    assert column(TEXTS).name is None


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("photo.jpg", TypeError, "wrap a single item in a list"),
        (b"123", TypeError, "wrap a single item in a list"),
        (7, TypeError, "wrap a single item in a list"),
        (None, TypeError, "got NoneType"),
        ((x for x in TEXTS), TypeError, "turn it into a list first"),
        ({"a", "b"}, TypeError, "turn it into a list first"),
        (csr_matrix((2, 2)), TypeError, "sparse"),
        ([], ValueError, r"0 sample\(s\)"),
        (pd.DataFrame({"a": TEXTS, "b": TEXTS}), ValueError, "2 columns: .*'a', 'b'"),
        (pa.table({"a": TEXTS, "b": TEXTS}), ValueError, "2 columns"),
        (np.zeros((3, 2)), ValueError, r"shape \(3, 2\), dtype float64"),
        (np.array([TEXTS, TEXTS]), ValueError, r"shape \(2, 3\)"),
        (np.array([b"ab\0"]), ValueError, "cuts trailing zero bytes"),
        (
            pd.arrays.NumpyExtensionArray(np.array([TEXTS, TEXTS], dtype=object)),
            ValueError,
            r"a pandas array of shape \(2, 3\)",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_no_column_is_refused_with_what_to_do(X, error, message):
    with pytest.raises(error, match=message):
        column(X)


def test_image_arrays_must_be_uint8(pixels):
    assert column(pixels, allow_arrays=True).cells is pixels
    assert len(column(pixels[..., 0], allow_arrays=True).cells) == 6
    with pytest.raises(ValueError, match="must be uint8 with values 0 to 255"):
        column(pixels / 255, allow_arrays=True)
    with pytest.raises(ValueError, match="dtype uint8"):
        column(pixels)


@pytest.mark.parametrize(
    "cell",
    [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")],
    ids=repr,
)
def test_null_cells_are_null(cell):
    assert is_null(cell)


@pytest.mark.parametrize("cell", ["", "nan", 0, 0.0, b"", False, np.zeros(2)], ids=repr)
def test_other_cells_are_not_null(cell):
    assert not is_null(cell)


def test_long_values_are_shortened_in_messages():
    assert len(shorten("x" * 1000)) < 100
    assert shorten(b"x" * 1000) == "<1000 bytes>"
    assert "shape (2, 3)" in shorten(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("shape", "hint"),
    [((4, 3, 8, 8), r"moveaxis\(X, 1, -1\)"), ((4, 8, 8, 4), "pass PIL images")],
    ids=["channels first", "transparent"],
)
def test_image_arrays_of_other_layouts_say_how_to_change_them(shape, hint):
    with pytest.raises(ValueError, match=hint):
        column(np.zeros(shape, np.uint8), allow_arrays=True)


def test_an_array_of_several_paths_per_row_says_how_to_pass_them():
    with pytest.raises(ValueError, match=r"several images per row.*X.tolist\(\)"):
        column(np.array([["a.png", "b.png"]], object), allow_arrays=True)


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_folder_is_told_from_a_single_item(kind, tmp_path):
    with pytest.raises(TypeError, match=r"it is a folder.*load_image_folder"):
        column(kind(tmp_path))
