"""Readers: cells are read, decoded and tokenized ahead of the network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import encoded

from sktransfer import ImageEncoder, TextEncoder, cache_info, load_backbone
from sktransfer._cells import decoders
from sktransfer._cells.column import CellError
from sktransfer._cells.decoders import decode_jpegs, decodes_on
from sktransfer._extraction.readers import ImageReader
from sktransfer.encoders import _base

CPU = torch.device("cpu")


@pytest.fixture
def contents():
    """Photos of some sizes, and what a card leaves to Pillow."""
    rng = np.random.default_rng(0)
    jpegs = [
        encoded(rng.integers(0, 256, (*size, 3), dtype=np.uint8), "JPEG")
        for size in ((40, 50), (100, 120), (30, 300), (64, 64))
    ]
    grey = encoded(rng.integers(0, 256, (50, 40), dtype=np.uint8), "JPEG")
    png = encoded(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    array = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    return [*jpegs, grey, png, array, jpegs[1][:900], b"no image", jpegs[0]]


def prepared(contents, decoder):
    preprocess = load_backbone("tiny-cnn").preprocess
    request = SimpleNamespace(preprocess=preprocess, device=CPU, decoder=decoder)
    reader = ImageReader("path")
    try:
        return list(reader.results(reader.prepare(contents, request), CPU))
    finally:
        reader.close()


def test_a_device_decodes_plain_jpegs_and_leaves_the_rest(codec, contents):
    found = decode_jpegs(contents, CPU)
    assert set(found) == {0, 1, 2, 3, 4, 9}
    want, got = prepared(contents, "host"), prepared(contents, "device")
    for one, other in zip(want, got, strict=True):
        if isinstance(one, CellError):
            assert str(one) == str(other)
        else:
            np.testing.assert_array_equal(one, other)
    assert sum(isinstance(one, CellError) for one in got) == 2


def test_images_are_decoded_a_few_at_a_time(codec, contents, monkeypatch):
    calls, decode = [], decoders.decoders()["JPEG"]

    def counting(sources, **options):
        calls.append(len(sources))
        return decode(sources, **options)

    monkeypatch.setattr(decoders, "decoders", lambda: {"JPEG": counting})
    monkeypatch.setattr(decoders, "MOST_PIXELS", 14_000)
    assert set(decode_jpegs(contents, CPU)) == {0, 1, 2, 3, 4, 9}
    assert 1 < max(calls) < 6
    monkeypatch.setattr(decoders, "MOST_PIXELS", 11_000)
    assert set(decode_jpegs(contents, CPU)) == {0, 2, 3, 4, 9}  # one alone is too large


def test_the_fastest_engine_decodes_on_a_card_under_keys_of_its_own(
    codec, image_paths, monkeypatch
):
    assert not decodes_on(CPU)
    assert decodes_on(torch.device("cuda"))
    assert not decodes_on(torch.device("mps"))
    monkeypatch.setattr(decoders, "decoders", dict)
    assert not decodes_on(torch.device("cuda"))
    monkeypatch.undo()

    encoder = ImageEncoder("tiny-cnn", device="cpu", engine="auto")
    want = encoder.fit_transform(image_paths)
    n_misses = cache_info().misses
    monkeypatch.setattr(_base, "decodes_on", lambda device: True)
    np.testing.assert_array_equal(encoder.transform(image_paths), want)  # PNG
    assert cache_info().misses == 2 * n_misses
    plain = ImageEncoder("tiny-cnn", device="cpu")
    assert plain._resolved().decoder == "host"
    texts = TextEncoder("tiny-bert", device="cpu", engine="auto")
    assert texts._resolved().decoder == "host"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_card_decodes_what_the_cpu_decodes(codec, contents):
    good = contents[:7]
    want = ImageEncoder("tiny-cnn", device="cpu").fit_transform(good)
    got = ImageEncoder("tiny-cnn", device="cuda", engine="auto").fit_transform(good)
    norms = np.linalg.norm(want, axis=1) * np.linalg.norm(got, axis=1)
    assert ((want * got).sum(1) / norms).min() > 0.995
