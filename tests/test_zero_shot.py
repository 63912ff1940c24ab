"""ZeroShotClassifier on texts."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import TextEncoder, ZeroShotClassifier

PROMPTS = {"b": ["the second one", "number two"], "a": "the first one", "c": "a third"}


def texts(**options):
    options = {"encoder": TextEncoder("tiny-bert")} | options
    return ZeroShotClassifier(PROMPTS, **options)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_cosines_with_the_mean_direction_of_each_class():
    model = texts(scale=7.0).fit()
    assert list(model.classes_) == ["a", "b", "c"]
    assert model.prompts_[1] == ["the second one", "number two"]
    encode = TextEncoder("tiny-bert").fit_transform
    rows = ["the first one", "number two", "something else"]
    of_b = unit(encode(PROMPTS["b"])).mean(axis=0, keepdims=True)
    directions = unit(np.vstack([encode([PROMPTS["a"]]), of_b, encode([PROMPTS["c"]])]))
    logits = 7 * unit(encode(rows)) @ directions.T
    np.testing.assert_allclose(model.decision_function(rows), logits, atol=1e-5)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(rows), shares, atol=1e-5)
    assert list(model.predict(rows)[:2]) == ["a", "b"]


def test_two_classes_and_labels_that_are_numbers():
    model = ZeroShotClassifier([7, 3], TextEncoder("tiny-bert"), template="page {}")
    model.fit(["unseen"], [1])
    assert model.prompts_ == [["page 3"], ["page 7"]]
    rows = ["page 7", "page 3", "page 7"]
    assert list(model.predict(rows)) == [7, 3, 7]
    margin = model.decision_function(rows)
    assert margin.shape == (3,)
    share = model.predict_proba(rows)[:, 1]
    np.testing.assert_allclose(np.log(share / (1 - share)), margin, atol=1e-6)
    assert np.abs(margin).max() <= 2 * 20


def test_several_templates_and_plain_labels():
    model = texts(template=["one {}", "two {} {}"])
    model.set_params(classes=np.array(["y", "x"])).fit()
    assert model.prompts_ == [["one x", "two x x"], ["one y", "two y y"]]
    assert model.set_params(template="auto").fit().prompts_ == [["x"], ["y"]]


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, pl.Series])
def test_columns_of_every_kind(kind):
    rows = ["the first one", "a third"] * 3
    assert list(texts().fit().predict(kind(rows))) == ["a", "c"] * 3


def test_it_is_scored_like_any_classifier():
    rows = np.array([PROMPTS["a"], PROMPTS["c"]] * 6)
    model = make_pipeline(texts())
    assert (cross_val_score(model, rows, ["a", "c"] * 6, cv=3) == 1).all()
    assert clone(model)[0].classes is not None


def test_each_prompt_and_row_runs_once(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    model = texts(encoder=TextEncoder(backbone)).fit()
    assert counter.rows == 4
    model.predict(["one", "two"])
    model.predict_proba(["two", "one"])
    clone(model).fit()
    assert counter.rows == 6


def test_a_prompt_of_a_network_may_differ_between_rows_and_classes():
    other = TextEncoder("tiny-bert", prompt="passage: ")
    model = texts(text_encoder=other).fit()
    want = texts().set_params(
        classes={"a": "passage: the first one", "b": "passage: x"}
    )
    model.set_params(classes={"a": "the first one", "b": "x"}).fit()
    np.testing.assert_allclose(model.vectors_, want.fit().vectors_, atol=1e-6)


def test_an_encoder_that_learns_gets_the_rows():
    rows = ["the first one", "a third", None]
    model = texts(encoder=TextEncoder("tiny-bert", missing="mean"))
    with pytest.raises(ValueError, match="TextEncoder learns from rows .* pass X to"):
        model.fit()
    model.fit(rows)
    mean = unit(TextEncoder("tiny-bert").fit_transform(rows[:2]).mean(axis=0)[None])
    np.testing.assert_allclose(
        model.decision_function([None]), 20 * mean @ model.vectors_.T, atol=1e-5
    )
    pipeline = make_pipeline(TextEncoder("tiny-bert"), StandardScaler())
    assert list(texts(encoder=pipeline).fit(rows).predict(rows[:2])) == ["a", "c"]


def test_an_encoder_may_be_sparse():
    model = ZeroShotClassifier(["red", "green"], HashingVectorizer(), template="{}")
    assert list(model.fit().predict(["red", "green"])) == ["red", "green"]
    model.set_params(encoder=TfidfVectorizer())
    assert list(model.fit(["red", "green"]).predict(["green"])) == ["green"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": ["a"]}, ValueError, "at least 2 classes; got 1"),
        ({"classes": {1: "red", "1": "green"}}, ValueError, "strings and other types"),
        ({"classes": ["a", "a"]}, ValueError, "a label is twice"),
        ({"classes": "ab"}, TypeError, "a list of labels or a dict .* got str: 'ab'"),
        ({"classes": {"a": "x", "b": []}}, ValueError, "class 'b' needs a prompt"),
        ({"classes": {"a": "x", "b": [1]}}, ValueError, "class 'b' needs a prompt"),
        ({"template": "a photo"}, ValueError, "must be a string with {}"),
        ({"template": []}, ValueError, "must be a string with {}"),
        ({"scale": 0}, ValueError, "'scale' parameter"),
        ({"encoder": "tiny-bert"}, ValueError, "'encoder' parameter"),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        texts().set_params(**options).fit()
