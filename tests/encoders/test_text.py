"""TextEncoder: input kinds and bad rows."""

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktransfer import TextClassifier, TextEncoder, load_backbone
from sktransfer.exceptions import MissingRowError, UnreadableRowError

TEXTS = ["first text", "a second, longer one", "", "ümlaut 🙂"]


@pytest.fixture
def encoder():
    return TextEncoder("tiny-bert")


def test_every_kind_of_input_gives_equal_rows(encoder):
    want = encoder.fit_transform(TEXTS)
    kinds = [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS)[:, None],
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="category"),
        pd.DataFrame({"t": TEXTS}),
        pl.Series(TEXTS),
        pl.DataFrame({"t": TEXTS}),
        pa.array(TEXTS),
    ]
    for X in kinds:
        np.testing.assert_array_equal(encoder.transform(X), want)


def test_null_texts_are_empty_texts_by_default():
    encoder = TextEncoder("tiny-bert", add_indicator=True)
    out = encoder.fit_transform(["a", None, "", float("nan"), pd.NA])
    for row in (1, 3, 4):
        np.testing.assert_array_equal(out[row, :-1], out[2, :-1])
    assert out[:, -1].tolist() == [0, 1, 0, 1, 1]
    assert encoder.missing_rows_.tolist() == [1, 3, 4]
    assert encoder.error_rows_.size == 0


@pytest.mark.parametrize("policy", ["nan", "zero", "mean"])
def test_null_texts_follow_the_policy(policy):
    out = TextEncoder("tiny-bert", missing=policy).fit_transform(["a", None, "b"])
    good = TextEncoder("tiny-bert").fit_transform(["a", "b"])
    want = {"nan": np.nan, "zero": 0.0, "mean": good.mean(axis=0)}[policy]
    np.testing.assert_allclose(out[1], np.broadcast_to(want, 16), rtol=1e-5)
    np.testing.assert_array_equal(out[[0, 2]], good)


def test_null_texts_are_refused_on_request():
    with pytest.raises(MissingRowError, match="row 1 is missing .*missing= to one of"):
        TextEncoder("tiny-bert", missing="raise").fit(["a", None])


@pytest.mark.parametrize(
    ("cell", "message"),
    [(b"bytes", "decode it to str"), (3, "type int"), (["a"], "type list")],
)
def test_a_cell_that_is_no_text_is_named(encoder, cell, message):
    with pytest.raises(UnreadableRowError, match=f"row 1 cannot be used.*{message}"):
        encoder.fit_transform(["a", cell])


def test_odd_strings_are_texts(encoder):
    odd = ["", " ", "\0", "\n\t", "a" * 10_000, "🙂" * 50, "\ud800", "नमस्ते", "‮abc"]
    assert np.isfinite(encoder.fit_transform(odd)).all()


def test_the_bundled_network_takes_odd_strings(bundled_weights):
    odd = ["", " ", "\0", "word " * 5000, "🙂" * 50, "नमस्ते", "[MASK] [SEP]", "\ud800"]
    with pytest.warns(UserWarning, match="1 of 8 texts have more"):
        assert np.isfinite(TextEncoder().fit_transform(odd)).all()


def test_a_prompt_is_put_in_front_or_taken_from_the_record():
    toy = load_backbone("tiny-bert")
    record = dataclasses.replace(toy.preprocess, prompts={"query": "find: "})
    prompted = dataclasses.replace(toy, preprocess=record, fingerprint="prompted")
    want = TextEncoder("tiny-bert").fit_transform(["find: me"])
    for options in ({"prompt_name": "query"}, {"prompt": "find: "}):
        got = TextEncoder(prompted, **options).fit_transform(["me"])
        np.testing.assert_array_equal(got, want)
    for estimator in (TextEncoder(prompted), TextClassifier(prompted)):
        with pytest.raises(ValueError, match=r"'qurey' is not in .*\['query'\]"):
            estimator.set_params(prompt_name="qurey").fit(["me", "you"], [0, 1])
        with pytest.raises(ValueError, match="were both given"):
            estimator.set_params(prompt_name="query", prompt="").fit(["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="has no prompts"):
        TextEncoder("tiny-bert", prompt_name="query").fit(["me"])
    record = dataclasses.replace(record, default_prompt="find: ")
    prompted = dataclasses.replace(prompted, preprocess=record)
    got = TextEncoder(prompted).fit_transform(["me"])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("max_length", [0, 2, 65, 2.5, "long", True])
def test_a_wrong_max_length_is_refused(max_length):
    with pytest.raises(ValueError, match="must be an int from 3 to 64"):
        TextEncoder("tiny-bert", max_length=max_length).fit(["a"])


def test_longer_texts_are_cut_to_max_length():
    short = TextEncoder("tiny-bert", max_length=4)
    with pytest.warns(UserWarning, match="1 of 1 texts have more than 4 tokens"):
        long = short.fit_transform(["a b c d e f"])
    np.testing.assert_array_equal(long, short.fit_transform(["a b"]))


def test_one_warning_counts_the_texts_that_are_cut_and_names_the_ways_out(recwarn):
    long, longer = "word " * 70, "word " * 100
    encoder = TextEncoder("tiny-bert", max_length=32)
    encoder.fit_transform(["short", long, longer, long])
    (warning,) = recwarn.list
    message = str(warning.message)
    assert message.startswith("TextEncoder: 3 of 4 texts have more than 32 tokens")
    assert "set max_length to up to 64 tokens, or max_length='pieces'" in message


def test_texts_that_are_cut_are_counted_when_the_cache_has_them_too():
    for _ in range(2):
        with pytest.warns(UserWarning, match="TextEncoder: 1 of 2 texts have more"):
            TextEncoder("tiny-bert").fit_transform(["a", "letters " * 200])


@pytest.mark.parametrize("n_words", [61, 62])
def test_a_text_that_just_fits_is_no_news(n_words):
    TextEncoder("tiny-bert").fit_transform(["the " * n_words])  # warnings are errors


def test_max_length_may_exceed_the_records(bundled_weights):
    text = "word " * 300 + "and an end that matters"
    with pytest.warns(UserWarning, match="texts have more than 256 tokens"):
        usual = TextEncoder().fit_transform([text])
    longer = TextEncoder(max_length=512).fit_transform([text])
    assert not np.allclose(usual, longer, atol=1e-3)


@pytest.mark.slow
def test_a_linear_probe_on_banking77_reaches_89_percent(bundled_weights, shared_data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    root = shared_data / "banking77"
    train = pd.read_csv(root / "train.csv").sample(2500, random_state=0)
    test = pd.read_csv(root / "test.csv")
    label = next(column for column in train.columns if column != "text")
    model = make_pipeline(TextEncoder(), LogisticRegression(max_iter=1000))
    model.fit(train["text"], train[label])
    assert model.score(test["text"], test[label]) >= 0.89
