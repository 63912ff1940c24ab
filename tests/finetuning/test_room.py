"""Fits where a device's memory runs out: parts of batches, and errors that advise."""

import numpy as np
import pytest
import torch

from sktransfer import ImageClassifier, TextClassifier
from sktransfer.finetuning import Head
from sktransfer.finetuning._net import FineTuneNet
from sktransfer.finetuning._room import Room
from sktransfer.finetuning._trained import Trained

CPU = torch.device("cpu")
TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(24)]
LABELS = np.arange(24) % 2
# PyTorch has a class for the first, and none for the others.
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
]


def images(n_rows=24):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(n_rows, 36, 36, 3), dtype=np.uint8)


def model(**options):
    options = {"freeze_depth": -1, "max_epochs": 2, "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


def limited(most, sizes, error=ERRORS[0], *, only_trained=True):
    """Return an `infer` for whose memory `most` rows are the most."""
    infer = FineTuneNet.infer

    def small(self, x, **kwargs):
        if self.module_.training or not only_trained:
            sizes.append(len(x["hidden"]))
            if sizes[-1] > most:
                raise error
        return infer(self, x, **kwargs)

    return small


# -- the parts of a batch ------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 100])
def test_parts_take_each_row_once_in_order_and_are_of_like_size(most):
    room = Room(CPU)
    room.most = most
    for n_rows in (1, 2, 7, 8, 33):
        parts = room.parts(n_rows)
        rows = [i for part in parts for i in range(n_rows)[part]]
        assert rows == list(range(n_rows))
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) <= most
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("error", ERRORS)
def test_parts_are_halved_until_they_fit_and_the_size_is_kept(error):
    room, sizes, undone = Room(CPU), [], []

    def compute(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise error
        return sizes[-1]

    assert room.run(compute, 12, lambda: undone.append(len(sizes))) == [3, 3, 3, 3]
    assert sizes == [12, 6, 3, 3, 3, 3]
    assert undone == [1, 2]
    assert room.run(compute, 12) == [3, 3, 3, 3]
    assert room.run(compute, 7) == [3, 2, 2]
    assert room.run(compute, 2) == [2]
    assert len(undone) == 2


def test_an_error_that_is_not_about_memory_is_raised_as_it_is():
    error = RuntimeError("shapes cannot be multiplied")

    def compute(part):
        raise error

    with pytest.raises(RuntimeError) as caught:
        Room(CPU).run(compute, 8)
    assert caught.value is error


# -- fits ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", ERRORS)
def test_a_fit_in_parts_is_the_fit_and_memory_runs_out_once(monkeypatch, error):
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 1.5, len(TEXTS))
    options = {"batch_size": 8, "head": Head(init="random")}
    whole = model(**options).fit(TEXTS, LABELS, sample_weight=weight)
    sizes = []
    monkeypatch.setattr(FineTuneNet, "infer", limited(2, sizes, error))
    parts = model(**options).fit(TEXTS, LABELS, sample_weight=weight)
    monkeypatch.undo()
    assert sizes[:3] == [8, 4, 2]
    assert set(sizes[2:]) == {2}
    for a, b in zip(parts.history_, whole.history_, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-5)
    np.testing.assert_allclose(
        parts.predict_proba(TEXTS), whole.predict_proba(TEXTS), atol=1e-5
    )


def test_a_class_weight_of_several_labels_counts_as_in_the_whole_batch(monkeypatch):
    labels = np.stack([LABELS, np.arange(24) % 5 == 0], axis=1).astype(int)
    options = {"batch_size": 8, "class_weight": "balanced"}
    whole = model(**options).fit(TEXTS, labels)
    monkeypatch.setattr(FineTuneNet, "infer", limited(3, []))
    parts = model(**options).fit(TEXTS, labels)
    monkeypatch.undo()
    np.testing.assert_allclose(
        parts.predict_proba(TEXTS), whole.predict_proba(TEXTS), atol=1e-5
    )


def test_a_single_row_that_does_not_fit_says_what_to_do(monkeypatch):
    monkeypatch.setattr(FineTuneNet, "infer", limited(0, []))
    with pytest.raises(torch.OutOfMemoryError, match=r"single row .*device='cpu'"):
        model().fit(TEXTS, LABELS)


def test_a_loss_that_compares_rows_is_not_split_but_says_what_to_do(monkeypatch):
    sizes = []
    monkeypatch.setattr(FineTuneNet, "infer", limited(4, sizes))
    message = "batch of 8 rows .*compares the rows.* smaller batch_size"
    with pytest.raises(torch.OutOfMemoryError, match=message):
        model(loss="contrastive", batch_size=8).fit(TEXTS, LABELS)
    assert sizes == [8]


def test_rows_to_watch_and_to_predict_are_computed_in_parts(monkeypatch):
    options = {"early_stopping": True, "batch_size": 16}
    whole = model(**options).fit(TEXTS, LABELS, X_val=TEXTS, y_val=LABELS)
    want = whole.predict_proba(TEXTS)
    sizes = []
    monkeypatch.setattr(FineTuneNet, "infer", limited(5, sizes, only_trained=False))
    parts = model(**options).fit(TEXTS, LABELS, X_val=TEXTS, y_val=LABELS)
    np.testing.assert_allclose(parts.predict_proba(TEXTS), want, atol=1e-5)
    assert max(sizes) == 24
    for a, b in zip(parts.history_, whole.history_, strict=True):
        assert a["valid_loss"] == pytest.approx(b["valid_loss"], abs=1e-5)


def test_the_head_starts_alike_from_features_computed_in_parts(monkeypatch):
    want = model(max_epochs=0).fit(TEXTS, LABELS).predict_proba(TEXTS)
    features, sizes = Trained.features, []

    def small(self, hidden, **kwargs):
        sizes.append(len(hidden))
        if sizes[-1] > 7:
            raise ERRORS[1]
        return features(self, hidden, **kwargs)

    monkeypatch.setattr(Trained, "features", small)
    fitted = model(max_epochs=0).fit(TEXTS, LABELS)
    monkeypatch.undo()
    assert sizes == [24, 12, 6, 6, 6, 6]
    np.testing.assert_allclose(fitted.predict_proba(TEXTS), want, atol=1e-5)


def test_statistics_of_batch_norm_are_estimated_anew_from_smaller_batches(monkeypatch):
    X, domain = images(), np.repeat([0, -1], 12)
    features, sizes = Trained.features, []

    def small(self, hidden, *args, **kwargs):
        is_estimated = not self.training and any(n.training for n in self._norms())
        if is_estimated:
            sizes.append(len(hidden))
        found = features(self, hidden, *args, **kwargs)
        if is_estimated and sizes[-1] > 6:
            raise ERRORS[0]  # only now: the layers have counted the batch
        return found

    monkeypatch.setattr(Trained, "features", small)
    fitted = ImageClassifier(
        "tiny-cnn", freeze_depth=-1, max_epochs=1, batch_norm="target", random_state=0
    ).fit(X, LABELS, sample_domain=domain)
    assert sizes == [12, 6, 6] * 2
    norms = fitted.net_.module_._norms()
    assert {int(norm.num_batches_tracked) for norm in norms} == {2}
    assert {norm.momentum for norm in norms} == {0.1}
