import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sktransfer.tables import guess_kinds
from sktransfer.tables._kinds import guess_kind

NUMBERS = [f"{v:.2f}" for v in np.random.default_rng(0).gamma(2, 500, 200)]
DATES = [str(datetime.date(2020, 1, 1) + datetime.timedelta(i)) for i in range(200)]
NULLS = ["", " ", "n/a", "?", "-", "unknown", "NULL"]


@pytest.mark.parametrize("noise", [*NULLS, "abc", "12 kg", "$1,200.00", "5%", "1e5"])
def test_a_few_odd_cells_leave_a_column_numeric(noise):
    for n_odd in (1, 10):
        cells = [noise] * n_odd + NUMBERS[n_odd:]
        assert guess_kind(pd.Series(cells)) == "numeric"
        assert guess_kind(pl.Series("x", cells)) == "numeric"


@pytest.mark.parametrize("noise", [*NULLS, "soon", "3/14/2020", "2024-02-30"])
def test_a_few_odd_cells_leave_a_column_of_dates(noise):
    for n_odd in (1, 10):
        cells = [noise] * n_odd + DATES[n_odd:]
        assert guess_kind(pd.Series(cells)) == "date"
        assert guess_kind(pl.Series("x", cells)) == "date"


def test_odd_cells_among_objects_count_too():
    assert (
        guess_kind(pd.Series([*map(float, NUMBERS), "n/a"], dtype=object)) == "numeric"
    )
    days = [datetime.date(2020, 1, i) for i in range(1, 29)]
    assert guess_kind(pd.Series([*days, "unknown"], dtype=object)) == "date"


def test_null_words_alone_leave_even_few_values_numeric():
    assert guess_kind(pd.Series(["1", "2", "n/a"] * 20)) == "numeric"


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "3", "A"] * 30,
        ["1", "2", "A"] + ["3"] * 97,
        ["02139", *[str(10000 + i) for i in range(300)]],
        [f"{i}e{i % 7}" for i in range(100)],
        [f"1.{i}" for i in range(20)] * 5,
        [f"555-{i:04d}" for i in range(100)],
        [f"+1555{i:07d}" for i in range(100)],
        [f"{i}/4" for i in range(1, 100)],
        [f"{i}-{i + 5}" for i in range(100)],
        [f"{i:02d}-{i * 7 % 99:02d}-{i * 13 % 9999:04d}" for i in range(1, 99)],
        [str(10**17 + i) for i in range(100)],
        [f"{i}abc" if i % 5 == 0 else str(i) for i in range(200)],
        ["n/a", "?", "unknown"],
    ],
    ids=lambda cells: cells[0],
)
def test_codes_are_categories(cells):
    assert guess_kind(pd.Series(cells)) == "categorical"


@pytest.mark.parametrize(
    "of", [pd.Categorical, lambda c: pl.Series(c, dtype=pl.Categorical)]
)
def test_a_category_type_hides_neither_texts_nor_images(of, image_paths):
    frame = pd.DataFrame if of is pd.Categorical else pl.DataFrame
    names = [str(path) for path in image_paths]
    texts = [f"this is sentence number {i} of them" for i in range(len(names))]
    columns = {"text": of(texts), "photo": of(names), "code": of(["1", "2"] * 3)}
    assert guess_kinds(frame(columns)) == {
        "text": "text",
        "photo": "image",
        "code": "categorical",
    }


def test_a_category_type_of_numbers_or_intervals_stays_one():
    assert guess_kind(pd.Series(pd.Categorical([1.5, 2.5, 1.5]))) == "categorical"
    assert guess_kind(pd.Series(pd.cut([1, 2, 3], 2))) == "categorical"
