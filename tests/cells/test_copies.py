"""Which rows are copies of each other."""

import base64
import os
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from scipy.sparse import csr_array

from sktransfer._cells.copies import TEXT, number_by_content

TEXTS = ["a", "b", "a", "", "b", ""]
SAME = [0, 1, 0, 2, 1, 2]


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda cells: np.array(cells, dtype=object),
        lambda cells: np.array(cells, dtype=object)[:, None],
        lambda cells: np.array(cells, dtype=np.dtypes.StringDType()),
        lambda cells: pd.Series(cells, index=range(6, 0, -1)),
        lambda cells: pd.Series(cells).array,
        pd.Categorical,
        pd.Index,
        lambda cells: pd.DataFrame({"t": cells}),
        lambda cells: pl.Series("t", cells),
        lambda cells: pl.DataFrame({"t": cells}),
        pa.array,
        lambda cells: pa.table({"t": cells}),
    ],
)
def test_texts_in_every_container(make):
    assert number_by_content(make(TEXTS)).tolist() == SAME
    assert number_by_content(make(TEXTS), source=TEXT).tolist() == SAME


def test_null_cells_are_no_copies():
    cells = ["a", None, np.nan, pd.NA, None, "a"]
    assert number_by_content(cells).tolist() == [0, 1, 2, 3, 4, 0]
    assert number_by_content(np.array([np.nan, 1, np.nan])).tolist() == [0, 1, 2]
    table = pd.DataFrame({"x": [None, None, "a", "a"], "y": [None, None, None, None]})
    assert number_by_content(table).tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize(
    "make",
    [
        np.array,
        lambda rows: csr_array(np.array(rows)),
        lambda rows: pd.DataFrame(rows),
        lambda rows: pl.DataFrame(np.array(rows)),
        lambda rows: pa.table({"x": [r[0] for r in rows], "y": [r[1] for r in rows]}),
        lambda rows: [list(row) for row in rows],
        lambda rows: [np.array(row) for row in rows],
        lambda rows: np.array(rows, dtype=object),
    ],
)
def test_rows_of_several_numbers(make):
    rows = [(1.0, 2.0), (0.0, 0.0), (1.0, 2.5), (1.0, 2.0), (0.0, 0.0)]
    assert number_by_content(make(rows)).tolist() == [0, 1, 2, 0, 1]


def test_sparse_rows_are_compared_by_their_values():
    # Of the same values, stored in another order, twice, or as a zero.
    data, columns = [1.0, 2.0, 2.0, 1.0, 0.0, 1.0, 1.0, 2.0], [0, 1, 1, 0, 2, 1, 1, 0]
    table = csr_array((data, columns, [0, 2, 5, 8]), shape=(3, 3))
    assert number_by_content(table).tolist() == [0, 0, 1]


def test_frames_with_equal_column_names():
    table = pd.DataFrame([[1, 2], [1, 3], [1, 2]], columns=["x", "x"])
    assert number_by_content(table).tolist() == [0, 1, 0]


def test_images_are_compared_by_bytes_and_pixels(image_paths, tmp_path):
    image_paths = [Path(path) for path in image_paths]
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(image_paths[0].read_bytes())
    content = image_paths[0].read_bytes()
    cells = [str(image_paths[0]), copy, content, {"bytes": content, "path": None}]
    cells += [{"path": str(copy)}, str(image_paths[1]), memoryview(content)]
    for source in (None, "path"):
        numbers = number_by_content(cells, source=source)
        assert numbers.tolist() == [0, 0, 0, 0, 0, 1, 0]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    assert number_by_content(pixels).tolist() == [0, 1, 0]
    pictures = [Image.fromarray(pixels[0]), pixels[1], pixels[2]]
    assert number_by_content(pictures).tolist() == [0, 1, 0]
    encoded = base64.b64encode(content).decode()
    cells = [encoded, "data:image/jpeg;base64," + encoded, "no image", "no image"]
    assert number_by_content(cells, source="base64").tolist() == [0, 0, 1, 1]


def test_a_file_that_changed_is_compared_anew(tmp_path):
    names = [str(tmp_path / f"{i}.png") for i in range(2)]
    for name in names:
        Image.new("RGB", (4, 4)).save(name)
    assert number_by_content(names).tolist() == [0, 0]
    Image.new("RGB", (4, 4), "red").save(names[1])
    assert number_by_content(names).tolist() == [0, 1]
    os.remove(names[1])
    assert number_by_content([*names, names[1]]).tolist() == [0, 1, 1]


def test_names_that_lead_to_no_file_and_urls_are_compared_as_strings():
    cells = ["no.jpg", "no.jpg", "https://a.b/x.jpg", "https://a.b/x.jpg", "\0.jpg"]
    for source in (None, "path", "url", TEXT):
        assert number_by_content(cells, source=source).tolist() == [0, 0, 1, 1, 2]


def test_texts_that_end_like_files_are_texts(image_paths):
    name = image_paths[0]
    same = os.path.join(os.path.dirname(name), ".", os.path.basename(name))
    assert number_by_content([name, same], source=TEXT).tolist() == [0, 1]
    assert number_by_content([name, same]).tolist() == [0, 0]


def test_cells_of_which_nothing_is_known_are_no_copies():
    class Odd:
        __hash__ = None

    assert number_by_content([Odd(), Odd(), {1}, {1}]).tolist() == [0, 1, 2, 3]
    assert number_by_content([{"a": [1]}, {"a": [1]}, 3, 3.0]).tolist() == [0, 0, 1, 1]
