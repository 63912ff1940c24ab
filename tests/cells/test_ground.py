"""Transparency is laid on white in every mode, and integers keep their range."""

import io
import struct
import zlib

import numpy as np
import pytest
from conftest import encoded
from PIL import Image

from sktransfer._cells.column import CellError
from sktransfer._cells.images import decode_image, read_image

rng = np.random.default_rng(0)
COLOURS = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
ALPHA = rng.integers(0, 256, (6, 8), dtype=np.uint8)
CODES = rng.integers(0, 4, (6, 8), dtype=np.uint8)
PALETTE = rng.integers(0, 256, (256, 3), dtype=np.uint8)
DEEP = rng.integers(0, 65536, (6, 8), dtype=np.uint16)
DEEP[:2] = 300


def grey(pixels):
    return np.repeat(np.asarray(pixels)[..., None], 3, -1)


def on_white(colours, alpha):
    share = alpha[..., None] / 255
    return np.round(colours * share + 255 * (1 - share))


def where(pixels, is_transparent):
    return np.where(is_transparent[..., None], 255, pixels)


def palette_image():
    image = Image.fromarray(CODES)
    image.putpalette(PALETTE.tobytes())
    return image


def big_endian():
    return Image.frombytes("I;16B", (8, 6), DEEP.astype(">u2").tobytes())


RGBA = Image.fromarray(np.dstack([COLOURS, ALPHA]))
LA = Image.fromarray(np.dstack([COLOURS[..., 0], ALPHA]))
FIRST = tuple(int(v) for v in COLOURS[0, 0])
IS_FIRST = (COLOURS == COLOURS[0, 0]).all(-1)
IS_DARK = COLOURS[..., 0] == COLOURS[0, 0, 0]
BITS = COLOURS[..., 0] > 127
PART = np.array([255, 128, 0, 64], np.uint8)
# File or object, and what is to be seen.
CASES = {
    "RGBA PNG": (encoded(RGBA), on_white(COLOURS, ALPHA)),
    "RGBA WebP": (
        encoded(RGBA, "WEBP", lossless=True, exact=True),
        on_white(COLOURS, ALPHA),
    ),
    "RGBA TIFF": (encoded(RGBA, "TIFF"), on_white(COLOURS, ALPHA)),
    "RGBA TGA": (encoded(RGBA, "TGA"), on_white(COLOURS, ALPHA)),
    "RGBA object": (RGBA, on_white(COLOURS, ALPHA)),
    "RGBa object": (RGBA.convert("RGBa"), on_white(COLOURS, ALPHA)),
    "LA PNG": (encoded(LA), on_white(grey(COLOURS[..., 0]), ALPHA)),
    "La object": (LA.convert("La"), on_white(grey(COLOURS[..., 0]), ALPHA)),
    "RGB, one colour": (
        encoded(Image.fromarray(COLOURS), transparency=FIRST),
        where(COLOURS, IS_FIRST),
    ),
    "L, one grey": (
        encoded(Image.fromarray(COLOURS[..., 0]), transparency=FIRST[0]),
        where(grey(COLOURS[..., 0]), IS_DARK),
    ),
    "1, black": (
        encoded(Image.fromarray(BITS), transparency=0),
        np.full((6, 8, 3), 255),
    ),
    "16 bits, one grey": (
        encoded(Image.fromarray(DEEP), transparency=300),
        where(grey(DEEP >> 8), DEEP == 300),
    ),
    "P, one code": (
        encoded(palette_image(), transparency=2),
        where(PALETTE[CODES], CODES == 2),
    ),
    "P, an alpha each": (
        encoded(palette_image(), transparency=PART.tobytes()),
        on_white(PALETTE[CODES], PART[CODES]),
    ),
    "P GIF": (
        encoded(palette_image(), "GIF", transparency=2),
        where(PALETTE[CODES], CODES == 2),
    ),
    "16 bits PNG": (encoded(Image.fromarray(DEEP)), grey(DEEP >> 8)),
    "16 bits TIFF": (encoded(Image.fromarray(DEEP), "TIFF"), grey(DEEP >> 8)),
    "16 bits PGM": (encoded(Image.fromarray(DEEP), "PPM"), grey(DEEP >> 8)),
    "16 bits object": (Image.fromarray(DEEP), grey(DEEP >> 8)),
    "16 bits, other order": (big_endian(), grey(DEEP >> 8)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_ground_is_white_and_the_range_is_kept(name):
    content, want = CASES[name]
    got = np.asarray(decode_image(content)).astype(int)
    assert np.abs(got - want).max() <= 2
    if isinstance(content, bytes):  # the door of PIL images
        content = Image.open(io.BytesIO(content))
    through = read_image(content, "path").astype(int)
    np.testing.assert_array_equal(through, got)


def test_a_palette_with_an_alpha_of_its_own_is_laid_on_white():
    image = RGBA.quantize(16)
    assert image.palette.mode == "RGBA"
    want = np.asarray(image.convert("RGBA"))
    got = np.asarray(decode_image(image)).astype(int)
    assert np.abs(got - on_white(want[..., :3], want[..., 3])).max() <= 2


def chunk(kind, content):
    head = struct.pack(">I", len(content)) + kind + content
    return head + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("low", [0, 5, 255])
@pytest.mark.parametrize("high", [0, 9, 255])
def test_a_key_of_16_bits_a_colour_is_one(low, high):
    wide = np.array([[[high * 256 + low] * 3, [7 * 256] * 3, [low * 256 + 1] * 3]])
    head = struct.pack(">IIBBBBB", 3, 1, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    content += chunk(b"tRNS", wide[0, 0].astype(">u2").tobytes())
    rows = b"\0" + wide.astype(">u2").tobytes()
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    want = (wide >> 8).astype(int)
    want[(want == high).all(-1)] = 255
    np.testing.assert_array_equal(decode_image(content), want)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("key", [0, 1])
def test_a_grey_of_few_bits_is_one(bits, key):
    values = np.arange(min(2**bits, 8))
    row = "".join(format(value, f"0{bits}b") for value in values).ljust(8, "0")
    rows = bytes([0, *(int(row[i : i + 8], 2) for i in range(0, len(row), 8))])
    head = struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    content += chunk(b"tRNS", struct.pack(">H", key))
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    want = values * 255 // (2**bits - 1)
    want[key] = 255
    np.testing.assert_array_equal(np.asarray(decode_image(content))[0, :, 0], want)


@pytest.mark.parametrize("high", [255, 4095, 70_000])
@pytest.mark.parametrize("file_format", [None, "TIFF"])
def test_32_bit_integers_are_refused_whatever_their_values(high, file_format):
    image = Image.fromarray(np.full((4, 4), high, np.int32))
    content = image if file_format is None else encoded(image, file_format)
    with pytest.raises(CellError, match="range is not defined"):
        decode_image(content)


def test_the_greatest_value_of_16_bits_is_told():
    told = []
    decode_image(Image.fromarray(np.full((4, 4), 4000, np.uint16)), told.append)
    decode_image(Image.fromarray(COLOURS), told.append)
    assert told == [4000]
