"""save and load of what is neither encoder nor fine-tuned: tables, domains, folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from sktransfer import (
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    TableEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    ZeroShotClassifier,
    load,
    save,
)
from sktransfer.domain_adaptation import SubspaceAlignment

RNG = np.random.default_rng(0)
DOMAIN = np.where(np.arange(40) < 20, 0, -1)
X = RNG.normal(size=(40, 4)) + 2 * (DOMAIN < 0)[:, None]
Y = np.array(["a", "b"] * 20)
TEXTS = [f"a text of some words, number {i}" for i in range(12)]
TABLE = pd.DataFrame(
    {
        "review": [*TEXTS[:11], None],
        "color": ["red", "green", "blue"] * 4,
        "price": np.arange(12.0),
        "sold": pd.date_range("2024-01-01", periods=12),
    }
)


def assert_survives(model, rows, method, folder):
    save(model, folder)
    got = getattr(load(folder), method)(rows)
    np.testing.assert_array_equal(got, getattr(model, method)(rows))


ADAPTERS = [
    "auto",
    "standardize",
    "normalize",
    "coral",
    "subspace",
    "tca",
    "ot",
    "density_ratio",
    "kmm",
    "pseudo_labels",
    ["standardize", "coral"],
    None,
]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
def test_adapted_classifiers(adapter, tmp_path):
    model = DomainAdaptationClassifier(LogisticRegression(), adapter=adapter)
    model.fit(X, Y, sample_domain=DOMAIN)
    assert_survives(model, X[DOMAIN < 0], "predict_proba", tmp_path / "m")


def test_adapters_and_adapted_regressors(tmp_path):
    adapter = SubspaceAlignment(2).fit(X, Y, sample_domain=DOMAIN)
    assert_survives(adapter, X, "transform", tmp_path / "adapter")
    model = DomainAdaptationRegressor(Ridge()).fit(X, X[:, 0], sample_domain=DOMAIN)
    assert_survives(model, X, "predict", tmp_path / "model")


@pytest.mark.parametrize("categorical", ["onehot", "ordinal"])
def test_tables(categorical, tmp_path):
    encoder = TableEncoder(
        text_encoder=TextEncoder("tiny-bert"), categorical=categorical
    ).fit(TABLE)
    assert set(encoder.kinds_.values()) == {"text", "categorical", "numeric", "date"}
    assert_survives(encoder, TABLE, "transform", tmp_path / "m")


def test_target_aware_encoders(tmp_path):
    head = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    encoder = TargetAwareEncoder(
        head, cv=2, frozen=TextEncoder("tiny-bert"), random_state=0
    )
    encoder.fit_transform(TEXTS, Y[:12])
    assert_survives(encoder, TEXTS, "transform", tmp_path / "m")


def test_classifiers_without_labels(tmp_path):
    model = ZeroShotClassifier(["red", "blue"], TextEncoder("tiny-bert")).fit()
    assert_survives(model, TEXTS, "predict_proba", tmp_path / "m")


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "contrastive", "freeze_depth": -1},
        {"head": "prototype", "freeze_depth": -1},
        {"head": "prototype", "freeze_depth": "all"},
    ],
    ids=str,
)
def test_contrast_and_prototypes(params, tmp_path):
    model = TextClassifier("tiny-bert", max_epochs=1, random_state=0, **params)
    model.fit(TEXTS, Y[:12])
    assert_survives(model, TEXTS, "predict_proba", tmp_path / "m")
