"""TableEncoder and its guesses."""

import base64
import datetime
import decimal
import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skrub
from conftest import encoded
from scipy.sparse import csr_array, dok_matrix
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    TableEncoder,
    TargetAwareEncoder,
    TextEncoder,
)
from sktransfer.exceptions import MissingRowError, UnreadableRowError
from sktransfer.tables import guess_kinds
from sktransfer.tables._kinds import guess_kind

N = 24
DATES = [datetime.date(2024, 1, 1) + datetime.timedelta(days=9 * i) for i in range(N)]


def encoder(**options):
    return TableEncoder(
        ImageEncoder("tiny-cnn", missing="mean"), TextEncoder("tiny-bert"), **options
    )


def content(image_paths):
    return {
        "photo": [image_paths[i % 6] if i % 5 else None for i in range(N)],
        "review": [f"thing number {i} is so so" if i % 7 else None for i in range(N)],
        "color": [["red", "green", "blue", None][i % 4] for i in range(N)],
        "price": [1.5 * i if i else None for i in range(N)],
        "sold": DATES,
        "nothing": [None] * N,
    }


@pytest.fixture(params=[pd, pl], ids=lambda m: m.__name__)
def table(request, image_paths):
    return request.param.DataFrame(content(image_paths))


Y = np.arange(N) % 2


def test_each_column_becomes_named_numbers(table, image_paths):
    model = encoder(n_components=3)
    out = model.fit_transform(table)
    assert model.kinds_ == {
        "photo": "image",
        "review": "text",
        "color": "categorical",
        "price": "numeric",
        "sold": "date",
        "nothing": "drop",
    }
    names = list(model.get_feature_names_out())
    want = ["photo_0", "photo_1", "photo_2", "photo_missing"]
    want += ["review_0", "review_1", "review_2", "review_missing"]
    want += ["color_blue", "color_green", "color_red", "color_nan", "price"]
    want += ["sold_days", "sold_month", "sold_day", "sold_weekday"]
    assert names == want
    assert out.shape == (N, len(names)) == (N, model.n_features_out_)
    column = dict(zip(names, out.T, strict=True))
    np.testing.assert_array_equal(column["photo_missing"], np.arange(N) % 5 == 0)
    np.testing.assert_array_equal(column["review_missing"], np.arange(N) % 7 == 0)
    np.testing.assert_array_equal(column["color_nan"], np.arange(N) % 4 == 3)
    assert np.isnan(column["price"][0])
    np.testing.assert_array_equal(column["price"][1:], 1.5 * np.arange(1, N))
    assert column["sold_days"][0] == 19723
    assert list(column["sold_month"][:5]) == [1, 1, 1, 1, 2]
    vectors = TextEncoder("tiny-bert").fit_transform(content(image_paths)["review"])
    direct = PCA(3, random_state=0).fit_transform(vectors.astype(float))
    np.testing.assert_allclose(out[:, 4:7], direct, atol=1e-5)
    np.testing.assert_allclose(model.transform(table), out, atol=1e-5)
    shuffled = table[[*reversed(list(table.columns))]]
    np.testing.assert_allclose(model.transform(shuffled), out, atol=1e-5)


def test_a_missing_image_is_the_mean_one(table):
    model = encoder(n_components=3).fit(table)
    out = model.transform(table)
    missing = np.arange(N) % 5 == 0
    assert np.ptp(out[missing, :3], axis=0).max() < 1e-6
    # The mean of the rows that are there is the centre of all rows.
    np.testing.assert_allclose(out[missing, :3], 0, atol=1e-4)


@pytest.mark.parametrize(
    ("n_components", "width"), [(30, 6), (4, 4), (None, 16), (1, 1)]
)
def test_components_are_as_many_as_asked_or_as_rows_allow(table, n_components, width):
    model = encoder(n_components=n_components).fit(table[["review", "price"]])
    names = model.get_feature_names_out()
    assert list(names) == [*(f"review_{i}" for i in range(width)), "review_missing"] + [
        "price"
    ]


def test_one_row_is_enough():
    out = encoder().fit_transform(pd.DataFrame({"a": ["x"], "b": [1.0]}))
    assert out.shape == (1, 2)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2], "numeric"),
        ([True, False], "numeric"),
        ([decimal.Decimal("1.5"), 2.0], "numeric"),
        (["1.5", "-2", None, " 3.0e4 "], "numeric"),
        (["01234", "55555"], "categorical"),
        (["a", 1], "categorical"),
        ([datetime.date(2024, 1, 2), None], "date"),
        ([datetime.datetime(2024, 1, 2, 3), None], "date"),
        (["2024-01-02", "2024-01-02T10:11:12Z"], "date"),
        (["2024-01", "2024-02"], "categorical"),
        (["a.JPG", "folder/b c.png", None], "image"),
        ([pathlib.Path("a.jpg")], "image"),
        ([b"\xff\xd8", b"GIF"], "image"),
        ([np.zeros((4, 4, 3), np.uint8)], "image"),
        (["https://some.org/a.jpg"] * 3, "categorical"),
        (["see a.jpg\nand b.jpg"], "text"),
        (["a long sentence of words", "another one of these here"], "text"),
        (["very good indeed, yes"] * 40, "categorical"),
        ([f"item {i}" for i in range(31)], "text"),
        ([f"item {i}" for i in range(30)], "categorical"),
        ([f"item{i}" for i in range(100)], "categorical"),
        ([None, float("nan")], "drop"),
    ],
    ids=str,
)
def test_a_column_is_guessed(cells, kind):
    series = pd.Series(cells, dtype=object, name="it")
    assert guess_kind(series) == kind


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (pd.Series(["a", "b"], dtype="category"), "categorical"),
        (pd.Series([1, 2], dtype="category"), "categorical"),
        (pd.Series([1, None], dtype="Int64"), "numeric"),
        (pd.Series([True, None], dtype="boolean"), "numeric"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "date"),
        (pd.Series(pd.to_datetime(["2024-01-01"], utc=True)), "date"),
        (pd.Series(pd.to_timedelta([1, 2], "h")), "numeric"),
        (pd.Series(["a", "b"], dtype="string"), "categorical"),
        (pd.Series(["2024-01-01"], dtype="string[pyarrow]"), "date"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "categorical"),
        (pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "categorical"),
        (pl.Series([True, None]), "numeric"),
        (pl.Series([1, None]), "numeric"),
        (pl.Series([datetime.date(2024, 1, 1)]), "date"),
        (pl.Series([datetime.datetime(2024, 1, 1)]), "date"),
        (pl.Series([datetime.timedelta(hours=1)]), "numeric"),
        (pl.Series([b"a", b"b"]), "image"),
        (pl.Series([None, None]), "drop"),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_a_data_type_decides_where_it_can(series, kind):
    assert guess_kind(series) == kind


def test_guesses_can_be_seen_before_and_set_right(table):
    assert guess_kinds(table)["color"] == "categorical"
    model = encoder(kinds={"color": "text", "sold": "drop", "review": "categorical"})
    model.fit(table)
    assert model.kinds_["color"] == "text"
    names = list(model.get_feature_names_out())
    assert {"color_0", "color_missing"} <= set(names)
    assert sum(name.startswith("review_") for name in names) == 21
    assert not any(name.startswith("sold") for name in names)


def test_numbers_in_strings_durations_and_times():
    frame = pd.DataFrame(
        {
            "n": ["1.5", None, "-2"],
            "t": pd.to_timedelta([1, 2, None], "h"),
            "at": ["2024-02-29T23:00:00-02:00", None, "2024-03-01 05:00"],
        }
    )
    model = TableEncoder().fit(frame)
    out = model.transform(frame)
    column = dict(zip(model.get_feature_names_out(), out.T, strict=True))
    np.testing.assert_array_equal(column["n"], [1.5, np.nan, -2])
    np.testing.assert_array_equal(column["t"], [3600, 7200, np.nan])
    # 23:00 two hours west of Greenwich is 01:00 of the next day.
    np.testing.assert_array_equal(column["at_hour"], [1, np.nan, 5])
    assert set(column) == {"n", "t", "at_days", "at_hour"}


def test_categories_new_rare_and_whole_numbers():
    frame = pd.DataFrame({"c": pd.Series([1, 2, 3, 1], dtype="category")})
    model = TableEncoder().fit(frame)
    assert list(model.get_feature_names_out()) == ["c_1", "c_2", "c_3"]
    new = pd.DataFrame({"c": pd.Series([1.0, None, 9.0]).astype("category")})
    np.testing.assert_array_equal(
        model.transform(new), [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    )
    model = TableEncoder(categorical="ordinal").fit(frame)
    np.testing.assert_array_equal(model.transform(new), [[0], [np.nan], [np.nan]])
    model = TableEncoder(max_categories=2).fit(frame)
    names = list(model.get_feature_names_out())
    assert names == ["c_1", "c_infrequent_sklearn"]
    frame = pd.DataFrame({"c": ["a", "b"] * 6, "n": [1.0, None] * 6})
    model = TableEncoder(categorical=_Shares(), numeric=SimpleImputer())
    out = model.fit_transform(frame, [0, 1] * 6)
    np.testing.assert_array_equal(out, np.column_stack([[0.0, 1.0] * 6, np.ones(12)]))


class _Shares(TransformerMixin, BaseEstimator):
    """The mean target of a category."""

    def fit(self, X, y):
        self.means_ = {cell: np.mean(np.array(y)[X[:, 0] == cell]) for cell in X[:, 0]}
        return self

    def transform(self, X):
        return np.array([[self.means_[cell]] for cell in X[:, 0]])

    def get_feature_names_out(self, input_features):
        return input_features


def test_in_front_of_boosting_under_a_grid_and_with_frames(table):
    pipe = make_pipeline(
        encoder(), HistGradientBoostingClassifier(max_iter=5, random_state=0)
    )
    search = GridSearchCV(
        pipe,
        {
            "tableencoder__n_components": [2, 4],
            "tableencoder__text_encoder__depth": [1, "all"],
            "tableencoder__kinds": [None, {"photo": "drop"}],
        },
        cv=2,
    )
    if isinstance(table, pl.DataFrame):
        rows = [np.arange(0, N, 2), np.arange(1, N, 2)]
        search.set_params(cv=[(rows[0], rows[1]), (rows[1], rows[0])])
    search.fit(table, Y if isinstance(table, pd.DataFrame) else np.arange(N) // 12)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    kind = "pandas" if isinstance(table, pd.DataFrame) else "polars"
    model = clone(pipe[0]).set_output(transform=kind)
    out = model.fit_transform(table)
    assert type(out) is type(table)
    assert list(out.columns) == list(model.get_feature_names_out())
    assert list(model.feature_names_in_) == list(table.columns)


def test_the_picture_column_carries_the_signal():
    """A target that only the pictures know is found through them."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(N) % 2)
    pictures = [rng.integers(0, 60, (40, 40, 3)) + 150 * label for label in y]
    frame = pd.DataFrame(
        {
            "photo": [encoded(picture.astype(np.uint8)) for picture in pictures],
            "color": rng.choice(["red", "green", "blue"], N),
        }
    )
    scores = [
        cross_val_score(
            make_pipeline(encoder(kinds=kinds), StandardScaler(), LogisticRegression()),
            frame,
            y,
            cv=4,
        ).mean()
        for kinds in (None, {"photo": "drop"})
    ]
    assert scores[0] == 1.0
    assert scores[1] < 0.8


def test_rows_run_once_over_the_folds_of_a_search(table, counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    pipe = make_pipeline(
        TableEncoder(text_encoder=TextEncoder(backbone)),
        HistGradientBoostingClassifier(max_iter=2, random_state=0),
    )
    frame = table[["review", "price"]]
    GridSearchCV(pipe, {"tableencoder__n_components": [1, 2, 3]}, cv=2).fit(frame, Y)
    assert counter.rows == len({str(text) for text in frame["review"].to_list()})


def test_a_target_aware_encoder_gets_the_target(table):
    text = TargetAwareEncoder(
        make_pipeline(TextEncoder("tiny-bert"), LogisticRegression()),
        cv=2,
        random_state=0,
    )
    model = TableEncoder(text_encoder=text)
    out = model.fit_transform(table[["review"]], Y)
    want = clone(text).fit_transform(table["review"], Y)
    np.testing.assert_allclose(out[:, :1], want, atol=1e-5)
    assert list(model.get_feature_names_out()) == ["review_0", "review_missing"]


def test_skrub_takes_the_rest(table):
    model = encoder(rest="skrub", n_components=2)
    out = model.fit_transform(table)
    names = list(model.get_feature_names_out())
    assert names[:4] == ["photo_0", "photo_1", "photo_missing", "review_0"]
    rest = table[["color", "price", "sold"]]
    vectorizer = skrub.TableVectorizer()
    want = vectorizer.fit_transform(rest).to_numpy()
    np.testing.assert_allclose(out[:, 6:].astype(float), want.astype(float))
    assert names[6:] == list(vectorizer.get_feature_names_out())
    np.testing.assert_allclose(model.transform(table), out, atol=1e-5)


def test_a_cell_that_is_neither_category_is_none_of_two():
    frame = pd.DataFrame({"c": ["no", "yes", "no"]})
    model = TableEncoder().fit(frame)
    new = pd.DataFrame({"c": ["maybe", None, "no", "yes"]})
    np.testing.assert_array_equal(
        model.transform(new), [[0, 0], [0, 0], [1, 0], [0, 1]]
    )


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_column_of_which_no_cell_is_there_says_so(kind, image_paths):
    frame = pd.DataFrame({"n": [1.0, 2.0], "p": [None, None]})
    model = encoder(kinds={"p": kind}).fit(frame)
    assert list(model.get_feature_names_out()) == ["n", "p_missing"]
    new = pd.DataFrame({"n": [1.0, 2.0], "p": [image_paths[0], None]})
    np.testing.assert_array_equal(model.transform(new), [[1, 0], [2, 1]])


def test_rows_that_are_all_alike_have_a_component(image_paths):
    frame = pd.DataFrame({"p": [image_paths[0], *[None] * 9]})
    out = encoder(kinds={"p": "image"}, n_components=2).fit_transform(frame)
    assert np.isfinite(out).all()


def test_skrub_gets_no_column_that_kinds_names_and_is_seeded():
    frame = pd.DataFrame(
        {
            "zip": [10115, 10117, 10115] * 30,
            "n": range(90),
            "id": [f"ab{i * 7919 % 1000}x" for i in range(90)],
        }
    )
    model = TableEncoder(kinds={"zip": "categorical"}, rest="skrub")
    first = model.fit_transform(frame)
    names = list(model.get_feature_names_out())
    assert names[:3] == ["zip_10115", "zip_10117", "n"]
    np.testing.assert_array_equal(clone(model).fit_transform(frame), first)


@pytest.mark.parametrize("dtype", [complex, object])
@pytest.mark.parametrize("kinds", [None, {"c": "numeric"}, {"c": "categorical"}])
def test_complex_numbers_are_refused(kinds, dtype):
    frame = pd.DataFrame(
        {"c": np.array([1 + 2j, 3j, 4.0], dtype=dtype), "n": [1, 2, 3]}
    )
    with pytest.raises(ValueError, match="Complex data not supported: column 'c' hol"):
        TableEncoder(kinds=kinds).fit(frame)
    assert TableEncoder(kinds={"c": "drop"}).fit_transform(frame).shape == (3, 1)


def test_complex_numbers_are_strays_in_a_column_of_numbers():
    model = TableEncoder().fit(pd.DataFrame({"n": [1.0, 2.0]}))
    frame = pd.DataFrame({"n": np.array([1.0, np.complex128(2j)], dtype=object)})
    with pytest.raises(ValueError, match="row 1 of column 'n' is no number"):
        model.transform(frame)


def test_names_that_meet_are_told_apart():
    frame = pd.DataFrame({"color": ["a", "b", "c"], "color_a": [1.0, 2.0, 3.0]})
    names = TableEncoder().fit(frame).get_feature_names_out()
    assert list(names) == ["color_a", "color_b", "color_c", "color_a_"]


def test_tables_and_columns_that_cannot_be_used(table, image_paths):
    with pytest.raises(TypeError, match=r"got a ndarray of numpy: wrap an array"):
        TableEncoder().fit(np.zeros((3, 2)))
    with pytest.raises(TypeError, match=r"make a frame of the sparse matrix with"):
        TableEncoder().fit(csr_array(np.eye(3)))
    with pytest.raises(TypeError, match=r"make a frame of the sparse matrix with"):
        TableEncoder().fit(dok_matrix(np.eye(3)))  # a dict, too
    with pytest.raises(ValueError, match=r"numpy, of one dimension\. Reshape your"):
        TableEncoder().fit(np.zeros(3))
    with pytest.raises(ValueError, match=r", of one dimension\. Reshape"):
        TableEncoder().fit(table["photo"])
    with pytest.raises(ValueError, match=r"0 feature\(s\) \(shape=\(3, 0\)\)"):
        TableEncoder().fit(pd.DataFrame(index=[1, 2, 3]))
    with pytest.raises(ValueError, match="must be different strings; got"):
        TableEncoder().fit(pd.DataFrame(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="0 sample"):
        encoder().fit(table[:0])
    with pytest.raises(ValueError, match="no column is left"):
        encoder().fit(table[["nothing"]])
    with pytest.raises(
        ValueError, match=r"columns that are not in the table: \['foto'\]"
    ):
        encoder(kinds={"foto": "image"}).fit(table)
    with pytest.raises(ValueError, match="'sound'} must be one of"):
        encoder(kinds={"photo": "sound"}).fit(table)
    with pytest.raises(TypeError, match="Column 'l' holds cells of type list"):
        TableEncoder().fit(pd.DataFrame({"l": [[1], [2]]}))
    with pytest.raises(
        ValueError, match="'p' holds names of image files, but there is"
    ):
        encoder().fit(pd.DataFrame({"p": ["a.jpg", "b.jpg"]}))
    some = pd.DataFrame({"p": [*image_paths, "nowhere.jpg"]})
    with pytest.raises(UnreadableRowError, match=r"row 6 of column 'p'.*on_error="):
        encoder().fit(some)
    for kind, name in {"numeric": "number", "date": "date"}.items():
        with pytest.raises(ValueError, match=f"no cell of column 'c' is a {name}; one"):
            encoder(kinds={"c": kind}).fit(pd.DataFrame({"c": ["a", "n/a"]}))
        with pytest.raises(ValueError, match=f"row 1 of column 'c' is no {name}.*list"):
            encoder(kinds={"c": kind}).fit(pd.DataFrame({"c": [None, [1]]}))
    nan = TableEncoder(ImageEncoder("tiny-cnn", missing="nan"))
    with pytest.raises(ValueError, match="row 0 of column 'photo' became NaN"):
        nan.fit(table[["photo"]])
    model = encoder().fit(table)
    with pytest.raises(ValueError, match=r"columns that fit saw are missing: \['sold"):
        model.transform(table[["photo", "review", "color", "price"]])
    other = {"review": "Review", "color": "colour"}
    renamed = pd.DataFrame(
        {other.get(name, name): table[name].to_list() for name in table.columns}
    )
    message = r"'review' called 'Review' here\? Is 'color' called 'colour' here\? Got"
    with pytest.raises(ValueError, match=message):
        model.transform(renamed)
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        model.get_feature_names_out(["a"])


def test_any_encoder_of_a_column_will_do():
    frame = pd.DataFrame({"t": ["some words are here", "and others are there"] * 8})
    sparse = make_pipeline(TfidfVectorizer(), _Dense())
    model = TableEncoder(text_encoder=sparse, kinds={"t": "text"}, n_components=2)
    assert model.fit_transform(frame).shape == (16, 2)


def _Dense():
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(lambda x: x.toarray(), accept_sparse=True)


def test_an_encoder_of_texts_may_be_sparse():
    table = pd.DataFrame({"review": [f"thing number {i} is so so" for i in range(N)]})
    model = TableEncoder(text_encoder=TfidfVectorizer(), n_components=2)
    out = model.fit_transform(table)
    assert out.shape == (N, 2)
    np.testing.assert_allclose(model.transform(table), out, atol=1e-8)


@pytest.mark.parametrize("source", ["bytes", "base64"])
def test_a_source_inside_another_encoder_is_no_path(source, image_paths):
    raw = [pathlib.Path(image_paths[i % 6]).read_bytes() for i in range(N)]
    if source == "base64":
        raw = [base64.b64encode(cell).decode() for cell in raw]
    table = pd.DataFrame({"photo": raw})
    inner = make_pipeline(
        ImageEncoder("tiny-cnn", source=source), LogisticRegression(max_iter=1000)
    )
    model = TableEncoder(
        image_encoder=TargetAwareEncoder(inner, random_state=0),
        kinds={"photo": "image"},
    )
    assert model.fit_transform(table, Y).shape == (N, 1)


def test_guesses_look_at_the_end_of_a_column_too():
    cells = ["1"] * 500 + [f"some words {i} here" for i in range(499)]
    assert guess_kind(pd.Series(cells)) != "numeric"
    assert guess_kind(pd.Series(["1"] * 1000 + cells[500:])) != "numeric"


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_an_odd_cell_is_as_good_as_a_null_one_at_fit_and_when_serving(frame):
    rng = np.random.default_rng(0)
    prices = [f"{v:.2f}" for v in rng.gamma(2, 500, 100)]
    days = [f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(100)]
    with_nulls = frame({"price": [None, *prices[1:]], "sold": [*days[1:], None]})
    odd = frame({"price": ["unknown", *prices[1:]], "sold": [*days[1:], "2021-02-30"]})
    want = TableEncoder().fit_transform(with_nulls)
    for said in (
        r"Column 'price': 1 of 100 cells became NaN \('unknown' in row 0\)",
        r"Column 'sold': 1 of 100 cells became NaN \('2021-02-30' in row 99\)",
    ):
        with pytest.warns(UserWarning, match=said) as caught:
            model = TableEncoder().fit(odd)
        assert len(caught) == 1
        assert model.kinds_ == {"price": "numeric", "sold": "date"}
        with pytest.warns(UserWarning, match=said) as caught:
            np.testing.assert_array_equal(model.transform(odd), want)
        assert len(caught) == 1
    with pytest.warns(UserWarning, match="'price': 1 of 1"):
        out = model.transform(frame({"price": ["?"], "sold": ["2021-01-02"]}))
    assert np.isnan(out[0, 0])
    formatted = frame({"price": ["$1,200.00"], "sold": ["3/14/2021"]})
    out = model.transform(formatted)  # parsed, and nothing to warn of
    columns = list(model.get_feature_names_out())
    assert out[0, 0] == 1200
    assert out[0, columns.index("sold_day")] == 14


def test_named_kinds_make_nan_of_what_is_none_with_a_warning():
    frame = pd.DataFrame({"code": ["1", "2", "A"], "day": ["2024-01-02", "soon", None]})
    model = TableEncoder(kinds={"code": "numeric", "day": "date"})
    with pytest.warns(UserWarning, match="'A' in row 2.*'soon' in row 1"):
        out = model.fit_transform(frame)
    np.testing.assert_array_equal(out[:, 0], [1, 2, np.nan])


def test_a_decimal_comma_is_remembered():
    frame = pd.DataFrame({"x": [f"{i},5" for i in range(50)]})
    with pytest.warns(UserWarning, match="50 of 50 cells were parsed by their format"):
        model = TableEncoder().fit(frame)
    assert model.transform(pd.DataFrame({"x": ["1.200"]})) == [[1200.0]]


def test_dates_that_do_not_tell_the_day_are_warned_of():
    frame = pd.DataFrame({"sold": ["03/04/2020", "01/02/2020"] * 5})
    with pytest.warns(UserWarning, match=r"'sold': no date tells .*dayfirst=True"):
        TableEncoder().fit(frame)


def test_skrub_gets_no_strings_that_need_cleaning():
    frame = pd.DataFrame(
        {"price": ["n/a", *map(str, range(100, 200))], "n": range(101)}
    )
    with pytest.warns(UserWarning, match="Column 'price': 1 of 101"):
        model = TableEncoder(rest="skrub").fit(frame)
    assert list(model.get_feature_names_out()) == ["price", "n"]


@pytest.mark.filterwarnings("ignore:TableEncoder converted some cells")
def test_a_stray_cell_costs_no_fold_and_no_score():
    values = np.random.default_rng(0).gamma(2, 500, 300)
    y = values > np.median(values)
    scores = {}
    for stray in (None, "n/a", "", "?", "unknown", "see note"):
        cells = [f"{value:.2f}" for value in values]
        cells[7] = stray
        model = make_pipeline(
            TableEncoder(), HistGradientBoostingClassifier(random_state=0)
        )
        cv = KFold(5, shuffle=True, random_state=0)
        scores[stray] = cross_val_score(model, pd.DataFrame({"x": cells}), y, cv=cv)
    for stray in scores:
        np.testing.assert_array_equal(scores[stray], scores[None])


def test_images_of_the_hub_are_images(pixels):
    from conftest import encoded

    cells = [{"bytes": encoded(image), "path": None} for image in pixels[:6]]
    frame = pd.DataFrame({"image": [*cells, None]})
    table = TableEncoder(ImageEncoder("tiny-cnn", missing="mean"))
    got = table.fit_transform(frame)
    assert table.kinds_ == {"image": "image"}
    want = clone(table).fit_transform(
        pd.DataFrame({"image": [cell and cell["bytes"] for cell in frame["image"]]})
    )
    np.testing.assert_array_equal(got, want)
    plain = ImageEncoder("tiny-cnn").fit_transform(frame["image"][:6])
    np.testing.assert_array_equal(
        plain, ImageEncoder("tiny-cnn").fit_transform(list(pixels[:6]))
    )


def other_ways_to_encode_images():
    alone = ImageEncoder("tiny-cnn")
    tuned = ImageClassifier("tiny-cnn", max_epochs=1, freeze_depth=-1, random_state=0)
    return {
        "alone": alone,
        "in a pipeline": make_pipeline(alone, StandardScaler()),
        "in a target-aware encoder": TargetAwareEncoder(tuned, cv=2, random_state=0),
    }


@pytest.mark.parametrize("way", other_ways_to_encode_images())
@pytest.mark.filterwarnings("ignore:ImageClassifier leaves:UserWarning")
def test_missing_images_are_no_error_of_an_encoder_that_was_given(way, image_paths):
    images = pd.DataFrame({"photo": content(image_paths)["photo"]})
    given = other_ways_to_encode_images()[way]
    before = given.get_params()
    model = TableEncoder(given, n_components=None)
    assert np.isfinite(model.fit_transform(images, Y)).all()
    assert np.isfinite(model.transform(pd.DataFrame({"photo": [None]}))).all()
    assert model.get_feature_names_out()[-1] == "photo_missing"
    # What was given stays as it is.
    assert str(given.get_params()) == str(before)


def test_an_encoder_that_was_given_has_the_policy_of_none(image_paths):
    images = pd.DataFrame({"photo": content(image_paths)["photo"]})
    want = TableEncoder(ImageEncoder("tiny-cnn", missing="mean")).fit_transform(images)
    got = TableEncoder(ImageEncoder("tiny-cnn", verbose=1)).fit_transform(images)
    np.testing.assert_array_equal(got, want)
    zeros = TableEncoder(ImageEncoder("tiny-cnn", missing="zero"), n_components=None)
    missing = images["photo"].isna()
    assert (zeros.fit_transform(images)[missing, :-1] == 0).all()


def test_a_text_encoder_that_is_told_to_refuse_nulls_does(table):
    strict = TableEncoder(text_encoder=TextEncoder("tiny-bert", missing="raise"))
    with pytest.raises(MissingRowError, match="column 'review'"):
        strict.fit(table[["review"]])
