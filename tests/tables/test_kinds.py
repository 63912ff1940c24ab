import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktransfer import TableEncoder, TextEncoder, load, save
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


# -- an encoder for one column ---------------------------------------------------------


def two_texts(n=12):
    return pd.DataFrame(
        {
            "title": [f"the title of number {i}" for i in range(n)],
            "body": [f"some other words that are {i}" for i in range(n)],
            "price": np.arange(n, dtype=float),
        }
    )


def test_a_column_may_have_an_encoder_of_its_own():
    X = two_texts()
    own = TextEncoder("tiny-bert", depth="embeddings")
    encoder = TableEncoder(
        text_encoder=TextEncoder("tiny-bert"), kinds={"body": own}, n_components=None
    )
    got = encoder.fit_transform(X)
    assert encoder.kinds_ == {"title": "text", "body": "text", "price": "numeric"}
    want = [TextEncoder("tiny-bert").fit_transform(X["title"])]
    want += [own.fit_transform(X["body"]), X[["price"]]]
    np.testing.assert_allclose(got, np.hstack(want), atol=1e-6)
    np.testing.assert_array_equal(encoder.transform(X), got)
    assert encoder.kinds["body"] is own


def test_an_encoder_of_its_own_makes_a_text_of_a_column_of_few_values():
    X = pd.DataFrame({"color": ["red", "blue"] * 4, "n": range(8)})
    encoder = TableEncoder(kinds={"color": TextEncoder("tiny-bert")}, n_components=2)
    assert list(encoder.fit(X).get_feature_names_out()) == ["color_0", "color_1", "n"]


def test_encoders_of_columns_are_candidates_of_a_grid():
    X, y = two_texts(), np.arange(12) % 2
    candidates = ["drop", TextEncoder("tiny-bert"), TextEncoder("tiny-bert", depth=-2)]
    search = GridSearchCV(
        make_pipeline(
            TableEncoder(text_encoder=TextEncoder("tiny-bert")),
            LogisticRegression(),
        ),
        {"tableencoder__kinds": [{"body": candidate} for candidate in candidates]},
        cv=2,
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_an_encoder_of_a_column_is_saved_and_loaded(tmp_path):
    X = two_texts()
    model = TableEncoder(kinds={"title": TextEncoder("tiny-bert"), "body": "drop"}).fit(
        X
    )
    save(model, tmp_path / "saved")
    loaded = load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"price": TextEncoder("tiny-bert")}, "'price' is numeric, but kinds takes"),
        ({"body": 3}, "'body': 3}.*or a transformer for the column"),
        ({"gone": TextEncoder("tiny-bert")}, r"not in the table: \['gone'\]"),
    ],
    ids=["numbers", "neither", "absent"],
)
def test_what_cannot_encode_a_column_is_named(kinds, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder(kinds=kinds).fit(two_texts())
