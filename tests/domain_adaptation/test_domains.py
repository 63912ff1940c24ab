"""sample_domain: what is accepted, and what is refused with the rule."""

import numpy as np
import pandas as pd
import pytest

from sktransfer.domain_adaptation._domains import (
    check_both_domains,
    resolve_domain,
    source_targets,
)


@pytest.mark.parametrize(
    "given",
    [
        [0, 1, -1, -2],
        np.array([0.0, 1.0, -1.0, -2.0]),
        np.array([0, 1, -1, -2], dtype=object),
        pd.Series([0, 1, -1, -2], index=[9, 8, 7, 6]),
        pd.Series([0, 1, -1, -2], dtype="Int64"),
    ],
)
def test_integers_of_any_kind_are_taken(given):
    domain = check_both_domains(given, 4, "Adapter")
    assert domain.tolist() == [0, 1, -1, -2]
    assert domain.dtype == np.int64


def test_the_domains_are_a_copy():
    given = np.array([0, -1])
    check_both_domains(given, 2, "Adapter")[:] = 5
    assert given.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1, 2], "got only source rows.*expected target rows"),
        ([-1, -2, -1], "got only target rows.*expected source rows"),
        (None, "needs sample_domain: .*>= 0 for a source"),
        ([0, -1], r"shape \(2,\) for 3 rows"),
        ([[0], [0], [-1]], r"shape \(3, 1\) for 3 rows"),
        ([0, -1, 0.5], "one integer per row"),
        ([0, -1, np.nan], "one integer per row"),
        ([0, -1, None], "one integer per row"),
        (["ours", "ours", "theirs"], "Map names to numbers"),
        ([True, False, True], "dtype bool"),
    ],
)
def test_others_are_refused_with_the_rule(given, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_both_domains(given, 3, "Adapter")
    assert ">= 0" in str(caught.value)
    assert "< 0" in str(caught.value)


def test_rows_without_a_domain_are_target_rows():
    assert (resolve_domain(None, 3, "Adapter") < 0).all()
    assert resolve_domain([1, 2], 2, "Adapter").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("y", "want"),
    [
        (["a", None, "b"], ["a", "b"]),
        (["a", np.nan, "b"], ["a", "b"]),
        ([True, None, False], [True, False]),
        ([1, "poison", 2], [1, 2]),
        (np.array([1.0, np.nan, 2.0]), [1.0, 2.0]),
        (pd.Series([1, None, 2], dtype="Int64"), [1, 2]),
        (pd.Series(["a", None, "b"], dtype="category"), ["a", "b"]),
        ([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_only_what_stands_at_source_rows_is_read(y, want):
    got = source_targets(y, np.array([0, -1, 0]), "Adapter")
    assert got.tolist() == want
    assert got.dtype != object


def test_a_source_row_without_y_is_named():
    with pytest.raises(ValueError, match=r"at row 2 \(1 such row"):
        source_targets(["a", None, None], np.array([0, -1, 0]), "Adapter")


def test_a_y_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"3 rows and y has the shape \(2,\)"):
        source_targets(["a", "b"], np.array([0, -1, 0]), "Adapter")
