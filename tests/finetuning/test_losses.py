"""Each loss trains to what it is least at, and is chosen by name, object or module."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch import nn

from sktransfer import ImageClassifier, TextClassifier, TextRegressor
from sktransfer.finetuning import (
    FocalLoss,
    Head,
    HuberLoss,
    LogLoss,
    Optimizer,
    QuantileLoss,
    SquaredErrorLoss,
)
from sktransfer.finetuning._losses import LOSSES
from sktransfer.finetuning._row_losses import BinaryCrossEntropy, CrossEntropy, RowLoss

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2
SAME = ["the same text"] * 40  # whose best output is a constant
LONG = {
    "freeze_depth": "all",
    "lr": 0.05,
    "max_epochs": 60,
    "batch_size": 40,
    "random_state": 0,
}


def constant(loss, y, kind=TextRegressor, **options):
    """Train a head to a constant, and return what it predicts."""
    options = LONG | {"head": Head(init="random")} | options
    fitted = kind("tiny-bert", loss=loss, **options).fit(SAME[: len(y)], y)
    if kind is TextClassifier:
        return fitted.predict_proba(SAME[:1])[0]
    return fitted.predict(SAME[:1])[0]


Y = np.concatenate([np.linspace(0, 1, 35), np.full(5, 30.0)])  # with outliers


def test_a_squared_error_is_least_at_the_mean():
    assert constant("squared_error", Y) == pytest.approx(Y.mean(), abs=0.15)


@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.8])
def test_a_quantile_loss_is_least_at_the_quantile(quantile):
    y = np.linspace(0, 1, 40)
    found = constant(QuantileLoss(quantile), y)
    assert found == pytest.approx(quantile, abs=0.05)


def test_a_huber_loss_is_least_between_median_and_mean():
    median, mean = np.median(Y), Y.mean()
    deltas = (0.05, 1.0, 100.0)
    found = [constant(HuberLoss(d), Y, max_epochs=150) for d in deltas]
    assert found == sorted(found)
    assert found[0] == pytest.approx(median, abs=0.3)
    assert found[-1] == pytest.approx(mean, abs=0.15)


def test_a_log_loss_is_least_at_the_shares():
    y = np.repeat(["a", "b", "c"], [20, 15, 5])
    found = constant(LogLoss(label_smoothing=0.0), y, TextClassifier)
    np.testing.assert_allclose(found, [0.5, 0.375, 0.125], atol=0.03)
    smooth = constant(LogLoss(label_smoothing=0.4), y, TextClassifier)
    wanted = 0.6 * np.array([0.5, 0.375, 0.125]) + 0.4 / 3
    np.testing.assert_allclose(smooth, wanted, atol=0.03)


def focal_optimum(share, gamma):
    """Return the probability at which the mean focal loss of two classes is least."""
    p = np.linspace(1e-3, 1 - 1e-3, 9999)
    loss = share * (1 - p) ** gamma * -np.log(p)
    loss += (1 - share) * p**gamma * -np.log(1 - p)
    return p[loss.argmin()]


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_a_focal_loss_is_least_where_its_formula_is(gamma):
    y = np.repeat(["a", "b"], [30, 10])
    found = constant(FocalLoss(gamma), y, TextClassifier)
    assert found[0] == pytest.approx(focal_optimum(0.75, gamma), abs=0.03)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_focal_loss_of_certain_rows_has_a_gradient(gamma):
    outputs = torch.tensor([[200.0, -200.0], [0.0, 0.0]], requires_grad=True)
    for loss, y in (
        (CrossEntropy(0.0, gamma), torch.tensor([0, 1])),
        (BinaryCrossEntropy(0.0, gamma), torch.tensor([[1.0, 0.0], [0.0, 1.0]])),
    ):
        losses = loss(outputs, y)
        (gradient,) = torch.autograd.grad(losses.sum(), outputs)
        assert torch.isfinite(losses).all()
        assert torch.isfinite(gradient).all()
        assert gradient[1].abs().sum() > 0


def test_a_regression_under_a_quantile_loss_starts_at_the_quantile():
    rng = np.random.default_rng(0)
    texts = [f"text {i}" for i in range(60)]
    y = rng.normal(size=60)
    for quantile in (0.1, 0.9):
        loss = QuantileLoss(quantile, calibration_fraction=None)
        start = TextRegressor("tiny-bert", loss=loss, max_epochs=0, random_state=0)
        start.fit(texts, y)
        share = (y <= start.predict(texts)).mean()
        assert share == pytest.approx(quantile, abs=0.03)
    assert start.settings_["optimizer__average"] is False


# -- quantiles are corrected by rows that took no part -----------------------------

MANY = [f"text number {i} of many" for i in range(199)]
NOISE = np.random.default_rng(0).normal(size=199)
SHORT = {
    "backbone": "tiny-bert",
    "freeze_depth": "all",
    "max_epochs": 1,
    "random_state": 0,
}


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_rows_to_watch_lie_below_a_quantile_as_often_as_it_says(quantile, head):
    loss = QuantileLoss(quantile, calibration_fraction=0.2)
    model = TextRegressor(loss=loss, head=head, **SHORT)
    model.fit(MANY[:100], NOISE[:100] - 5, X_val=MANY[100:], y_val=NOISE[100:])
    below = NOISE[100:] <= model.predict(MANY[100:]) + 1e-5
    assert below.sum() == pytest.approx(quantile * 100, abs=1)
    never = model.set_params(loss__calibration_fraction=None)
    never.fit(MANY[:100], NOISE[:100] - 5, X_val=MANY[100:], y_val=NOISE[100:])
    assert not (NOISE[100:] <= never.predict(MANY[100:])).any()


def test_a_few_rows_to_watch_move_no_quantile():
    moved = []
    for n_rows in (9, 10):
        part = {"X_val": MANY[100 : 100 + n_rows], "y_val": NOISE[:n_rows] + 50}
        model = TextRegressor(loss=QuantileLoss(0.9), **SHORT)
        model.fit(MANY[:100], NOISE[:100], **part)
        moved.append(model.predict(MANY[:1])[0] > 25)
    assert moved == [False, True]


def test_each_output_is_moved_by_its_own_rows():
    y = np.stack([NOISE, 100 * NOISE[::-1]], 1)
    model = TextRegressor(loss=QuantileLoss(0.8), **SHORT).fit(MANY, y)
    assert "valid_loss" in model.history_[0]
    shares = (y <= model.predict(MANY)).mean(axis=0)
    np.testing.assert_allclose(shares, 0.8, atol=0.1)


def test_a_quantile_of_few_rows_sets_none_aside():
    def first_epoch(n, quantile=0.9, **options):
        loss = QuantileLoss(quantile, **options)
        model = TextRegressor("tiny-bert", loss=loss, max_epochs=1, random_state=0)
        model.fit(MANY[:n], NOISE[:n])
        return model.history_[0], model

    row, few = first_epoch(49)
    assert "valid_loss" not in row
    row, _ = first_epoch(50)
    assert "valid_loss" in row
    row, never = first_epoch(49, calibration_fraction=None)
    np.testing.assert_array_equal(few.predict(MANY[:5]), never.predict(MANY[:5]))
    row, _ = first_epoch(100, calibration_fraction=None)
    assert "valid_loss" not in row
    row, _ = first_epoch(100, quantile=0.5)  # which a close fit hardly moves
    assert "valid_loss" not in row
    # A hundredth of 100 rows would be one, and nothing could be said from it.
    model = TextRegressor(loss=QuantileLoss(0.99), **SHORT)
    assert "valid_loss" not in model.fit(MANY[:100], NOISE[:100]).history_[0]


def test_copies_of_one_text_are_not_counted_as_rows_to_set_aside():
    model = TextRegressor(loss=QuantileLoss(0.9), **SHORT)
    model.fit(["the same text"] * 80, NOISE[:80])
    assert "valid_loss" not in model.history_[0]
    model.set_params(loss__calibration_fraction=0.5)
    with pytest.raises(ValueError, match="loss__calibration_fraction sets rows aside"):
        model.fit(["the same text"] * 80, NOISE[:80])


def test_a_quantile_of_residuals_counts_the_row_to_come():
    rng = np.random.default_rng(0)
    residuals = rng.normal(size=(37, 2))
    for quantile in (0.1, 0.5, 0.9):
        loss = QuantileLoss(quantile)
        expected = np.quantile(residuals, quantile, axis=0, method="weibull")
        found = loss._best_constants(residuals, np.full(37, 3.0))
        np.testing.assert_allclose(found, expected)
        twice = np.repeat(residuals, 2, axis=0)
        weighted = loss._best_constants(twice, np.tile([0.0, 1.0], 37) + 1e-12)
        np.testing.assert_allclose(weighted, expected, atol=0.2)


# -- by name, object or module -----------------------------------------------------


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_name_is_the_object_with_its_defaults(name):
    kind = TextRegressor if "numbers" in LOSSES[name].tasks else TextClassifier
    by_name, by_object = (
        kind("tiny-bert", loss=loss, max_epochs=2, random_state=0).fit(TEXTS, LABELS)
        for loss in (name, LOSSES[name]())
    )
    np.testing.assert_array_equal(by_name.predict(TEXTS), by_object.predict(TEXTS))
    if kind is TextClassifier:
        np.testing.assert_array_equal(
            by_name.predict_proba(TEXTS), by_object.predict_proba(TEXTS)
        )


@pytest.mark.parametrize(
    ("kind", "own", "same"),
    [
        (
            TextClassifier,
            nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1),
            LogLoss(label_smoothing=0.1),
        ),
        (TextRegressor, nn.HuberLoss(reduction="none", delta=0.3), HuberLoss(0.3)),
        (TextRegressor, nn.MSELoss(reduction="none"), SquaredErrorLoss()),
        (TextRegressor, lambda outputs, y: (outputs - y).square(), SquaredErrorLoss()),
    ],
)
def test_a_module_is_the_loss_of_rows_with_their_weights(kind, own, same):
    weight = np.linspace(0.1, 3, 12)
    options = {"max_epochs": 3, "optimizer": Optimizer(average=False)}
    ends = [
        kind("tiny-bert", loss=loss, random_state=0, **options)
        .fit(TEXTS, LABELS, sample_weight=weight)
        .predict(TEXTS)
        for loss in (own, same)
    ]
    np.testing.assert_array_equal(*ends)


def test_what_a_module_learns_is_trained_on_a_copy():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_scale = nn.Parameter(torch.zeros(()))

        def forward(self, outputs, y):
            return (outputs - y).square() * (-self.log_scale).exp() + self.log_scale

    own = Scaled()
    model = TextRegressor("tiny-bert", loss=own, lr=0.01, random_state=0)
    model.fit(TEXTS, LABELS)
    assert own.log_scale.item() == 0
    assert model.net_.criterion_.of_outputs.log_scale.item() != 0


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.MSELoss(), r"gave \(\) for outputs of shape .*Take reduction='none'"),
        (nn.MSELoss, r"loss=MSELoss is a class; .* MSELoss\(reduction='none'\)"),
        (HuberLoss, r"loss=HuberLoss is a class; .* HuberLoss\(\)"),
        (nn.CosineEmbeddingLoss(), "failed for outputs of shape .* and targets of"),
        (LogLoss(), "does not suit y, which has numbers. Use 'squared_error'"),
        (FocalLoss(), "does not suit y, which has numbers"),
        (lambda outputs, y: 1.0, "expected one loss per row"),
        ("log_loss", "The 'loss' parameter of TextRegressor"),
        ("squared", "The 'loss' parameter of TextRegressor"),
        (QuantileLoss(1.0), "The 'quantile' parameter of QuantileLoss"),
        (HuberLoss(0.0), "The 'delta' parameter of HuberLoss"),
    ],
)
def test_what_is_no_loss_for_such_targets_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        TextRegressor("tiny-bert", loss=loss, random_state=0).fit(TEXTS, LABELS)


# -- weights of labels -------------------------------------------------------------


def indicators():
    rng = np.random.default_rng(0)
    Y = (rng.random((80, 3)) < [0.5, 0.2, 0.05]).astype(int)
    Y[0] = 1
    words = np.array(["red", "green", "blue"])
    texts = [" ".join([*words[row > 0], f"{i}"]) for i, row in enumerate(Y)]
    return texts, Y


def fit_labels(class_weight, **options):
    texts, Y = indicators()
    options = {"freeze_depth": "all", "max_epochs": 0, "random_state": 0} | options
    model = TextClassifier("tiny-bert", class_weight=class_weight, **options)
    return model.fit(texts, Y), texts, Y


def test_balanced_labels_are_those_of_one_model_for_each():
    from sktransfer import TextEncoder

    model, texts, Y = fit_labels("balanced", head=Head(C=1.0))
    features = TextEncoder("tiny-bert").fit_transform(texts).astype(float)
    features -= features.mean(0)
    features /= features.std()
    for i in range(3):
        alone = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
        wanted = alone.fit(features, Y[:, i]).predict_proba(features)[:, 1]
        np.testing.assert_allclose(model.predict_proba(texts)[:, i], wanted, atol=0.02)


@pytest.mark.usefixtures("auto_is_cpu")
def test_balanced_labels_weigh_no_row_by_its_other_labels():
    model, _, Y = fit_labels("balanced", max_epochs=1)
    weights = model.net_.criterion_.label_weights.numpy()
    n = len(Y)
    np.testing.assert_allclose(weights[1], n / (2 * Y.sum(0)), rtol=1e-6)
    np.testing.assert_allclose(weights[0], n / (2 * (n - Y.sum(0))), rtol=1e-6)


@pytest.mark.parametrize(
    "class_weight",
    [{2: 3.0}, [{0: 1.0, 1: 1.0}, {}, {1: 3.0}]],
    ids=["dict", "list"],
)
@pytest.mark.usefixtures("auto_is_cpu")
def test_labels_have_weights_of_their_own(class_weight):
    model, _, _ = fit_labels(class_weight, max_epochs=1)
    weights = model.net_.criterion_.label_weights.numpy()
    np.testing.assert_array_equal(weights, [[1, 1, 1], [1, 1, 3]])
    plain, texts, _ = fit_labels(None)
    heavy, _, _ = fit_labels(class_weight)
    gain = heavy.predict_proba(texts) - plain.predict_proba(texts)
    assert gain[:, 2].mean() > 0.01
    np.testing.assert_allclose(gain[:, :2], 0, atol=1e-6)


@pytest.mark.usefixtures("auto_is_cpu")
def test_labels_that_are_named_have_weights_by_name():
    import pandas as pd

    texts, Y = indicators()
    frame = pd.DataFrame(Y, columns=["red", "green", "blue"])
    options = {"freeze_depth": "all", "max_epochs": 1, "random_state": 0}
    model = TextClassifier("tiny-bert", class_weight={"blue": 2.0}, **options)
    model.fit(texts, frame)
    np.testing.assert_array_equal(model.net_.criterion_.label_weights[1], [1, 1, 2])


@pytest.mark.parametrize(
    ("class_weight", "y", "message"),
    [
        ({"c": 1.0}, list("ab") * 6, r"for \['c'\], but y has only \['a', 'b'\]"),
        ({"a": -1.0}, list("ab") * 6, "finite weights of at least 0"),
        ([{0: 1.0}], list("ab") * 6, "class_weight is a list of 1; expected a dict"),
        ([{0: 1.0}], np.eye(12, 2, dtype=int), "a list of 1"),
        ([{2: 1.0}] * 2, np.eye(12, 2, dtype=int), r"weights for \[2, 2\]"),
        ([1.0, 2.0], np.eye(12, 2, dtype=int), "class_weight is a list of 2"),
        ({"a": "x"}, list("ab") * 6, "finite weights of at least 0; got {'a': 'x'}"),
        ({5: 1.0}, np.eye(12, 2, dtype=int), r"for \[5\], but y has only \[0, 1\]"),
    ],
)
def test_weights_of_classes_that_are_not_there_are_refused(class_weight, y, message):
    model = TextClassifier("tiny-bert", class_weight=class_weight, random_state=0)
    with pytest.raises(ValueError, match=message):
        model.fit(TEXTS, y)


def test_a_label_that_all_rows_have_weighs_one():
    Y = np.c_[np.ones(12, int), LABELS]
    model = TextClassifier(
        "tiny-bert", class_weight="balanced", max_epochs=1, random_state=0
    ).fit(TEXTS, Y)
    assert model.net_.criterion_.label_weights[:, 0].tolist() == [1.0, 1.0]
    assert average_precision_score(Y[:, 1], model.predict_proba(TEXTS)[:, 1]) > 0


def test_a_loss_of_rows_alone_takes_no_weights_of_labels():
    loss = RowLoss(lambda outputs, y: outputs.sum(1), np.ones((2, 3)))
    with pytest.raises(ValueError, match="class_weight needs one per row and label"):
        loss(torch.zeros(4, 3), torch.zeros(4, 3), torch.ones(4))


def test_images_take_a_focal_loss():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    options = {"max_epochs": 2, "random_state": 0}
    plain, focal = (
        ImageClassifier("tiny-cnn", loss=loss, **options).fit(X, LABELS)
        for loss in ("log_loss", "focal")
    )
    assert not np.array_equal(plain.predict_proba(X), focal.predict_proba(X))
