"""Rows set aside, rows changed at random, and what a pipeline passes on."""

import gc
from unittest import mock

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import FeatureCache, ImageClassifier, TextClassifier, TextRegressor
from sktransfer.finetuning import Augmentation, Head, LogLoss, _splits

TEXTS = [f"{'good' if i % 2 else 'bad'} text number {i}" for i in range(40)]
LABELS = np.array(["-", "+"])[np.arange(40) % 2]
FAST = {"freeze_depth": -1, "max_epochs": 2, "random_state": 0}


@pytest.fixture
def pictures():
    X = np.random.default_rng(0).integers(0, 256, (24, 40, 40, 3), dtype=np.uint8)
    X[::2] //= 2
    return X, np.arange(24) % 2


def split_of(model, labels=LABELS, **options):
    """Fit, and return the rows that were trained on and those set aside."""
    parts, split = [], _splits.split

    def spy(*args):
        parts.append(split(*args))
        return parts[-1]

    with mock.patch.object(_splits, "split", spy):
        model.fit(TEXTS, labels, **options)
    return parts[0]


def test_rows_are_set_aside_by_class_and_the_best_epoch_comes_back():
    model = TextClassifier(
        "tiny-bert",
        early_stopping=True,
        loss=LogLoss(label_smoothing=0.0),
        head=Head(C=1e-3),
        **FAST,
    )
    # Some labels are wrong, which rows set aside do not like to see learned by heart.
    model.set_params(
        early_stopping__validation_fraction=0.2,
        max_epochs=30,
        lr=0.01,
        early_stopping__patience=3,
        random_state=2,
    )
    labels = LABELS.copy()
    labels[::5] = labels[::-5]
    train, valid = split_of(model, labels)
    assert sorted([*train, *valid]) == list(range(40))
    assert (labels[valid] == "+").sum() == len(valid) / 2 == 4
    losses = [row["valid_loss"] for row in model.history_]
    assert model.n_epochs_ == len(losses) < 30
    assert min(losses) < losses[-1]
    outputs = model.predict_proba([TEXTS[i] for i in valid])
    hits = outputs[np.arange(8), np.searchsorted(model.classes_, labels[valid])]
    assert -np.log(hits).mean() == pytest.approx(min(losses), rel=1e-3)


def test_a_group_is_never_on_both_sides():
    groups = np.arange(40) // 4
    model = TextClassifier("tiny-bert", early_stopping=True, **FAST)
    train, valid = split_of(model, groups=groups)
    assert len(valid) > 0
    assert not set(groups[train]) & set(groups[valid])


def test_views_are_kept_and_only_training_rows_are_changed(pictures, counting_backbone):
    X, y = pictures
    backbone, counter = counting_backbone("tiny-cnn")
    cache = FeatureCache()
    model = ImageClassifier(
        backbone, augment=Augmentation("light", views=3), cache=cache
    )
    grid = GridSearchCV(model.set_params(**FAST), {"lr": [1e-2, 1e-3]}, cv=2).fit(X, y)
    assert counter.rows == 3 * len(X)  # predicting added none
    grid.predict(X)
    assert counter.rows == 3 * len(X)


@pytest.mark.parametrize("augment", ["light", "standard", torch.Tensor.flip])
def test_new_views_at_each_epoch_are_deterministic(pictures, augment):
    X, y = pictures
    if callable(augment):
        augment = mirror
    fits = [
        ImageClassifier("tiny-cnn", augment=augment, **FAST).fit(X, y).predict_proba(X)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*fits)
    plain = ImageClassifier("tiny-cnn", **FAST).fit(X, y).predict_proba(X)
    assert not np.array_equal(fits[0], plain)


def mirror(pixels):
    return pixels.flip(-1)


def test_a_transform_that_changes_the_size_is_refused(pictures):
    X, y = pictures
    model = ImageClassifier("tiny-cnn", augment=lambda pixels: pixels[:, :8], **FAST)
    with pytest.raises(ValueError, match=r"returned \(3, 8, 32\).*expected a uint8"):
        model.fit(X, y)


@pytest.mark.parametrize("routing", [False, True])
def test_a_pipeline_passes_weights_and_domains_on(routing):
    weight = np.where(np.arange(40) < 20, 1.0, 0.0)
    domain = np.where(np.arange(40) < 20, 0, -1)
    want = TextClassifier("tiny-bert", **FAST).fit(TEXTS[:20], LABELS[:20])
    for name, values in (("sample_weight", weight), ("sample_domain", domain)):
        with sklearn.config_context(enable_metadata_routing=routing):
            model = TextClassifier("tiny-bert", **FAST)
            if routing and name == "sample_weight":
                model.set_fit_request(sample_weight=True)
            pipe = make_pipeline(FunctionTransformer(list), model)
            key = name if routing else f"textclassifier__{name}"
            pipe.fit(TEXTS, LABELS, **{key: values})
            got = pipe.predict_proba(TEXTS)
        np.testing.assert_allclose(got, want.predict_proba(TEXTS), atol=1e-6)


def test_a_regressor_scales_y_by_the_weighted_rows():
    y = np.r_[np.full(20, 5000.0) + np.arange(20), np.full(20, -1e6)]
    weight = np.r_[np.ones(20), np.full(20, 1e-9)]
    model = TextRegressor("tiny-bert", **FAST).fit(TEXTS, y, sample_weight=weight)
    predicted = model.predict(TEXTS[:20])
    assert np.abs(predicted - 5010).max() < 30


@pytest.mark.parametrize("weight", [{"+": 9.0, "-": 1.0}, "balanced"])
def test_class_weights_move_the_decision(weight):
    y = np.where(np.arange(40) < 6, "+", "-")
    plain = TextClassifier("tiny-bert", **FAST).fit(TEXTS, y).predict_proba(TEXTS)
    weighted = TextClassifier("tiny-bert", class_weight=weight, **FAST).fit(TEXTS, y)
    assert weighted.predict_proba(TEXTS)[:, 0].mean() > plain[:, 0].mean() + 0.05


def test_mixed_labels_are_refused_and_object_strings_keep_their_kind():
    mixed = np.array([1, "a"] * 20, dtype=object)
    with pytest.raises(ValueError, match=r"mixes values of the types \['int', 'str'\]"):
        TextClassifier("tiny-bert", **FAST).fit(TEXTS, mixed)
    model = TextClassifier("tiny-bert", **FAST).fit(TEXTS, LABELS.astype(object))
    assert model.classes_.dtype == object


def test_a_class_of_one_row_cannot_be_set_aside():
    model = TextClassifier("tiny-bert", early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match=r"early_stopping .*\['z'\] have one row only"):
        model.fit(["a", "b", "c"], ["x", "x", "z"])


def test_a_part_too_small_for_the_classes_is_refused_with_a_share_that_is_not():
    labels = np.repeat(list("abcdefgh"), 5)
    options = {"early_stopping": True, **FAST}
    model = TextClassifier("tiny-bert", **options)
    with pytest.raises(ValueError, match=r"8 classes\. Set it to 0\.2 or more"):
        model.fit(TEXTS, labels)
    model.set_params(early_stopping__validation_fraction=0.9)
    with pytest.raises(ValueError, match=r"8 classes\. Set it to 0\.8 or less"):
        model.fit(TEXTS, labels)
    model.set_params(early_stopping__validation_fraction=0.2).fit(TEXTS, labels)


@pytest.mark.parametrize(
    ("n", "groups", "message"),
    [
        (6, [1] * 6, "of 1 different group none would be left"),
        (1, None, "of 1 different row none would be left"),
    ],
)
def test_setting_all_rows_aside_is_refused(n, groups, message):
    model = TextRegressor("tiny-bert", early_stopping=True, **FAST)
    with pytest.raises(ValueError, match=message):
        model.fit(TEXTS[:n], np.arange(n), groups=groups)


def shifted_by(n):
    def shift(pixels):
        return pixels.roll(n, -1)

    return shift


def test_a_function_is_not_taken_for_another_that_had_its_address(pictures):
    X, y = pictures
    options = {"random_state": 0, **FAST}
    outputs = []
    for n in (1, 9, 1):
        # The function is gone after the fit, and its address may be the next one's.
        augment = Augmentation(shifted_by(n), views=2)
        model = ImageClassifier("tiny-cnn", augment=augment, **options)
        del augment
        outputs.append(model.fit(X, y).predict_proba(X))
        del model
        gc.collect()
    assert not np.array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_views_of_a_function_are_kept_while_it_lives(pictures, counting_backbone):
    X, y = pictures
    backbone, counter = counting_backbone("tiny-cnn")
    model = ImageClassifier(
        backbone,
        augment=Augmentation(shifted_by(3), views=2),
        cache=FeatureCache(),
        **FAST,
    )
    for _ in range(2):
        clone(model).fit(X, y)
    assert counter.rows == 2 * len(X)
