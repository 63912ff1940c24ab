"""save and load of what is neither encoder nor fine-tuned: tables, domains, folds."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
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
    load_backbone,
    model_card,
    save,
)
from sktransfer.domain_adaptation import (
    CircularValidationScorer,
    EnsembleAgreementScorer,
    ImportanceWeightedScorer,
    InformationMaximizationScorer,
    LabelShiftCorrection,
    LeaveOneDomainOut,
    PredictionEntropyScorer,
    SoftNeighborhoodDensityScorer,
    SourceTargetKFold,
    SubspaceAlignment,
    as_both_domains,
)

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
    "label_shift",
    LabelShiftCorrection(alpha=1.0),
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


SCORERS = [
    CircularValidationScorer(),
    EnsembleAgreementScorer(
        [
            DomainAdaptationClassifier(adapter=adapter).fit(X, Y, sample_domain=DOMAIN)
            for adapter in ("coral", None)
        ]
    ),
    ImportanceWeightedScorer(),
    InformationMaximizationScorer(),
    PredictionEntropyScorer(),
    SoftNeighborhoodDensityScorer(),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: type(s).__name__)
def test_searches_without_target_labels(scorer, tmp_path):
    search = GridSearchCV(
        DomainAdaptationClassifier(),
        {"adapter": ["coral", None]},
        scoring=scorer,
        cv=SourceTargetKFold(2),
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(X, Y, sample_domain=DOMAIN)
        assert_survives(search, X[DOMAIN < 0], "predict_proba", tmp_path / "m")


def test_searches_over_domains_left_out(tmp_path):
    rows, y, domain = as_both_domains(X, Y, sample_domain=np.arange(40) // 20)
    search = GridSearchCV(
        DomainAdaptationClassifier(),
        {"adapter": ["coral", None]},
        cv=LeaveOneDomainOut(),
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(rows, y, sample_domain=domain)
        assert_survives(search, X[DOMAIN < 0], "predict_proba", tmp_path / "m")


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
        {"loss": "contrastive", "freeze_depth": -1},
        {"head": "prototype", "freeze_depth": -1},
        {"head": "prototype", "freeze_depth": "all"},
    ],
    ids=str,
)
def test_contrast_and_prototypes(params, tmp_path):
    model = TextClassifier("tiny-bert", max_epochs=1, random_state=0, **params)
    model.fit(TEXTS, Y[:12])
    assert_survives(model, TEXTS, "predict_proba", tmp_path / "m")


def test_the_network_of_a_classifier_without_labels_is_saved_and_named(tmp_path):
    model = ZeroShotClassifier(["red", "blue"], TextEncoder("tiny-bert")).fit()
    assert load_backbone("tiny-bert").fingerprint in model_card(model)
    save(model, tmp_path / "m", weights="include")
    save(model, tmp_path / "reference")
    names = [p.name for p in (tmp_path / "m").rglob("*.safetensors")]
    assert names
    manifest = (tmp_path / "reference" / "manifest.json").read_text()
    assert load_backbone("tiny-bert").fingerprint in manifest
    assert_survives(model, TEXTS, "predict_proba", tmp_path / "again")
