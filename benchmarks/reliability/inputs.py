"""Mutated images and strings: no crash, no hang, n rows out, memory bounded."""

import collections
import contextlib
import io
import os
import random
import time
import warnings
from pathlib import Path

import numpy as np

from ._shared import alone, peak_mib

IMAGE_NETWORK, TEXT_NETWORK = "tiny-cnn", "all-MiniLM-L6-v2"
AT_ONCE = 100
SLOWEST_S = 60  # for so many rows
# Several strings of a million characters are tokenized whole, before they are cut.
LARGEST_GROWTH_MIB = 2048
UNICODE = (
    (0, 0x7F),
    (0x80, 0x7FF),
    (0x800, 0xFFFF),
    (0xD800, 0xDFFF),
    (0x10000, 0x10FFFF),
)
EXTREMES = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff")


def images(folder, *, n_images=10_000, seed=0):
    """Image files with damage of many kinds go through an encoder as bytes."""
    (outcome, peak), growth = _limited(_run_images, folder, n_images, seed)
    return {**outcome, "peak, MiB": peak, "growth, MiB": growth}


def texts(folder, *, n_texts=10_000, seed=0, backbone=TEXT_NETWORK):
    """Strings that nobody would write go through a tokenizer, and as names of files."""
    (outcome, peak), growth = _limited(_run_texts, folder, n_texts, seed, backbone)
    return {**outcome, "peak, MiB": peak, "growth, MiB": growth}


def _limited(function, *arguments):
    (outcome, before), peak = alone(function, *arguments, timeout_s=7200)
    growth = peak - before
    assert growth <= LARGEST_GROWTH_MIB, f"memory grew by {growth} MiB"
    assert outcome["slowest 100 rows, s"] <= SLOWEST_S, outcome
    return (outcome, peak), growth


# -- images ----------------------------------------------------------------------------


def _run_images(folder, n_images, seed):
    from sktransfer import ImageEncoder

    rng = random.Random(seed)
    whole = image_files()
    encoder = ImageEncoder(
        IMAGE_NETWORK, source="bytes", missing="nan", on_error="nan", cache=None
    )
    known = whole["PNG"]
    want = encoder.fit_transform([*whole.values()])
    assert np.isfinite(want).all()
    want = want[list(whole).index("PNG")]
    before = peak_mib()
    n_unreadable, slowest = 0, 0.0
    kinds = collections.Counter()
    with _quiet(folder):
        for start in range(0, n_images, AT_ONCE):
            names = [
                rng.choice(list(whole)) for _ in range(min(AT_ONCE, n_images - start))
            ]
            cells = [mutated(whole[name], whole, rng) for name in names]
            place = rng.randrange(len(cells) + 1)
            cells.insert(place, known)
            begin = time.perf_counter()
            vectors = encoder.fit_transform(cells)
            slowest = max(slowest, time.perf_counter() - begin)
            assert vectors.shape == (len(cells), len(want)), vectors.shape
            np.testing.assert_array_equal(vectors[place], want)
            bad = np.isnan(vectors).any(1)
            np.testing.assert_array_equal(np.flatnonzero(bad), encoder.error_rows_)
            assert np.isnan(vectors[bad]).all()
            assert np.isfinite(vectors[~bad]).all()
            n_unreadable += int(bad.sum())
            kinds.update(names)
    outcome = {
        "images": n_images,
        "formats": dict(sorted(kinds.items())),
        "unreadable": n_unreadable,
        "read all the same": n_images - n_unreadable,
        "slowest 100 rows, s": round(slowest, 2),
    }
    return outcome, before


def image_files():
    """Return the bytes of small sound image files, by kind."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((48, 40))
    frames = [image.rotate(angle) for angle in (90, 180)]
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    animated = {"save_all": True, "append_images": frames}
    files = {
        "JPEG": (image, "JPEG", {}),
        "JPEG progressive": (image, "JPEG", {"progressive": True}),
        "JPEG CMYK": (image.convert("CMYK"), "JPEG", {}),
        "JPEG rotated": (image, "JPEG", {"exif": exif}),
        "PNG": (image, "PNG", {}),
        "PNG palette": (image.quantize(16), "PNG", {"transparency": 3}),
        "PNG 16 bits": (image.convert("I;16"), "PNG", {}),
        "PNG transparent": (image.convert("RGBA"), "PNG", {}),
        "PNG animated": (image, "PNG", animated),
        "GIF animated": (image, "GIF", animated),
        "WebP": (image, "WEBP", {}),
        "WebP animated": (image, "WEBP", animated),
        "BMP": (image, "BMP", {}),
        "TIFF": (image, "TIFF", {}),
        "TIFF LZW": (image, "TIFF", {"compression": "tiff_lzw"}),
        "TIFF deflate": (image, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "PPM": (image, "PPM", {}),
        "TGA": (image, "TGA", {"compression": "tga_rle"}),
        "PCX": (image, "PCX", {}),
        "ICO": (image, "ICO", {}),
        "DDS": (image, "DDS", {}),
        "SGI": (image, "SGI", {}),
        "JPEG 2000": (image, "JPEG2000", {}),
    }
    contents = {}
    for name, (image, file_format, options) in files.items():
        buffer = io.BytesIO()
        image.save(buffer, file_format, **options)
        contents[name] = buffer.getvalue()
    return contents


def mutated(content, others, rng):
    """Return damaged bytes: one to three changes of a random kind."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(MUTATIONS)(content, others, rng)
    return bytes(content) or b"\0"


def _place(content, rng):
    """Choose a run of bytes, in the headers as often as in the rest."""
    end = min(len(content), rng.choice((64, len(content))))
    start = rng.randrange(end) if end else 0
    return start, start + rng.randint(1, 64)


def _flip(content, others, rng):
    for _ in range(rng.randint(1, 20)):
        if content:
            content[_place(content, rng)[0]] ^= 1 << rng.randrange(8)
    return content


def _overwrite(content, others, rng):
    start, stop = _place(content, rng)
    content[start:stop] = rng.randbytes(len(content[start:stop]))
    return content


def _extreme(content, others, rng):
    start, _ = _place(content, rng)
    content[start : start + 4] = rng.choice(EXTREMES)
    return content


def _insert(content, others, rng):
    start, stop = _place(content, rng)
    content[start:start] = rng.randbytes(stop - start)
    return content


def _remove(content, others, rng):
    start, stop = _place(content, rng)
    del content[start:stop]
    return content


def _repeat(content, others, rng):
    start, stop = _place(content, rng)
    content[start:start] = content[start:stop] * rng.randint(1, 50)
    return content


def _truncate(content, others, rng):
    return content[: rng.randrange(len(content) + 1)]


def _splice(content, others, rng):
    other = rng.choice(list(others.values()))
    return (
        content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other)) :]
    )


MUTATIONS = (
    _flip,
    _overwrite,
    _extreme,
    _insert,
    _remove,
    _repeat,
    _truncate,
    _splice,
)


# -- strings ---------------------------------------------------------------------------

SEEDS = (
    "The quick brown fox jumps over the lazy dog.",
    "Где моя карта? Я жду её с прошлой недели.",
    "我的卡在哪里？已经等了一个星期了。",
    "أين بطاقتي؟ أنتظرها منذ أسبوع.",
    "मेरा कार्ड कहाँ है?",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽",
    "Z̷̢̛͎͔̰͙̣̅̎͑a̴̡̘̤͇͌͊l̸̨̛̫͉̠̏̉̎g̶̢̧̛̺̈́ǫ̵̛̤̥̋̐",
    "\u202eright to left\u202c \u2066isolated\u2069",
    "[CLS] [MASK] [SEP] [PAD] [UNK] <s> </s> <|endoftext|> ##ing",
    "tabs\tand\r\nlines\x0b\x0c\x85\u2028\u2029end",
    "\0\x01\x02\x1b[31mred\x7f",
    "<script>alert(1)</script> ${7*7} {{7*7}} %s%n%x '; DROP TABLE x;--",
    "\ud800 half a pair \udfff",
    "\ufeff\ufffe\uffff\U0010ffff\U000e0041",
    "ﬁ ﬂ Ⅷ ① ﷽ ｆｕｌｌ ｗｉｄｔｈ İ ß",
    "   ",
    "",
    "1e999 -0 NaN inf 0x7fffffff 99999999999999999999",
    "../../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "file:///etc/passwd",
    "http://127.0.0.1:1/x.png",
    "data:image/png;base64,iVBORw0KGgo=",
)


def _run_texts(folder, n_texts, seed, backbone):
    from sktransfer import ImageEncoder, TextEncoder

    warnings.simplefilter("ignore")  # of rows that cannot be read
    rng = random.Random(seed)
    pipe = Path(folder) / "pipe"
    os.mkfifo(pipe)  # whoever opens it waits for ever
    seeds = [*SEEDS, str(pipe), str(folder)]
    encoder = TextEncoder(backbone, depth=1, cache=None)
    readers = [
        ImageEncoder(IMAGE_NETWORK, source=source, on_error="nan", cache=None)
        for source in ("path", "base64", "bytes")
    ]
    want = encoder.fit_transform(seeds)
    assert np.isfinite(want).all()
    before = peak_mib()
    slowest, longest = 0.0, 0
    for start in range(0, n_texts, AT_ONCE):
        n_rows = min(AT_ONCE, n_texts - start)
        cells = [mutated_text(seeds, rng) for _ in range(n_rows)]
        longest = max(longest, *map(len, cells))
        place, known = rng.randrange(len(cells) + 1), rng.randrange(len(seeds))
        cells.insert(place, seeds[known])
        begin = time.perf_counter()
        vectors = encoder.fit_transform(cells)
        for reader in readers:
            assert np.isnan(reader.fit_transform(cells)).all(), "a string was read"
            assert len(reader.error_rows_) == len(cells)
        slowest = max(slowest, time.perf_counter() - begin)
        assert vectors.shape == (len(cells), want.shape[1]), vectors.shape
        assert np.isfinite(vectors).all()
        np.testing.assert_array_equal(vectors[place], want[known])
    outcome = {
        "strings": n_texts,
        "longest, characters": longest,
        "unreadable as texts": 0,
        "opened as images": 0,
        "slowest 100 rows, s": round(slowest, 2),
    }
    return outcome, before


def mutated_text(seeds, rng):
    """Return a string with one to four changes of a random kind."""
    text = rng.choice(seeds)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        stop = start + rng.randint(0, 20)
        kind = rng.randrange(7)
        if kind == 0:
            text = text[:start] + random_text(rng, 8) + text[start:]
        elif kind == 1:
            text = text[:start] + text[stop:]
        elif kind == 2:
            text = text[:start] + text[start:stop] * rng.randint(2, 100) + text[stop:]
        elif kind == 3:
            text = text[:start] + rng.choice(seeds)
        elif kind == 4:
            text = text[:start] + random_text(rng, 20) + text[stop:]
        elif kind == 5:
            text = "".join(rng.sample(text, len(text)))
        elif rng.random() < 0.02:
            text = (text or "x") * (1_000_000 // max(1, len(text)))
        text = text[:1_000_000]
    return text


def random_text(rng, n_most):
    """Return characters from anywhere in Unicode, halves of pairs included."""
    ranges = (
        (0, 0x7F),
        (0x80, 0x7FF),
        (0x800, 0xFFFF),
        (0xD800, 0xDFFF),
        (0x10000, 0x10FFFF),
    )
    n_chars = rng.randint(1, n_most)
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(n_chars))


@contextlib.contextmanager
def _quiet(folder):
    """Send the complaints of C libraries and Pillow's warnings to a file."""
    kept = os.dup(2)
    with open(Path(folder) / "complaints", "ab") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
