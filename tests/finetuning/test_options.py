"""Options of fine-tuning do what they say, and what is kept is small."""

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from skorch.callbacks import Callback

from sktransfer import ImageClassifier, ImageEncoder, TextClassifier, load_backbone
from sktransfer.exceptions import NonFiniteLossError
from sktransfer.finetuning import Head, LogLoss, Optimizer
from sktransfer.finetuning._batches import inputs_of
from sktransfer.finetuning._net import FineTuneNet
from sktransfer.finetuning._row_losses import RowLoss

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2
PLAIN = {
    "head": Head(init="random"),
    "optimizer": Optimizer(
        backbone_lr_scale=1.0,
        layer_decay=1.0,
        weight_decay=0.0,
        lr_schedule="constant",
        gradient_clip_value=None,
    ),
    "loss": LogLoss(label_smoothing=0.0),
    "lr": 1e-2,
    "batch_size": 12,
    "max_epochs": 5,
    "random_state": 0,
}


def pictures(n_rows=12):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(n_rows, 36, 36, 3), dtype=np.uint8)


class Start(Callback):
    """Keeps a copy of the module as it is before the first step."""

    def on_train_begin(self, net, **kwargs):
        Start.module = copy.deepcopy(net.module_)


@pytest.mark.parametrize(
    ("name", "cls", "X"),
    [("tiny-cnn", ImageClassifier, pictures()), ("tiny-bert", TextClassifier, TEXTS)],
    ids=["images", "texts"],
)
@pytest.mark.usefixtures("auto_is_cpu")
def test_the_loss_curve_is_that_of_a_plain_loop_which_runs_the_prefix_each_step(
    name, cls, X
):
    fitted = cls(name, freeze_depth=-1, callbacks=[Start()], **PLAIN).fit(X, LABELS)

    backbone = load_backbone(name)
    prepare = backbone.preprocess.prepare
    is_text = name == "tiny-bert"
    rows = prepare(X) if is_text else [prepare(Image.fromarray(x)) for x in X]
    module, cut = Start.module.train(), len(backbone.blocks) - 1
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=0.0)
    curve = []
    for _ in range(5):
        with torch.no_grad():
            state = backbone.run(backbone.batch(rows), 0, cut)
        outputs = module(state.hidden, state.mask, state.lengths)
        loss = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(LABELS))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    assert curve[-1] < 0.99 * curve[0]
    losses = [row["train_loss"] for row in fitted.history_]
    np.testing.assert_allclose(losses, curve, atol=1e-6)


def test_a_pickle_holds_what_was_trained_once_and_no_rows():
    model = TextClassifier("tiny-bert", freeze_depth=-1, random_state=0)
    fitted = model.fit(TEXTS, LABELS)
    n_weights = sum(p.numel() for p in fitted.net_.module_.parameters())
    small = len(pickle.dumps(fitted))
    assert small < 4 * n_weights + 15_000
    model.fit(TEXTS * 20, np.tile(LABELS, 20))
    assert len(pickle.dumps(model)) < small + 5_000


@pytest.mark.parametrize("cls", [ImageClassifier, TextClassifier])
def test_half_precision_activations_take_half_and_predict_nearly_the_same(cls):
    name, X = (
        ("tiny-cnn", pictures()) if cls is ImageClassifier else ("tiny-bert", TEXTS)
    )
    full, half = (
        cls(name, freeze_depth=-1, random_state=0, activation_dtype=dtype)
        for dtype in ("float32", "float16")
    )
    wanted = full.fit(X, LABELS).predict_proba(X)
    got = half.fit(X, LABELS).predict_proba(X)
    assert not np.array_equal(got, wanted)
    np.testing.assert_allclose(got, wanted, atol=0.02)


def test_verbose_draws_epochs_and_losses(capsys):
    TextClassifier("tiny-bert", max_epochs=3, random_state=0, verbose=1).fit(
        TEXTS, LABELS
    )
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3/3" in printed.err
    assert "train_loss=" in printed.err
    TextClassifier("tiny-bert", max_epochs=3, random_state=0).fit(TEXTS, LABELS)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("task", ["classes", "labels"])
def test_label_smoothing_spreads_the_label(task):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 3)).astype(np.float32)
    label = np.array([0, 1, 2, 1, 0])
    wanted = np.eye(3)[label]
    if task == "classes":
        smooth = 0.8 * wanted + 0.2 / 3
        shifted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        loss = -(smooth * np.log(shifted)).sum(1).mean()
        target = torch.from_numpy(label)
    else:
        smooth = 0.8 * wanted + 0.1
        share = 1 / (1 + np.exp(-logits))
        loss = -(smooth * np.log(share) + (1 - smooth) * np.log(1 - share)).mean()
        target = torch.from_numpy(wanted.astype(np.float32))
    row_loss = RowLoss(LogLoss()._make(task, 0.2))
    got = row_loss(torch.from_numpy(logits), target, torch.ones(5))
    assert got.item() == pytest.approx(loss, abs=1e-6)


def test_smoothed_labels_give_less_certain_models():
    options = {
        "freeze_depth": -1,
        "head": Head(init="random"),
        "lr": 1e-2,
        "max_epochs": 20,
    }
    plain, smooth = (
        TextClassifier(
            "tiny-bert", random_state=0, loss=LogLoss(label_smoothing=s), **options
        )
        .fit(TEXTS, LABELS)
        .predict_proba(TEXTS)
        .max(1)
        .mean()
        for s in (0.0, 0.4)
    )
    assert smooth < plain


def test_a_learning_rate_that_explodes_ends_with_advice():
    model = TextClassifier(
        "tiny-bert",
        freeze_depth=0,
        lr=1e30,
        optimizer=Optimizer(
            torch.optim.SGD, gradient_clip_value=None, lr_schedule="constant"
        ),
        random_state=0,
    )
    with pytest.raises(NonFiniteLossError, match="smaller lr"):
        model.fit(TEXTS * 6, np.tile(LABELS, 6))


def test_two_halves_have_the_gradients_of_the_whole(monkeypatch):
    model = TextClassifier("tiny-bert", freeze_depth=-1, random_state=0)
    net = model.fit(TEXTS, LABELS).net_
    backbone = load_backbone("tiny-bert")
    rows = backbone.preprocess.prepare(TEXTS[:8])
    with torch.no_grad():
        state = backbone.run(backbone.batch(rows), 0, len(backbone.blocks) - 1)
    inputs = inputs_of(backbone, backbone.unbatch(state))
    inputs["sample_weight"] = torch.linspace(0.5, 1.5, 8)
    target = torch.from_numpy(LABELS[:8])

    def gradients():
        net._zero_grad_optimizer()
        step = net.train_step_single((inputs, target))
        return step, [p.grad.clone() for p in net.module_.parameters()]

    whole_step, whole = gradients()
    infer, sizes = FineTuneNet.infer, []

    def small(self, x, **kwargs):
        sizes.append(len(x["hidden"]))
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("too many rows")
        return infer(self, x, **kwargs)

    monkeypatch.setattr(FineTuneNet, "infer", small)
    halved_step, halved = gradients()
    assert sizes == [8, 4, 4]
    assert halved_step["y_pred"].shape == whole_step["y_pred"].shape
    assert halved_step["loss"].item() == pytest.approx(whole_step["loss"].item())
    for got, wanted in zip(halved, whole, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-4)


def test_training_goes_on_only_with_the_weights_it_began_with():
    model = TextClassifier(
        "tiny-bert", freeze_depth=-1, warm_start=True, random_state=0
    )
    tuned = model.fit(TEXTS, LABELS).backbone_
    with pytest.raises(ValueError, match="backbone is not the network"):
        model.set_params(backbone=tuned).fit(TEXTS, LABELS)


def test_every_step_of_a_lower_precision_runs_on_the_weights_of_the_one_before():
    X = pictures()
    fits = {
        precision: ImageClassifier(
            "tiny-cnn",
            freeze_depth=-1,
            device="cpu",
            precision=precision,
            **PLAIN | {"max_epochs": 20},
        ).fit(X, LABELS)
        for precision in ("float32", "bfloat16")
    }
    want, got = (
        [epoch["train_loss"] for epoch in fit.history_] for fit in fits.values()
    )
    assert want[-1] < 0.9 * want[0]
    np.testing.assert_allclose(got, want, rtol=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_learns_what_the_cpu_learns(precision):
    X = pictures()
    options = PLAIN | {"max_epochs": 20}
    cpu = ImageClassifier("tiny-cnn", freeze_depth=-1, device="cpu", **options)
    gpu = ImageClassifier(
        "tiny-cnn", freeze_depth=-1, device="cuda", precision=precision, **options
    )
    wanted = cpu.fit(X, LABELS).predict_proba(X)
    got = gpu.fit(X, LABELS).predict_proba(X)
    np.testing.assert_allclose(
        got, wanted, atol=1e-3 if precision == "float32" else 0.1
    )
    tuned = ImageEncoder(gpu.backbone_, device="cpu").fit_transform(X)
    assert np.isfinite(tuned).all()


@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_parameters_set_after_fit_wait_for_the_next_fit(freeze_depth):
    model = TextClassifier(
        "tiny-bert", freeze_depth=freeze_depth, pooling="mean", random_state=0
    )
    want = model.fit(TEXTS, LABELS).predict_proba(TEXTS)
    model.set_params(pooling="max", freeze_depth=0)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), want)
    model.set_params(warm_start=True, freeze_depth=freeze_depth)
    with pytest.raises(ValueError, match="pooling='max', but the first fit used 'mean"):
        model.fit(TEXTS, LABELS)
