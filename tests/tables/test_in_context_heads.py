"""What TabPFN and TabICL are given behind an encoder.

Their trained weights come from a hub. A stand-in with their signature checks what it is
given, and where the packages are installed their own code runs over random weights.
"""

import inspect
import random
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import REPOSITORY, encoded
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, TableEncoder, TextEncoder, load, save
from sktransfer.exceptions import SaveError

N = 120
PAGE = REPOSITORY / "docs" / "guide" / "in_context_heads.md"
Y = np.array(["keep", "return"] * (N // 2))
PACKAGES = ["tabicl", "tabpfn"]


def content():
    rng = np.random.default_rng(0)
    return {
        "photo": [encoded(one) for one in rng.integers(0, 256, (N, 9, 9, 3), np.uint8)],
        "review": [f"thing number {i} is so so" if i % 7 else None for i in range(N)],
        "color": [["red", "green", "blue", None][i % 4] for i in range(N)],
        "size": pd.Categorical([str(30 + i % 9) for i in range(N)]),
        "price": [1.5 * i if i % 5 else None for i in range(N)],
        "is_new": [bool(i % 3) for i in range(N)],
        "sold": pd.date_range("2024-01-01", periods=N, freq="9D"),
    }


@pytest.fixture
def table():
    return pd.DataFrame(content(), index=range(1000, 1000 + N))


def encoder(**params):
    params = {"n_components": 4, "categorical": "passthrough", **params}
    return TableEncoder(
        ImageEncoder("tiny-cnn", missing="mean"), TextEncoder("tiny-bert"), **params
    )


class InContext(ClassifierMixin, BaseEstimator):
    """Reads its training rows when it predicts, and refuses what the real ones do.

    TabPFN's limits are those of the weights of version 2, which has the lowest.
    """

    def __init__(self, max_rows=10_000, max_features=500, max_classes=10):
        self.max_rows, self.max_features = max_rows, max_features
        self.max_classes = max_classes

    def fit(self, X, y):
        self.X_, self.y_ = self._codes(X, True), np.asarray(y)
        self.classes_ = np.unique(self.y_)
        if len(self.X_) > self.max_rows or self.X_.shape[1] > self.max_features:
            raise ValueError(f"{self.X_.shape} is more than the weights allow")
        if len(self.classes_) > self.max_classes:
            raise ValueError(f"{len(self.classes_)} classes")
        return self

    def predict_proba(self, X):
        codes = np.nan_to_num(self._codes(X, False), nan=-1.0)
        known = np.nan_to_num(self.X_, nan=-1.0)
        near = [np.abs(known - row).sum(axis=1).argmin() for row in codes]
        return (self.y_[near][:, None] == self.classes_).astype(float)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _codes(self, X, is_fit):
        assert isinstance(X, (pd.DataFrame, np.ndarray)), type(X)
        assert X.ndim == 2
        if isinstance(X, np.ndarray):
            assert X.dtype in (np.float32, np.float64)
            assert not np.isinf(X).any()
            return X.astype(float)
        assert X.columns.is_unique
        assert all(isinstance(name, str) for name in X.columns)
        types = dict(X.dtypes)
        if is_fit:
            self.dtypes_ = types
        assert types == self.dtypes_  # categories among them
        columns = []
        for name, dtype in types.items():
            if isinstance(dtype, pd.CategoricalDtype):
                assert all(isinstance(category, str) for category in dtype.categories)
                codes = X[name].cat.codes.to_numpy().astype(float)
                columns.append(np.where(codes < 0, np.nan, codes))
            else:
                assert dtype == np.float64, (name, dtype)
                columns.append(X[name].to_numpy())
                assert not np.isinf(columns[-1]).any()
        return np.column_stack(columns)


def test_categories_stay_categories_and_numbers_are_as_they_were(table):
    out = encoder().fit_transform(table)
    kept = {n for n, t in out.dtypes.items() if isinstance(t, pd.CategoricalDtype)}
    assert kept == {"color", "size"}
    assert out["color"].isna().equals(table["color"].isna())
    there = table["color"].notna()
    assert (out["color"][there].astype(str) == table["color"][there]).all()
    np.testing.assert_array_equal(out["price"], table["price"])  # neither scaled
    assert out["price"].isna().sum() == N // 5  # nor imputed
    np.testing.assert_array_equal(out["is_new"], table["is_new"].astype(float))
    assert [n for n in out if n.startswith("photo_")] == [
        f"photo_{i}" for i in range(4)
    ]
    assert {"review_3", "review_missing", "sold_days", "sold_month"} <= set(out)
    assert out.index.equals(table.index)
    others = out.drop(columns=["price", "color"])
    assert not others.isna().to_numpy().any()


def test_new_categories_and_single_rows_have_the_types_of_fit(table):
    model = make_pipeline(encoder(), InContext()).fit(table, Y)
    new = table[:3].assign(color=["pink", None, "red"], size=["30", "99", None])
    out = model[:-1].transform(new)
    assert out["color"].isna().tolist() == [True, True, False]
    assert out["size"].isna().tolist() == [False, True, True]
    assert len(model.predict_proba(new)) == 3
    for row in range(3):
        one = new.iloc[row : row + 1]
        pd.testing.assert_frame_equal(model[:-1].transform(one), out[row : row + 1])
        assert model.predict(one).shape == (1,)


def test_a_search_and_folds_with_the_head(table):
    model = make_pipeline(encoder(), InContext())
    assert cross_val_predict(model, table, Y, cv=3).shape == (N,)
    sizes = [2, None, {"photo": 3, "review": 5}]
    search = GridSearchCV(
        model, {"tableencoder__n_components": sizes}, cv=2, error_score="raise"
    ).fit(table, Y)
    assert len(search.cv_results_["params"]) == 3


def test_sizes_of_principal_components_by_column(table):
    def widths(**params):
        names = encoder(**params).fit(table).get_feature_names_out()
        return [
            sum(bool(re.fullmatch(rf"{column}_\d+", name)) for name in names)
            for column in ("photo", "review")
        ]

    tiny = [
        ImageEncoder("tiny-cnn").fit_transform([content()["photo"][0]]).shape[1],
        TextEncoder("tiny-bert").fit_transform(["a"]).shape[1],
    ]
    assert widths(n_components={"photo": 3, "review": 5}) == [3, 5]
    assert widths(n_components={"photo": None, "review": 5}) == [tiny[0], 5]
    assert widths(n_components={"photo": 2}) == [2, min(30, tiny[1])]
    assert widths(n_components={"photo": 2}, kinds={"photo": "drop"})[0] == 0
    for wrong, message in (
        ({"price": 3}, "'price', which is numeric"),
        ({"nowhere": 3}, "'nowhere', which is no column"),
        ({"photo": 0}, "'photo': 0.*at least 1"),
        ({"photo": True}, "'photo': True"),
        ({"photo": "30"}, "'photo': '30'"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder(n_components=wrong).fit(table)


def test_limits_are_kept_by_components_and_not_by_vectors(table):
    small = InContext(max_features=25)
    make_pipeline(encoder(), small).fit(table, Y)
    with pytest.raises(ValueError, match="more than the weights allow"):
        make_pipeline(encoder(n_components=None), small).fit(table, Y)
    with pytest.raises(ValueError, match="more than the weights allow"):
        make_pipeline(encoder(), InContext(max_rows=N - 1)).fit(table, Y)


@pytest.mark.parametrize(
    ("make", "column"),
    [
        (lambda: ImageEncoder("tiny-cnn"), "photo"),
        (lambda: TextEncoder("tiny-bert"), "review"),
    ],
)
def test_behind_an_encoder_of_one_column(make, column, table):
    model = make_pipeline(make(), PCA(5, random_state=0), InContext(max_features=5))
    assert len(model.fit(table[column], Y).predict(table[column][:3])) == 3


def test_polars_goes_in_and_pandas_comes_out():
    frame = pl.DataFrame({**content(), "size": content()["size"].astype(str).tolist()})
    model = make_pipeline(encoder(), InContext()).fit(frame, Y)
    assert len(model.predict(frame[:2])) == 2
    out = encoder().set_output(transform="polars").fit_transform(frame)
    assert out["color"].dtype == pl.Categorical


def test_categories_are_no_tensor(table):
    kept = encoder().set_output(transform="torch")
    with pytest.raises(ValueError, match="columns of numbers; column"):
        kept.fit_transform(table)


def test_a_table_without_categories_stays_a_matrix(table):
    out = encoder().fit_transform(table[["review", "price"]])
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.float64


def test_boosting_reads_the_categories_and_the_pipeline_is_saved(table, tmp_path):
    pytest.importorskip("skops")
    model = make_pipeline(
        encoder(), HistGradientBoostingClassifier(max_iter=3, random_state=0)
    )
    model.fit(table, Y)
    names = model[:-1].get_feature_names_out()
    categorical = [
        n for n, is_one in zip(names, model[-1].is_categorical_, strict=True) if is_one
    ]
    assert categorical == ["color", "size"]
    save(model, tmp_path / "model")
    new = table[:4].assign(color=["pink", None, "red", "blue"])
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict_proba(new), model.predict_proba(new)
    )


def test_passthrough_of_categories_that_are_numbers_or_all_missing_at_predict():
    frame = pd.DataFrame({"c": pd.Series([3, 1, None, 1], dtype="category")})
    model = TableEncoder(categorical="passthrough").fit(frame)
    assert list(model.fit_transform(frame)["c"].cat.categories) == ["1", "3"]
    out = model.transform(pd.DataFrame({"c": [None, None]}))
    assert out["c"].dtype == model.fit_transform(frame)["c"].dtype
    assert out["c"].isna().all()


# -- the packages themselves, over random weights --------------------------------------


def tabicl_head(tmp_path):
    tabicl = pytest.importorskip("tabicl", reason="tabicl is not installed")
    from tabicl._model.tabicl import TabICL

    config = {"max_classes": 10, "embed_dim": 16, "col_num_blocks": 1, "col_nhead": 2}
    config |= {"col_num_inds": 8, "row_num_blocks": 1, "row_nhead": 2, "row_num_cls": 2}
    config |= {"icl_num_blocks": 1, "icl_nhead": 2}
    with torch.random.fork_rng():
        network = TabICL(**config)
    path = tmp_path / "random.ckpt"
    torch.save({"config": config, "state_dict": network.state_dict()}, path)
    return tabicl.TabICLClassifier(
        n_estimators=2, model_path=path, allow_auto_download=False, device="cpu"
    )


def tabpfn_head(tmp_path):
    tabpfn = pytest.importorskip("tabpfn", reason="tabpfn is not installed")
    from tabpfn.architectures import tabpfn_v2
    from tabpfn.base import ModelSpecs
    from tabpfn.constants import ModelVersion
    from tabpfn.inference_config import InferenceConfig

    config = tabpfn_v2.TabPFNV2Config(
        max_num_classes=10, num_buckets=100, emsize=32, nlayers=1, nhead=2
    )
    with torch.random.fork_rng():
        network = tabpfn_v2.get_architecture(config).eval()
    inference = InferenceConfig.get_default("multiclass", ModelVersion.V2_5)
    specs = ModelSpecs(network, config, inference)
    return tabpfn.TabPFNClassifier(n_estimators=2, model_path=specs, device="cpu")


HEADS = {"tabicl": tabicl_head, "tabpfn": tabpfn_head}


@pytest.fixture
def own_seeds():
    """Put global generators back, which the packages draw from."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    python_state = random.getstate()
    with torch.random.fork_rng():
        yield
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)


def of_packages(test):
    """Mark a test that runs code of the packages."""
    test = pytest.mark.filterwarnings("ignore")(test)
    return pytest.mark.usefixtures("own_seeds")(test)


@of_packages
@pytest.mark.parametrize("package", PACKAGES)
def test_the_stand_in_has_the_signature_of_the_real_ones(package, tmp_path):
    head = HEADS[package](tmp_path)
    for method in ("fit", "predict", "predict_proba"):
        real = inspect.signature(getattr(head, method)).parameters
        ours = inspect.signature(getattr(InContext(), method)).parameters
        assert list(real)[: len(ours)] == list(ours)
        further = list(real.values())[len(ours) :]
        assert all(one.default is not one.empty for one in further)


@of_packages
@pytest.mark.parametrize("package", PACKAGES)
def test_the_real_ones_take_what_comes_out(package, table, tmp_path):
    model = make_pipeline(encoder(), HEADS[package](tmp_path)).fit(table, Y)
    new = table[:3].assign(color=["pink", None, "red"])
    probabilities = model.predict_proba(new)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert model[-1].n_features_in_ == model[0].n_features_out_
    assert list(model[-1].feature_names_in_) == list(model[0].get_feature_names_out())
    search = cross_val_predict(clone(model), table[:40], Y[:40], cv=2)
    assert set(search) <= set(Y)


@of_packages
def test_tabpfn_knows_categories_by_their_type_and_not_by_codes(table, tmp_path):
    head = tabpfn_head(tmp_path)

    def kinds(categorical):
        model = make_pipeline(encoder(categorical=categorical), clone(head))
        model.fit(table, Y)
        names = model[0].get_feature_names_out()
        found = model[-1].inferred_feature_schema_.features
        kinds = [one.modality.value for one in found]
        return dict(zip(names, kinds, strict=True))

    kept, codes = kinds("passthrough"), kinds("ordinal")
    assert (kept["color"], kept["size"]) == ("categorical", "categorical")
    assert kept["price"] == kept["photo_0"] == kept["review_0"] == "numerical"
    assert codes["size"] == "numerical"


@of_packages
def test_tabicl_encodes_our_categories_and_drops_what_a_raw_table_has(table):
    preprocessing = pytest.importorskip("tabicl._sklearn.preprocessing")

    def used(frame):
        fitted = preprocessing.TransformToNumerical().fit(frame).tfm_
        return {
            kind: {frame.columns[i] for i in positions}
            for kind, _, positions in fitted.transformers_
            if kind != "remainder"
        }

    out = encoder().fit_transform(table)
    kinds = used(out)
    assert kinds["categorical"] == {"color", "size"}
    assert kinds["continuous"] == set(out) - {"color", "size"}
    raw = table[["color", "size", "price", "is_new", "sold"]]
    kinds = used(raw)
    assert kinds["categorical"] | kinds["continuous"] == {"color", "size", "price"}


@of_packages
@pytest.mark.parametrize("package", PACKAGES)
def test_the_encoder_is_saved_and_the_head_saves_itself(package, table, tmp_path):
    pytest.importorskip("skops")
    model = make_pipeline(encoder(), HEADS[package](tmp_path)).fit(table, Y)
    with pytest.raises(SaveError, match=r"steps\[1\].*torch's, which cannot be saved"):
        save(model, tmp_path / "all")
    save(model[:-1], tmp_path / "encoder")
    if package == "tabicl":
        model[-1].save(tmp_path / "head.pkl", save_training_data=True)
        head = type(model[-1]).load(tmp_path / "head.pkl")
    else:
        head = model[-1]
    again = make_pipeline(load(tmp_path / "encoder"), head)
    np.testing.assert_allclose(
        again.predict_proba(table[:3]), model.predict_proba(table[:3]), rtol=1e-5
    )


@of_packages
def test_the_code_of_the_page_runs(table, tmp_path, monkeypatch):
    head = tabicl_head(tmp_path)
    monkeypatch.setattr("tabicl.TabICLClassifier", lambda: head)
    [code] = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(code, {"table": table[["color", "price", "sold"]], "y": Y})


@of_packages
def test_the_limits_of_the_page_are_those_of_tabpfn():
    config = pytest.importorskip("tabpfn.inference_config")
    from tabpfn.constants import ModelVersion

    for version, name in ((ModelVersion.V2, "2"), (ModelVersion.V2_5, "2.5")):
        limits = config.InferenceConfig.get_default("multiclass", version)
        row = (
            f"| TabPFN-{name} | {limits.MAX_NUMBER_OF_SAMPLES:,}; without a GPU an "
            f"error above {config.cpu_sample_limit(version):,} "
            f"| {limits.MAX_NUMBER_OF_FEATURES:,} | {limits.MAX_NUMBER_OF_CLASSES} |"
        )
        assert row in PAGE.read_text()
    assert config.cpu_sample_limit(ModelVersion("v3.5")) == 5000
