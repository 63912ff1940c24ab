"""An entry that is added to a table, and nowhere else, works and is checked."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktransfer import (
    DomainAdaptationClassifier,
    DomainStandardScaler,
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    TextClassifier,
    TextEncoder,
    load,
    save,
)
from sktransfer.backbones._engines.builders import ENGINES, Engine
from sktransfer.backbones._pooling import POOLINGS, Pooling
from sktransfer.domain_adaptation._base_estimator import ADAPTERS
from sktransfer.finetuning import DomainLoss
from sktransfer.finetuning._domain_losses import DOMAIN_LOSSES, DomainLossSpec
from sktransfer.finetuning._heads import HEADS, HeadSpec

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(16)]
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 36, 36, 3), dtype=np.uint8)
LABELS, DOMAIN = np.arange(16) % 2, np.repeat([0, -1], 8)
FAST = {"max_epochs": 2, "batch_size": 8, "random_state": 0}


def mean_distance(source, target):
    return (source.mean(0) - target.mean(0)).square().sum()


def image_model(loss, **options):
    options = {"freeze_depth": -1} | FAST | options
    return ImageClassifier("tiny-cnn", **{"domain_loss": loss} | options)


def fit(model, y=LABELS):
    return model.fit(PIXELS, y, sample_domain=DOMAIN)


def raised(model, y=LABELS):
    with pytest.raises(ValueError, match="domain_loss") as caught:
        fit(model, y)
    return str(caught.value)


def test_a_domain_loss_in_the_table_raises_what_mmd_raises(monkeypatch):
    monkeypatch.setitem(DOMAIN_LOSSES, "new", DomainLossSpec(mean_distance, "features"))
    frozen = {"freeze_depth": "all"}
    theirs = raised(image_model("mmd", **frozen))
    assert "changes the features" in theirs
    assert raised(image_model("new", **frozen)) == theirs.replace("'mmd'", "'new'")
    theirs = raised(image_model("mmd", head="prototype", **frozen))
    ours = raised(image_model("new", head="prototype", **frozen))
    assert ours == theirs.replace("'mmd'", "'new'")


def test_a_domain_loss_in_the_table_trains(monkeypatch):
    monkeypatch.setitem(DOMAIN_LOSSES, "new", DomainLossSpec(mean_distance, "features"))
    plain = fit(image_model(None)).predict_proba(PIXELS)
    model = fit(image_model(DomainLoss("new", weight=10.0)))
    assert np.abs(model.predict_proba(PIXELS) - plain).max() > 1e-4
    assert model.history_[-1]["domain_loss"] > 0
    regressor = ImageRegressor("tiny-cnn", freeze_depth=-1, domain_loss="new", **FAST)
    fit(regressor, LABELS.astype(float))


def test_a_domain_loss_on_classes_is_refused_where_mcc_is(monkeypatch):
    spec = DomainLossSpec(lambda outputs: outputs.square().mean(), "outputs", True)
    monkeypatch.setitem(DOMAIN_LOSSES, "new", spec)
    labels = np.c_[LABELS, 1 - LABELS]
    theirs = raised(image_model("mcc"), labels)
    assert raised(image_model("new"), labels) == theirs.replace("'mcc'", "'new'")
    assert "'mcc' or 'new'" in raised(image_model("mmd", freeze_depth="all"))
    regressor = ImageRegressor("tiny-cnn", domain_loss="new")
    with pytest.raises(ValueError, match="The 'domain_loss' parameter"):
        fit(regressor, LABELS)


def test_a_wrong_name_is_answered_with_the_new_one_too(monkeypatch):
    monkeypatch.setitem(DOMAIN_LOSSES, "new", DomainLossSpec(mean_distance, "features"))
    assert "'mcc', 'new'" in raised(image_model("nev"))


def spread(hidden):
    return hidden.std((2, 3))


def test_a_pooling_in_the_table_is_one(monkeypatch):
    pooling = Pooling(lambda hidden, mask, n: hidden.std(1), spread)
    monkeypatch.setitem(POOLINGS, "std", pooling)
    for encoder in (ImageEncoder("tiny-cnn"), TextEncoder("tiny-bert")):
        X = PIXELS if isinstance(encoder, ImageEncoder) else TEXTS
        mean = encoder.fit_transform(X)
        std = encoder.set_params(pooling="std").fit_transform(X)
        assert std.shape == mean.shape
        assert np.abs(std - mean).max() > 1e-3
    model = TextClassifier("tiny-bert", pooling="std", **FAST).fit(TEXTS, LABELS)
    assert model.predict(TEXTS).shape == (16,)


def test_a_pooling_of_tokens_is_refused_for_maps(monkeypatch):
    monkeypatch.setitem(POOLINGS, "second", Pooling(lambda h, mask, n: h[:, 1]))
    with pytest.raises(ValueError, match="needs tokens.*use 'mean', 'max' or 'auto'"):
        ImageEncoder("tiny-cnn", pooling="second").fit_transform(PIXELS)


def test_an_engine_in_the_table_is_used_and_compared(monkeypatch):
    built = []

    def build(module, example, precision):
        built.append(module)
        return lambda *tensors: module(*tensors).numpy()

    monkeypatch.setitem(
        ENGINES, "mine", Engine(build, is_cpu_only=True, precisions=("float32",))
    )
    expected = TextEncoder("tiny-bert", cache=None).fit_transform(TEXTS)
    encoder = TextEncoder("tiny-bert", engine="mine", cache=None)
    np.testing.assert_allclose(encoder.fit_transform(TEXTS), expected, atol=1e-5)
    assert len(built) == 1
    with pytest.raises(ValueError, match="engine='torch' or engine='compile'"):
        encoder.set_params(precision="bfloat16").fit(TEXTS)


def bottleneck(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 2), nn.Tanh(), nn.Linear(2, n_outputs))


def test_a_head_in_the_table_trains_and_is_saved(monkeypatch, tmp_path):
    monkeypatch.setitem(HEADS, "narrow", HeadSpec(bottleneck))
    model = TextClassifier("tiny-bert", head="narrow", **FAST).fit(TEXTS, LABELS)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded.predict_proba(TEXTS), model.predict_proba(TEXTS)
    )
    with pytest.raises(ValueError, match="head='narrow' cannot be fitted"):
        model.set_params(head__init="probe").fit(TEXTS, LABELS)
    contrastive = TextClassifier(
        "tiny-bert", head="narrow", loss="contrastive", random_state=0
    )
    with pytest.raises(ValueError, match="does not take head='narrow'"):
        contrastive.fit(TEXTS, LABELS)


def test_a_head_of_classes_is_refused_for_numbers(monkeypatch):
    monkeypatch.setitem(HEADS, "new", HeadSpec(bottleneck, needs_classes=True))
    with pytest.raises(ValueError, match="The 'head' parameter"):
        ImageRegressor("tiny-cnn", head="new").fit(PIXELS, LABELS)


def test_an_adapter_in_the_table_has_a_name(monkeypatch):
    monkeypatch.setitem(ADAPTERS, "mine", DomainStandardScaler)
    X = np.random.default_rng(0).normal(size=(16, 3))
    model = DomainAdaptationClassifier(LogisticRegression(), adapter="mine")
    model.fit(X, LABELS, sample_domain=DOMAIN)
    assert isinstance(model.adapters_[0], DomainStandardScaler)
    with pytest.raises(ValueError, match="'label_shift', 'mine'"):
        model.set_params(adapter="mien").fit(X, LABELS, sample_domain=DOMAIN)
