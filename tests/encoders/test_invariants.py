"""What holds for every public estimator, beside tests/estimator_checks/test_run.py."""

import inspect
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator

import sktransfer
from sktransfer import (
    ImageEncoder,
    TextEncoder,
    load_backbone,
    register_backbone,
    unload_backbones,
)
from sktransfer.encoders._base import BaseEncoder

ENCODERS = [ImageEncoder, TextEncoder]
ESTIMATORS = [
    value
    for value in (getattr(sktransfer, name) for name in sktransfer.__all__)
    if inspect.isclass(value) and issubclass(value, BaseEstimator)
]
TOY = {ImageEncoder: "tiny-cnn", TextEncoder: "tiny-bert"}


def rows_for(cls, n=30):
    """Rows of two classes that the toys can tell apart, and their labels."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    if cls is TextEncoder:
        words = np.array([["good", "fine", "nice"], ["bad", "poor", "awful"]])
        return [
            " ".join(rng.choice(words[k], size=4)) + f" {i}" for i, k in enumerate(y)
        ], y
    noise = rng.integers(0, 100, size=(n, 32, 32, 3))
    return list((noise + 120 * y[:, None, None, None]).astype(np.uint8)), y


@pytest.fixture(params=ENCODERS, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


def test_every_public_encoder_is_tested_here():
    assert [cls for cls in ESTIMATORS if issubclass(cls, BaseEncoder)] == ENCODERS


def test_nothing_heavy_is_imported_by_making_and_unpickling(cls, tmp_path):
    X, _ = rows_for(cls)
    fitted = cls(TOY[cls]).fit(X)
    path = tmp_path / "encoder.pickle"
    path.write_bytes(pickle.dumps(fitted))
    code = (
        f"import pickle, sys; from sktransfer import {cls.__name__}; "
        f"encoder = pickle.load(open({str(path)!r}, 'rb')); repr({cls.__name__}()); "
        "encoder._repr_html_(); encoder.get_feature_names_out(); "
        "assert not {'torch', 'timm', 'transformers', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pickles_are_small_and_compute_the_same(cls):
    X, _ = rows_for(cls)
    encoder = cls(TOY[cls])
    assert len(pickle.dumps(encoder)) < 2000
    want = encoder.fit_transform(X)
    data = pickle.dumps(encoder)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(X), want)


def test_pickles_of_bundled_networks_are_small(cls, bundled_weights):
    X, _ = rows_for(cls, n=4)
    assert len(pickle.dumps(cls().fit(X))) < 2000


def test_an_encoder_that_holds_a_backbone_carries_its_weights_once(cls):
    X, _ = rows_for(cls)
    backbone = load_backbone(TOY[cls])
    encoder = cls(backbone).fit(X)
    assert len(pickle.dumps(encoder)) < 1.1 * len(pickle.dumps(backbone)) + 2000
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(encoder)).transform(X), encoder.transform(X)
    )
    assert clone(encoder).backbone is backbone


def test_a_refit_equals_a_fresh_fit(cls):
    X, _ = rows_for(cls)
    other = X[::-1][:7] + [None]
    encoder = cls(TOY[cls], missing="mean").fit(other)
    encoder.fit(X)
    fresh = clone(encoder).fit(X)
    assert vars(encoder).keys() == vars(fresh).keys()
    np.testing.assert_array_equal(encoder.fill_values_, fresh.fill_values_)
    np.testing.assert_array_equal(encoder.missing_rows_, fresh.missing_rows_)
    encoder.set_params(missing="zero").fit(X)
    assert not hasattr(encoder, "fill_values_")


def test_a_clone_of_a_fitted_encoder_is_not_fitted(cls):
    X, _ = rows_for(cls)
    fitted = cls(TOY[cls], missing="mean").fit(X)
    with pytest.raises(NotFittedError):
        clone(fitted).transform(X)
    with pytest.raises(NotFittedError):
        clone(fitted).get_feature_names_out()


def test_what_needs_no_fit_transforms_without(cls):
    X, _ = rows_for(cls)
    np.testing.assert_array_equal(
        cls(TOY[cls]).transform(X), cls(TOY[cls]).fit(X).transform(X)
    )


def test_transform_leaves_the_encoder_and_the_rows_as_they_are(cls):
    X, _ = rows_for(cls)
    X = np.array([*X, None], dtype=object) if cls is TextEncoder else X
    encoder = cls(TOY[cls], missing="zero").fit(X)
    before = joblib.hash(vars(encoder)), joblib.hash(X)
    encoder.transform(X)
    assert (joblib.hash(vars(encoder)), joblib.hash(X)) == before


def test_a_grid_loads_once_and_runs_each_row_once(cls, counting_backbone):
    backbone, counter = counting_backbone(TOY[cls])
    loads = []

    def build(spec):
        loads.append(spec)
        return backbone

    modality = backbone.modality
    register_backbone("counted", build, modality=modality)
    X, y = rows_for(cls, n=40)
    grid = GridSearchCV(
        make_pipeline(cls("counted"), PCA(3), LogisticRegression()),
        {
            f"{cls.__name__.lower()}__depth": ["all", -1, 1],
            "pca__n_components": [2, 3],
            "logisticregression__C": [0.1, 1],
        },
        cv=4,
    ).fit(X, y)
    grid.predict(X)
    assert len(loads) == 1
    assert counter.rows == len(X)
    assert grid.best_score_ > 0.6


def test_a_grid_over_backbone_and_pooling_runs(cls):
    X, y = rows_for(cls)
    name = cls.__name__.lower()
    grid = GridSearchCV(
        make_pipeline(cls(TOY[cls]), LogisticRegression()),
        {
            f"{name}__backbone": [
                TOY[cls],
                sktransfer.BackboneSpec(TOY[cls], random_state=1),
            ],
            f"{name}__pooling": ["mean", "max"],
        },
        cv=3,
    ).fit(X, y)
    scores = grid.cv_results_["mean_test_score"]
    assert len(scores) == 4
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("frames", [pd, pl], ids=lambda m: m.__name__)
def test_frames_in_frames_out_with_names(cls, frames):
    X, _ = rows_for(cls, n=5)
    kind = frames.__name__
    encoder = cls(TOY[cls], add_indicator=True).set_output(transform=kind)
    column = pd.Series(X, name="col", index=list("abcde"), dtype=object)
    if frames is pl:
        column = pl.Series("col", X, dtype=None if cls is TextEncoder else pl.Object)
    out = encoder.fit_transform(column)
    width = load_backbone(TOY[cls]).widths[-1]
    names = [f"col_{i}" for i in range(width)] + ["missingindicator_col"]
    assert list(out.columns) == names
    if frames is pd:
        assert list(out.index) == list("abcde")
        assert (out.dtypes == np.float32).all()
    else:
        assert set(out.dtypes) == {pl.Float32}


def test_without_a_name_columns_are_named_as_sklearn_does(cls):
    X, _ = rows_for(cls, n=3)
    names = cls(TOY[cls]).fit(X).get_feature_names_out()
    assert names[0] == f"{cls.__name__.lower()}0"
    with pytest.raises(ValueError, match="length 1, got 2"):
        cls(TOY[cls]).fit(X).get_feature_names_out(["a", "b"])


def test_a_feature_union_puts_depths_side_by_side(cls, counting_backbone):
    backbone, counter = counting_backbone(TOY[cls])
    X, _ = rows_for(cls)
    union = FeatureUnion([("deep", cls(backbone)), ("shallow", cls(backbone, depth=1))])
    assert union.fit_transform(X).shape == (
        30,
        backbone.widths[-1] + backbone.widths[0],
    )
    assert counter.rows == 30


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("pooling", "average"),
        ("missing", "ignore"),
        ("normalize", "yes"),
        ("batch_size", 0),
        ("precision", "float64"),
        ("verbose", "loud"),
        ("add_indicator", None),
    ],
)
def test_wrong_parameters_are_refused_at_fit(cls, parameter, value):
    X, _ = rows_for(cls, n=3)
    with pytest.raises(InvalidParameterError, match=parameter):
        cls(TOY[cls], **{parameter: value}).fit(X)


def test_unknown_devices_are_refused(cls):
    X, _ = rows_for(cls, n=3)
    with pytest.raises(ValueError, match="device='tpu9' is not a device"):
        cls(TOY[cls], device="tpu9").fit(X)
    for device in ("cuda:77", "meta"):
        with pytest.raises(ValueError, match=f"device='{device}' is not available"):
            cls(TOY[cls], device=device).fit(X)


@pytest.mark.parametrize(
    "X", [[], np.array([], dtype=object), pd.Series([], dtype=object)]
)
def test_no_rows_are_refused(cls, X):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        cls(TOY[cls]).fit(X)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        cls(TOY[cls]).transform(X)


def test_a_progress_bar_is_drawn_on_request(cls, capsys):
    X, _ = rows_for(cls)
    cls(TOY[cls]).fit_transform(X)
    assert capsys.readouterr().err == ""
    cls(TOY[cls], verbose=1).fit_transform([*X, X[0]])
    assert "31/31" in capsys.readouterr().err


def test_the_first_load_of_a_network_is_said_on_request(cls, capsys):
    X, _ = rows_for(cls)
    unload_backbones(TOY[cls])
    cls(TOY[cls]).fit(X)
    unload_backbones(TOY[cls])
    assert capsys.readouterr().err == ""
    encoder = cls(TOY[cls], verbose=1).fit(X)
    said = f"{cls.__name__}: loading {TOY[cls]}\n"
    assert capsys.readouterr().err == said
    encoder.fit(X)  # it is loaded
    cls(load_backbone(TOY[cls]), verbose=1).fit(X)
    assert capsys.readouterr().err == ""


# scikit-learn has one check for what takes no 2-D input, and warns of the others.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_sklearn_accepts_the_estimator(cls):
    check_estimator(cls(TOY[cls]))


@pytest.mark.filterwarnings("ignore::UserWarning")  # loky warns of short tasks
def test_joblib_workers_compute_the_same(cls, tmp_path):
    X, y = rows_for(cls)
    model = make_pipeline(cls(TOY[cls], cache=tmp_path), LogisticRegression())
    want = cross_val_score(model, X, y, cv=3)
    np.testing.assert_array_equal(cross_val_score(model, X, y, cv=3, n_jobs=2), want)


@pytest.mark.parametrize("cls", ENCODERS)
def test_a_frame_has_to_have_the_column_that_fit_saw(cls):
    rows, _ = rows_for(cls, n=4)
    frame = pd.DataFrame({"a": pd.Series(list(rows), dtype=object)})
    other = frame.rename(columns={"a": "b"})
    encoder = cls(TOY[cls]).fit(frame)
    assert encoder.feature_names_in_.tolist() == ["a"]
    want = encoder.transform(frame)
    with pytest.raises(
        ValueError, match=r"column 'a', and got one with the column 'b'"
    ):
        encoder.transform(other)
    for same in (other["b"], list(rows)):
        np.testing.assert_array_equal(encoder.transform(same), want)
    assert encoder.fit(other).feature_names_in_.tolist() == ["b"]
    assert not hasattr(encoder.fit(list(rows)), "feature_names_in_")


def test_a_fine_tuned_network_wants_the_column_that_fit_saw():
    frame = pd.DataFrame({"a": ["good", "bad"] * 3})
    model = sktransfer.TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    model.fit(frame, [1, 0] * 3)
    with pytest.raises(ValueError, match="'a', and got one with the column 'b'"):
        model.predict(frame.rename(columns={"a": "b"}))


def test_parameters_set_after_fit_wait_for_the_next_fit(cls):
    X, _ = rows_for(cls, n=6)
    encoder = cls(TOY[cls], pooling="mean").fit(X).set_output(transform="pandas")
    want = encoder.transform(X)
    encoder.set_params(depth=-1, pooling="max", add_indicator=True)
    pd.testing.assert_frame_equal(encoder.transform(X), want)
    assert list(encoder.get_feature_names_out()) == list(want.columns)
    again = encoder.fit(X).transform(X)
    assert again.shape[1] == encoder.n_features_out_ == len(again.columns)
    assert again.columns[-1].startswith("missingindicator")
    fresh = cls(TOY[cls], depth=-1, pooling="max", add_indicator=True)
    np.testing.assert_array_equal(again, fresh.fit(X).transform(X))


def test_another_network_after_fit_is_refused(cls):
    X, _ = rows_for(cls, n=3)
    encoder = cls(TOY[cls]).fit(X)
    other = sktransfer.BackboneSpec(TOY[cls], pretrained=False, random_state=5)
    with pytest.raises(ValueError, match="fitted with another network.*Fit again"):
        encoder.set_params(backbone=other).transform(X)
    assert encoder.fit(X).transform(X).shape == (3, encoder.n_features_out_)


def test_a_mean_that_was_not_learned_is_no_fit(cls):
    X, _ = rows_for(cls, n=3)
    encoder = cls(TOY[cls], missing="zero").fit(X).set_params(missing="mean")
    with pytest.raises(NotFittedError):
        encoder.transform([X[0], None])


def test_names_of_another_column_are_refused(cls):
    X, _ = rows_for(cls, n=3)
    series = pd.Series(list(X), name="mail", dtype=object)
    encoder = cls(TOY[cls]).fit(series.to_frame())
    assert encoder.get_feature_names_out(["mail"])[0] == "mail_0"
    with pytest.raises(ValueError, match="input_features is not equal to feature_na"):
        encoder.get_feature_names_out(["other"])
    # A Series says what a column is called, and no name that has to stay.
    assert encoder.fit(series).get_feature_names_out(["other"])[0] == "other_0"


@pytest.mark.parametrize("missing", ["raise", "mean", "zero"])
def test_tags_say_whether_missing_rows_are_taken(cls, missing):
    tags = get_tags(cls(TOY[cls], missing=missing))
    assert tags.input_tags.allow_nan is (missing != "raise")
