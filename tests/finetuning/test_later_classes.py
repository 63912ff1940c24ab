"""Classes and rows that come later, to prototypes of frozen features."""

import pickle

import numpy as np
import pytest
import torch

from sktransfer import ImageClassifier, TextClassifier, load, save
from sktransfer.finetuning._codec import ClassCodec
from sktransfer.finetuning._later_classes import with_later_classes

KINDS = "blue", "good", "bad", "red"
LABELS = np.array(KINDS * 6)
TEXTS = np.array(
    [f"{kind} text {i % 5} of {i}" for i, kind in enumerate(LABELS)], dtype=object
)
IS_OLD = np.isin(LABELS, ["blue", "red"])


def model(**options):
    options = {"head": "prototype", "freeze_depth": "all", "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


def head_of(estimator):
    return estimator.net_.module_.head


def grown(order, weights, *, is_ahead=False, **options):
    """Return a model whose classes came one by one, after the first two."""
    estimator = model(**options)
    for part in (order[:2], *([kind] for kind in order[2:])):
        rows = np.isin(LABELS, part)
        known = KINDS if is_ahead else [*getattr(estimator, "classes_", []), *part]
        estimator.partial_fit(
            TEXTS[rows], LABELS[rows], classes=known, sample_weight=weights[rows]
        )
    return estimator


def assert_same_means(one, other):
    for name in ("directions", "means", "totals", "log_shares"):
        found, wanted = (getattr(head_of(m)[-1], name) for m in (one, other))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head_of(one)[0].mean, head_of(other)[0].mean)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"good": 3.0, "red": 0.5}])
@pytest.mark.parametrize("order", [KINDS, ("red", "bad", "blue", "good")])
def test_classes_that_come_later_are_as_if_all_had_come_at_once(order, class_weight):
    weights = np.random.default_rng(0).uniform(0.5, 50, 24)
    is_ahead = isinstance(class_weight, dict)  # whose classes have to be known
    later = grown(order, weights, is_ahead=is_ahead, class_weight=class_weight)
    whole = model(class_weight=class_weight).fit(TEXTS, LABELS, sample_weight=weights)
    assert_same_means(later, whole)
    assert later.classes_.tolist() == whole.classes_.tolist() == sorted(KINDS)
    head_of(later)[-1].scale.copy_(head_of(whole)[-1].scale)  # is a mean over the calls
    np.testing.assert_allclose(
        later.predict_proba(TEXTS), whole.predict_proba(TEXTS), atol=1e-5
    )


def test_rows_that_come_later_are_as_if_all_had_come_at_once():
    order = np.random.default_rng(0).permutation(24)
    whole = model().fit(TEXTS, LABELS)
    later = model()
    for rows in np.array_split(order, 5):
        later.partial_fit(TEXTS[rows], LABELS[rows], classes=KINDS)
    assert_same_means(later, whole)
    after_fit = model().fit(TEXTS[:12], LABELS[:12])
    assert_same_means(after_fit.partial_fit(TEXTS[12:], LABELS[12:]), whole)


def test_a_new_class_needs_none_of_the_old_rows(monkeypatch):
    estimator = model(cache=None).partial_fit(TEXTS[IS_OLD], LABELS[IS_OLD])
    before, means = estimator.predict(TEXTS[IS_OLD]), head_of(estimator)[-1].means
    seen = []
    read = TextClassifier._column

    def column(self, X, *args, **options):
        seen.extend(X)
        return read(self, X, *args, **options)

    monkeypatch.setattr(TextClassifier, "_column", column)
    new = LABELS == "good"
    estimator.partial_fit(TEXTS[new], LABELS[new], classes=["red", "good", "blue"])
    assert seen == TEXTS[new].tolist()
    assert estimator.classes_.tolist() == ["blue", "good", "red"]
    torch.testing.assert_close(head_of(estimator)[-1].means[[0, 2]], means)
    assert (estimator.predict(TEXTS[new]) == "good").all()
    assert (estimator.predict(TEXTS[IS_OLD]) == before).all()
    proba = estimator.predict_proba(TEXTS[new])
    assert proba.shape == (6, 3)
    np.testing.assert_allclose(proba.sum(1), 1)


@pytest.mark.usefixtures("auto_is_cpu")
def test_images_get_later_classes_too():
    rng = np.random.default_rng(0)
    dark, light, noise = (
        (base + rng.integers(0, spread, (6, 40, 40, 3))).astype(np.uint8)
        for base, spread in ((0, 30), (220, 30), (0, 256))
    )
    options = {"head": "prototype", "freeze_depth": "all", "random_state": 0}
    estimator = ImageClassifier("tiny-cnn", **options)
    estimator.partial_fit(np.concatenate([dark, light]), np.repeat([3, 1], 6))
    estimator.partial_fit(noise, np.repeat(2, 6), classes=[1, 2, 3])
    assert estimator.predict(noise).tolist() == [2] * 6
    assert estimator.predict(dark).tolist() == [3] * 6
    assert estimator.classes_.dtype.kind == "i"


def test_a_first_call_of_one_class_waits_for_others():
    first = LABELS == "good"
    estimator = model().partial_fit(TEXTS[first], LABELS[first], classes=KINDS)
    assert (estimator.predict(TEXTS) == "good").all()
    assert float(head_of(estimator)[-1].scale) == 10  # nothing says more yet
    estimator.partial_fit(TEXTS[~first], LABELS[~first])
    assert_same_means(estimator, model().fit(TEXTS, LABELS))


def test_a_class_that_is_named_and_has_no_rows_is_never_predicted():
    estimator = model().partial_fit(TEXTS, LABELS, classes=[*KINDS, "green"])
    assert "green" not in estimator.predict(TEXTS)
    assert estimator.predict_proba(TEXTS).shape == (24, 5)


def test_the_temperature_is_the_mean_over_the_rows_of_all_calls():
    y = np.arange(24) % 3  # which texts say little about
    first, second = slice(0, 6), slice(6, 24)
    estimator = model().partial_fit(TEXTS[first], y[first])
    one = float(head_of(estimator)[-1].scale)
    state = pickle.loads(pickle.dumps(estimator))
    head_of(state)[-1].n_scaled.zero_()  # as if the first call had said nothing
    two = float(head_of(state.partial_fit(TEXTS[second], y[second]))[-1].scale)
    estimator.partial_fit(TEXTS[second], y[second])
    mean = (6 / one + 18 / two) / 24
    assert 1 / float(head_of(estimator)[-1].scale) == pytest.approx(mean, rel=1e-4)
    assert abs(one - two) > 0.1


@pytest.mark.parametrize("way", ["save", "pickle"])
def test_what_was_saved_takes_later_classes(way, tmp_path):
    first = model(missing="prior").partial_fit(TEXTS[IS_OLD], LABELS[IS_OLD])
    if way == "save":
        save(first, tmp_path / "model")
        again = load(tmp_path / "model")
    else:
        again = pickle.loads(pickle.dumps(first))
    for estimator in (first, again):
        estimator.partial_fit(TEXTS[~IS_OLD], LABELS[~IS_OLD], classes=KINDS)
    rows = [*TEXTS, None]
    np.testing.assert_array_equal(first.predict_proba(rows), again.predict_proba(rows))
    np.testing.assert_allclose(first.predict_proba([None]), np.full((1, 4), 0.25))
    save(again, tmp_path / "grown")
    np.testing.assert_array_equal(
        load(tmp_path / "grown").predict_proba(rows), again.predict_proba(rows)
    )


def test_a_call_that_fails_leaves_the_model_as_it_was():
    estimator = model().partial_fit(TEXTS[IS_OLD], LABELS[IS_OLD])
    before = estimator.predict_proba(TEXTS)
    with pytest.raises(ValueError, match="cell"):
        estimator.partial_fit([b"no text"], ["good"], classes=["blue", "good", "red"])
    assert estimator.classes_.tolist() == ["blue", "red"]
    np.testing.assert_array_equal(estimator.predict_proba(TEXTS), before)
    estimator.partial_fit(TEXTS[~IS_OLD], LABELS[~IS_OLD], classes=KINDS)
    assert_same_means(estimator, model().fit(TEXTS, LABELS))


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (["gut"], None, r"not known: \['gut'\].*classes=\[\*model.classes_, 'gut'\]"),
        (["gut"], ["blue", "red", "good"], "not known: .'gut'.; known are .'blue'"),
        (["good"], ["good"], r"lacks \['blue', 'red'\], which earlier calls had"),
        (["good"], [["blue", "red", "good"]], "expected a list of classes"),
        (["good"], ["blue", "red", None], "expected a list of classes"),
        ([1], ["blue", "red", 1], "mixes values of the types"),
        ([1], [1, 2], "lacks"),
    ],
)
def test_unclear_classes_are_refused(y, classes, message):
    estimator = model().partial_fit(TEXTS[IS_OLD], LABELS[IS_OLD])
    with pytest.raises(ValueError, match=message):
        estimator.partial_fit(["a text"], y, classes=classes)
    assert estimator.classes_.tolist() == ["blue", "red"]


@pytest.mark.parametrize(
    ("known", "asked"), [([0, 1], [0.0, 1.0, 2.0]), ([False, True], [0, 1, 2])]
)
def test_classes_of_another_type_are_refused(known, asked):
    codec = ClassCodec.learn(np.array(known), "TextClassifier")
    with pytest.raises(ValueError, match="has another type than"):
        with_later_classes(codec, asked, np.array(asked), "TextClassifier")


def test_labels_keep_their_kind():
    y = np.array(["b", "a"], dtype=object)
    codec = ClassCodec.learn(y, "TextClassifier")
    later, places = with_later_classes(codec, ["a", "ab", "b"], y, "TextClassifier")
    assert later.classes.dtype == codec.classes.dtype == object
    assert places.tolist() == [0, 2]
    same, places = with_later_classes(codec, ["b", "a"], y, "TextClassifier")
    assert same is codec
    assert places is None


def test_heads_that_are_trained_take_no_later_class():
    estimator = model(head="linear").partial_fit(TEXTS[IS_OLD], LABELS[IS_OLD])
    with pytest.raises(ValueError, match="differs from the first call's"):
        estimator.partial_fit(TEXTS, LABELS, classes=KINDS)
    with pytest.raises(ValueError, match="the first call did not have"):
        estimator.partial_fit(TEXTS, LABELS)


def test_what_watches_a_training_is_refused_in_chunks_too():
    with pytest.raises(ValueError, match="scoring needs epochs of training"):
        model(scoring="accuracy").partial_fit(TEXTS, LABELS)
