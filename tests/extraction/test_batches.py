"""Batches fill across chunks, and only the last ones are padded."""

import numpy as np
import pytest

from sktransfer import ImageEncoder, TextEncoder
from sktransfer._extraction.batches import MOST_PADDING, ladder, padded_length
from sktransfer.backbones import Backbone


@pytest.mark.parametrize("size", [1, 2, 3, 8, 48, 64, 100, 170, 1000])
def test_a_ladder_has_few_shapes_and_little_padding(size):
    for n_rows in range(1, 300):
        shapes = ladder(n_rows, size)
        assert sum(shapes) - n_rows <= MOST_PADDING * (n_rows % size or size)
        assert max(shapes) <= size
        assert shapes == sorted(shapes, reverse=True)
        last = [shape for shape in shapes if shape != size]
        assert all(shape & (shape - 1) == 0 for shape in last)
        assert len(last) <= 2 + np.log2(size)
    assert ladder(0, size) == []


@pytest.fixture
def rows_that_run(monkeypatch):
    """Give a list that gets the rows of each batch, padding included."""
    found, run = [], Backbone.run

    def counted(self, state, start=0, stop=None):
        if start == 0:
            found.append(len(state.hidden))
        return run(self, state, start, stop)

    monkeypatch.setattr(Backbone, "run", counted)
    return found


@pytest.mark.parametrize("batch_size", [8, 48, 64, 130, 170, 180, 256, 1024])
def test_images_that_run_are_the_images_that_there_are(batch_size, rows_that_run):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (256, 20, 20, 3), dtype=np.uint8)
    encoder = ImageEncoder("tiny-cnn", cache=None, batch_size=batch_size)
    encoder.fit_transform(pixels[:1])  # what is compared at the start runs too
    rows_that_run.clear()
    encoder.transform(pixels)
    assert max(rows_that_run) == min(batch_size, 256)
    assert sum(rows_that_run) <= 1.1 * 256


def test_the_shape_is_fixed_where_the_batch_size_is_not_said(rows_that_run):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 9, 9, 3), dtype=np.uint8)
    encoder = ImageEncoder("tiny-cnn", cache=None, device="cpu")
    encoder.fit_transform(pixels[:1])
    rows_that_run.clear()
    encoder.transform(pixels)
    assert set(rows_that_run) == {4}
    assert len(rows_that_run) == 18  # 64 and 6, and not 16 and 2 batches


@pytest.mark.parametrize("batch_size", [16, 512])
def test_texts_that_run_are_the_texts_that_there_are(batch_size, rows_that_run):
    texts = [f"one two {'three ' * (i % 5)} {i}" for i in range(200)]
    encoder = TextEncoder("tiny-bert", cache=None, batch_size=batch_size)
    encoder.fit_transform(texts[:1])
    rows_that_run.clear()
    encoder.transform(texts)
    assert sum(rows_that_run) <= (1 + MOST_PADDING) * 200


def test_batches_of_texts_fill_across_chunks(rows_that_run, monkeypatch):
    from sktransfer._extraction.readers import TextReader

    texts = [f"one two three {i:03}" for i in range(64)]
    encoder = TextEncoder("tiny-bert", cache=None, batch_size=64)
    want = encoder.fit_transform(texts)
    monkeypatch.setattr(TextReader, "chunk_size", 10)
    rows_that_run.clear()
    np.testing.assert_allclose(encoder.transform(texts), want, atol=1e-5)
    assert max(rows_that_run) == 64


def test_a_bad_row_of_a_chunk_leaves_no_hole(rows_that_run):
    rng = np.random.default_rng(0)
    cells = list(rng.integers(0, 256, (130, 9, 9, 3), dtype=np.uint8))
    cells[3] = cells[70] = b"no image"
    encoder = ImageEncoder("tiny-cnn", cache=None, batch_size=128, on_error="nan")
    with pytest.warns(UserWarning, match="2 of 130 rows cannot be read"):
        found = encoder.fit_transform(cells)
    assert rows_that_run[-1] == 128
    assert np.flatnonzero(np.isnan(found).any(1)).tolist() == [3, 70]
    alone = ImageEncoder("tiny-cnn", cache=None).fit_transform([cells[129]])
    np.testing.assert_allclose(found[129:], alone, atol=1e-5)


def test_a_padded_length_is_a_matter_of_the_length_alone():
    assert [padded_length(n) for n in (1, 4, 5, 32, 33, 41)] == [4, 4, 8, 32, 40, 48]


def test_a_padded_length_depends_on_the_length_alone_and_wastes_little():
    for length in range(1, 600):
        padded = padded_length(length)
        assert length <= padded < length + (4 if length <= 32 else 8)
        assert padded_length(padded) == padded
