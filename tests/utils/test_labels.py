"""Labels: one rule at every door that takes `y`."""

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.multioutput import MultiOutputClassifier

from sktransfer import (
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    ImageClassifier,
    ImageRegressor,
    TargetAwareEncoder,
    TextClassifier,
    TextRegressor,
    ZeroShotClassifier,
)
from sktransfer._utils.labels import check_groups, label_names, read_labels
from sktransfer.finetuning import EarlyStopping
from sktransfer.model_selection import (
    label_efficiency_curve,
    layer_profile,
    rank_backbones,
)

N = 12
TEXTS = [f"good thing {i}" if i % 2 else f"bad stuff {i}" for i in range(N)]
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 24, 24, 3), dtype=np.uint8)
VECTORS = np.random.default_rng(0).normal(size=(N, 3)) + np.arange(N)[:, None] % 2
FAST = {"freeze_depth": "all", "max_epochs": 1, "random_state": 0}
DOMAIN = np.array([0] * N)
STRINGS, NUMBERS = ["b", "a"] * 6, [0, 1] * 6

CLASSIFIERS = {
    "TextClassifier": lambda y: TextClassifier("tiny-bert", **FAST).fit(TEXTS, y),
    "ImageClassifier": lambda y: ImageClassifier("tiny-cnn", **FAST).fit(PIXELS, y),
    "TextClassifier.partial_fit": lambda y: TextClassifier(
        "tiny-bert", **FAST
    ).partial_fit(TEXTS, y),
    "DomainAdaptationClassifier": lambda y: DomainAdaptationClassifier().fit(
        VECTORS, y, sample_domain=DOMAIN - np.repeat([0, 1], 6)
    ),
    "without domains": lambda y: DomainAdaptationClassifier(adapter=None).fit(
        VECTORS, y
    ),
    "TargetAwareEncoder": lambda y: TargetAwareEncoder(
        LogisticRegression(), cv=2, random_state=0
    ).fit_transform(VECTORS, y),
    "rank_backbones": lambda y: rank_backbones(TEXTS, y, ["tiny-bert"], n_timed=0),
    "layer_profile": lambda y: layer_profile(TEXTS, y, "tiny-bert", n_timed=0),
    "label_efficiency_curve": lambda y: label_efficiency_curve(
        DummyClassifier(), VECTORS, y, labels_per_class=[1], cv=2
    ),
}
REGRESSORS = {
    "TextRegressor": lambda y: TextRegressor("tiny-bert", **FAST).fit(TEXTS, y),
    "ImageRegressor": lambda y: ImageRegressor("tiny-cnn", **FAST).fit(PIXELS, y),
    "DomainAdaptationRegressor": lambda y: DomainAdaptationRegressor().fit(
        VECTORS, y, sample_domain=DOMAIN - np.repeat([0, 1], 6)
    ),
    "TargetAwareEncoder": lambda y: TargetAwareEncoder(
        Ridge(), cv=2, random_state=0
    ).fit_transform(VECTORS, y),
    "rank_backbones": lambda y: rank_backbones(
        TEXTS, y, ["tiny-bert"], task="numbers", n_timed=0
    ),
}


def with_missing(values, null, container):
    cells = list(values)
    cells[2] = null
    return container(cells)


def objects(cells):
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "objects": objects,
    "Series": lambda cells: pd.Series(cells, dtype=object),
    "frame": lambda cells: pd.DataFrame({"y": pd.Series(cells, dtype=object)}),
}


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("null", [None, np.nan, pd.NA, pd.NaT], ids=str)
@pytest.mark.parametrize("door", CLASSIFIERS)
def test_a_missing_label_is_one_clear_error(door, null, container):
    for values in (STRINGS, NUMBERS, [True, False] * 6):
        y = with_missing(values, null, CONTAINERS[container])
        with pytest.raises(
            ValueError, match=r"contains NaN, None or infinity at row 2 "
        ):
            CLASSIFIERS[door](y)


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("null", [None, np.nan, pd.NA, pd.NaT], ids=str)
@pytest.mark.parametrize("door", REGRESSORS)
def test_a_missing_number_is_one_clear_error(door, null, container):
    for values in (np.arange(N) / 7, [decimal.Decimal(i) for i in range(N)]):
        y = with_missing(values, null, CONTAINERS[container])
        with pytest.raises(
            ValueError, match=r"contains NaN, None or infinity at row 2 "
        ):
            REGRESSORS[door](y)


TYPED = {
    "Int64": pd.array([1, 0, None] * 4, dtype="Int64"),
    "boolean": pd.array([True, None, False] * 4, dtype="boolean"),
    "string": pd.array(["a", None, "b"] * 4, dtype="string"),
    "category": pd.Series(["a", None, "b"] * 4, dtype="category"),
    "Arrow": pa.array(["a", None, "b"] * 4),
    "polars": pl.Series(["a", None, "b"] * 4),
    "float": np.array([1.0, np.nan, 0.0] * 4),
    "infinite": np.array([1.0, np.inf, 0.0] * 4),
}


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("door", CLASSIFIERS)
def test_a_missing_label_of_a_typed_column_is_one(door, kind):
    with pytest.raises(ValueError, match="contains NaN, None or infinity at row"):
        CLASSIFIERS[door](TYPED[kind])


SAME = {  # that mean the labels 0 and 1 or "a" and "b"
    "ints in objects": objects(NUMBERS),
    "NumPy's ints in objects": objects(list(np.array(NUMBERS))),
    "bools in objects": objects([bool(n) for n in NUMBERS]),
    "floats in objects": objects([float(n) for n in NUMBERS]),
    "dropna": pd.Series([*NUMBERS, None], dtype=object).dropna(),
    "decimals": [decimal.Decimal(n) for n in NUMBERS],
    "Int64": pd.array(NUMBERS, dtype="Int64"),
    "boolean": pd.array([bool(n) for n in NUMBERS], dtype="boolean"),
    "string": pd.Series(STRINGS, dtype="string"),
    "category": pd.Series(STRINGS, dtype="category"),
    "Categorical": pd.Categorical(STRINGS),
    "Arrow": pa.array(STRINGS),
    "dictionary": pa.array(STRINGS).dictionary_encode(),
    "polars": pl.Series(NUMBERS),
    "StringDType": np.array(STRINGS, dtype=np.dtypes.StringDType()),
    "tensor": torch.tensor(NUMBERS),
    "list of tensors": list(torch.tensor(NUMBERS)),
}


@pytest.mark.parametrize("kind", SAME)
@pytest.mark.parametrize("door", CLASSIFIERS)
def test_labels_of_every_type_are_taken(door, kind):
    if door == "label_efficiency_curve" and kind == "StringDType":
        pytest.skip("scikit-learn's DummyClassifier does not take it")
    CLASSIFIERS[door](SAME[kind])


def test_whole_numbers_in_an_object_column_can_be_scored():
    y = SAME["dropna"]
    model = TextClassifier("tiny-bert", **FAST)
    assert model.fit(TEXTS, y).classes_.dtype.kind == "i"
    assert accuracy_score(np.array(y.tolist()), model.predict(TEXTS)) >= 0
    plain = y.astype(int)
    assert np.isfinite(cross_val_score(model, TEXTS, plain, cv=2)).all()


@pytest.mark.parametrize("make", [decimal.Decimal, fractions.Fraction, np.float32, int])
@pytest.mark.parametrize("door", REGRESSORS)
def test_numbers_of_every_type_are_taken(door, make):
    REGRESSORS[door]([make(i) for i in range(N)])
    REGRESSORS[door](pd.Series([make(i) for i in range(N)], dtype=object))


def test_arrow_decimals_are_numbers():
    y = pa.array([decimal.Decimal(i) for i in range(N)])
    assert TextRegressor("tiny-bert", **FAST).fit(TEXTS, y).predict(TEXTS).shape == (N,)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", 1] * 6, r"mixes values of the types \['int', 'str'\]"),
        (["a", True] * 6, r"mixes values of the types \['bool', 'str'\]"),
        ([b"a", b"b"] * 6, "has values of type bytes"),
        ([datetime.date(2024, 1, 1 + i % 2) for i in range(N)], "values of type date"),
        (pd.date_range("2024-01-01", periods=N), "type Timestamp|dtype datetime64"),
        (np.array([1 + 1j, 2] * 6), "y is complex"),
        ([["x"], ["y", "z"]] * 6, "MultiLabelBinarizer"),
        ([["x"], ["y"]] * 6, "MultiLabelBinarizer"),
        ([("x", "y"), ()] * 6, "MultiLabelBinarizer"),
        ([{"x"}, {"y"}] * 6, "MultiLabelBinarizer"),
        ("abababababab", "expected one label or number for each row"),
        (NUMBERS[:-1], "inconsistent numbers of samples"),
    ],
    ids=str,
)
@pytest.mark.parametrize("door", CLASSIFIERS)
def test_what_is_no_label_is_refused_truthfully(door, y, message):
    with pytest.raises(ValueError, match=message):
        CLASSIFIERS[door](y)


@pytest.mark.parametrize(
    "kind", [sparse.csr_array, sparse.coo_matrix, sparse.bsr_array]
)
def test_indicators_may_be_sparse(kind):
    Y = np.eye(2, dtype=int)[NUMBERS]
    model = TextClassifier("tiny-bert", **FAST).fit(TEXTS, kind(Y))
    assert model.predict(TEXTS).shape == (N, 2)
    TargetAwareEncoder(
        MultiOutputClassifier(LogisticRegression()), cv=2, random_state=0
    ).fit_transform(VECTORS, kind(Y))


def test_names_of_indicator_columns_are_kept():
    Y = pd.DataFrame(np.eye(2, dtype=int)[NUMBERS], columns=["legs", "wings"])
    for columns in (Y, Y.astype(bool), pl.from_pandas(Y)):
        model = TextClassifier("tiny-bert", **FAST).fit(TEXTS, columns)
        assert list(model.classes_) == ["legs", "wings"]
        assert model.predict(TEXTS).shape == (N, 2)
    assert label_names(Y["legs"]) is None
    assert label_names(Y[["legs"]]) is None


def test_indicators_hold_0_and_1():
    Y = 2 * np.eye(2, dtype=int)[NUMBERS]
    with pytest.raises(ValueError, match=r"must hold 0 and 1; got \[0 2\]"):
        TextClassifier("tiny-bert", **FAST).fit(TEXTS, Y)


def test_weights_of_classes_are_checked():
    Y = np.eye(2, dtype=int)[NUMBERS]
    model = TextClassifier("tiny-bert", class_weight={"legs": 3.0}, **FAST)
    with pytest.raises(ValueError, match=r"for \['legs'\], but y has only \[0, 1\]"):
        model.fit(TEXTS, Y)
    model.set_params(class_weight={0: 3.0}).fit(TEXTS, Y)
    model = TextClassifier("tiny-bert", class_weight={"a": -1.0, "b": 1.0}, **FAST)
    with pytest.raises(ValueError, match=r"finite weights of at least 0; got {'a': -1"):
        model.fit(TEXTS, STRINGS)


def test_numbers_that_cannot_be_scaled_are_refused():
    with (
        pytest.raises(ValueError, match="too large to be scaled"),
        np.errstate(all="ignore"),
    ):
        TextRegressor("tiny-bert", **FAST).fit(TEXTS, [1e200, -1e200] * 6)


# -- a class of which nothing is left --------------------------------------------------


def test_a_class_whose_rows_all_dropped_out_is_an_error():
    broken = [b"broken" if i % 2 else pixels for i, pixels in enumerate(PIXELS)]
    model = ImageClassifier("tiny-cnn", on_error="prior", missing="prior", **FAST)
    line = r"no row of the class \['a'\] can be read"
    with (
        pytest.warns(UserWarning, match="leaves out 6 of 12"),
        pytest.raises(ValueError, match=line),
    ):
        model.fit(broken, STRINGS)
    empty = [None if i % 2 else text for i, text in enumerate(TEXTS)]
    model = TextClassifier("tiny-bert", missing="prior", **FAST)
    with (
        pytest.warns(UserWarning, match="leaves out 6 of 12"),
        pytest.raises(ValueError, match=line),
    ):
        model.fit(empty, STRINGS)


def test_a_class_that_groups_set_aside_is_an_error():
    labels = ["a"] * 8 + ["b"] * 2 + ["c"] * 2
    groups = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9]
    model = TextClassifier("tiny-bert", early_stopping=EarlyStopping(0.2), **FAST)
    messages = []
    for seed in range(20):
        try:
            model.set_params(random_state=seed).fit(TEXTS, labels, groups=groups)
        except ValueError as err:
            messages.append(str(err))
    assert messages
    assert all("is left to train on after others were set aside" in m for m in messages)


# -- groups and descriptions -----------------------------------------------------------


@pytest.mark.parametrize("null", [None, np.nan, pd.NA], ids=str)
def test_a_missing_group_is_named(null):
    groups = ["g", "h", null] * 4
    early = TextClassifier("tiny-bert", early_stopping=True, **FAST)
    for call in (
        lambda: early.fit(TEXTS, STRINGS, groups=groups),
        lambda: TargetAwareEncoder(LogisticRegression(), cv=2).fit_transform(
            VECTORS, STRINGS, groups=groups
        ),
        lambda: rank_backbones(TEXTS, STRINGS, ["tiny-bert"], groups=groups),
        lambda: label_efficiency_curve(
            DummyClassifier(), VECTORS, STRINGS, groups=groups, cv=2
        ),
    ):
        with pytest.raises(ValueError, match="groups has a missing value at row 2"):
            call()


def test_groups_of_several_types_can_be_compared():
    assert list(check_groups(["a", 1, "a"], 3, "f")) == ["a", "1", "a"]
    assert check_groups(pd.array([1, 2], dtype="Int64"), 2, "f").dtype.kind == "i"
    with pytest.raises(ValueError, match="inconsistent"):
        check_groups([1], 2, "f")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"a": None, "b": "x"}, "needs a prompt or a list of prompts"),
        ({"a": 3, "b": "x"}, "needs a prompt or a list of prompts"),
        ([("a", "b"), ("c", "d")], "must be strings, numbers or bools"),
        (["a", None], "must be strings, numbers or bools"),
        ({None: "x", "b": "y"}, "must be strings, numbers or bools"),
    ],
)
def test_descriptions_that_are_none_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        ZeroShotClassifier(classes).fit(TEXTS)


def test_rows_are_named_by_their_number_in_X():
    with pytest.raises(ValueError, match=r"at row 7 \(1 such row\)"):
        read_labels([None] * 7 + [None, "a"], 9, "f", rows=[7, 8])
    assert list(read_labels([None, "a", 3, "b"], 4, "f", rows=[1, 3])) == ["a", "b"]


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 0],
        pd.Series([0, 1, 0], dtype=object),
        [decimal.Decimal(0), decimal.Decimal(1), decimal.Decimal(0)],
        pd.array([0, 1, 0], dtype="Int64"),
        pl.Series([0, 1, 0]),
        pa.array([0, 1, 0]),
    ],
    ids=lambda y: type(y).__name__,
)
def test_score_takes_labels_as_fit_does(y):
    model = DomainAdaptationClassifier(adapter=None).fit(
        np.c_[np.arange(8) % 2], np.arange(8) % 2, sample_domain=[1] * 6 + [-1] * 2
    )
    assert model.score(np.c_[[0.0, 1.0, 1.0]], y) == pytest.approx(2 / 3)


def test_score_refuses_a_missing_label():
    text = TextClassifier("tiny-bert", freeze_depth="all", max_epochs=1, random_state=0)
    text.fit(TEXTS, [0, 1] * (len(TEXTS) // 2))
    y = pd.Series([0, 1] * (len(TEXTS) // 2), dtype=object)
    assert text.score(TEXTS, y) == text.score(TEXTS, y.to_numpy(int))
    with pytest.raises(ValueError, match="NaN, None or infinity at row 0"):
        text.score(TEXTS, [None, *y[1:]])
