"""Contrastive training, and prototypes."""

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import normalize

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    load,
    save,
)
from sktransfer._utils.seeds import seeded
from sktransfer.finetuning import (
    ContrastiveLoss,
    EarlyStopping,
    Head,
    _head_start,
    _passes,
    _training,
)
from sktransfer.finetuning._contrastive import (
    MIN_BATCHES,
    ContrastiveLoader,
    PairLoss,
    batches_of_an_epoch,
)
from sktransfer.finetuning._head_start import set_prototypes
from sktransfer.finetuning._heads import HEADS, make_head

WORDS = ["good bad is", "poor fine so", "nice it awful"]
LABELS = np.array(["plus", "minus", "none"] * 4)
TEXTS = [f"{WORDS[(i + i // 3) % 3]} {'abc'[i % 3]} {i}" for i in range(12)]


def texts_model(**options):
    options = {"freeze_depth": -1, "max_epochs": 2, "lr": 1e-3} | options
    return TextClassifier("tiny-bert", random_state=0, **options)


def contrastive(**options):
    return texts_model(**{"loss": "contrastive"} | options)


def pictures(n_rows=24):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 200, (n_rows, 36, 36, 3))
    bright = 50 * (np.arange(n_rows) % 2)[:, None, None, None]
    return (noise + bright).astype(np.uint8), np.arange(n_rows) % 2


class Rows:
    """What the loader asks of a data set: rows 10, 11, ... of some classes."""

    def __init__(self, classes, seed=0):
        self.indices = np.arange(len(classes)) + 10
        self.targets = torch.from_numpy(np.concatenate([np.zeros(10, int), classes]))
        self.seed = seed

    def __len__(self):
        return len(self.indices)


# -- the loss ----------------------------------------------------------------------


def test_the_loss_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(7, 5)).astype(np.float32)
    classes, weight = np.array([0, 1, 0, 1, 0, 2, 1]), rng.uniform(0.5, 2, 7)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    total, n_anchors = 0.0, 0
    for i in range(7):
        same = [j for j in range(7) if j != i and classes[j] == classes[i]]
        if not same:
            continue
        rest = sum(np.exp(unit[i] @ unit[j] / 0.2) for j in range(7) if j != i)
        logs = [np.log(np.exp(unit[i] @ unit[j] / 0.2) / rest) for j in same]
        total -= weight[i] * np.mean(logs)
        n_anchors += 1
    got = PairLoss(0.2)(
        torch.from_numpy(features),
        torch.from_numpy(classes),
        torch.from_numpy(weight),
    )
    assert n_anchors == 6
    assert got.item() == pytest.approx(total / n_anchors, rel=1e-5)


def test_a_batch_without_two_rows_of_a_class_has_no_gradient():
    features = torch.eye(3, 4, requires_grad=True)
    loss = PairLoss(0.1)(features, torch.arange(3), torch.ones(3))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros(3, 4))


# -- batches -----------------------------------------------------------------------


def test_a_pass_takes_each_row_once_and_classes_in_groups():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 30, 500)
    rows = Rows(classes)
    loader = ContrastiveLoader(rows, 32, shuffle=True)
    parts = list(loader.parts())
    assert len(parts) == len(loader) == 16
    assert {len(part) for part in parts} == {31, 32}
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), rows.indices)
    with_another = [
        (np.bincount(classes[part - 10])[classes[part - 10]] > 1).mean()
        for part in parts
    ]
    # Of rows in a plain random order about 66 % have another of their class there.
    assert np.mean(with_another) > 0.95


def test_passes_differ_and_the_seed_decides():
    classes = np.arange(40) % 5

    def drawn(seed, shuffle=True):
        loader = ContrastiveLoader(Rows(classes, seed), 8, shuffle, n_batches=12)
        return [np.concatenate(list(loader.parts())) for _ in range(2)]

    first, second = drawn(0)
    assert len(first) == 12 * 8
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, drawn(0)[0])
    assert not np.array_equal(first, drawn(1)[0])
    np.testing.assert_array_equal(*drawn(0, shuffle=False))


def test_a_hundred_thousand_rows_need_no_list_of_pairs():
    rows = Rows(np.random.default_rng(0).integers(0, 2, 100_000))
    tracemalloc.start()
    loader = ContrastiveLoader(rows, 32, shuffle=True, n_batches=50)
    n_rows = sum(len(part) for part in loader.parts())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_rows == 50 * 32
    assert peak < 20e6  # bytes; the pairs would be 5e9


def test_epochs_keep_to_the_budget_of_pairs():
    # 100,000 rows in batches of 32 are 3,125, of 496 pairs each.
    assert batches_of_an_epoch(100_000, 32, 8, 1_000_000) == 252
    assert batches_of_an_epoch(100_000, 32, 1, 10**9) == 3125
    assert batches_of_an_epoch(16, 32, 8, 1_000_000) == MIN_BATCHES
    assert batches_of_an_epoch(16, 32, 8, 120 * 8 * 3) == 3
    assert batches_of_an_epoch(16, 32, 8, 1) == 1


def test_a_smaller_budget_takes_fewer_steps():
    class Steps:
        n = 0

    def steps(max_pairs):
        from skorch.callbacks import Callback

        class Count(Callback):
            def on_batch_end(self, net, training, **kwargs):
                Steps.n += training

        Steps.n = 0
        contrastive(loss=ContrastiveLoss(max_pairs=max_pairs), callbacks=[Count()]).fit(
            TEXTS, LABELS
        )
        return Steps.n

    assert steps(1_000_000) == 2 * MIN_BATCHES
    assert steps(66 * 2 * 3) == 2 * 3  # 12 rows are 66 pairs


# -- training ----------------------------------------------------------------------


@pytest.mark.parametrize("head", ["linear", "prototype"])
def test_classes_of_texts_move_apart(head):
    model = contrastive(head=head, max_epochs=10).fit(TEXTS, LABELS)
    before = silhouette_score(TextEncoder("tiny-bert").fit_transform(TEXTS), LABELS)
    tuned = TextEncoder(model.backbone_).fit_transform(TEXTS)
    assert silhouette_score(tuned, LABELS) > before + 0.1
    assert model.score(TEXTS, LABELS) > 0.9
    losses = [row["train_loss"] for row in model.history_]
    assert losses[-1] < losses[0]
    assert model.n_epochs_ == 10


@pytest.mark.parametrize("options", [{}, {"augment": "light"}, {"freeze_depth": 0}])
def test_classes_of_pictures_move_apart(options):
    X, y = pictures()
    options = {"freeze_depth": -1, "max_epochs": 4, "lr": 1e-3} | options
    model = ImageClassifier(
        "tiny-cnn", loss="contrastive", random_state=0, **options
    ).fit(X, y)
    before = silhouette_score(ImageEncoder("tiny-cnn").fit_transform(X), y)
    tuned = ImageEncoder(model.backbone_).fit_transform(X)
    assert silhouette_score(tuned, y) > before + 0.1
    assert model.score(X, y) > 0.9


def test_the_head_is_fitted_to_the_trained_features():
    from sklearn.linear_model import LogisticRegression

    model = contrastive(head=Head(C=0.5)).fit(TEXTS, LABELS)
    features = TextEncoder(model.backbone_).fit_transform(TEXTS).astype(float)
    scaled = (features - features.mean(0)) / (features - features.mean(0)).std()
    linear = LogisticRegression(C=0.5, tol=1e-3).fit(scaled, LABELS)
    np.testing.assert_allclose(
        model.predict_proba(TEXTS), linear.predict_proba(scaled), atol=1e-3
    )


@pytest.mark.usefixtures("auto_is_cpu")
def test_texts_of_many_lengths_keep_their_own_features(monkeypatch):
    monkeypatch.setattr(
        _passes, "READ_AHEAD_BYTES", 50_000
    )  # some forty of these texts
    texts = [f"{'word ' * (7 * i % 40)}{i}" for i in range(100)]
    labels = np.arange(100) % 2
    model = contrastive(max_epochs=1, batch_size=64).fit(texts, labels)
    head = model.net_.module_.head
    features = TextEncoder(model.backbone_).fit_transform(texts)
    np.testing.assert_allclose(head[0].mean, features.mean(0), atol=1e-5)
    model.set_params(head="prototype").fit(texts, labels)
    centred = features.astype(float) - features.mean(0, dtype=float)
    means = np.stack([centred[labels == label].mean(0) for label in (0, 1)])
    directions = model.net_.module_.head[-1].directions
    np.testing.assert_allclose(directions, normalize(means), atol=1e-4)


def test_the_scale_of_many_rows_is_learned_from_some(monkeypatch):
    monkeypatch.setattr(_training, "SCALED_ROWS", 4)
    asked = []
    standardize = _head_start.standardize

    def counted(head, features, weights):
        asked.append(len(features))
        return standardize(head, features, weights)

    monkeypatch.setattr(_head_start, "standardize", counted)
    model = contrastive().fit(TEXTS, LABELS)
    assert asked == [4, len(TEXTS)]
    assert model.score(TEXTS, LABELS) > 0.5


def test_a_seed_decides_and_a_second_fit_is_as_the_first():
    model = contrastive().fit(TEXTS, LABELS)
    wanted = model.predict_proba(TEXTS)
    np.testing.assert_array_equal(
        clone(model).fit(TEXTS, LABELS).predict_proba(TEXTS), wanted
    )
    np.testing.assert_array_equal(model.fit(TEXTS, LABELS).predict_proba(TEXTS), wanted)


def test_weights_of_rows_count():
    weight = np.where(np.arange(12) < 6, 0.01, 3.0)
    plain = contrastive().fit(TEXTS, LABELS).predict_proba(TEXTS)
    weighted = contrastive().fit(TEXTS, LABELS, sample_weight=weight)
    assert abs(weighted.predict_proba(TEXTS) - plain).max() > 1e-3


def test_early_stopping_looks_at_the_loss_between_rows_set_aside():
    texts, labels = TEXTS * 3, np.tile(LABELS, 3)
    texts = [f"{text} {i}" for i, text in enumerate(texts)]
    model = contrastive(early_stopping=EarlyStopping(0.3)).fit(texts, labels)
    assert all(row["valid_loss"] > 0 for row in model.history_)


def test_training_goes_on_from_where_it_ended():
    model = contrastive(warm_start=True, max_epochs=4).fit(TEXTS, LABELS)
    first = model.history_[0]["train_loss"]
    model.fit(TEXTS, LABELS)
    assert model.n_epochs_ == 8
    assert model.history_[4]["train_loss"] < first


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        ({"freeze_depth": "all"}, LABELS, "freezes all blocks that make them"),
        ({"head": "mlp"}, LABELS, "does not take head='mlp'"),
        ({"batch_size": 1}, LABELS, "does not take batch_size=1"),
        ({"head": Head(init="random")}, LABELS, "does not take head__init='random'"),
        ({"loss": ContrastiveLoss(temperature=0)}, LABELS, "temperature"),
        ({"loss": ContrastiveLoss(max_pairs=0)}, LABELS, "max_pairs"),
        ({}, np.eye(12, 3, dtype=int), "does not suit y, which has 3 labels"),
        ({}, np.arange(12), "the only one of its class"),
    ],
)
def test_what_it_cannot_take_is_refused(options, y, message):
    with pytest.raises(ValueError, match=message):
        contrastive(**options).fit(TEXTS, y)


@pytest.mark.parametrize("freeze_depth", [-1, "all"])
def test_several_labels_have_no_prototypes(freeze_depth):
    message = (
        "head='prototype' needs one class per row, and y has 3 labels per row. Use "
        "head='linear', 'mlp' or 'cosine'.$"
    )
    model = texts_model(head="prototype", freeze_depth=freeze_depth)
    with pytest.raises(ValueError, match=message):
        model.fit(TEXTS, np.eye(12, 3, dtype=int))


def test_weights_of_classes_act_on_what_is_compared():
    plain = contrastive().fit(TEXTS, LABELS)
    weighted = contrastive(class_weight={"plus": 9.0}).fit(TEXTS, LABELS)
    first = [model.history_[0]["train_loss"] for model in (plain, weighted)]
    assert first[0] != first[1]
    pairs = zip(
        plain.backbone_.blocks["layers.1"].parameters(),
        weighted.backbone_.blocks["layers.1"].parameters(),
        strict=True,
    )
    assert any(not torch.equal(a, b) for a, b in pairs)
    of_plus = list(plain.classes_).index("plus")
    proba = [model.predict_proba(TEXTS)[:, of_plus] for model in (plain, weighted)]
    assert proba[1].mean() > proba[0].mean()  # and on the head


def test_domains_are_refused():
    domain = np.repeat([0, -1], 6)
    for options in ({"domain_loss": "mmd"}, {"domain_loss": "mcc"}):
        with pytest.raises(ValueError, match="does not take domain_loss"):
            contrastive(**options).fit(TEXTS, LABELS, sample_domain=domain)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"loss": "contrastive"}, "training.$"),
        ({"loss": "contrastive", "head": "prototype"}, "training.$"),
        ({"head": "prototype"}, "training, or freeze_depth='all'.$"),
    ],
)
def test_part_of_the_rows_is_refused_where_blocks_are_trained(options, advice):
    with pytest.raises(ValueError, match=f"fits the head to all rows.*{advice}"):
        texts_model(**options).partial_fit(TEXTS, LABELS)


def test_numbers_have_no_prototypes_and_no_contrast():
    with pytest.raises(ValueError, match="'head' parameter of TextRegressor"):
        TextRegressor("tiny-bert", head="prototype").fit(TEXTS, np.arange(12.0))
    with pytest.raises(ValueError, match="'loss' parameter of TextRegressor"):
        TextRegressor("tiny-bert", loss="contrastive").fit(TEXTS, np.arange(12.0))
    model = TextRegressor("tiny-bert", loss=ContrastiveLoss(), random_state=0)
    with pytest.raises(ValueError, match="does not suit y, which has numbers. Use 'sq"):
        model.fit(TEXTS, np.arange(12.0))


# -- prototypes --------------------------------------------------------------------


def test_a_cosine_head_starts_at_class_means_and_is_held_back_before_blocks_train():
    starts = {
        depth: texts_model(head="cosine", freeze_depth=depth, max_epochs=0).fit(
            TEXTS, LABELS
        )
        for depth in ("all", -1)
    }
    heads = {depth: model.net_.module_.head[-1] for depth, model in starts.items()}
    prototypes = texts_model(head="prototype", freeze_depth="all").fit(TEXTS, LABELS)
    means = prototypes.net_.module_.head[-1]
    for head in heads.values():
        torch.testing.assert_close(head.weight, means.directions)
    torch.testing.assert_close(heads["all"].scale, means.scale)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_the_scale_of_a_cosine_head_leaves_blocks_something_to_learn(n_classes):
    y = np.repeat(np.arange(n_classes), 6)
    rows = np.eye(n_classes, 16)[y] + 0.01 * np.random.default_rng(0).normal(
        size=(len(y), 16)
    )
    scales = []
    for is_start in (False, True):
        with seeded(0):
            head = make_head("cosine", 16, n_classes, 0.0)
        options = {"task": "classes", "C": 1.0, "is_start": is_start}
        HEADS["cosine"].fit(head, rows.copy(), y, np.ones(len(y)), **options)
        scales.append(head[-1].scale.item())
    # A row on its mean, with the others as far as they can be, has 0.99.
    others = np.exp(-scales[1] / (n_classes - 1)) * (n_classes - 1)
    share = np.exp(scales[1]) / (np.exp(scales[1]) + others)
    assert share == pytest.approx(0.99, abs=1e-3)
    assert scales[0] > 2 * scales[1]


def test_a_cosine_head_of_several_labels_starts_at_random():
    Y = np.eye(12, 2, dtype=int)
    model = texts_model(head="cosine", lr="auto").fit(TEXTS, Y)
    assert model.settings_["lr"] == 3e-3
    with pytest.raises(ValueError, match="head='cosine' cannot be fitted to this y"):
        texts_model(head=Head("cosine", init="probe")).fit(TEXTS, Y)


@pytest.mark.parametrize("kind", ["texts", "pictures"])
def test_frozen_prototypes_are_nearest_class_means_without_training(kind):
    if kind == "texts":
        model, X, y = texts_model(head="prototype"), TEXTS, LABELS
        features = TextEncoder("tiny-bert").fit_transform(X)
    else:
        X, y = pictures()
        model = ImageClassifier("tiny-cnn", head="prototype", random_state=0)
        features = ImageEncoder("tiny-cnn").fit_transform(X)
    model.set_params(freeze_depth="all").fit(X, y)
    centred = features.astype(float) - features.mean(0, dtype=float)
    means = np.stack([centred[y == label].mean(0) for label in np.unique(y)])
    scale = float(model.net_.module_.head[-1].scale)
    shares = np.unique(y, return_counts=True)[1] / len(y)
    wanted = scale * (normalize(centred) @ normalize(means).T) + np.log(shares)
    assert (model.predict(X) == model.classes_[wanted.argmax(1)]).all()
    outputs = model.decision_function(X)
    if outputs.ndim == 1:
        wanted = wanted[:, 1] - wanted[:, 0]
    else:  # softmax takes no notice of a constant
        outputs, wanted = (m - m.mean(1, keepdims=True) for m in (outputs, wanted))
    np.testing.assert_allclose(outputs, wanted, atol=1e-4 * scale)
    assert model.n_epochs_ == 0
    assert model.history_ == []


@pytest.mark.usefixtures("auto_is_cpu")
def test_prototypes_are_those_of_the_trained_features():
    model = texts_model(head="prototype", lr=1e-2).fit(TEXTS, LABELS)
    features = TextEncoder(model.backbone_).fit_transform(TEXTS)
    centred = features.astype(float) - features.mean(0, dtype=float)
    means = np.stack([centred[model.classes_[i] == LABELS].mean(0) for i in range(3)])
    head = model.net_.module_.head[-1]
    np.testing.assert_allclose(head.directions, normalize(means), atol=1e-4)
    frozen = TextEncoder("tiny-bert").fit_transform(TEXTS)
    assert abs(features - frozen).max() > 0.1


def test_the_scale_suits_rows_that_are_not_in_their_mean():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    near = np.eye(3, 20)[y] * 10 + rng.normal(size=(60, 20))
    noise = rng.normal(size=(60, 20))

    def scale(features):
        head = make_head("prototype", 20, 3, 0.0)
        set_prototypes(head, features, y, np.ones(60))
        return float(head[-1].scale)

    assert scale(near) > 5 * scale(noise)


def test_the_shares_of_classes_decide_between_their_means():
    rng = np.random.default_rng(0)
    y = (np.arange(100) < 90).astype(int)
    features = np.eye(2, 20)[y] * 3 + rng.normal(size=(100, 20))

    def share_of_the_rarer(class_weights):
        head = make_head("prototype", 20, 2, 0.0)
        weights = class_weights[y]
        set_prototypes(
            head, features, y, weights, given=np.ones(100), class_weights=class_weights
        )
        between = torch.zeros(1, 20)  # once the features are centred
        return float(head[-1](between).softmax(1)[0, 0])

    assert share_of_the_rarer(np.ones(2)) == pytest.approx(0.1, abs=1e-3)
    assert share_of_the_rarer(np.array([5.0, 5 / 9])) == pytest.approx(0.5, abs=1e-3)


def test_a_class_without_rows_is_never_predicted():
    rng = np.random.default_rng(0)
    head = make_head("prototype", 6, 4, 0.0)
    y = np.array([0, 2, 3] * 5)
    set_prototypes(head, rng.normal(size=(15, 6)), y, np.ones(15))
    outputs = head(torch.from_numpy(rng.normal(size=(200, 6))).float())
    assert 1 not in outputs.argmax(1)
    assert (outputs[:, 1] < outputs[:, [0, 2, 3]].min(1).values).all()


def test_one_row_of_each_class_is_enough_for_prototypes():
    model = texts_model(head="prototype", freeze_depth="all")
    model.fit(TEXTS[:3], LABELS[:3])
    assert (model.predict(TEXTS[:3]) == LABELS[:3]).all()


def test_a_domain_loss_with_nothing_to_train_is_refused():
    model = texts_model(head="prototype", freeze_depth="all", domain_loss="mcc")
    with pytest.raises(ValueError, match="has nothing to train"):
        model.fit(TEXTS, LABELS, sample_domain=np.repeat([0, -1], 6))


@pytest.mark.parametrize("options", [{"loss": "contrastive"}, {"head": "prototype"}])
def test_a_save_predicts_the_same(options, tmp_path):
    model = texts_model(**options).fit(TEXTS, LABELS)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(
        again.predict_proba(TEXTS), model.predict_proba(TEXTS)
    )
