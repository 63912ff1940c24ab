"""What one call of a training leaves to the next."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sktransfer import ImageClassifier, TextClassifier, load, save
from sktransfer.finetuning import Augmentation, Optimizer
from sktransfer.finetuning._state import TrainingState

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)


class Inputs(Callback):
    """Keeps the inputs of every training batch."""

    seen: list = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            Inputs.seen.append({k: v.clone() for k, v in batch[0].items()})


def model(**options):
    options = {"freeze_depth": -1, "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


def calls(way, estimator, n, X, y, **fit_params):
    """Call `partial_fit`, or `fit` with warm_start, and return the inputs of each."""
    found = []
    if way == "warm_start":
        estimator.set_params(warm_start=True, max_epochs=1)
    go_on = estimator.fit if way == "warm_start" else estimator.partial_fit
    for _ in range(n):
        Inputs.seen = []
        go_on(X, y, **fit_params)
        found.append(Inputs.seen)
    return found


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
@pytest.mark.parametrize("augment", ["standard", Augmentation("standard", views=4)])
def test_random_changes_of_images_differ_between_calls(way, augment):
    estimator = ImageClassifier(
        "tiny-cnn",
        freeze_depth=-1,
        augment=augment,
        batch_size=12,
        callbacks=[Inputs()],
        random_state=0,
    )
    batches = calls(way, estimator, 4, PIXELS, LABELS)
    rows = [
        np.sort(batch["hidden"].flatten(1).double().sum(1).numpy())
        for (batch,) in batches
    ]
    for i in range(4):
        for j in range(i):
            assert not np.allclose(rows[i], rows[j], rtol=1e-7, atol=0)


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_the_order_of_rows_and_dropout_differ_between_calls(way):
    estimator = model(batch_size=4, callbacks=[Inputs()])
    first, second, third = calls(way, estimator, 3, TEXTS, LABELS)
    for one, other in ((first, second), (second, third), (first, third)):
        assert not all(
            torch.equal(a["hidden"], b["hidden"])
            for a, b in zip(one, other, strict=True)
            if a["hidden"].shape == b["hidden"].shape
        )


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_a_seed_decides_all_calls_together(way):
    ends = []
    for _ in range(2):
        estimator = model()
        calls(way, estimator, 3, TEXTS, LABELS)
        ends.append(estimator.predict_proba(TEXTS))
    np.testing.assert_array_equal(*ends)
    assert estimator.n_epochs_ == len(estimator.history_) == 3


def test_weights_of_a_chunk_count_against_those_of_other_chunks():
    first, second = slice(0, 6), slice(6, 12)
    found = []
    for weights in ((1.0, 1.0), (1.0, 1000.0), (1000.0, 1.0)):
        estimator = model(lr=0.01, optimizer=Optimizer(gradient_clip_value=None))
        for part, weight in zip((first, second), weights, strict=True):
            estimator.partial_fit(
                TEXTS[part], LABELS[part], sample_weight=np.full(6, weight)
            )
        found.append(estimator.predict_proba(TEXTS))
    for i in range(3):
        for j in range(i):
            assert np.abs(found[i] - found[j]).max() > 1e-4


def test_the_scale_of_all_weights_together_has_no_effect():
    found = []
    for scale in (1.0, 1000.0):
        estimator = model()
        for weight in (1.0, 3.0):
            estimator.partial_fit(
                TEXTS, LABELS, sample_weight=np.full(12, scale * weight)
            )
        found.append(estimator.predict_proba(TEXTS))
    np.testing.assert_allclose(*found, atol=1e-6)


def test_balanced_classes_are_those_of_all_calls():
    seen = []

    class Weights(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if training:
                seen.append((batch[1].clone(), batch[0]["sample_weight"].clone()))

    estimator = model(class_weight="balanced", callbacks=[Weights()], batch_size=12)
    estimator.partial_fit(TEXTS[:9], [0] * 8 + [1], classes=[0, 1])
    estimator.partial_fit(TEXTS[:9], [1] * 8 + [0])
    y, weight = seen[-1]
    both = [weight[y == label].unique().tolist() for label in (0, 1)]
    assert both[0] == pytest.approx(both[1])  # nine of each by now
    estimator.partial_fit(TEXTS[:6], [1] * 6)  # a chunk of one class has its weight
    y, weight = seen[-1]
    assert len(weight.unique()) == 1
    assert weight[0] < both[1][0]


class Steps(Callback):
    """Keeps the step counts of the optimizer at the start of each call."""

    steps: list = []

    def on_train_begin(self, net, **kwargs):
        state = net.optimizer_.state_dict()["state"]
        Steps.steps.append(int(state[0]["step"]) if state else 0)


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_the_optimizer_goes_on(way):
    Steps.steps = []
    calls(way, model(callbacks=[Steps()], batch_size=4), 3, TEXTS, LABELS)
    assert Steps.steps == [0, 3, 6]


def test_the_rate_of_calls_falls_over_all_of_them():
    estimator = model(batch_size=4)  # 3 steps a call
    rates = []
    for _ in range(12):
        estimator.partial_fit(TEXTS, LABELS)
        rates += [row["event_lr"] for row in estimator.history_[-1]["batches"]]
    assert estimator._state.n_steps == len(rates) == 36
    assert rates == sorted(rates, reverse=True)
    assert rates[30] == pytest.approx(rates[0] / 2)
    constant = model(optimizer=Optimizer(lr_schedule="constant"))
    for _ in range(2):
        constant.partial_fit(TEXTS, LABELS)
    assert "event_lr" not in constant.history_[-1]["batches"][0]


def test_the_head_of_many_calls_learns_faster_than_the_blocks():
    estimator = model().partial_fit(TEXTS, LABELS)
    assert estimator.settings_["optimizer__backbone_lr_scale"] == pytest.approx(0.2)
    whole = model().fit(TEXTS, LABELS)
    scale = estimator.settings_["optimizer__backbone_lr_scale"]
    assert estimator.settings_["lr"] * scale == pytest.approx(whole.settings_["lr"])


def test_rates_may_change_between_calls_and_moments_stay():
    estimator = model(warm_start=True, max_epochs=1).fit(TEXTS, LABELS)
    estimator.set_params(lr=0.5, optimizer__weight_decay=0.25).fit(TEXTS, LABELS)
    groups = estimator.net_.optimizer_.param_groups
    assert {group["initial_lr"] for group in groups} == {0.5}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.25}
    assert estimator._state.optimizer["state"][0]["step"] == 2


def test_an_optimizer_with_other_parameters_starts_anew():
    X = [*TEXTS, *TEXTS]
    domain = np.repeat([0, -1], 12)
    y = np.tile(LABELS, 2)
    estimator = model(domain_loss="dann").partial_fit(X, y, sample_domain=domain)
    estimator.set_params(domain_loss=None)
    Steps.steps = []
    estimator.set_params(callbacks=[Steps()]).partial_fit(TEXTS, LABELS)
    assert Steps.steps == [0]


def test_a_plain_fit_keeps_no_optimizer_and_starts_a_new_training():
    estimator = model(max_epochs=1)
    for _ in range(2):
        estimator.fit(TEXTS, LABELS)
        assert estimator._state.optimizer is None
        assert estimator._state.n_calls == 1
    assert len(pickle.dumps(estimator)) < 30_000
    one = estimator.predict_proba(TEXTS)
    np.testing.assert_array_equal(
        clone(estimator).fit(TEXTS, LABELS).predict_proba(TEXTS), one
    )


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_an_unpickled_training_goes_on_as_the_one_that_stayed(way):
    estimator = model()
    calls(way, estimator, 2, TEXTS, LABELS)
    copy = pickle.loads(pickle.dumps(estimator))
    for one in (estimator, copy):
        calls(way, one, 1, TEXTS, LABELS)
    np.testing.assert_array_equal(
        copy.predict_proba(TEXTS), estimator.predict_proba(TEXTS)
    )


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
@pytest.mark.parametrize(
    "options", [{}, {"domain_loss": "dann"}], ids=["plain", "dann"]
)
def test_a_saved_training_goes_on_as_the_one_that_stayed(way, options, tmp_path):
    estimator = model(**options)
    X, y = [*TEXTS, *TEXTS], np.tile(LABELS, 2)
    domain = {"sample_domain": np.repeat([0, -1], 12)}
    calls(way, estimator, 2, X, y, **domain)
    save(estimator, tmp_path / "model")
    copy = load(tmp_path / "model")
    for one in (estimator, copy):
        calls(way, one, 1, X, y, **domain)
    np.testing.assert_array_equal(
        copy.predict_proba(TEXTS), estimator.predict_proba(TEXTS)
    )
    assert copy.n_epochs_ == 3


def test_a_save_of_a_plain_fit_holds_no_optimizer(tmp_path):
    plain, kept = model(max_epochs=1), model(max_epochs=1, warm_start=True)
    sizes = []
    for number, estimator in enumerate((plain, kept)):
        save(estimator.fit(TEXTS, LABELS), tmp_path / str(number))
        files = (tmp_path / str(number)).glob("net*")
        sizes.append(sum(file.stat().st_size for file in files))
    assert sizes[1] > 2 * sizes[0]


def test_a_call_that_fails_leaves_the_training_as_it_was():
    class Fail(Callback):
        def on_batch_begin(self, net, **kwargs):
            raise RuntimeError("no")

    estimator = model().partial_fit(TEXTS, LABELS)
    before, n_calls = estimator.predict_proba(TEXTS), estimator._state.n_calls
    with pytest.raises(RuntimeError, match="no"):
        estimator.set_params(callbacks=[Fail()]).partial_fit(TEXTS, LABELS)
    assert estimator._state.n_calls == n_calls
    np.testing.assert_array_equal(estimator.predict_proba(TEXTS), before)


def test_rows_set_aside_are_the_same_in_every_call():
    aside = []

    class Aside(Callback):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            aside.append(sorted(net.get_split_datasets(X, y)[1].indices.tolist()))

    estimator = model(
        early_stopping=True, warm_start=True, max_epochs=1, callbacks=[Aside()]
    )
    estimator.fit(TEXTS * 4, np.tile(LABELS, 4))
    estimator.fit(TEXTS * 4, np.tile(LABELS, 4))
    assert aside[0] == aside[1]


def test_classes_of_several_labels_are_their_names():
    Y = np.c_[LABELS, 1 - LABELS, np.ones(12, int)]
    estimator = model().partial_fit(TEXTS, Y, classes=["a", "b", "c"])
    assert estimator.classes_.tolist() == ["a", "b", "c"]
    assert estimator.partial_fit(TEXTS, Y).predict(TEXTS).shape == (12, 3)
    with pytest.raises(ValueError, match=r"classes has the shape \(2,\), and y has 3"):
        model().partial_fit(TEXTS, Y, classes=["a", "b"])


def test_classes_that_come_later_are_an_error_that_says_what_to_do():
    estimator = model().partial_fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="Pass all of them as classes= to the first"):
        estimator.partial_fit(TEXTS, LABELS + 1)


def test_seeds_of_calls_differ_and_follow_from_the_first():
    one, other = TrainingState(5), TrainingState(5)
    seeds = [one.next_seed() for _ in range(20)]
    assert seeds[0] == 5
    assert len(set(seeds)) == 20
    assert seeds == [other.next_seed() for _ in range(20)]
    copy = one.copy()
    copy.next_seed()
    assert one.n_calls == 20
