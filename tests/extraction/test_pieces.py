"""Long texts in overlapping pieces."""

import numpy as np
import pytest

from sktransfer import TextClassifier, TextEncoder, clear_cache, load, save
from sktransfer._extraction.pieces import cut
from sktransfer.backbones import TextPreprocess
from sktransfer.encoders import Pieces


def by_words(texts, max_length):
    """Two special tokens around one token per word."""
    return [[1, *range(2, 2 + len(t.split()))][: max_length - 1] + [0] for t in texts]


def by_letters(texts, max_length):
    return [[ord(letter) for letter in text][:max_length] for text in texts]


def pieces(text, *, room, stride, prompt="", tokenize=by_words, special=2):
    by_words.limit = by_letters.limit = 10_000
    preprocess = TextPreprocess(tokenize, max_length=room + special)
    (found,) = cut([text], preprocess, prompt, stride)
    return found


WORDS = [f"w{i}" for i in range(100)]


@pytest.mark.parametrize("n_words", [1, 9, 10])
def test_a_text_that_fits_stays_as_it_is(n_words):
    text = "  " + "\n ".join(WORDS[:n_words]) + " "
    assert pieces(text, room=10, stride=3) == [text]


@pytest.mark.parametrize("n_words", [11, 17, 18, 40, 99])
@pytest.mark.parametrize("stride", [0, 3, 9])
def test_pieces_hold_every_word_share_some_and_fit(n_words, stride):
    found = [
        p.split() for p in pieces(" ".join(WORDS[:n_words]), room=10, stride=stride)
    ]
    assert max(map(len, found)) <= 10
    # Of about one length, so that each counts alike in the mean.
    assert min(map(len, found)) >= max(map(len, found)) - 1
    starts = [WORDS.index(piece[0]) for piece in found]
    ends = [WORDS.index(piece[-1]) + 1 for piece in found]
    assert starts[0] == 0
    assert ends[-1] == n_words
    assert all(a < b for a, b in zip(starts, starts[1:], strict=False))
    shared = [end - start for end, start in zip(ends, starts[1:], strict=False)]
    assert shared == [stride] * (len(found) - 1)
    fewest = -(-(n_words - stride) // (10 - stride))
    assert len(found) == fewest


def test_the_prompt_takes_room():
    found = pieces(" ".join(WORDS[:20]), room=12, stride=0, prompt="query: now ")
    assert [len(piece.split()) for piece in found] == [10, 10]


def test_a_word_that_is_too_long_is_cut_between_letters():
    text = "甲乙丙丁戊己庚辛壬癸" * 3
    found = pieces(text, room=8, stride=2, tokenize=by_letters, special=0)
    assert max(map(len, found)) <= 8
    assert found[0] == text[:8][: len(found[0])]
    assert text.endswith(found[-1])
    assert "".join([found[0], *(piece[2:] for piece in found[1:])]) == text


def test_pieces_share_an_eighth_by_default():
    found = pieces(" ".join(WORDS[:30]), room=16, stride=None)
    assert [len(piece.split()) for piece in found] == [16, 16]
    assert found[1].startswith("w14 ")


def test_a_stride_without_room_is_an_error():
    with pytest.raises(
        ValueError, match=r"stride=10\) must be less than the 10 tokens"
    ):
        pieces("a b", room=10, stride=10)
    with pytest.raises(ValueError, match="'stride' parameter of Pieces must be an int"):
        TextEncoder("tiny-bert", max_length=Pieces(stride=-1)).fit(["a"])


def test_what_is_no_text_is_refused_by_its_row():
    with pytest.raises(ValueError, match="row 1 cannot be used.*type int"):
        TextEncoder("tiny-bert", max_length="pieces").fit_transform(["a", 3])


LONG = [" ".join(WORDS[i : i + 90]) for i in (0, 5)]


def test_the_features_of_a_text_are_the_mean_of_its_pieces():
    encoder = TextEncoder("tiny-bert", max_length=Pieces(16, stride=4))
    got = encoder.fit_transform([LONG[0], "short", None])
    preprocess = encoder._fitted_request().preprocess
    (parts,) = cut([LONG[0]], preprocess, "", 4)
    assert len(parts) > 5
    plain = TextEncoder("tiny-bert", max_length=16)
    want = plain.fit_transform(parts).mean(0, dtype=np.float64)
    np.testing.assert_allclose(got[0], want, atol=1e-6)
    np.testing.assert_array_equal(got[1:], plain.fit_transform(["short", None]))


def test_texts_that_differ_behind_the_limit_differ():
    same_start = [LONG[0] + " one end", LONG[0] + " another tail"]
    got = TextEncoder("tiny-bert", max_length="pieces").fit_transform(same_start)
    assert np.abs(got[0] - got[1]).max() > 1e-3


def test_each_distinct_piece_runs_once(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    encoder = TextEncoder(backbone, max_length=Pieces(16, stride=4))
    n_pieces = len(cut([LONG[0]], encoder._resolved().preprocess, "", 4)[0])
    encoder.fit_transform([LONG[0], LONG[0]])
    assert counter.rows == n_pieces
    encoder.transform([LONG[0]])
    assert counter.rows == n_pieces
    clear_cache()


def test_nested_names_reach_the_shortcut_and_the_object():
    encoder = TextEncoder("tiny-bert", max_length="pieces")
    assert encoder.get_params()["max_length__stride"] is None
    encoder.set_params(max_length__stride=5)
    assert isinstance(encoder.max_length, Pieces)
    assert encoder.max_length.stride == 5
    classifier = TextClassifier("tiny-bert", max_length=Pieces(20))
    classifier.set_params(max_length__max_length=24)
    assert classifier.max_length.max_length == 24
    with pytest.raises(ValueError, match="max_length__stride cannot be set while"):
        TextEncoder("tiny-bert").set_params(max_length__stride=5)


@pytest.mark.parametrize("wrong", ["piece", 1, 65])
def test_a_limit_that_is_none_is_named(wrong):
    for value in (wrong, Pieces(wrong)):
        with pytest.raises(ValueError, match=f"{wrong!r} must be an int from 3 to 64"):
            TextEncoder("tiny-bert", max_length=value).fit(["a"])


def test_an_encoder_of_pieces_is_saved_and_loaded(tmp_path):
    encoder = TextEncoder("tiny-bert", max_length=Pieces(16, stride=2)).fit(LONG)
    save(encoder, tmp_path / "saved")
    loaded = load(tmp_path / "saved")
    assert loaded.max_length.stride == 2
    np.testing.assert_array_equal(loaded.transform(LONG), encoder.transform(LONG))
