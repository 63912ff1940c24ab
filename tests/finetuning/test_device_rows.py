"""Rows on the device that trains: batches, budgets, and fits that are the same.

The CPU stands for the device, where a fit has to be the same to the last bit.
"""

import contextlib
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sktransfer import (
    ImageClassifier,
    TextClassifier,
    TextRegressor,
    load_backbone,
)
from sktransfer.exceptions import NonFiniteLossError
from sktransfer.finetuning import Augmentation, _batches, _device_rows
from sktransfer.finetuning._activations import Rows
from sktransfer.finetuning._ahead import ahead
from sktransfer.finetuning._batches import RowsDataset, RowsLoader
from sktransfer.finetuning._device_rows import Budget, budget_of, rows_on
from sktransfer.finetuning._net import FineTuneNet

CPU = torch.device("cpu")
TEXTS = [f"text {i} {'good ' * (i % 5) if i % 2 else 'bad'}" for i in range(24)]
LABELS = np.arange(24) % 2
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, size=(24, 36, 36, 3), dtype=np.uint8)


def kept_rows(arrays, budget=2**40, spill=2**40):
    rows = Rows(len(arrays), spill)
    for row, array in enumerate(arrays):
        rows[row] = array
    return rows, Budget(CPU, budget)


def arrays_of(kind):
    """Return a network, and rows as a fit has them."""
    draw = np.random.default_rng(1)
    lengths = draw.integers(3, 20, 12)
    if kind == "tokens":
        return "tiny-bert", [draw.integers(5, 90, n) for n in lengths]
    if kind == "activations of texts":
        return "tiny-bert", [draw.normal(size=(n, 8)).astype("f2") for n in lengths]
    if kind == "vectors of texts":
        return "tiny-bert", [draw.normal(size=8).astype("f4") for _ in lengths]
    if kind == "pixels":
        return "tiny-cnn", list(IMAGES[:12])
    return "tiny-cnn", [draw.normal(size=(4, 3, 5)).astype("f4") for _ in lengths]


KINDS = ["tokens", "activations of texts", "vectors of texts", "pixels", "maps"]


@pytest.mark.parametrize("budget", [0, 900, 2**40], ids=["none", "some", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_that_of_the_backbone_whatever_is_on_the_device(kind, budget):
    name, arrays = arrays_of(kind)
    backbone = load_backbone(name)
    if kind == "pixels" and budget == 900:
        budget = 5 * arrays[0].nbytes
    elif kind == "vectors of texts" and budget == 900:
        budget = 200
    rows, limit = kept_rows(arrays, budget, spill=budget // 2)
    made = rows_on([rows], np.arange(12), limit, backbone.modality == "text")
    n_there = int((made.starts > 0).sum())
    assert n_there == {0: 0, 2**40: 12}.get(budget, n_there)
    assert budget in (0, 2**40) or 0 < n_there < 12
    assert made.is_whole == (n_there == 12)
    assert limit.n_bytes >= 0
    order = np.random.default_rng(2).permutation(12)
    for chosen in (order[:5], order[5:], order[:1], np.array([3, 3, 4])):
        got = made.finish(made.gather(np.zeros(len(chosen), int), chosen))
        want = backbone.batch([arrays[row] for row in chosen])
        assert torch.equal(got.hidden, want.hidden)
        assert got.hidden.dtype == want.hidden.dtype
        if kind in ("tokens", "activations of texts"):
            assert torch.equal(got.mask, want.mask)
            assert torch.equal(got.lengths, want.lengths)


def test_repeated_rows_are_on_the_device_once():
    arrays = [np.full((4, 3), i, np.float32) for i in range(6)]
    rows, budget = kept_rows(arrays)
    rows.repeat(4, 0)
    rows.repeat(5, 1)
    made = rows_on([rows, rows], np.arange(6), budget, is_text=True)
    assert made.n_units == 1 + 4 * 4
    assert budget.n_bytes == 2**40 - made.units.nbytes
    got = made.finish(made.gather(np.array([0, 1]), np.array([4, 5])))
    assert torch.equal(got.hidden[:, 0, 0], torch.tensor([0.0, 1.0]))


def test_rows_of_other_forms_stay_on_the_host():
    for other in (np.zeros((4, 2), "f4"), np.zeros((4, 3), "f2")):
        rows, budget = kept_rows([np.zeros((4, 3), "f4"), other])
        assert rows_on([rows], np.arange(2), budget, is_text=True) is None


def test_rows_stay_on_the_host_where_the_device_has_no_room(monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    rows, budget = kept_rows(arrays_of("maps")[1])
    monkeypatch.setattr(torch, "empty", full)
    assert rows_on([rows], np.arange(12), budget, is_text=False) is None


def test_rows_may_take_a_share_of_the_memory_that_is_free(monkeypatch):
    assert budget_of(CPU) is None
    card = torch.device("cuda", 0)
    module = SimpleNamespace(
        mem_get_info=lambda device: (8_000, 9_000),
        memory_reserved=lambda device: 3_000,
        memory_allocated=lambda device: 1_000,
    )
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    assert budget_of(card).n_bytes == 2_500
    monkeypatch.setattr(torch, "get_device_module", lambda device: SimpleNamespace())
    assert budget_of(card).n_bytes == _device_rows.ROOM_ELSEWHERE


# -- fits ----------------------------------------------------------------------------


@contextlib.contextmanager
def as_on_a_device(monkeypatch, n_bytes=2**40):
    """Let fits on the CPU take the way of those on a device."""
    with monkeypatch.context() as patch:
        patch.setattr(_device_rows, "budget_of", lambda _: Budget(CPU, n_bytes))
        patch.setattr(FineTuneNet, "is_on_cpu", False)
        threads = property(lambda self: self.kept is None or not self.kept.is_whole)
        patch.setattr(RowsDataset, "is_worth_a_thread", threads)
        yield


FITS = {
    "images": (ImageClassifier("tiny-cnn", freeze_depth=-1), IMAGES),
    "images whole": (ImageClassifier("tiny-cnn", freeze_depth=0), IMAGES),
    "views": (
        ImageClassifier(
            "tiny-cnn", freeze_depth=-1, augment=Augmentation("light", views=2)
        ),
        IMAGES,
    ),
    "on the fly": (
        ImageClassifier("tiny-cnn", freeze_depth=-1, augment="light"),
        IMAGES,
    ),
    "texts": (TextClassifier("tiny-bert", freeze_depth=-1), TEXTS),
    "texts whole": (TextClassifier("tiny-bert", freeze_depth=0), TEXTS),
    "texts frozen": (TextClassifier("tiny-bert", freeze_depth="all"), TEXTS),
    "half": (
        TextClassifier("tiny-bert", freeze_depth=-1, activation_dtype="float16"),
        TEXTS,
    ),
    "numbers": (TextRegressor("tiny-bert", freeze_depth=-1), TEXTS),
    "watched": (TextClassifier("tiny-bert", early_stopping=True), TEXTS),
    "scored": (
        TextClassifier("tiny-bert", early_stopping=True, scoring="accuracy"),
        TEXTS,
    ),
    "contrastive": (TextClassifier("tiny-bert", loss="contrastive"), TEXTS),
    "domains": (TextClassifier("tiny-bert", domain_loss="dann"), TEXTS),
}


@pytest.mark.parametrize("n_bytes", [3_000, 2**40], ids=["some", "all"])
@pytest.mark.parametrize("name", FITS)
def test_a_fit_from_rows_on_the_device_is_the_same(monkeypatch, name, n_bytes):
    model, X = FITS[name]
    model = model.set_params(max_epochs=2, batch_size=5, random_state=0, device="cpu")
    options = {}
    if name == "domains":
        options["sample_domain"] = np.repeat([0, -1], 12)
    want = model.fit(X, LABELS, **options)
    want = want.history_, want.net_.module_.state_dict()
    n_threads = threading.active_count()
    with as_on_a_device(monkeypatch, n_bytes):
        got = model.fit(X, LABELS, **options)
    assert threading.active_count() == n_threads
    for a, b in zip(got.history_, want[0], strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"batches", "dur"}:
            assert a[key] == b[key], key
        assert a["batches"] == b["batches"]
        assert not any(
            isinstance(value, torch.Tensor)
            for row in a["batches"]
            for value in row.values()
        )
    for key, value in got.net_.module_.state_dict().items():
        assert torch.equal(value, want[1][key]), key


def texts_model(**options):
    return TextClassifier(
        "tiny-bert", freeze_depth=-1, random_state=0, device="cpu", **options
    )


def test_a_loss_that_is_not_finite_ends_the_epoch_that_it_is_in(monkeypatch):
    infer, n_steps = FineTuneNet.infer, []

    def spoilt(self, x, **kwargs):
        n_steps.append(1)
        factor = torch.nan if len(n_steps) == 7 else 1.0
        return infer(self, x, **kwargs) * factor

    monkeypatch.setattr(FineTuneNet, "infer", spoilt)
    model = texts_model(batch_size=6, max_epochs=3)
    with (
        as_on_a_device(monkeypatch),
        pytest.warns(UserWarning, match="not finite in epoch 2; the weights of the"),
    ):
        fitted = model.fit(TEXTS, LABELS)
    assert fitted.n_epochs_ == 1
    assert len(n_steps) == 8  # the epoch went on to its end
    assert fitted.net_.module_.head[-1].weight.isfinite().all()
    n_steps.clear()
    n_steps += [1] * 6
    with as_on_a_device(monkeypatch), pytest.raises(NonFiniteLossError):
        model.fit(TEXTS, LABELS)


def test_an_interrupt_leaves_numbers_and_no_thread(monkeypatch):
    infer, n_steps = FineTuneNet.infer, []

    def interrupted(self, x, **kwargs):
        n_steps.append(1)
        if len(n_steps) == 7:
            raise KeyboardInterrupt
        return infer(self, x, **kwargs)

    monkeypatch.setattr(FineTuneNet, "infer", interrupted)
    model = texts_model(batch_size=6, max_epochs=3)
    with as_on_a_device(monkeypatch, 0), pytest.warns(UserWarning, match="interrupted"):
        fitted = model.fit(TEXTS, LABELS)
    assert "sktransfer-ahead" not in names()
    rows = fitted.net_.history[-1]["batches"]
    assert [type(row["train_loss"]) for row in rows[:2]] == [float, float]


def test_long_epochs_look_at_their_losses_on_the_way(monkeypatch):
    looks, look = [], FineTuneNet._look
    monkeypatch.setattr(
        FineTuneNet, "_look", lambda self: (looks.append(len(self.sent_)), look(self))
    )
    model = texts_model(batch_size=1, max_epochs=1)
    with as_on_a_device(monkeypatch):
        model.fit(TEXTS, LABELS)
    assert looks == [16, 8]


# -- batches that a thread makes -----------------------------------------------------


def names():
    return [thread.name for thread in threading.enumerate()]


def test_items_come_in_their_order_from_a_thread_that_is_two_ahead():
    made, by = [], set()

    def items():
        for i in range(8):
            by.add(threading.current_thread().name)
            made.append(i)
            yield i

    with contextlib.closing(ahead(items())) as found:
        assert next(found) == 0
        for _ in range(200):
            if len(made) == 4:  # two wait, and one waits for a place
                break
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3]
        assert list(found) == [1, 2, 3, 4, 5, 6, 7]
    assert by == {"sktransfer-ahead"}
    assert "sktransfer-ahead" not in names()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_where_items_are_used_leaves_no_thread(error):
    def use():
        with contextlib.closing(ahead(iter(range(1000)))) as found:
            for item in found:
                if item == 3:
                    raise error

    with pytest.raises(error):
        use()
    assert "sktransfer-ahead" not in names()


def test_an_error_where_items_are_made_is_raised_where_they_are_used():
    def items():
        yield 1
        raise OSError("the file is gone")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(OSError, match="the file is gone"):
        next(found)
    assert "sktransfer-ahead" not in names()


def test_random_changes_are_drawn_in_the_same_order_ahead_of_the_steps(monkeypatch):
    def shifted(pixels):
        return (pixels.int() + torch.randint(0, 9, (1,))).clamp(max=255).byte()

    def batches(is_ahead):
        views = [kept_rows(list(IMAGES))[0]] * 2
        dataset = RowsDataset(
            load_backbone("tiny-cnn"),
            views,
            LABELS,
            np.ones(24),
            np.arange(24),
            seed=3,
            augment=shifted,
        )
        loader = RowsLoader(dataset, 5, shuffle=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return [
                (inputs["hidden"], y)
                for _ in range(2)
                for inputs, y in (loader.ahead() if is_ahead else loader)
            ]

    monkeypatch.setattr(RowsDataset, "is_worth_a_thread", True)
    for got, want in zip(batches(True), batches(False), strict=True):
        assert torch.equal(got[0], want[0])
        assert torch.equal(got[1], want[1])


def test_a_thread_makes_what_the_host_has_to_make():
    def worth(device, **options):
        dataset = SimpleNamespace(**{"device": device, "augment": None, "kept": None})
        dataset.__dict__.update(options)
        return RowsDataset.is_worth_a_thread.fget(dataset)

    card, pretended = torch.device("cuda"), torch.device("xla")
    assert not worth(CPU, augment=len)
    assert worth(card, augment=len)
    # Its steps draw from the CPU's generator, as the changes do.
    assert not worth(pretended, augment=len)
    assert worth(pretended, kept=SimpleNamespace(is_whole=False))
    assert not worth(card, kept=SimpleNamespace(is_whole=True))
    assert set(_batches.DRAWS_APART) == {"cuda", "mps", "xpu"}
