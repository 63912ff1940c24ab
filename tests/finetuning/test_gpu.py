"""Fine-tuning on a CUDA device: the CPU's results, memory that ends, no waiting."""

import threading

import numpy as np
import pytest
import torch

from sktransfer import (
    ImageClassifier,
    ImageRegressor,
    TextClassifier,
    TextRegressor,
    load,
    save,
)
from sktransfer.finetuning import Augmentation, EarlyStopping, Head, _device_rows
from sktransfer.finetuning._device_rows import Budget
from sktransfer.finetuning._net import FineTuneNet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TEXTS = [f"text {i} {'good ' * (i % 5) if i % 2 else 'bad'}" for i in range(24)]
LABELS = np.arange(24) % 2
NUMBERS = LABELS + 0.1 * np.random.default_rng(1).normal(size=24)
DOMAIN = np.repeat([0, -1], 12)


def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(24, 36, 36, 3), dtype=np.uint8)


def both(cls, **options):
    """Return the estimator for the CPU and for the card."""
    name = "tiny-cnn" if cls in (ImageClassifier, ImageRegressor) else "tiny-bert"
    options = {"max_epochs": 4, "batch_size": 5, "random_state": 0} | options
    options |= {"head": Head(dropout=0.0)} if "head" not in options else {}
    return (cls(name, device=device, **options) for device in ("cpu", "cuda"))


def outputs(model, X):
    proba = getattr(model, "predict_proba", None)
    return model.predict(X) if proba is None else proba(X)


ALL = [ImageClassifier, ImageRegressor, TextClassifier, TextRegressor]


@pytest.mark.parametrize("freeze_depth", [0, -1, "all"])
@pytest.mark.parametrize("cls", ALL)
def test_every_fine_tuner_learns_there_what_it_learns_here(cls, freeze_depth):
    X = images() if cls in (ImageClassifier, ImageRegressor) else TEXTS
    y = LABELS if cls in (ImageClassifier, TextClassifier) else NUMBERS
    here, there = both(cls, freeze_depth=freeze_depth)
    want, got = (outputs(model.fit(X, y), X) for model in (here, there))
    np.testing.assert_allclose(got, want, atol=0.02)
    losses = [[row["train_loss"] for row in m.history_] for m in (here, there)]
    np.testing.assert_allclose(losses[1], losses[0], atol=0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"domain_loss": "coral"},
        {"domain_loss": "mmd"},
        {"domain_loss": "dann"},
        {"domain_loss": "cdan"},
        {"domain_loss": "mcc"},
        {"batch_norm": "target"},
        {"domain_loss": "coral", "batch_norm": "target"},
    ],
    ids=str,
)
def test_domain_losses_train_there(options):
    X = images()
    here, there = both(ImageClassifier, freeze_depth=-1, **options)
    want, got = (
        outputs(model.fit(X, LABELS, sample_domain=DOMAIN), X)
        for model in (here, there)
    )
    np.testing.assert_allclose(got, want, atol=0.05)
    assert all(isinstance(row["train_loss"], float) for row in there.history_)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "contrastive"},
        {"loss": "contrastive", "head": "prototype"},
        {"early_stopping": EarlyStopping(0.3), "scoring": "accuracy"},
        {"head": "mlp"},
        {"activation_dtype": "float16"},
        {"precision": "bfloat16"},
        {"precision": "float16"},
        {"precision": "tf32"},
        {"optimizer__params": {"fused": False}},
    ],
    ids=str,
)
def test_options_of_a_fit_work_there(options):
    _, there = both(TextClassifier)
    there = there.set_params(head="linear").set_params(**options)
    fitted = there.fit(TEXTS, LABELS)
    assert np.isfinite(fitted.predict_proba(TEXTS)).all()


@pytest.mark.parametrize("views", [None, 2])
def test_random_changes_repeat_and_leave_no_thread(views):
    _, there = both(
        ImageClassifier, freeze_depth=-1, augment=Augmentation("standard", views=views)
    )
    X, n_threads = images(), threading.active_count()
    first = there.fit(X, LABELS).predict_proba(X)
    assert not any(t.name == "sktransfer-ahead" for t in threading.enumerate())
    np.testing.assert_allclose(there.fit(X, LABELS).predict_proba(X), first, atol=1e-5)
    assert threading.active_count() <= n_threads + 64  # pools that stay


@pytest.mark.parametrize("n_bytes", [0, 5_000])
def test_rows_beyond_the_budget_come_along_with_each_batch(monkeypatch, n_bytes):
    _, there = both(TextClassifier)
    want = there.fit(TEXTS, LABELS).predict_proba(TEXTS)
    monkeypatch.setattr(
        _device_rows, "budget_of", lambda device: Budget(device, n_bytes)
    )
    got = there.fit(TEXTS, LABELS).predict_proba(TEXTS)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_several_labels_start_there_as_here():
    labels = np.stack([LABELS, np.arange(24) % 3 == 0], axis=1).astype(int)
    here, there = both(TextClassifier, class_weight="balanced", max_epochs=0)
    want, got = (
        model.fit(TEXTS, labels).predict_proba(TEXTS) for model in (here, there)
    )
    np.testing.assert_allclose(got, want, atol=5e-3)


def test_a_model_is_saved_there_and_loaded_here(tmp_path):
    _, there = both(TextClassifier)
    want = there.fit(TEXTS, LABELS).predict_proba(TEXTS)
    save(there, tmp_path / "model")
    loaded = load(tmp_path / "model")
    for device in ("cuda", "cpu"):
        got = loaded.set_params(device=device).predict_proba(TEXTS)
        np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_training_goes_on_on_another_device(devices):
    here, _ = both(TextClassifier, warm_start=True, max_epochs=2)
    want = here.fit(TEXTS, LABELS).fit(TEXTS, LABELS).predict_proba(TEXTS)
    moved, _ = both(TextClassifier, warm_start=True, max_epochs=2)
    for device in devices:
        moved.set_params(device=device).fit(TEXTS, LABELS)
    np.testing.assert_allclose(moved.predict_proba(TEXTS), want, atol=0.02)
    n_steps = {
        int(values["step"]) for values in moved._state.optimizer["moments"].values()
    }
    assert n_steps == {20}  # those of both calls


@pytest.mark.parametrize("options", [{}, {"domain_loss": "dann"}], ids=str)
def test_memory_that_ends_halves_the_batch(monkeypatch, options):
    infer, sizes = FineTuneNet.infer, []

    def small(self, x, **kwargs):
        sizes.append(len(x["hidden"]))
        if self.module_.training and sizes[-1] > 6:
            torch.empty(2**50, device="cuda")  # asks for more than there is
        return infer(self, x, **kwargs)

    domain = DOMAIN if options else None
    _, there = both(TextClassifier, batch_size=8, **options)
    want = there.fit(TEXTS, LABELS, sample_domain=domain).predict_proba(TEXTS)
    monkeypatch.setattr(FineTuneNet, "infer", small)
    got = there.fit(TEXTS, LABELS, sample_domain=domain).predict_proba(TEXTS)
    assert sum(size > 6 for size in sizes if size <= 16) <= 4
    np.testing.assert_allclose(got, want, atol=1e-2)


def test_a_step_waits_for_nothing(monkeypatch):
    train_step, steps = FineTuneNet.train_step, []

    def watched(self, batch, **options):
        steps.append(1)
        if len(steps) < 3:  # libraries set themselves up
            return train_step(self, batch, **options)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return train_step(self, batch, **options)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(FineTuneNet, "train_step", watched)
    _, there = both(TextClassifier)
    there.fit(TEXTS, LABELS)
    assert len(steps) == 20


def test_large_batches_predict_what_small_ones_do():
    here, there = both(TextClassifier, max_epochs=1)
    here.fit(TEXTS, LABELS)
    there.fit(TEXTS, LABELS)
    many = [f"{'word ' * (i % 30)}{i}" for i in range(600)]
    one = there.predict_proba(many[:1])
    np.testing.assert_allclose(there.predict_proba(many)[:1], one, atol=1e-4)
