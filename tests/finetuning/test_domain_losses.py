"""Rows of a second domain without labels: what they change, and what they must not."""

import pickle

import numpy as np
import pytest
import torch
from conftest import not_on_a_pretended_card
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from test_estimators import ArrayClassifier

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    TextClassifier,
    TextRegressor,
    load_backbone,
)
from sktransfer._utils.seeds import seeded
from sktransfer.exceptions import MissingRowError
from sktransfer.finetuning import (
    Augmentation,
    DomainLoss,
    EarlyStopping,
    Head,
    Optimizer,
    _splits,
)
from sktransfer.finetuning import _domain_losses as losses
from sktransfer.finetuning._batches import RowsDataset
from sktransfer.finetuning._discriminator import Discriminator, Product
from sktransfer.finetuning._domain_net import BetweenDomains, DomainLoader
from sktransfer.finetuning._net import FineTuneNet

LOSSES = ["coral", "mmd", "dann", "cdan", "mcc"]
SOURCE, TARGET = np.arange(24), np.arange(24, 40)
DOMAIN = np.where(np.arange(40) < 24, 0, -1)
TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(40)]
LABELS = np.arange(40) % 2
FAST = {"freeze_depth": -1, "max_epochs": 2, "batch_size": 8, "random_state": 0}


def pictures(n_rows=40):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n_rows, 36, 36, 3), dtype=np.uint8)
    X[::2] //= 2
    X[24:] //= 3  # the target domain is darker
    return X


def texts_model(**options):
    return TextClassifier("tiny-bert", **FAST | options)


def images_model(**options):
    return ImageClassifier("tiny-cnn", **FAST | options)


def fit(model, X, y=LABELS, **options):
    return model.fit(X, y, sample_domain=DOMAIN, **options)


# -- formulas ------------------------------------------------------------------------


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(9, 5))
    return source, rng.normal(1.0, 2.0, size=(7, 5))


def as_tensors(arrays):
    return [torch.from_numpy(np.asarray(a, np.float32)) for a in arrays]


def test_coral_is_the_distance_of_covariances(features):
    source, target = features
    difference = np.cov(source.T) - np.cov(target.T)
    want = np.linalg.norm(difference, "fro") ** 2 / (4 * 5**2)
    assert losses.coral(*as_tensors(features)).item() == pytest.approx(want, abs=1e-5)


def test_mmd_is_the_distance_of_mean_embeddings(features):
    rows = np.vstack(features)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    mean = squared[~np.eye(16, dtype=bool)].mean()
    kernel = np.mean(
        [np.exp(-squared / (b * mean)) for b in (0.25, 0.5, 1, 2, 4)], axis=0
    )
    sign = np.r_[np.full(9, 1 / 9), np.full(7, -1 / 7)]
    want = sign @ kernel @ sign
    assert losses.mmd(*as_tensors(features)).item() == pytest.approx(want, abs=1e-5)
    # Far from the origin too, where squares of float32 numbers lose their digits.
    far = as_tensors([part + 300 for part in features])
    assert losses.mmd(*far).item() == pytest.approx(want, abs=1e-4)


def test_mcc_is_the_weighted_confusion():
    outputs = np.random.default_rng(0).normal(size=(6, 3)) * 4
    shares = softmax(outputs / 2.5, axis=1)
    certainty = 1 + np.exp((shares * np.log(shares)).sum(1))
    weight = 6 * certainty / certainty.sum()
    confusion = np.einsum("i,ij,ik->jk", weight, shares, shares)
    confusion /= confusion.sum(1, keepdims=True)
    want = (confusion.sum() - np.trace(confusion)) / 3
    got = losses.mcc(*as_tensors([outputs])).item()
    assert got == pytest.approx(want, abs=1e-5)


def test_a_discriminator_descends_and_the_features_climb():
    with seeded(0):
        net = Discriminator(3)
        rows = torch.randn(8, 3, requires_grad=True)
    net.loss(rows, 4, 0.0).backward()
    plain = [p.grad.clone() for p in net.parameters()]
    assert rows.grad.abs().sum() == 0
    net.zero_grad()
    before = net.loss(rows, 4, 0.7)
    before.backward()
    for p, grad in zip(net.parameters(), plain, strict=True):
        torch.testing.assert_close(p.grad, grad)  # it learns with all of its weight
    uphill = rows - 0.01 * rows.grad / rows.grad.norm()  # what an optimizer does
    assert net.loss(uphill, 4, 0.7) > before
    climbing = rows.grad.clone()
    rows.grad = None
    net.loss(rows, 4, -1.0).backward()  # twice reversed
    torch.testing.assert_close(climbing, -0.7 * rows.grad)


def test_cdan_sees_features_by_class():
    rng = np.random.default_rng(0)
    features, outputs = as_tensors([rng.normal(size=(4, n)) for n in (6, 3)])
    outputs.requires_grad_()
    product = Product(6, 3)(features, outputs)
    want = np.einsum("if,ik->ifk", features, softmax(outputs.detach().numpy(), 1))
    np.testing.assert_allclose(product.detach(), want.reshape(4, 18), atol=1e-6)
    assert not product.requires_grad


def test_cdan_projects_what_is_too_wide():
    with seeded(0):
        wide = Product(1500, 3)
    assert wide.width == 1024
    # Inner products of the projections are those of the products, about.
    rng = np.random.default_rng(0)
    features, outputs = as_tensors([rng.normal(size=(2, n)) for n in (1500, 3)])
    features[1] = features[0] + 0.1 * features[1]
    got = wide(features, outputs)
    shares = outputs.softmax(1)
    want = (features @ features.T) * (shares @ shares.T)
    torch.testing.assert_close(got @ got.T, want, rtol=0.25, atol=0)


def test_the_weight_rises_from_nothing():
    assert losses.ramp(0) == 0
    assert losses.ramp(0.5) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert losses.ramp(1) > 0.9999


@pytest.mark.parametrize("kind", ["coral", "mmd", "dann"])
def test_the_scale_of_the_features_does_not_matter(kind, features):
    rows = torch.cat(as_tensors(features))
    with seeded(0):
        loss = BetweenDomains(kind, 5, 2)
    values = [loss(scale * rows, None, 9, 1.0)[0].item() for scale in (1.0, 100.0)]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


# -- what the losses do --------------------------------------------------------------


def shifted(seed=0, n_rows=240):
    """Two classes along one of 8 columns; those of the target are moved along two."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % 2
    X = rng.normal(size=(n_rows, 8)).astype(np.float32)
    X[:, 0] += np.where(y == 1, 2.5, -2.5)
    domain = np.where(np.arange(n_rows) < n_rows // 2, 0, -1)
    X[domain < 0, :2] += 2.0
    return X, y, domain


def array_model(**options):
    model = ArrayClassifier(
        freeze_depth=1,
        lr=0.01,
        max_epochs=40,
        batch_size=16,
        random_state=0,
    )
    for name, value in ({"optimizer": Optimizer()} | options).items():
        setattr(model, name, value)
    return model


def features_of(model, X):
    request = model._fitted_request()
    inputs = model._reading(request).runner()
    state = load_backbone("tiny-mlp").batch(list(X)).to(request.device)
    with torch.inference_mode():
        hidden = inputs.ready.run(state, 0, request.depth).hidden
        return model.net_.module_.features(hidden).cpu().numpy()


def gap(model, X, domain):
    """Return the distance of the domains' means, in standard deviations."""
    found = features_of(model, X)
    source, target = found[domain >= 0], found[domain < 0]
    return np.linalg.norm(source.mean(0) - target.mean(0)) / source.std()


@pytest.fixture(scope="module")
def source_only():
    X, y, domain = shifted()
    return array_model().fit(X, y, sample_domain=domain)


# Covariances say nothing of means, and mcc nothing of features.
@pytest.mark.parametrize("kind", ["mmd", "dann", "cdan"])
def test_features_of_the_domains_come_closer(kind, source_only):
    X, y, domain = shifted()
    model = array_model(domain_loss=kind).fit(X, y, sample_domain=domain)
    assert gap(model, X, domain) < 0.7 * gap(source_only, X, domain)


def test_covariances_come_closer(source_only):
    X, y, domain = shifted()
    X[domain < 0, 2:] *= 3.0

    def distance(model):
        found = features_of(model, X)
        parts = as_tensors([found[domain >= 0], found[domain < 0]])
        return losses.coral(*parts).item() / parts[0].var().item() ** 2

    plain = array_model().fit(X, y, sample_domain=domain)
    options = {"domain_loss": DomainLoss("coral", weight=30.0)}
    model = array_model(**options).fit(X, y, sample_domain=domain)
    assert distance(model) < 0.6 * distance(plain)


def test_predictions_get_more_certain(source_only):
    X, y, domain = shifted()
    model = array_model(domain_loss="mcc").fit(X, y, sample_domain=domain)
    sure, plain = (
        m.predict_proba(X[domain < 0]).max(1).mean() for m in (model, source_only)
    )
    assert sure > plain + 0.02


@pytest.mark.parametrize("kind", ["mmd", "dann", "cdan", "mcc"])
def test_accuracy_on_the_target_rises(kind, source_only):
    X, y, domain = shifted()
    model = array_model(domain_loss=kind).fit(X, y, sample_domain=domain)
    new, labels, new_domain = shifted(seed=1, n_rows=600)
    rows = new_domain < 0
    plain = source_only.score(new[rows], labels[rows])
    assert model.score(new[rows], labels[rows]) > plain + 0.05


@pytest.mark.parametrize("kind", LOSSES)
def test_a_weight_of_nothing_trains_as_without(kind):
    X = pictures()
    plain = fit(images_model(), X).predict_proba(X)
    model = fit(images_model(domain_loss=DomainLoss(kind, weight=0.0)), X)
    np.testing.assert_allclose(model.predict_proba(X), plain, atol=1e-5)
    model.set_params(domain_loss__weight=30.0, lr=0.01)
    plain = fit(images_model(lr=0.01), X).predict_proba(X)
    assert np.abs(fit(model, X).predict_proba(X) - plain).max() > 1e-3


# -- rows ----------------------------------------------------------------------------

POISONS = {
    "None": [None] * 16,
    "NaN": [np.nan] * 16,
    "unseen": ["a label longer than any other"] * 16,
    "-1": [-1] * 16,
    "mixed": [None, np.nan, "zebra", -1] * 4,
}


@pytest.mark.parametrize("kind", [None, "mmd", "mcc"])
@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("labels", ["strings", "numbers"])
def test_labels_of_target_rows_are_never_read(kind, poison, labels):
    known = [f"class {i}" for i in LABELS] if labels == "strings" else LABELS.tolist()
    want = fit(texts_model(domain_loss=kind), TEXTS, known)
    model = fit(texts_model(domain_loss=kind), TEXTS, known[:24] + POISONS[poison])
    assert model.classes_.dtype == want.classes_.dtype
    np.testing.assert_array_equal(model.predict_proba(TEXTS), want.predict_proba(TEXTS))


@pytest.mark.parametrize("poison", ["None", "NaN", "-1"])
def test_numbers_of_target_rows_are_never_read(poison):
    y = np.arange(40) / 7
    options = {**FAST, "domain_loss": "mmd"}
    want = fit(TextRegressor("tiny-bert", **options), TEXTS, y).predict(TEXTS)
    y = np.array([*y[:24], *POISONS[poison]], dtype=object)
    model = fit(TextRegressor("tiny-bert", **options), TEXTS, y)
    np.testing.assert_array_equal(model.predict(TEXTS), want)


def test_without_a_loss_target_rows_change_nothing():
    X = pictures()
    want = images_model().fit(X[:24], LABELS[:24])
    got = fit(images_model(), X)
    np.testing.assert_array_equal(got.predict_proba(X), want.predict_proba(X))
    assert [row["train_loss"] for row in got.history_] == [
        row["train_loss"] for row in want.history_
    ]
    assert "domain_loss" not in got.history_[0]


@pytest.mark.parametrize("depth", [-1, "all"])
def test_both_domains_run_through_the_prefix_once(depth, counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    X = pictures()
    model = ImageClassifier(backbone, **FAST | {"freeze_depth": depth})
    fit(model, X)
    assert counter.rows == 24  # rows that take no part do not run
    for kind in ["mcc"] if depth == "all" else LOSSES:
        fit(clone(model).set_params(domain_loss=kind), X)
    assert counter.rows == 40
    model.predict(X)
    assert counter.rows == 40


def test_rows_of_no_weight_are_neither_run_nor_read(counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    cells = list(pictures())
    cells[0] = cells[39] = None
    weight = np.r_[0.0, np.ones(38), 0.0]
    model = ImageClassifier(backbone, domain_loss="mcc", **FAST)
    fit(model, cells, sample_weight=weight)
    assert counter.rows == 38
    weight[0] = 1.0
    with pytest.raises(MissingRowError, match="row 0 is missing"):
        fit(model, cells, sample_weight=weight)


def test_a_target_row_that_is_missing_is_left_out_by_name():
    cells = [*TEXTS[:38], None, TEXTS[39]]
    model = texts_model(domain_loss="mmd", missing="prior")
    with pytest.warns(UserWarning, match="leaves out 1 of 16 target rows.*row 38"):
        fit(model, cells)
    rest = np.delete(np.arange(40), 38)
    want = texts_model(domain_loss="mmd").fit(
        [TEXTS[i] for i in rest], LABELS[rest], sample_domain=DOMAIN[rest]
    )
    assert (
        model.history_[-1]["domain_loss"] == want.history_[-1]["domain_loss"]
    )  # only 37 and 39 moved up


@pytest.mark.parametrize("n_target", [3, 16])
def test_each_batch_has_as_many_rows_of_either_domain(n_target):
    rows = np.arange(24 + n_target, dtype=np.float32)
    dataset = RowsDataset(
        load_backbone("tiny-mlp"),
        [list(rows[:, None])],
        np.zeros(len(rows)),
        np.ones(len(rows)),
        np.arange(24),
        seed=0,
        target_rows=np.arange(24, 24 + n_target),
    )
    loader = DomainLoader(dataset, 9, shuffle=True)
    source, target = [], []
    for _ in range(2):
        sizes = []
        for inputs, y in loader:
            hidden = inputs["hidden"][:, 0].tolist()
            n = len(y)
            sizes.append((n, len(hidden) - n))
            source += hidden[:n]
            target += hidden[n:]
        assert sizes == [(9, 9), (9, 9), (6, 6)]
    assert sorted(source[:24]) == sorted(source[24:]) == list(range(24))
    rounds = [target[i : i + n_target] for i in range(0, 48 - n_target + 1, n_target)]
    for part in rounds:
        assert sorted(part) == list(range(24, 24 + n_target))
    assert rounds[0] != rounds[1]


# -- together with the other parameters ----------------------------------------------


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(
    "options",
    [
        {"freeze_depth": 0},
        {"freeze_depth": -2, "head": Head("mlp", dropout=0.3)},
        {"head": "cosine", "optimizer": Optimizer(lr_schedule="constant")},
        {"early_stopping": EarlyStopping(0.25)},
        {"augment": "light"},
        {"augment": Augmentation("light", views=2)},
        {"batch_norm": "train"},
        {"batch_norm": "target", "max_epochs": 1},
    ],
    ids=lambda options: "-".join(options),
)
def test_it_is_deterministic_with_every_other_parameter(kind, options):
    X = pictures()
    fits = [fit(images_model(domain_loss=kind, **options), X) for _ in range(2)]
    a, b = (model.predict_proba(X) for model in fits)
    np.testing.assert_array_equal(a, b)
    values = [row["domain_loss"] for row in fits[0].history_]
    assert values == [row["domain_loss"] for row in fits[1].history_]
    assert all(np.isfinite(value) and value > 0 for value in values)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("depth", [-1, 0])
def test_texts_of_different_lengths(kind, depth):
    cells = [text + " and more" * (i % 5) for i, text in enumerate(TEXTS)]
    model = fit(texts_model(domain_loss=kind, freeze_depth=depth), cells)
    alone = np.vstack([model.predict_proba([cell]) for cell in cells])
    np.testing.assert_allclose(model.predict_proba(cells), alone, atol=1e-5)


def test_mcc_is_finite_where_a_class_has_no_share_at_all():
    outputs = torch.tensor([[300.0, 0, 0], [300, 0, 1], [300, 1, 0]])
    outputs.requires_grad_(True)
    loss = losses.mcc(outputs)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(outputs.grad).all()


def test_the_head_alone_learns_from_mcc():
    X = pictures()
    options = {"freeze_depth": "all", "domain_loss": "mcc", "lr": 0.01}
    model = fit(images_model(**options), X)
    plain = fit(images_model(freeze_depth="all", lr=0.01), X)
    sure, less = (m.predict_proba(X[24:]).max(1).mean() for m in (model, plain))
    assert sure > less


def test_rows_set_aside_are_source_rows(monkeypatch):
    model = images_model(domain_loss="mcc", early_stopping=True)
    seen, split = [], _splits.split
    spy = lambda *args: seen.append(split(*args)) or seen[-1]  # noqa: E731
    monkeypatch.setattr(_splits, "split", spy)
    fit(model, pictures())
    assert sorted(np.concatenate(seen[0])) == SOURCE.tolist()
    assert np.isfinite(model.history_[-1]["valid_loss"])


@pytest.mark.parametrize("kind", ["coral", "mmd", "dann"])
@pytest.mark.parametrize("model", [ImageRegressor, TextRegressor])
def test_regressors(model, kind):
    X = pictures() if model is ImageRegressor else TEXTS
    backbone = "tiny-cnn" if model is ImageRegressor else "tiny-bert"
    y = LABELS + 0.5
    options = {**FAST, "lr": 0.01}
    plain = fit(model(backbone, **options), X, y).predict(X)
    fitted = fit(
        model(backbone, domain_loss=DomainLoss(kind, weight=9.0), **options), X, y
    )
    assert np.abs(fitted.predict(X) - plain).max() > 1e-4


def test_several_labels_a_row():
    y = np.c_[LABELS, np.arange(40) % 3 == 0].astype(int)
    model = fit(images_model(domain_loss="mmd"), pictures(), y)
    assert model.predict_proba(pictures()).shape == (40, 2)


# -- going on, stopping, and pickles -------------------------------------------------


class Watch(Callback):
    """Remembers the discriminator's first bias when training begins."""

    def on_train_begin(self, net, **kwargs):
        self.bias_ = net.criterion_.domain.discriminator[0].bias.detach().clone()


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_a_discriminator_goes_on_where_it_was(way):
    watch = Watch()
    model = images_model(domain_loss="dann", callbacks=[watch], lr=0.01)
    if way == "warm_start":
        model.set_params(warm_start=True)
    go_on = model.partial_fit if way == "partial_fit" else model.fit
    X = pictures()
    go_on(X, LABELS, sample_domain=DOMAIN)
    first = watch.bias_
    left = model._state.domain["weights"]["discriminator.0.bias"].clone()
    assert model.net_.criterion_.domain is None
    assert not torch.equal(first, left)
    go_on(X, LABELS, sample_domain=DOMAIN)
    torch.testing.assert_close(dict(model.net_.callbacks_)["Watch"].bias_, left)
    # Another loss begins anew, and no loss goes on without it.
    model.set_params(callbacks=None)
    for kind in ("cdan", None):
        model.set_params(domain_loss=kind)
        go_on(X, LABELS, sample_domain=DOMAIN)


def test_partial_fit_has_the_whole_weight_from_the_start():
    X = pictures()
    changed = images_model(domain_loss=DomainLoss("mcc", weight=100.0), batch_size=24)
    changed.partial_fit(X, LABELS, sample_domain=DOMAIN)  # one step
    plain = images_model(batch_size=24).partial_fit(X, LABELS, sample_domain=DOMAIN)
    difference = changed.predict_proba(X) - plain.predict_proba(X)
    assert np.abs(difference).max() > 1e-5
    # The first step of a fit has none of it.
    options = {"max_epochs": 1, "batch_size": 24}
    changed = fit(changed.set_params(**options), X).predict_proba(X)
    np.testing.assert_allclose(
        changed, fit(images_model(**options), X).predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["dann", "cdan"])
@not_on_a_pretended_card
def test_a_fitted_model_keeps_no_discriminator(kind):
    X = pictures()
    model = fit(images_model(domain_loss=kind), X)
    plain = fit(images_model(), X)
    assert model.net_.criterion_.domain is None
    groups = model.net_.optimizer_.param_groups
    assert {id(p) for g in groups for p in g["params"]} == {
        id(p) for p in model.net_.module_.parameters()
    }
    assert len(pickle.dumps(model)) < len(pickle.dumps(plain)) + 20_000
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


class Interrupt(Callback):
    def on_batch_begin(self, net, training=None, **kwargs):
        if len(net.history) == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batch_norm", ["eval", "target"])
def test_an_interrupt_keeps_the_last_whole_epoch(batch_norm):
    X = pictures()
    options = {"domain_loss": "coral", "batch_norm": batch_norm, "max_epochs": 4}
    options |= {"optimizer": Optimizer(lr_schedule="constant")}
    with pytest.warns(ConvergenceWarning, match="last whole epoch"):
        model = fit(images_model(callbacks=[Interrupt()], **options), X)
    assert model.n_epochs_ == 2
    assert len(model.history_) == 2
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    infer = FineTuneNet.infer

    def small(self, x, **kwargs):
        if len(x["hidden"]) > 32 and self.module_.training:
            raise torch.OutOfMemoryError("too many rows")
        return infer(self, x, **kwargs)

    # A discriminator's loss is a mean over rows, of which halves are parts; the spread
    # of the features, which divides them, is that of each half.
    options = {"domain_loss": "dann", "head": Head(init="random"), "batch_size": 24}
    whole = fit(images_model(**options), pictures())
    monkeypatch.setattr(FineTuneNet, "infer", small)
    halved = fit(images_model(**options), pictures())
    monkeypatch.undo()
    a, b = (model.predict_proba(pictures()) for model in (halved, whole))
    np.testing.assert_allclose(a, b, atol=1e-3)
    a, b = (model.history_[0]["domain_loss"] for model in (halved, whole))
    assert a == pytest.approx(b, rel=1e-2)
    batch = {"hidden": torch.arange(10)}, torch.arange(5)
    parts = [
        (inputs["hidden"].tolist(), labels.tolist())
        for part in (slice(0, 3), slice(3, 5))
        for inputs, labels in [whole.net_._part(*batch, part)]
    ]
    assert parts == [([0, 1, 2, 5, 6, 7], [0, 1, 2]), ([3, 4, 8, 9], [3, 4])]


# -- BatchNorm of the target ---------------------------------------------------------


def last_norm(blocks):
    norms = [m for m in blocks.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    return norms[-1]


@pytest.mark.parametrize("kind", [None, "mcc"])
@pytest.mark.parametrize("depth", [-1, 0])
def test_statistics_end_as_those_of_the_target_rows(kind, depth):
    X = pictures()
    options = {"domain_loss": kind, "batch_norm": "target", "freeze_depth": depth}
    model = fit(images_model(**options), X)
    blocks = list(model.backbone_.blocks.values())
    norm = last_norm(blocks[-1])
    seen = []
    handle = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    backbone, state = model.backbone_, load_backbone("tiny-cnn")
    request = model._fitted_request()
    rows = [request.preprocess.prepare(picture(cell)) for cell in X[24:]]
    with torch.no_grad():
        if depth == 0:  # all in one batch, so that every layer sees the same rows
            for block in blocks:
                last_norm(block).train().momentum = 0.0
        backbone.run(state.batch(rows), 0)
    handle.remove()
    mean = seen[0].mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        norm.running_var, seen[0].var((0, 2, 3)), rtol=1e-3, atol=1e-4
    )


def picture(array):
    from PIL import Image

    return Image.fromarray(array)


def test_target_rows_do_not_change_the_statistics_that_source_rows_train_with():
    """With a weight of 0 the target rows must leave no trace before the end."""
    X = pictures()
    options = {"batch_norm": "target", "early_stopping": True}
    plain = fit(images_model(**options), X)
    model = images_model(domain_loss=DomainLoss("mmd", weight=0.0), **options)
    fit(model, X)
    for key in ("train_loss", "valid_loss"):
        a, b = ([row[key] for row in m.history_] for m in (plain, model))
        np.testing.assert_allclose(a, b, rtol=1e-4)


@pytest.mark.parametrize("max_epochs", [0, 1])
def test_the_head_starts_from_features_under_statistics_of_the_source(max_epochs):
    X = pictures()[:20]
    both = np.concatenate([X, X])  # so that the final statistics are the same ones
    model = images_model(batch_norm="target", freeze_depth=0, max_epochs=max_epochs)
    model.set_params(lr=1e-9)
    model.fit(both, LABELS, sample_domain=np.repeat([0, -1], 20))
    features = ImageEncoder(model.backbone_, cache=None).fit_transform(X)
    start = model.net_.module_.head[0].mean.cpu().numpy()
    np.testing.assert_allclose(features.mean(0), start, atol=1e-4)


def test_target_statistics_undo_a_change_of_brightness_and_contrast():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    y = np.arange(80) % 2
    X[y == 1, :, ::2] //= 4  # stripes
    domain = np.where(np.arange(80) < 40, 0, -1)
    X[40:] = (X[40:] // 3) + 10
    scores = {}
    for batch_norm in ("eval", "target"):
        model = images_model(freeze_depth=0, batch_norm=batch_norm, max_epochs=4)
        model.fit(X, y, sample_domain=domain)
        scores[batch_norm] = model.score(X[40:], y[40:])
    assert scores["target"] > scores["eval"] + 0.1


# -- errors --------------------------------------------------------------------------


@pytest.mark.parametrize("option", [{"domain_loss": "mmd"}, {"batch_norm": "target"}])
@pytest.mark.parametrize(
    ("domain", "counts"),
    [
        (None, "40 source and 0 target"),
        (np.zeros(40), "40 source and 0 target"),
        (-np.ones(40), "0 source and 40 target"),
    ],
)
def test_rows_of_one_domain_only_are_refused_with_the_rule(option, domain, counts):
    rule = ">= 0 for source rows.*< 0 for target rows"
    with pytest.raises(ValueError, match=f"{rule}.*Got {counts}") as error:
        images_model(**option).fit(pictures(), LABELS, sample_domain=domain)
    assert ("not passed" in str(error.value)) == (domain is None)


@pytest.mark.parametrize(
    "domain", [np.r_[np.nan, np.ones(39)], ["a"] * 40, DOMAIN >= 0, np.ones((40, 2))]
)
def test_a_domain_that_is_no_number_is_refused(domain):
    with pytest.raises(ValueError, match="sample_domain is one integer per row"):
        images_model().fit(pictures(), LABELS, sample_domain=domain)


def test_weights_that_leave_no_target_row_are_refused():
    with pytest.raises(ValueError, match="24 source and 0 target"):
        fit(
            images_model(domain_loss="mmd"),
            pictures(),
            sample_weight=(DOMAIN >= 0).astype(float),
        )


@pytest.mark.parametrize("kind", ["coral", "mmd", "dann", "cdan"])
def test_frozen_features_cannot_be_moved(kind):
    model = images_model(domain_loss=kind, freeze_depth="all")
    with pytest.raises(ValueError, match="freezes all blocks that make them.*'mcc'"):
        fit(model, pictures())


@pytest.mark.parametrize("kind", ["cdan", "mcc"])
def test_losses_on_classes_need_one_class_a_row(kind):
    y = np.c_[LABELS, 1 - LABELS]
    with pytest.raises(ValueError, match="one class per row, and y has 2 labels"):
        fit(images_model(domain_loss=kind), pictures(), y)
    for model in (ImageRegressor, TextRegressor):
        with pytest.raises(ValueError, match="'domain_loss' parameter"):
            fit(model(domain_loss=kind), TEXTS)


@pytest.mark.parametrize("model", [texts_model(), images_model(freeze_depth="all")])
def test_target_statistics_need_a_batch_norm(model):
    X = TEXTS if isinstance(model, TextClassifier) else pictures()
    with pytest.raises(ValueError, match="batch_norm='target'.*has none"):
        fit(model.set_params(batch_norm="target"), X)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain_loss", "deep"),
        ("weight", DomainLoss(weight=-1.0)),
        ("batch_norm", "source"),
    ],
)
def test_values_that_do_not_exist_are_refused(name, value):
    message = f"The '{name}' parameter"
    name = "domain_loss" if name == "weight" else name
    with pytest.raises(ValueError, match=message):
        fit(images_model(**{name: value}), pictures())
