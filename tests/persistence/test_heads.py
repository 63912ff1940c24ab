"""save and load of steps of other libraries, and of scikit-learn's rarer ones."""

import functools

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_array

from sktransfer import TextClassifier, TextEncoder, load, save
from sktransfer.exceptions import SaveError, UnsafeSaveError, UntrustedTypeError
from sktransfer.persistence import _files

TEXTS = [f"{'good' if i % 2 else 'bad'} item {i}" for i in range(40)]
LABELS = [i % 2 for i in range(40)]


def assert_survives(model, folder, rows=TEXTS, **options):
    digest = save(model, folder, **options)
    loaded = load(folder, sha256=digest, **options)
    method = "predict" if hasattr(model, "predict") else "transform"
    got, want = (getattr(m, method)(rows) for m in (loaded, model))
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))
    return loaded


def behind_an_encoder(*steps):
    return make_pipeline(TextEncoder("tiny-bert"), *steps)


class HoldsBytes(TransformerMixin, BaseEstimator):
    def __init__(self, blob=b"abc"):
        self.blob = blob

    def fit(self, X, y=None):
        self.more_ = {"large": bytes(range(256)) * 99, "array": bytearray(b"\0x")}
        return self

    def transform(self, X):
        return X


def test_a_step_of_ones_own_that_holds_bytes(tmp_path):
    model = behind_an_encoder(HoldsBytes(), LogisticRegression()).fit(TEXTS, LABELS)
    names = [f"{HoldsBytes.__module__}.HoldsBytes"]
    step = assert_survives(model, tmp_path / "model", trusted=names)[1]
    assert step.blob == b"abc"
    assert step.more_ == model[1].more_


HEADS = [
    ("xgboost", "XGBClassifier", {"n_estimators": 3}),
    ("lightgbm", "LGBMClassifier", {"n_estimators": 3, "verbose": -1}),
    (
        "catboost",
        "CatBoostClassifier",
        {"iterations": 3, "verbose": 0, "allow_writing_files": False},
    ),
]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(("package", "name", "options"), HEADS)
def test_heads_of_other_libraries(package, name, options, tmp_path):
    head = getattr(pytest.importorskip(package), name)(**options)
    model = behind_an_encoder(head).fit(TEXTS, LABELS)
    with pytest.raises(UntrustedTypeError, match=package) as caught:
        save(model, tmp_path / "model")
    assert_survives(model, tmp_path / "model", trusted=caught.value.types)


def test_a_tuned_threshold(tmp_path):
    model = behind_an_encoder(LogisticRegression())
    assert_survives(
        TunedThresholdClassifierCV(model, cv=2).fit(TEXTS, LABELS), tmp_path / "model"
    )


@pytest.mark.parametrize("kind", ["head", "tuned", "scorer", "search"])
def test_metadata_requests(kind, tmp_path):
    """A request holds its estimator, which holds the request."""
    with sklearn.config_context(enable_metadata_routing=True):
        head = LogisticRegression().set_fit_request(sample_weight=True)
        model = behind_an_encoder(head)
        if kind == "tuned":
            model = TextClassifier("tiny-bert", freeze_depth="all", random_state=0)
            model.set_fit_request(sample_weight=True)
        elif kind in ("scorer", "search"):
            scorer = make_scorer(f1_score).set_score_request(sample_weight=True)
            scoring = scorer if kind == "scorer" else None
            head.set_score_request(sample_weight=True)
            grid = {"logisticregression__C": [1]}
            model = GridSearchCV(model, grid, cv=2, scoring=scoring)
        model.fit(TEXTS, LABELS, sample_weight=np.ones(40))
        loaded = assert_survives(model, tmp_path / "model")
        loaded.fit(TEXTS, LABELS, sample_weight=np.ones(40))
        assert loaded.get_metadata_routing() is not None
        clone = sklearn.clone(loaded)
        assert str(clone.get_metadata_routing()) == str(model.get_metadata_routing())


def test_a_step_that_holds_itself_is_a_save_error(tmp_path):
    model = behind_an_encoder(HoldsBytes(), LogisticRegression()).fit(TEXTS, LABELS)
    model[1].owner_ = model[1]
    with pytest.raises(SaveError, match="refers back to the estimator"):
        save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_callbacks_of_scikit_learn(tmp_path):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")
    pytest.importorskip("rich")
    model = behind_an_encoder(LogisticRegression())
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model.set_callbacks(callback.ProgressBar(), monitor).fit(TEXTS, LABELS)
    model[-1].set_callbacks(monitor)
    assert_survives(model, tmp_path / "model")
    assert not hasattr(load(tmp_path / "model")[-1], "_skl_callbacks")
    assert monitor in model._skl_callbacks


TABLE = pd.DataFrame(
    {
        "kind": ["x", "y"] * 20,
        "price": np.arange(40.0),
        "review": TEXTS,
        "sold": pd.date_range("2020-01-01", periods=40),
        "size": ["1.5", "3"] * 20,
    }
)


def vectorizers():
    skrub = pytest.importorskip("skrub")

    def vectorizer(**options):
        strings = skrub.StringEncoder(n_components=2, random_state=0)
        return skrub.TableVectorizer(**{"high_cardinality": strings, **options})

    yield vectorizer()
    gaps = skrub.GapEncoder(n_components=2, random_state=0)
    yield vectorizer(high_cardinality=gaps)
    yield vectorizer(high_cardinality=skrub.MinHashEncoder(n_components=3))
    yield vectorizer(datetime=skrub.DatetimeEncoder(periodic_encoding="spline"))
    yield skrub.Cleaner()
    strings = skrub.StringEncoder(n_components=2, random_state=0)
    yield skrub.ApplyToCols(strings, cols=["review"])
    yield make_pipeline(skrub.SelectCols(["kind", "price"]), vectorizer())
    yield make_pipeline(skrub.DropCols(["review"]), vectorizer())
    yield make_pipeline(
        vectorizer(low_cardinality=skrub.ToCategorical()),
        HistGradientBoostingClassifier(random_state=0),
    )
    yield make_pipeline(
        vectorizer(numeric=skrub.SquashingScaler()), LogisticRegression()
    )


@pytest.mark.filterwarnings("ignore")  # skrub's own
@pytest.mark.parametrize("number", range(10))
def test_vectorizers_of_skrub(number, tmp_path):
    model = list(vectorizers())[number]
    model.fit(TABLE, LABELS)
    assert_survives(model, tmp_path / "model", rows=TABLE)


def test_boosted_trees_over_categories(tmp_path):
    """They hold a functools.partial of check_array."""
    table = TABLE[["kind", "price"]].astype({"kind": "category"})
    trees = HistGradientBoostingClassifier(max_iter=2, random_state=0)
    assert_survives(trees.fit(table, LABELS), tmp_path / "model", rows=table)


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(np.mean, axis=0),
        functools.partial(check_array, [[1]]),
        functools.partial(check_array, estimator=LogisticRegression()),
    ],
)
def test_other_partials_are_refused_with_the_reason(function, tmp_path):
    step = FunctionTransformer(function)
    model = behind_an_encoder(LogisticRegression()).fit(TEXTS, LABELS)
    model.step_ = step
    with pytest.raises(UntrustedTypeError, match="functools.partial"):
        save(model, tmp_path / "model")


def test_nothing_is_saved_that_load_would_refuse(tmp_path, monkeypatch):
    model = behind_an_encoder(LogisticRegression()).fit(TEXTS, LABELS)

    def refuse(content):
        raise UnsafeSaveError("a part that no save has")

    monkeypatch.setattr(_files, "check_archive", refuse)
    with pytest.raises(UnsafeSaveError, match="a part that no save has"):
        save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())
