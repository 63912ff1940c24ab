"""Rows of several parts in fine-tuning: images in a list, pieces of a text."""

import numpy as np
import pytest
import torch

from sktransfer import (
    ImageClassifier,
    ImageRegressor,
    TextClassifier,
    load,
    save,
)
from sktransfer.backbones import State
from sktransfer.encoders import Pieces
from sktransfer.finetuning import Augmentation, _net
from sktransfer.finetuning._row_parts import by_row, mean_by_row, one_by_one
from sktransfer.finetuning._trained import Trained

Y = [0, 1] * 6


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 20, 20, 3), np.uint8)


def classifier(**parameters):
    parameters = {"freeze_depth": -1, "max_epochs": 2, "random_state": 0} | parameters
    return ImageClassifier("tiny-cnn", **parameters)


@pytest.fixture
def lists():
    """Twelve rows of one to three images."""
    all_of_them = iter(images(24))
    return [[next(all_of_them) for _ in range(1 + i % 3)] for i in range(12)]


def test_states_by_row_and_one_by_one_are_inverse():
    n_parts = torch.tensor([2, 1, 3])
    hidden = torch.arange(120.0).view(6, 4, 5)
    state = State(hidden, torch.arange(24).view(6, 4) % 3 > 0, torch.arange(6))
    rows = by_row(state, n_parts)
    assert rows.hidden.shape == (3, 3, 4, 5)
    for part, same in zip(state, one_by_one(rows, n_parts), strict=True):
        assert torch.equal(part, same)
    means = mean_by_row(state.hidden[:, 0], n_parts, 3)
    torch.testing.assert_close(means[2], state.hidden[3:, 0].mean(0))


@pytest.mark.parametrize("freeze_depth", ["all", -1, 0])
@pytest.mark.parametrize("augment", [None, "light"])
def test_lists_of_one_image_train_as_images_do(freeze_depth, augment):
    X = images(12)
    alone = classifier(freeze_depth=freeze_depth, augment=augment).fit(X, Y)
    listed = classifier(freeze_depth=freeze_depth, augment=augment)
    listed.fit([[image] for image in X], Y)
    np.testing.assert_allclose(
        listed.predict_proba(X), alone.predict_proba(X), atol=1e-5
    )


def test_a_prediction_is_the_heads_of_the_mean_of_its_images(lists):
    model = classifier().fit(lists, Y)
    features = classifier().fit(lists, Y).net_.module_  # the same weights
    from sktransfer import ImageEncoder

    encoder = ImageEncoder(model.backbone_, cache=None)
    means = torch.from_numpy(encoder.fit_transform(lists))
    with torch.inference_mode():
        outputs = features.head(means.to(model.net_.device))
        want = torch.softmax(outputs, 1).cpu().numpy()
    np.testing.assert_allclose(model.predict_proba(lists), want, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_large_rows_are_trained_on_in_parts_of_a_batch(head, lists, monkeypatch):
    want = classifier(head=head).fit(lists, Y)
    monkeypatch.setattr(_net, "PARTS_AT_ONCE", 3)  # a row of three parts at a time
    sizes = []
    forward = Trained.forward

    def counted(self, hidden, *args, **kwargs):
        sizes.append(len(hidden))
        return forward(self, hidden, *args, **kwargs)

    monkeypatch.setattr(Trained, "forward", counted)
    got = classifier(head=head).fit(lists, Y)
    if torch.device(got.net_.device).type == "cpu":
        assert max(sizes) == 1
    for ours, theirs in zip(
        got.net_.module_.parameters(), want.net_.module_.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_gradients_reach_every_image_of_a_row(lists):
    changed = [row[:-1] + [255 - row[-1]] if len(row) > 1 else row for row in lists]
    one = classifier().fit(lists, Y).predict_proba(lists)
    other = classifier().fit(changed, Y).predict_proba(lists)
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True},
        {"loss": "contrastive"},
        {"head": "prototype"},
        {"batch_norm": "target"},
        {"domain_loss": "mmd"},
        {"activation_dtype": "float16"},
        {"warm_start": True},
        {"augment": Augmentation("light", views=2)},
    ],
    ids=str,
)
def test_every_way_to_train_takes_lists(parameters, lists):
    X, y = lists * 2, Y * 2
    domains = {}
    if {"batch_norm", "domain_loss"} & set(parameters):
        domains = {"sample_domain": np.where(np.arange(24) < 16, 1, -1)}
    model = classifier().set_params(**parameters).fit(X, y, **domains)
    assert np.isfinite(model.predict_proba(X)).all()
    assert len(model.history_) >= 1


def test_partial_fit_and_validation_rows_take_lists(lists):
    model = classifier().partial_fit(lists, Y, classes=[0, 1]).partial_fit(lists, Y)
    assert model.predict(lists).shape == (12,)
    watched = classifier().fit(images(12), Y, X_val=lists, y_val=Y)
    assert "valid_loss" in watched.history_[0]


def test_regressors_take_lists(lists):
    model = ImageRegressor("tiny-cnn", freeze_depth=-1, max_epochs=1, random_state=0)
    assert model.fit(lists, np.arange(12.0)).predict(lists).shape == (12,)


def test_each_image_runs_once_through_the_frozen_blocks(counting_backbone, lists):
    backbone, counter = counting_backbone("tiny-cnn")
    ImageClassifier(backbone, freeze_depth=-1, max_epochs=3, random_state=0).fit(
        lists, Y
    ).predict(lists)
    assert counter.rows == 24


def test_rows_without_an_image_get_the_prior(lists):
    model = classifier(missing="prior", on_error="prior")
    X = [*lists[:10], [], ["gone.png"]]
    with pytest.warns(UserWarning, match="leaves out 2 of 12 rows"):
        model.fit(X, Y)
    with pytest.warns(UserWarning, match="1 of 3 rows cannot be read"):
        proba = model.predict_proba([[], ["gone.png"], ["gone.png", lists[0][0]]])
    np.testing.assert_allclose(proba[:2], [[0.5, 0.5]] * 2)
    np.testing.assert_allclose(proba[2], model.predict_proba(lists[:1])[0], atol=1e-5)


def test_copies_of_a_list_are_not_on_both_sides_of_early_stopping(lists):
    X, y = lists * 2, Y * 2
    with pytest.raises(ValueError, match="of 1 different row none would be left"):
        classifier(early_stopping=True).fit([lists[0]] * 24, y)
    classifier(early_stopping=True).fit(X, y)


LONG = [f"row {i} " + "and so on " * 30 for i in range(12)]


@pytest.mark.parametrize("freeze_depth", ["all", -1, 0])
def test_texts_in_pieces_train_and_predict(freeze_depth, tmp_path):
    model = TextClassifier(
        "tiny-bert",
        max_length=Pieces(20, stride=5),
        freeze_depth=freeze_depth,
        max_epochs=2,
        random_state=0,
    )
    model.fit(LONG, Y)
    proba = model.predict_proba(LONG)
    assert np.isfinite(proba).all()
    save(model, tmp_path / "saved")
    np.testing.assert_allclose(
        load(tmp_path / "saved").predict_proba(LONG), proba, atol=1e-6
    )


def test_what_stands_behind_the_limit_counts_with_pieces():
    X = ["the same words " * 30 + word for word in ("good", "bad")] * 10
    y = [1, 0] * 10
    model = TextClassifier("tiny-bert", freeze_depth="all", random_state=0)
    with pytest.warns(UserWarning, match="20 of 20 texts have more than 64 tokens"):
        cut = model.fit(X, y)
    with pytest.warns(UserWarning, match="TextClassifier: 2 of 2"):
        assert len(set(cut.predict(X[:2]))) == 1
    whole = model.set_params(max_length="pieces").fit(X, y)
    assert whole.predict(X[:2]).tolist() == [1, 0]
