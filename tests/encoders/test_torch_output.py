"""Tensors as output, and searches over them that stay on their device."""

import io
import pickle
import sys

import array_api_strict
import numpy as np
import pandas as pd
import pytest
import sklearn
import skrub  # noqa: F401  (which imports polars, which changes the environment)
import torch
from conftest import REPOSITORY
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils.fixes import parse_version

from sktransfer import (
    ImageEncoder,
    TableEncoder,
    TargetAwareEncoder,
    TextEncoder,
    ZeroShotClassifier,
    load,
    save,
)
from sktransfer._utils import torch_output
from sktransfer._utils.devices import resolve_device
from sktransfer.domain_adaptation import (
    CORALAdapter,
    DomainAdaptationClassifier,
    domain_shift,
)
from sktransfer.exceptions import SaveError
from sktransfer.model_selection import rank_backbones

sys.path.insert(0, str(REPOSITORY))
from benchmarks._copies import (
    COEFFICIENTS,
    NUMBERS,
    ROWS,
    VALUES,
    CopiesToHost,
    by_kind,
)

sys.path.remove(str(REPOSITORY))

N_ROWS, N_FOLDS = 300, 5
C = "logisticregression__C"
GRID = {C: [0.01, 0.1, 1.0, 10.0]}
# LogisticRegression on tensors; tensors themselves need no such version.
needs_dispatch = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="scikit-learn before 1.9 has no LogisticRegression on tensors",
)


on_a_device = pytest.mark.skipif(
    "resolve_device('auto').type == 'cpu'",
    reason="on a CPU there are no copies; tests/test_card.py pretends a device",
)


@pytest.fixture
def dispatch(monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.fixture(scope="module")
def images():
    """Images of three classes, with labels of which one in five is wrong."""
    rng = np.random.default_rng(0)
    y = np.arange(N_ROWS) % 3
    X = rng.integers(0, 120, size=(N_ROWS, 24, 24, 3))
    X[np.arange(N_ROWS), :, :, y] += 30
    is_wrong = rng.random(N_ROWS) < 0.2
    y[is_wrong] = rng.integers(3, size=is_wrong.sum())
    return list(X.astype(np.uint8)), np.array(["cat", "dog", "emu"])[y]


@pytest.fixture
def frame(images):
    X, y = images
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "photo": X[:40],
            "review": [f"a {name} of size {i}" for i, name in enumerate(y[:40])],
            "price": rng.normal(size=40),
            "count": rng.integers(5, size=40),
            "color": list("rgbw") * 10,
        }
    )


def encoder(**params):
    return ImageEncoder("tiny-cnn", **params)


def tensors(transformer):
    return clone(transformer).set_output(transform="torch")


def device():
    return resolve_device("auto")


def assert_equal(tensor, array):
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.from_numpy(array[:1].copy()).dtype
    np.testing.assert_array_equal(tensor.cpu().numpy(), array)


def model(first=None):
    steps = [StandardScaler(), PCA(8), LogisticRegression()]
    return make_pipeline(*steps) if first is None else make_pipeline(first, *steps)


def searched(estimator, X, y):
    search = GridSearchCV(estimator, GRID, cv=N_FOLDS, error_score="raise")
    return search.fit(X, y)


def assert_same_search(search, want):
    scores, wanted = (s.cv_results_["mean_test_score"] for s in (search, want))
    np.testing.assert_allclose(scores, wanted, atol=0.005)
    assert wanted[search.best_index_] == wanted.max()


# -- what comes out --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"), [(ImageEncoder, "tiny-cnn"), (TextEncoder, "tiny-bert")]
)
def test_the_same_numbers_come_as_a_tensor_on_the_encoder_s_device(kind, name, frame):
    column = frame["photo" if kind is ImageEncoder else "review"]
    want = kind(name).fit_transform(column)
    for out in (
        tensors(kind(name)).fit_transform(column),
        tensors(kind(name)).transform(column),  # without fit, and so without names
    ):
        assert out.device == device()
        assert_equal(out, want)
    assert tensors(kind(name, device="cpu")).transform(column).device.type == "cpu"


@pytest.mark.parametrize("policy", ["mean", "nan", "zero"])
def test_policies_and_the_indicator_are_in_the_tensor(policy, images):
    X = [*images[0][:4], None, b"no image"]
    params = {"missing": policy, "on_error": "zero", "add_indicator": True}
    with pytest.warns(UserWarning, match="cannot be read"):
        want = encoder(normalize=True, **params).fit_transform(X)
    with pytest.warns(UserWarning, match="cannot be read"):
        got = tensors(encoder(normalize=True, **params)).fit_transform(X)
    assert_equal(got, want)


def test_unions_and_column_transformers_join_tensors_under_their_names(frame):
    # The pandas frame's numbers are on the CPU, whatever the encoders' device.
    columns = make_column_transformer(
        (encoder(), "photo"),
        (TextEncoder("tiny-bert"), ["review"]),
        (StandardScaler(), ["price"]),
        (OneHotEncoder(sparse_output=False), ["color"]),
        ("passthrough", ["count"]),
        verbose_feature_names_out=False,
    )
    union = make_union(encoder(), encoder(depth=-1, pooling="max"))
    for transformer, X in ((columns, frame), (union, frame["photo"])):
        got = tensors(transformer)
        assert_equal(got.fit_transform(X), clone(transformer).fit_transform(X))
        out = got.transform(X)
        assert out.device == device()
        assert out.columns == list(got.get_feature_names_out())


def test_a_table_comes_where_its_encoders_are(frame):
    table = TableEncoder(encoder(), TextEncoder("tiny-bert"), n_components=3)
    got = tensors(table)
    assert_equal(got.fit_transform(frame), clone(table).fit_transform(frame))
    assert_equal(got.transform(frame), table.fit(frame).transform(frame))
    assert got.transform(frame).device == device()
    numbers = tensors(table).fit_transform(frame[["price", "color"]])
    assert numbers.device.type == "cpu"  # no encoder says otherwise


@needs_dispatch
def test_models_of_tensors_may_stand_inside_a_target_aware_encoder(images, dispatch):
    X, y = images
    whole = TargetAwareEncoder(
        model(tensors(encoder())), cv=2, frozen=tensors(encoder()), random_state=0
    )
    plain = TargetAwareEncoder(model(encoder()), cv=2, frozen=encoder(), random_state=0)
    got, want = tensors(whole).fit(X, y), plain.fit(X, y)
    out = got.transform(X)
    assert out.device == device()
    np.testing.assert_allclose(out.cpu().numpy(), want.transform(X), atol=1e-3)
    assert tensors(whole).fit_transform(X, y).device == device()


def test_a_column_that_is_no_numbers_is_named(frame):
    columns = make_column_transformer((encoder(), "photo"), ("passthrough", ["color"]))
    with pytest.raises(ValueError, match="column 'color' holds 'r' \\(str\\)"):
        tensors(columns).fit_transform(frame)
    days = pd.DataFrame({"day": pd.to_datetime(["2020-01-01"])})
    passed = FunctionTransformer(feature_names_out="one-to-one")
    with pytest.raises(ValueError, match="column 'day' holds"):
        tensors(passed).fit_transform(days)


def test_frames_of_mixed_numbers_and_odd_memory_become_tensors():
    passed = tensors(FunctionTransformer(feature_names_out="one-to-one"))
    mixed = pd.DataFrame({"a": [1.5, 2.5], "b": [True, False]})
    assert_equal(passed.fit_transform(mixed), np.array([[1.5, 1], [2.5, 0]]))
    locked = np.arange(6.0).reshape(3, 2)
    locked.flags.writeable = False
    for array in (locked, np.arange(6.0).reshape(3, 2)[::-1], locked.astype(">f8")):
        assert_equal(passed.fit_transform(array), np.array(array, dtype="<f8"))


def test_a_fault_in_the_names_is_an_error():
    class Faulty(FunctionTransformer):
        def get_feature_names_out(self, input_features=None):
            return self.no_such_names_

    with pytest.raises(AttributeError, match="no_such_names_"):
        tensors(Faulty()).fit_transform(np.zeros((2, 1)))


def test_an_accelerator_without_float64_gets_float32(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    mps = torch.device("mps")
    assert torch_output._on_device(torch.zeros(2).double(), mps).dtype == torch.float32
    assert torch_output._on_device(torch.zeros(2).int(), mps).dtype == torch.int32


# -- whom it concerns ------------------------------------------------------------------


def test_other_transformers_are_as_before():
    X = np.arange(6.0).reshape(3, 2)
    assert type(StandardScaler().fit_transform(X)) is np.ndarray
    framed = StandardScaler().set_output(transform="pandas").fit_transform(X)
    assert isinstance(framed, pd.DataFrame)
    with pytest.raises(ValueError, match="output config must be in"):
        StandardScaler().set_output(transform="tensor").fit_transform(X)


def test_the_global_setting_gives_tensors_where_the_numbers_are(frame):
    X = np.arange(6.0).reshape(3, 2)
    with sklearn.config_context(transform_output="torch"):
        assert StandardScaler().fit_transform(X).device.type == "cpu"
        assert encoder().fit_transform(frame["photo"]).device == device()
        table = TableEncoder(encoder(), TextEncoder("tiny-bert"), rest="skrub")
        assert table.fit(frame).transform(frame).device == device()
        # What takes features for itself goes on with arrays.
        ranked = rank_backbones(frame["review"], frame["color"], ["tiny-bert"])
        assert np.isfinite(ranked[0]["score"])
        named = ZeroShotClassifier(["red", "blue"], TextEncoder("tiny-bert")).fit()
        assert list(named.predict(["red", "blue"])) == ["red", "blue"]


def test_a_tensor_that_passes_through_stays_the_caller_s():
    given = torch.zeros(3, 2)
    passed = tensors(FunctionTransformer(feature_names_out="one-to-one"))
    out = passed.fit(given).transform(given)
    assert out.columns == ["x0", "x1"]
    assert not hasattr(given, "columns")


def test_the_setting_and_its_tensors_travel(images, tmp_path):
    fitted = tensors(encoder(device="cpu")).fit(images[0])
    want = fitted.transform(images[0][:3])
    save(fitted, tmp_path / "saved")
    for other in (pickle.loads(pickle.dumps(fitted)), load(tmp_path / "saved")):
        assert torch.equal(other.transform(images[0][:3]), want)
    buffer = io.BytesIO()
    torch.save(want, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer), want)


def test_adapters_of_domains_take_tensors_and_put_theirs_beside_them(images):
    X = tensors(encoder()).fit_transform(images[0])
    domain = np.where(np.arange(N_ROWS) < 150, 1, -1)
    want = CORALAdapter().fit_transform(X.cpu().numpy(), sample_domain=domain)
    got = tensors(CORALAdapter()).fit_transform(X, sample_domain=domain)
    assert got.device == device()
    assert_equal(got, want)
    classifier = DomainAdaptationClassifier().fit(X, images[1], sample_domain=domain)
    assert set(classifier.predict(X)) <= set(images[1])
    names = {row["feature"] for row in domain_shift(X, sample_domain=domain)}
    assert names == set(X.columns)


# -- searches --------------------------------------------------------------------------


@needs_dispatch
def test_scikit_learn_says_which_variable_is_missing(monkeypatch):
    monkeypatch.delenv("SCIPY_ARRAY_API", raising=False)
    with pytest.raises(RuntimeError, match="SCIPY_ARRAY_API=1"):
        with sklearn.config_context(array_api_dispatch=True):
            pass


@needs_dispatch
@pytest.mark.parametrize("kind", [str, object, int], ids=lambda kind: kind.__name__)
def test_a_search_over_tensors_scores_as_over_arrays(kind, images, dispatch):
    X, y = images
    y = np.unique(y, return_inverse=True)[1] if kind is int else y.astype(kind)
    want = searched(model(), encoder().fit_transform(X), y)
    features = tensors(encoder()).fit_transform(X)
    search = searched(model(), features, y)
    assert_same_search(search, want)
    assert search.best_estimator_[-1].coef_.device == device()
    predicted = search.predict(features)
    if kind is int:
        assert predicted.device == device()
        predicted = predicted.cpu().numpy()
    np.testing.assert_array_equal(predicted, want.predict(encoder().fit_transform(X)))


@needs_dispatch
def test_a_search_may_have_the_encoder_inside(images, dispatch):
    X, y = images
    want = searched(model(encoder()), X, y)
    assert_same_search(searched(model(tensors(encoder())), X, pd.Series(y)), want)
    whole = model(encoder()).set_output(transform="torch")
    assert_same_search(searched(whole, X, y), want)


@needs_dispatch
def test_a_search_needs_nothing_of_torch_but_the_standard(images, dispatch):
    from sklearn.utils._array_api import move_to

    X, y = images
    features = encoder().fit_transform(X)
    strict = array_api_strict.Device("device1")
    moved = move_to(features, xp=array_api_strict, device=strict)
    want = searched(model(), features, y)
    with np.errstate(invalid="ignore"):  # columns of zeros, of which NumPy's are silent
        assert_same_search(searched(model(), moved, y), want)


@on_a_device
def test_every_way_back_to_the_host_is_counted(images):
    features = tensors(encoder()).fit_transform(images[0])
    with CopiesToHost() as copies:
        features.cpu()
        torch.empty(features.shape).copy_(features)
        features[:, 0].to("cpu")
        features[0, 0].item()
        features.to(device())
    counts = by_kind(copies.shapes, n_rows=N_ROWS)
    assert counts == {ROWS: 2, VALUES: 1, COEFFICIENTS: 0, NUMBERS: 1}


@needs_dispatch
@on_a_device
@pytest.mark.parametrize("where", ["before", "inside"])
def test_no_features_come_back_to_the_host(where, images, dispatch):
    X, y = images
    first = tensors(encoder())
    estimator = model(first if where == "inside" else None)
    X = first.fit_transform(X) if where == "before" else X
    if where == "inside":
        first.transform(X)  # what runs through the network has to come back, once
    with CopiesToHost() as copies:
        searched(estimator, X, y)
    counts = by_kind(copies.shapes, n_rows=N_ROWS // N_FOLDS)
    assert counts.pop(ROWS) == 0
    assert min(counts.values()) > 0  # L-BFGS is SciPy's, and labels are strings


@needs_dispatch
def test_what_was_learnt_from_tensors_is_saved_after_a_move(images, dispatch, tmp_path):
    from sklearn.utils._array_api import move_estimator_to

    X, y = images
    fitted = model(tensors(encoder())).fit(X, y)
    with pytest.raises(SaveError, match="move_estimator_to"):
        save(fitted, tmp_path / "saved")
    moved = move_estimator_to(fitted, np, "cpu").set_output(transform="default")
    save(moved, tmp_path / "saved")
    with sklearn.config_context(array_api_dispatch=False):
        got = load(tmp_path / "saved").predict_proba(X)
    want = fitted.predict_proba(X).cpu().numpy()
    np.testing.assert_allclose(got, want, atol=1e-5)
