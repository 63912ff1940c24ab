"""TorchCodec gives Pillow's pixels, and leaves to Pillow what is not plain."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from sktransfer._cells import decoders, images
from sktransfer._cells.column import CellError
from sktransfer._cells.images import decode_image

SIZES = [(64, 64), (47, 61), (100, 33), (1, 1), (500, 8)]
ORIENTATION = 0x0112


@pytest.fixture
def torchcodec(codec, monkeypatch):
    """Give a list that says of each plain image whether TorchCodec decoded it."""
    found = []

    def watched(image, content):
        pixels = decoders.decode_plain(image, content)
        found.append(pixels is not None)
        return pixels

    monkeypatch.setattr(images, "decode_plain", watched)
    return found


def picture(width, height, mode="RGB"):
    rng = np.random.default_rng(width)
    small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.BICUBIC).convert(mode)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def by_pillow(content, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(images, "is_plain", lambda *_: False)
        return decode_image(content)


PLAIN = {
    "JPEG 4:4:4": ("RGB", "JPEG", {"subsampling": 0}),
    "JPEG 4:2:2": ("RGB", "JPEG", {"subsampling": 1}),
    "JPEG 4:2:0": ("RGB", "JPEG", {"subsampling": 2, "quality": 40}),
    "JPEG progressive": ("RGB", "JPEG", {"progressive": True}),
    "JPEG grey": ("L", "JPEG", {}),
    "PNG": ("RGB", "PNG", {}),
    "PNG grey": ("L", "PNG", {}),
    "WebP": ("RGB", "WEBP", {"quality": 60}),
    "WebP lossless": ("RGB", "WEBP", {"lossless": True}),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", PLAIN)
def test_plain_images_are_decoded_to_the_pixels_of_pillow(
    kind, size, torchcodec, monkeypatch
):
    mode, form, options = PLAIN[kind]
    content = encoded(picture(*size, mode), form, **options)
    got = decode_image(content)
    assert torchcodec == [True]
    assert got.shape == (*size[::-1], 3)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, by_pillow(content, monkeypatch))


def transparent(form, **options):
    return encoded(picture(40, 30, "RGBA"), form, **options)


def turned(form, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture(40, 30), form, exif=exif)


def deep():
    grey = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    return encoded(Image.fromarray(grey), "PNG")


def alpha(form):
    image = picture(40, 30, "RGBA")
    image.putalpha(100)
    return encoded(image, form)


def animated(form):
    frames = [picture(40, 30), picture(60, 30).resize((40, 30))]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


NOT_PLAIN = {
    "PNG with alpha": lambda: alpha("PNG"),
    "WebP with alpha": lambda: alpha("WEBP"),
    "PNG, a transparent colour": lambda: encoded(
        picture(40, 30), "PNG", transparency=(1, 2, 3)
    ),
    "PNG, 16 bits": deep,
    "PNG, one bit": lambda: encoded(picture(40, 30, "1"), "PNG"),
    "PNG, palette": lambda: encoded(picture(40, 30, "P"), "PNG"),
    "CMYK": lambda: encoded(picture(40, 30, "CMYK"), "JPEG"),
    "animated WebP": lambda: animated("WEBP"),
    "animated PNG": lambda: animated("PNG"),
    "TIFF": lambda: encoded(picture(40, 30), "TIFF"),
    "BMP": lambda: encoded(picture(40, 30), "BMP"),
    "GIF": lambda: encoded(picture(40, 30), "GIF"),
    **{
        f"{form} turned by {i}": lambda form=form, i=i: turned(form, i)
        for form in ("JPEG", "PNG", "WEBP")
        for i in range(2, 9)
    },
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_other_images_are_left_to_pillow(kind, torchcodec, monkeypatch):
    content = NOT_PLAIN[kind]()
    np.testing.assert_array_equal(
        decode_image(content), by_pillow(content, monkeypatch)
    )
    assert torchcodec == []


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_damaged_image_is_unreadable_in_the_words_of_pillow(
    form, share, torchcodec, monkeypatch
):
    content = encoded(picture(200, 150), form)
    content = content[: int(share * len(content))]
    with pytest.raises(CellError) as theirs:
        by_pillow(content, monkeypatch)
    with pytest.raises(CellError) as ours:
        decode_image(content)
    assert str(ours.value) == str(theirs.value)
    assert True not in torchcodec


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_without_torchcodec_pillow_decodes(error, monkeypatch):
    class Broken:
        def find_spec(self, name, *args):
            if name.startswith("torchcodec"):
                raise error("no such library")

    for name in [name for name in sys.modules if name.startswith("torchcodec")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    decoders.decoders.cache_clear()
    try:
        assert decoders.decoders() == {}
        content = encoded(picture(40, 30), "PNG")
        np.testing.assert_array_equal(decode_image(content), picture(40, 30))
    finally:
        decoders.decoders.cache_clear()


# -- at a part of their size --------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "enough", "decoded"),
    [
        ((400, 300), 160, (400, 300)),  # a half would be too small
        ((400, 320), 160, (200, 160)),
        ((400, 320), 90, (200, 160)),
        ((400, 320), 80, (100, 80)),
        ((400, 320), 10, (50, 40)),
        ((300, 400), 40, (75, 100)),  # after it is turned
    ],
)
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(size, enough, decoded):
    image = picture(*sorted(size, reverse=True))
    if size[0] < size[1]:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        content = encoded(image, "JPEG", exif=exif, quality=95)
        image = image.transpose(Image.Transpose.ROTATE_270)
    else:
        content = encoded(image, "JPEG", quality=95)
    pixels = decode_image(content, enough=enough)
    assert pixels.shape == (*decoded[::-1], 3)
    want = np.asarray(image.resize(decoded, Image.BOX)).astype(int)
    assert np.abs(pixels - want).mean() < 3


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_other_formats_are_decoded_whole(form):
    content = encoded(picture(400, 320), form)
    assert decode_image(content, enough=10).shape == (320, 400, 3)


def test_an_image_of_the_callers_is_not_decoded_at_a_part_of_its_size():
    image = Image.open(io.BytesIO(encoded(picture(400, 320), "JPEG")))
    assert decode_image(image, enough=10).shape == (320, 400, 3)
    assert image.size == (400, 320)
