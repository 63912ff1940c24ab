"""Rows of several cells."""

import numpy as np
import pytest

from sktransfer._cells.parts import Parts, is_missing, lists_in


@pytest.mark.parametrize(
    ("cell", "want"),
    [
        (None, True),
        ([], True),
        ((), True),
        ([None, float("nan")], True),
        (np.array([], dtype=object), True),
        ("", False),
        (["a", None], False),
        (np.zeros((2, 2), np.uint8), False),
    ],
)
def test_a_list_without_anything_in_it_is_missing(cell, want):
    assert is_missing(cell) == want


def test_cells_without_lists_have_no_parts():
    assert lists_in(["a", "b"]) is None
    assert lists_in(np.zeros((2, 3, 3), np.uint8)) is None
    assert lists_in(["a", ["b", None, "c"]]) == [["a"], ["b", "c"]]


def test_means_are_those_of_the_good_parts_of_each_row():
    parts = Parts([["a", "b"], ["c"], ["d", "e", "f"]])
    assert parts.cells == list("abcdef")
    parts.is_bad[[1, 2]] = True
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    means = parts.mean(vectors)
    np.testing.assert_array_equal(means, [[0, 1], [np.nan] * 2, [8, 9]])
    assert means.dtype == np.float32
    assert parts.bad_rows().tolist() == [1]
    assert [row.tolist() for row in parts.by_row()] == [[0], [], [3, 4, 5]]
    assert parts.describe(4) == ", 2 of 3 in its list"
    assert parts.describe(2) == ""
