"""What one call of a training leaves to the next."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import not_on_a_pretended_card
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from sktransfer import (
    ImageClassifier,
    TextClassifier,
    TextRegressor,
    load,
    save,
)
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
@pytest.mark.usefixtures("auto_is_cpu")
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
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[35] == pytest.approx(rates[9] * np.sqrt(10 / 36))
    constant = model(optimizer=Optimizer(lr_schedule="constant"))
    for _ in range(2):
        constant.partial_fit(TEXTS, LABELS)
    assert "event_lr" not in constant.history_[-1]["batches"][0]


def test_many_calls_end_with_the_mean_of_the_weights_after_each_step():
    steps = []

    class Weights(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if training:
                head = net.module_.head[-1].weight
                steps.append(head.detach().clone().double())

    estimator = model(batch_size=4, callbacks=[Weights()])
    for _ in range(3):
        estimator.partial_fit(TEXTS, LABELS)
        mean = torch.stack(steps).mean(0)
        found = estimator.net_.module_.head[-1].weight.double()
        torch.testing.assert_close(found, mean, atol=1e-6, rtol=1e-5)
    last = estimator._state.weights["head.2.weight"].double()
    torch.testing.assert_close(last, steps[-1])
    plain = model(batch_size=4, optimizer=Optimizer(average=False))
    for _ in range(3):
        plain.partial_fit(TEXTS, LABELS)
    assert plain._state.weights is None
    torch.testing.assert_close(plain.net_.module_.head[-1].weight.double(), last)


def test_a_fit_after_calls_starts_at_their_mean():
    estimator = model(warm_start=True, max_epochs=0)
    for _ in range(2):
        estimator.partial_fit(TEXTS, LABELS)
    before = estimator.predict_proba(TEXTS)
    np.testing.assert_array_equal(
        estimator.fit(TEXTS, LABELS).predict_proba(TEXTS), before
    )
    assert estimator._state.weights is None


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
    moments = estimator._state.optimizer["moments"]
    assert {int(values["step"]) for values in moments.values()} == {2}


def steps_of(estimator):
    """Return the steps of the optimizer by the name of a parameter."""
    moments = estimator._state.optimizer["moments"]
    return {name: int(values["step"]) for name, values in moments.items()}


def test_parameters_that_come_later_start_anew_and_the_others_go_on():
    both = [*TEXTS, *TEXTS], np.tile(LABELS, 2)
    domain = {"sample_domain": np.repeat([0, -1], 12)}
    estimator = model().partial_fit(*both, **domain)
    estimator.set_params(domain_loss="dann").partial_fit(*both, **domain)
    steps = steps_of(estimator)
    assert {n for name, n in steps.items() if name.startswith("domain")} == {1}
    assert {n for name, n in steps.items() if not name.startswith("domain")} == {2}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Optimizer(torch.optim.SGD, params={"momentum": 0.9}), "adamw"),
        ("adamw", Optimizer(params={"amsgrad": True})),
        ("adamw", torch.optim.SGD),
    ],
)
def test_another_optimizer_starts_anew(first, then):
    estimator = model(optimizer=first).partial_fit(TEXTS, LABELS)
    estimator.set_params(optimizer=then).partial_fit(TEXTS, LABELS)
    assert set(steps_of(estimator).values()) <= {1} if then != torch.optim.SGD else True
    assert np.isfinite(estimator.predict_proba(TEXTS)).all()


def test_moments_that_are_not_finite_are_not_kept():
    class Bad(torch.nn.Module):
        n = 0

        def forward(self, outputs, y):
            Bad.n += 1
            losses = torch.nn.functional.cross_entropy(outputs, y, reduction="none")
            if Bad.n == 3:  # a finite loss with a gradient of NaN
                losses = losses + (outputs - outputs).abs().sum(1).sqrt()
            return losses

    estimator = model(loss=Bad(), warm_start=True, max_epochs=5)
    with pytest.warns(ConvergenceWarning, match="last whole epoch"):
        estimator.fit(TEXTS, LABELS)
    assert estimator._state.optimizer is None
    estimator.set_params(loss="log_loss").fit(TEXTS, LABELS)
    assert np.isfinite(estimator.predict_proba(TEXTS)).all()


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
@pytest.mark.parametrize("saved", [False, True])
@not_on_a_pretended_card
def test_what_a_loss_learns_goes_on(way, saved, tmp_path):
    estimator = model(loss=Learned(), lr=0.1)
    found = []
    for _ in range(3):
        calls(way, estimator, 1, TEXTS, LABELS)
        found.append(float(estimator._state.loss["bias"]))
        if saved:
            estimator = pickle.loads(pickle.dumps(estimator))
    assert found == sorted(found)
    assert found[2] - found[1] > 0.2 * found[0] > 0


class Learned(torch.nn.Module):
    """A loss that is the less the greater a weight of its own is."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def forward(self, outputs, y):
        losses = torch.nn.functional.cross_entropy(outputs, y, reduction="none")
        return losses - self.bias


def test_prototypes_keep_their_scale_when_training_goes_on():
    labels = np.random.default_rng(0).integers(0, 2, 12)
    estimator = model(
        head="prototype", freeze_depth=0, lr=3e-3, max_epochs=20, warm_start=True
    )
    scales = {
        estimator.fit(TEXTS, labels).net_.module_.head[-1].scale.item()
        for _ in range(3)
    }
    assert len(scales) == 1


def test_the_prior_of_chunks_is_that_of_all_weights():
    estimator = TextRegressor("tiny-bert", missing="prior", random_state=0)
    y = np.arange(6.0)
    estimator.partial_fit(TEXTS[:6], y, sample_weight=np.ones(6))
    estimator.partial_fit(TEXTS[6:], 100 + y, sample_weight=np.full(6, 1000.0))
    wanted = (y.sum() + 1000 * (100 + y).sum()) / (6 + 6000)
    assert estimator.predict([None])[0] == pytest.approx(wanted, rel=1e-4)


def test_the_prior_is_that_of_rows_before_classes_are_balanced():
    estimator = model(missing="prior", class_weight="balanced")
    estimator.fit(TEXTS, [0] * 9 + [1] * 3)
    np.testing.assert_allclose(estimator.predict_proba([None]), [[0.75, 0.25]])


def test_class_weights_of_nothing_are_refused():
    with pytest.raises(ValueError, match="class_weight={0: 0, 1: 0} gives every row 0"):
        model(class_weight={0: 0, 1: 0}).fit(TEXTS, LABELS)
    estimator = model(class_weight={0: 0.0})
    with pytest.raises(ValueError, match="gives every row 0"):
        estimator.partial_fit(TEXTS[::2], LABELS[::2], classes=[0, 1])
    estimator.partial_fit(TEXTS, LABELS)
    estimator.partial_fit(TEXTS[::2], LABELS[::2])
    assert np.isfinite(estimator.predict_proba(TEXTS)).all()


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
    twin = pickle.loads(pickle.dumps(estimator))
    for one in (estimator, twin):
        calls(way, one, 1, TEXTS, LABELS)
    np.testing.assert_array_equal(
        twin.predict_proba(TEXTS), estimator.predict_proba(TEXTS)
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
    twin = load(tmp_path / "model")
    for one in (estimator, twin):
        calls(way, one, 1, X, y, **domain)
    np.testing.assert_array_equal(
        twin.predict_proba(TEXTS), estimator.predict_proba(TEXTS)
    )
    assert twin.n_epochs_ == 3


def test_a_save_of_a_plain_fit_holds_no_optimizer(tmp_path):
    plain, kept = model(max_epochs=1), model(max_epochs=1, warm_start=True)
    sizes = []
    for number, estimator in enumerate((plain, kept)):
        save(estimator.fit(TEXTS, LABELS), tmp_path / str(number))
        files = (tmp_path / str(number)).glob("net*")
        sizes.append(sum(file.stat().st_size for file in files))
    assert sizes[1] > 2 * sizes[0]


@not_on_a_pretended_card
def test_a_call_that_fails_leaves_the_training_as_it_was():
    class Fail(Callback):
        def on_batch_end(self, net, **kwargs):
            raise RuntimeError("no")

    estimator = model().partial_fit(TEXTS, LABELS)
    twin = copy.deepcopy(estimator)
    before, n_calls = estimator.predict_proba(TEXTS), estimator._state.n_calls
    with pytest.raises(RuntimeError, match="no"):
        estimator.set_params(callbacks=[Fail()]).partial_fit(TEXTS, LABELS)
    assert estimator._state.n_calls == n_calls
    np.testing.assert_array_equal(estimator.predict_proba(TEXTS), before)
    for one in (estimator.set_params(callbacks=None), twin):
        one.partial_fit(TEXTS, LABELS)
    np.testing.assert_array_equal(
        estimator.predict_proba(TEXTS), twin.predict_proba(TEXTS)
    )


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


def test_other_classes_at_a_later_call_are_refused():
    estimator = model().partial_fit(TEXTS, LABELS, classes=[0, 1])
    estimator.partial_fit(TEXTS, LABELS, classes=[1, 0])
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\] differs from the"):
        estimator.partial_fit(TEXTS, LABELS, classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (LABELS, "y has no labels per row; the first y had 2"),
        (np.eye(12, 2, dtype=int) * 7, "must hold 0 and 1"),
        (np.eye(12, 3, dtype=int), "y has 3 labels per row; the first y had 2"),
        (
            pd.DataFrame(np.eye(12, 2, dtype=int), columns=["b", "a"]),
            r"y has the columns \['b', 'a'\]; the first y had \['a', 'b'\]",
        ),
    ],
)
def test_labels_of_a_later_chunk_are_checked(y, message):
    first = pd.DataFrame(np.eye(12, 2, dtype=int), columns=["a", "b"])
    estimator = model().partial_fit(TEXTS, first)
    with pytest.raises(ValueError, match=message):
        estimator.partial_fit(TEXTS, y)


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
    one.copy().next_seed()
    assert one.n_calls == 20
