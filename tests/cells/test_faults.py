"""Faults around sound images, and images that are none, at every door."""

import contextlib
import io
import struct
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import encoded
from PIL import Image

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    TableEncoder,
    TextClassifier,
    TextEncoder,
)
from sktransfer._cells.images import decode_image, read_image
from sktransfer.backbones import ImagePreprocess
from sktransfer.exceptions import UnreadableRowError
from sktransfer.model_selection import rank_backbones

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (8, 24, 30, 3), dtype=np.uint8)
LABELS = np.array(list("abababab"))
COARSE = np.kron(PIXELS[0, :3, :4], np.ones((8, 8, 1), np.uint8))
FAST = {"freeze_depth": "all", "max_epochs": 1, "random_state": 0}
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
# An EXIF entry beside the orientation that Pillow cannot write again, or even read.
BAD_ENTRIES = {
    "rational of -1/0": struct.pack("<HHII", 282, 10, 1, 38),
    "text for a number": struct.pack("<HHI4s", 296, 2, 4, b"two\0"),
    "a million numbers": struct.pack("<HHII", 283, 5, 10**6, 38),
    "behind the end": struct.pack("<HHII", 282, 5, 1, 10**6),
    "unknown type": struct.pack("<HHII", 282, 99, 1, 38),
    "points to itself": struct.pack("<HHII", 0x8769, 4, 1, 8),
}


def exif(order, bad):
    record = struct.pack("<H", 2) + struct.pack("<HHIHH", 0x112, 3, 1, order, 0) + bad
    record += struct.pack("<I", 0) + struct.pack("<ii", -1, 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + record


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # it says what it skips
@pytest.mark.parametrize("order", TURNED)
@pytest.mark.parametrize("entry", BAD_ENTRIES)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_bad_exif_entry_costs_nothing(file_format, entry, order):
    options = {} if file_format == "PNG" else {"quality": 100}
    record = exif(order, BAD_ENTRIES[entry])
    content = encoded(Image.fromarray(COARSE), file_format, exif=record, **options)
    # What the codec and the format make of it, without the record.
    plain = encoded(Image.fromarray(COARSE), file_format, **options)
    want = TURNED[order](np.asarray(Image.open(io.BytesIO(plain)).convert("RGB")))
    for got in (
        np.asarray(decode_image(content)),
        read_image(Image.open(io.BytesIO(content)), "path"),
    ):
        assert got.shape == want.shape
        assert np.abs(got.astype(int) - want).max() <= 2


@pytest.mark.parametrize("order", TURNED)
def test_a_tiff_is_turned_once(order):
    content = encoded(Image.fromarray(COARSE), "TIFF", tiffinfo={0x112: order})
    np.testing.assert_array_equal(decode_image(content), TURNED[order](COARSE))


# -- one PIL image in several rows and threads -----------------------------------------


def lazy_images(n):
    return [
        Image.open(io.BytesIO(encoded(p, "JPEG")))
        for p in np.tile(PIXELS, (n, 1, 1, 1))
    ]


def test_one_lazy_image_in_many_rows_is_the_same_everywhere():
    for image in lazy_images(2):
        cells = [image] * 12
        vectors = ImageEncoder("tiny-cnn", cache=None).fit_transform(cells)
        assert (vectors == vectors[0]).all()


def test_threads_may_share_lazy_images():
    cells = lazy_images(3)
    want = ImageEncoder("tiny-cnn", cache=None).fit_transform(lazy_images(3))
    found, start = [None] * 4, threading.Barrier(4)

    def work(i):
        start.wait()
        found[i] = ImageEncoder("tiny-cnn", cache=None).fit_transform(cells)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for vectors in found:
        np.testing.assert_array_equal(vectors, want)


def test_different_images_are_decoded_side_by_side(monkeypatch):
    inside, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=30)

    def slow(self):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait()
        with lock:
            inside -= 1

    cells = [Image.fromarray(p) for p in PIXELS]
    monkeypatch.setattr(Image.Image, "load", slow)
    threads = [
        threading.Thread(target=read_image, args=(cell, "path")) for cell in cells[:2]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


# -- what cannot be prepared is one row's matter ---------------------------------------


def empty_crop(shape=(0, 4)):
    return Image.new("RGB", shape)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_an_empty_image_follows_the_policy(shape):
    cells = [*PIXELS[:2], empty_crop(shape)]
    with pytest.raises(UnreadableRowError, match="row 2 cannot be used.*no pixels"):
        ImageEncoder("tiny-cnn").fit_transform(cells)
    for policy in ("nan", "zero", "mean"):
        encoder = ImageEncoder("tiny-cnn", on_error=policy)
        with pytest.warns(UserWarning, match="1 of 3 rows cannot be read"):
            vectors = encoder.fit_transform(cells)
        assert list(encoder.error_rows_) == [2]
        assert np.isfinite(vectors[:2]).all()


def test_an_empty_image_follows_the_policy_in_a_classifier_a_table_and_a_ranking():
    cells = [*PIXELS, empty_crop()]
    model = ImageClassifier("tiny-cnn", on_error="prior", **FAST)
    with pytest.warns(UserWarning, match="leaves out 1 of 9 rows"):
        model.fit(cells, [*LABELS, "a"])
    with pytest.warns(UserWarning, match="1 of 9 rows cannot be read"):
        proba = model.predict_proba(cells)
    np.testing.assert_allclose(proba[-1], [0.5, 0.5])
    table = pd.DataFrame({"photo": cells})
    encoder = TableEncoder(ImageEncoder("tiny-cnn", on_error="mean"), n_components=2)
    with pytest.warns(UserWarning, match="1 of 9 rows cannot be read"):
        assert np.isfinite(encoder.fit_transform(table)).all()
    with pytest.raises(UnreadableRowError, match="no pixels"):
        rank_backbones(cells, [*LABELS, "a"], ["tiny-cnn"])


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError, OSError, ValueError])
def test_whatever_preparing_raises_is_an_unreadable_row(error, monkeypatch):
    prepare = ImagePreprocess.prepare

    def failing(self, image):
        if image.shape[:2] == (3, 3):
            raise error("that much")
        return prepare(self, image)

    monkeypatch.setattr(ImagePreprocess, "prepare", failing)
    cells = [*PIXELS[:2], np.zeros((3, 3, 3), np.uint8)]
    encoder = ImageEncoder("tiny-cnn", on_error="nan", cache=None)
    with pytest.warns(UserWarning, match=f"{error.__name__}: that much"):
        vectors = encoder.fit_transform(cells)
    np.testing.assert_array_equal(np.isnan(vectors).any(1), [False, False, True])
    with pytest.raises(
        UnreadableRowError, match=r"row 2.*cannot be prepared"
    ) as caught:
        ImageEncoder("tiny-cnn", cache=None).fit_transform(cells)
    assert isinstance(caught.value.__cause__, error)


# -- one warning for rows that could not be read; null cells stay silent ---------------


def test_transform_and_predict_say_how_many_rows_were_unreadable():
    encoder = ImageEncoder("tiny-cnn", missing="zero", on_error="zero").fit(PIXELS)
    cells = [PIXELS[0], None, b"broken", "nowhere.png", PIXELS[1]]
    line = (
        r"ImageEncoder: 2 of 5 rows cannot be read.*on_error='zero'.*row 2: <6 bytes>"
    )
    with pytest.warns(UserWarning, match=line) as seen:
        encoder.transform(cells)
    assert len(seen) == 1
    encoder.transform([PIXELS[0], None])
    for cls, y in ((ImageClassifier, LABELS), (ImageRegressor, np.arange(8.0))):
        model = cls("tiny-cnn", missing="prior", on_error="prior", **FAST)
        model.fit(PIXELS, y)
        with pytest.warns(UserWarning, match="2 of 5 rows cannot be read") as seen:
            model.predict(cells)
        assert len(seen) == 1
        model.predict([PIXELS[0], None])


# -- bits ------------------------------------------------------------------------------


def deep_images(high):
    pixels = rng.integers(0, high, (3, 20, 20), dtype=np.uint16)
    pixels[:, 0, 0] = high - 1
    return [Image.fromarray(p) for p in pixels]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_12_bits_in_16_are_one_warning(as_bytes):
    cells = deep_images(4096)
    if as_bytes:
        cells = [encoded(image) for image in cells]
    line = r"all 3 16-bit image\(s\) are dark, with no value above 4095"
    with pytest.warns(UserWarning, match=line) as seen:
        ImageEncoder("tiny-cnn", cache=None).fit_transform(cells)
    assert len(seen) == 1
    # One bright image among dark ones: they are what they are.
    ImageEncoder("tiny-cnn", cache=None).fit_transform([*cells, *deep_images(65536)])


# -- shapes that are taken for others --------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "call",
    [
        lambda X: ImageEncoder("tiny-cnn").fit_transform(X),
        lambda X: ImageClassifier("tiny-cnn", **FAST).fit(X, [0, 1] * 12),
        lambda X: rank_backbones(X, [0, 1] * 12, ["tiny-cnn"]),
    ],
    ids=["encoder", "classifier", "ranking"],
)
def test_one_image_is_no_batch(call, channels):
    image = rng.integers(0, 256, (24, 20, channels), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"looks like one image. Pass X\[None\]"):
        call(image)


def test_one_grey_image_is_no_column():
    with pytest.raises(ValueError, match=r"Pass X\[None\] for one grey image"):
        ImageEncoder("tiny-cnn").fit_transform(PIXELS[0, :, :, 0])
    ImageEncoder("tiny-cnn").fit_transform(PIXELS[0, :, :, 0][None])


def test_hints_say_what_was_meant():
    same = np.array(list(PIXELS), dtype=object)
    with pytest.raises(ValueError, match=r"X.astype\('uint8'\), or pass a list"):
        ImageEncoder("tiny-cnn").fit_transform(same)
    for path, hint in {
        "file:///photos/a.png": "pass the path alone",
        "~/photos/a.png": "os.path.expanduser",
        "C:\\photos\\a.png": "a path of Windows",
        "C:/photos/a.png": "a path of Windows",
        "\\\\server\\a.png": "a path of Windows",
        "s3://photos/a.png": "pass the bytes that it reads",
        "photos/a.png": "where relative paths start",
    }.items():
        with pytest.raises(UnreadableRowError, match=hint):
            ImageEncoder("tiny-cnn").fit_transform([path])
    for cell in (["a"], ("a",), np.array(["a"])):
        with pytest.raises(UnreadableRowError, match="take the text out of it"):
            TextEncoder("tiny-bert").fit_transform([cell, "b"])


# -- what the caller has set in torch --------------------------------------------------


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
}
TEXTS = [f"text number {i}" for i in range(8)]
MODELS = {
    "images": lambda: ImageEncoder("tiny-cnn", cache=None).fit_transform(PIXELS),
    "texts": lambda: TextEncoder("tiny-bert", cache=None).fit_transform(TEXTS),
    "image classifier": lambda: (
        ImageClassifier(
            "tiny-cnn", freeze_depth=-1, max_epochs=2, random_state=0, cache=None
        )
        .fit(PIXELS, LABELS)
        .predict_proba(PIXELS)
    ),
    "augmented": lambda: (
        ImageClassifier(
            "tiny-cnn", augment="light", freeze_depth=0, max_epochs=1, random_state=0
        )
        .fit(PIXELS, LABELS)
        .predict_proba(PIXELS)
    ),
    "text classifier": lambda: (
        TextClassifier(
            "tiny-bert", freeze_depth=-1, max_epochs=2, random_state=0, cache=None
        )
        .fit(TEXTS, LABELS)
        .predict_proba(TEXTS)
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("model", MODELS)
def test_settings_of_the_caller_change_nothing(model, setting, monkeypatch):
    from collections import OrderedDict

    from sktransfer.backbones import _registry

    want = MODELS[model]()
    monkeypatch.setattr(_registry, "_loaded", OrderedDict())  # loaded inside, too
    with SETTINGS[setting]():
        got = MODELS[model]()
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(MODELS[model](), want)
