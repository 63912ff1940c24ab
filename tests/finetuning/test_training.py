"""How training ends, goes on, and fits into memory."""

import copy

import numpy as np
import pytest
import torch
from conftest import not_on_a_pretended_card
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from sktransfer import TextClassifier, TextRegressor
from sktransfer.exceptions import NonFiniteLossError
from sktransfer.finetuning import EarlyStopping, Head, Optimizer
from sktransfer.finetuning._callbacks import StopEarly
from sktransfer.finetuning._net import FineTuneNet
from sktransfer.finetuning._optim import Schedule

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2


class Raise(Callback):
    """Raises at the first batch of an epoch."""

    def __init__(self, error, epoch):
        self.error, self.epoch = error, epoch

    def on_batch_begin(self, net, training=None, **kwargs):
        if len(net.history) == self.epoch:
            raise self.error


def model(**options):
    options = {"freeze_depth": -1, "max_epochs": 4, "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), NonFiniteLossError("nan")])
def test_the_last_whole_epoch_is_kept(error):
    with pytest.warns(ConvergenceWarning, match="last whole epoch"):
        stopped = model(
            callbacks=[Raise(error, 3)], optimizer=Optimizer(lr_schedule="constant")
        ).fit(TEXTS, LABELS)
    assert stopped.n_epochs_ == 2
    whole = model(max_epochs=2, optimizer=Optimizer(lr_schedule="constant")).fit(
        TEXTS, LABELS
    )
    np.testing.assert_array_equal(
        stopped.predict_proba(TEXTS), whole.predict_proba(TEXTS)
    )


@pytest.mark.parametrize("kind", [KeyboardInterrupt, NonFiniteLossError])
def test_without_a_whole_epoch_the_error_is_raised(kind):
    with pytest.raises(kind):
        model(callbacks=[Raise(kind(), 1)]).fit(TEXTS, LABELS)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), NonFiniteLossError("nan")])
def test_the_history_has_whole_epochs_only(error):
    with pytest.warns(ConvergenceWarning, match="last whole epoch"):
        stopped = model(callbacks=[Raise(error, 3)]).fit(TEXTS, LABELS)
    assert [row["epoch"] for row in stopped.history_] == [1, 2]
    assert all(row["train_loss"] > 0 for row in stopped.history_)


class Spoil(Callback):
    """Makes a weight infinite after the last step of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=None, **kwargs):
        if training and len(net.history) == self.epoch:
            with torch.no_grad():
                net.module_.head[-1].bias[0] = torch.inf


def test_weights_that_the_last_step_of_an_epoch_spoils_are_not_kept():
    with pytest.raises(NonFiniteLossError, match="in the first epoch"):
        model(callbacks=[Spoil(1)], max_epochs=1).fit(TEXTS, LABELS)
    with pytest.warns(ConvergenceWarning, match="not finite in epoch 4; the weights"):
        kept = model(callbacks=[Spoil(4)]).fit(TEXTS, LABELS)
    assert kept.n_epochs_ == 3
    assert np.isfinite(kept.predict_proba(TEXTS)).all()


def test_a_fitted_model_lets_go_of_the_rows():
    fitted = model(early_stopping=True).fit(TEXTS, LABELS)
    assert fitted.net_.train_split is None
    assert dict(fitted.net_.callbacks_)["early_stopping"].best_model_weights_ is None


@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_arguments_of_an_optimizer_that_are_parameters_are_refused(name):
    optimizer = Optimizer(params={name: 1.0})
    with pytest.raises(ValueError, match=rf"optimizer__params has \['{name}'\]"):
        model(optimizer=optimizer).fit(TEXTS, LABELS)


def test_an_optimizer_of_torch_makes_the_steps():
    sgd = Optimizer(torch.optim.SGD, params={"momentum": 0.5})
    for optimizer in (torch.optim.SGD, sgd):
        fitted = model(optimizer=optimizer).fit(TEXTS, LABELS)
        assert isinstance(fitted.net_.optimizer_, torch.optim.SGD)
    assert fitted.net_.optimizer_.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("kind", [dict, len])
def test_what_is_no_optimizer_is_refused(kind):
    with pytest.raises(ValueError, match="optimizer=.* is no optimizer; expected 'ad"):
        model(optimizer=Optimizer(kind)).fit(TEXTS, LABELS)


def test_a_batch_that_does_not_fit_is_halved_and_trains_the_same(monkeypatch):
    infer = FineTuneNet.infer

    def small(self, x, **kwargs):
        if len(x["hidden"]) > 2 and self.module_.training:
            raise torch.OutOfMemoryError("too many rows")
        return infer(self, x, **kwargs)

    monkeypatch.setattr(FineTuneNet, "infer", small)
    halved = model(batch_size=4).fit(TEXTS, LABELS)
    monkeypatch.undo()
    whole = model(batch_size=4).fit(TEXTS, LABELS)
    np.testing.assert_allclose(
        halved.predict_proba(TEXTS), whole.predict_proba(TEXTS), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["cosine", "one-cycle"])
def test_a_schedule_rises_and_falls_to_nothing(kind):
    factors = [Schedule(kind, 100)(step) for step in range(101)]
    top = int(np.argmax(factors))
    assert 0 < top < 40
    assert max(factors) <= 1.0
    assert factors[-1] == pytest.approx(0.0, abs=1e-6)
    assert (np.diff(factors[top:]) <= 1e-12).all()


def test_early_stopping_sets_rows_aside():
    fitted = model(early_stopping=EarlyStopping(0.5)).fit(TEXTS, LABELS)
    assert "valid_loss" in fitted.history_[0]


def test_early_stopping_goes_back_to_the_start_where_no_epoch_is_better():
    options = {"early_stopping": EarlyStopping(0.4), "batch_size": 4}
    # A rate that spoils what it touches, and one that changes nothing.
    spoilt, still = (model(lr=lr, **options).fit(TEXTS, LABELS) for lr in (10.0, 1e-12))
    np.testing.assert_allclose(
        spoilt.predict_proba(TEXTS), still.predict_proba(TEXTS), atol=1e-6
    )


def test_an_epoch_is_better_than_the_start_by_more_than_chance():
    stop = StopEarly(patience=3)
    stop.dynamic_threshold_, stop.start_rows_ = 1.0, [1.0, 1.2, 0.8, 1.0]
    for rows, is_better in (
        ([0.9, 1.0, 0.7, 0.8], True),  # every row gains
        ([0.0, 1.4, 1.2, 1.3], False),  # one row does, and the mean with it
        ([1.1, 1.3, 0.9, 1.1], False),
    ):
        stop.rows_ = rows
        assert stop._is_score_improved(np.mean(rows)) == is_better
    stop.rows_ = []  # of a loss that compares rows with each other
    assert stop._is_score_improved(0.9)


def test_a_bar_counts_steps_and_shows_epochs(capsys):
    model(verbose=1, batch_size=4, max_epochs=2).fit(TEXTS[:8], LABELS[:8])
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "epoch=2/2" in shown
    assert "train_loss=" in shown


def test_warm_start_at_another_depth_is_refused_by_name():
    fitted = model(warm_start=True).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="freeze_depth"):
        fitted.set_params(freeze_depth=-2).fit(TEXTS, LABELS)


def test_warm_start_with_another_head_is_refused_by_name():
    fitted = model(warm_start=True).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="head='mlp', but the first fit made 'linear'"):
        fitted.set_params(head="mlp").fit(TEXTS, LABELS)


def test_history_goes_on_where_training_does():
    fitted = model(warm_start=True, max_epochs=2).fit(TEXTS, LABELS)
    first = [row["train_loss"] for row in fitted.history_]
    fitted.set_params(max_epochs=3).fit(TEXTS, LABELS)
    assert len(fitted.history_) == fitted.n_epochs_ == 5
    assert [row["train_loss"] for row in fitted.history_][:2] == first
    fresh = fitted.set_params(warm_start=False).fit(TEXTS, LABELS)
    assert len(fresh.history_) == fresh.n_epochs_ == 3


def test_regressors_end_with_the_mean_of_start_and_end():
    options = {"freeze_depth": -1, "lr": 1e-2, "random_state": 0}
    y = LABELS + 0.1 * np.random.default_rng(0).normal(size=12)

    def weights(**more):
        fitted = TextRegressor("tiny-bert", **options | more).fit(TEXTS, y)
        return fitted.net_.module_.state_dict()

    start, end = (
        weights(max_epochs=0),
        weights(max_epochs=3, optimizer=Optimizer(average=False)),
    )
    middle = weights(max_epochs=3)
    assert any(not torch.equal(start[name], end[name]) for name in start)
    for name, value in middle.items():
        torch.testing.assert_close(value, (start[name] + end[name]) / 2)


def test_early_stopping_ends_with_the_weights_that_it_watched():
    y = LABELS + 0.1 * np.random.default_rng(0).normal(size=12)
    watched = EarlyStopping(monitor="neg_mean_squared_error")
    fitted = TextRegressor(
        "tiny-bert", freeze_depth=0, lr=3e-3, early_stopping=watched, random_state=0
    ).fit(TEXTS, y, X_val=TEXTS[:6], y_val=y[:6])
    assert fitted.settings_["optimizer__average"] is False
    error = -np.square(fitted.predict(TEXTS[:6]) - y[:6]).mean()
    best = max(row["valid_neg_mean_squared_error"] for row in fitted.history_)
    assert error == pytest.approx(best, rel=1e-4)
    fitted.set_params(optimizer__average=True)
    with pytest.raises(ValueError, match="weights that early_stopping has chosen"):
        fitted.fit(TEXTS, y)


@pytest.mark.parametrize("is_loss", [False, True])
def test_a_score_below_zero_that_hardly_changes_ends_the_training(is_loss):
    scores = iter(-1 - 5e-5 * np.arange(100) * (-1 if is_loss else 1))

    def falling(estimator, X, y):
        return next(scores)

    def below(outputs, y):
        return (outputs - y).square().mean(1) - 1000

    watched = EarlyStopping(0.3, monitor="loss" if is_loss else falling, patience=2)
    fitted = TextRegressor(
        "tiny-bert",
        loss=below if is_loss else "squared_error",
        lr=1e-9,
        max_epochs=10,
        early_stopping=watched,
        random_state=0,
    )
    assert fitted.fit(TEXTS, LABELS).n_epochs_ == 2


@not_on_a_pretended_card
def test_a_head_that_starts_at_random_is_not_averaged_nor_is_a_training_that_goes_on():
    def fitted(**options):
        model = TextRegressor("tiny-bert", random_state=0, max_epochs=1, **options)
        return model.fit(TEXTS, LABELS)

    for options in ({"head": "mlp"}, {"head": Head(init="random")}):
        both = [
            fitted(optimizer=Optimizer(average=a), **options).predict(TEXTS)
            for a in (True, False)
        ]
        np.testing.assert_array_equal(*both)
    model = fitted(warm_start=True)
    ends = [
        copy.deepcopy(model)
        .set_params(optimizer__average=a)
        .fit(TEXTS, LABELS)
        .predict(TEXTS)
        for a in (True, False)
    ]
    np.testing.assert_array_equal(*ends)
