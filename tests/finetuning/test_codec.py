"""Targets: labels round-trip, numbers keep their units, and bad ones are refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from sktransfer import TextClassifier, TextRegressor
from sktransfer.finetuning import Head

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
SMALL = {"freeze_depth": "all", "max_epochs": 1, "random_state": 0}


def classifier(**options):
    return TextClassifier("tiny-bert", **(SMALL | options))


def regressor(**options):
    return TextRegressor("tiny-bert", **(SMALL | options))


@pytest.mark.parametrize(
    "labels", [["a", "bcd"], [False, True], [-7, 40], [1.0, 2.0]], ids=str
)
def test_labels_round_trip(labels):
    y = np.array(labels)[np.arange(12) % 2]
    model = classifier().fit(TEXTS, y)
    assert model.classes_.dtype == y.dtype
    assert model.classes_.tolist() == labels
    np.testing.assert_array_equal(model.predict(TEXTS), y)


def test_indicators_of_several_labels_round_trip():
    y = np.stack([np.arange(12) % 2, 1 - np.arange(12) % 2, np.ones(12)], 1).astype(int)
    model = classifier().fit(TEXTS, y)
    np.testing.assert_array_equal(model.predict(TEXTS), y)
    assert model.predict_proba(TEXTS).shape == (12, 3)


def test_numbers_keep_their_units():
    y = 5000.0 + 1000 * (np.arange(12) % 2)
    model = regressor(head=Head(C=100.0)).fit(TEXTS, y)
    assert np.abs(model.predict(TEXTS) - y).max() < 300


def test_several_numbers_a_row():
    y = np.stack([np.arange(12.0), 1e4 * np.arange(12)], 1)
    assert regressor().fit(TEXTS, y).predict(TEXTS).shape == (12, 2)


@pytest.mark.parametrize("hidden", [None, np.nan, -1], ids=str)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_labels_of_the_target_domain_are_never_read(make, hidden):
    y = [i % 2 for i in range(12)]
    domain = np.array([1] * 8 + [-1] * 4)
    plain = make().fit(TEXTS, y, sample_domain=domain)
    model = make().fit(TEXTS, y[:8] + [hidden] * 4, sample_domain=domain)
    np.testing.assert_array_equal(plain.predict(TEXTS), model.predict(TEXTS))


def test_a_row_of_no_weight_is_left_out():
    y = np.arange(12) % 2
    weight = np.r_[np.ones(10), 0, 0]
    wrong = np.r_[y[:10], 1 - y[10:]]
    one, two = (classifier().fit(TEXTS, t, sample_weight=weight) for t in (y, wrong))
    np.testing.assert_array_equal(one.predict_proba(TEXTS), two.predict_proba(TEXTS))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(12), "1 class"),
        (np.zeros(5), "inconsistent numbers of samples"),
        (np.r_[np.nan, np.arange(11) % 2], "NaN"),
        (None, "requires y"),
    ],
)
def test_a_bad_target_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        classifier().fit(TEXTS, y)


def test_partial_fit_knows_all_classes_and_refuses_others():
    model = classifier().partial_fit(TEXTS[:4], [0, 1, 0, 1], classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="the first call did not have"):
        model.partial_fit(TEXTS[:2], [0, 3])


def test_the_prior_is_that_of_all_batches():
    texts = [f"text {i}" for i in range(12)]
    model = classifier(missing="prior").partial_fit(texts, list("xyzz" * 3))
    model.partial_fit(texts[:4], list("yyyy"))
    np.testing.assert_allclose(
        model.predict_proba([None])[0], [3 / 16, 7 / 16, 6 / 16], atol=1e-6
    )
    model.fit(texts, list("xxyz" * 3))
    np.testing.assert_allclose(
        model.predict_proba([None])[0], [0.5, 0.25, 0.25], atol=1e-6
    )


@pytest.mark.parametrize("depth", ["all", -1])
def test_the_first_batch_of_partial_fit_may_be_of_one_class(depth):
    model = classifier(freeze_depth=depth)
    model.partial_fit(["a good text"], ["b"], classes=["a", "b", "c"])
    assert model.predict(["a good text"]) == ["b"]
    model.partial_fit(TEXTS, np.array(["a", "b"])[np.arange(12) % 2])
    assert model.predict_proba(TEXTS).shape == (12, 3)


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_labels_in_a_sparse_matrix(weight):
    y = np.column_stack([np.arange(12) % 2, np.arange(12) > 5]).astype(int)
    outputs = [
        classifier(class_weight=weight).fit(TEXTS, labels).predict_proba(TEXTS)
        for labels in (y, scipy.sparse.csr_matrix(y), scipy.sparse.coo_array(y))
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*texts have more than 64 tokens")
def test_prices_are_told_better_than_by_their_mean(bundled_weights, shared_data):
    table = pd.read_csv(shared_data / "seattle_airbnb" / "train.csv")
    table = table[table["summary"].notna()].sample(350, random_state=0)
    texts, prices = table["summary"].tolist(), np.log(table["price"].to_numpy())
    model = TextRegressor(freeze_depth="all", max_length=64, random_state=0)
    assert model.fit(texts[:150], prices[:150]).score(texts[150:], prices[150:]) > 0.1
