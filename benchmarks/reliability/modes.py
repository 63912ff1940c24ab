"""Images of every mode, format and metadata fault that Pillow can write.

The reference is made in NumPy from the array before it is written: greys scaled to 8
bits, transparency on white, turned as the file says. For formats that lose something
it is made of what Pillow reads back.
"""

import collections
import io
import struct
import warnings
from unittest import mock

import numpy as np

LARGEST_DIFFERENCE = 2  # levels of 255
SHAPE = (17, 23)
ORIENTATIONS = {  # EXIF's -> what a viewer does to the stored array
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
# Formats that keep every pixel, with the options under which they do.
LOSSLESS = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True, "exact": True},
    "BMP": {},
    "GIF": {},
    "TGA": {},
    "PPM": {},
    "SGI": {},
    "PCX": {},
    "DIB": {},
    "DDS": {},
    "IM": {},
    "MSP": {},
    "XBM": {},
    "QOI": {},
    "JPEG2000": {"irreversible": False},
    "ICO": {"sizes": [SHAPE[::-1]]},
    "BLP": {},
}
LOSSY = {
    "JPEG": {"quality": 95},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "MPO": {"quality": 95},
}
WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO")
REFUSED = ("I", "F")  # modes of numbers whose range no file says


def modes(folder, *, n_images=5_000, seed=0):
    """Write images of every kind and compare what each decoder makes with the array."""
    from sktransfer._cells.column import CellError
    from sktransfer._cells.images import read_image

    rng = np.random.default_rng(seed)
    outcome = collections.Counter()
    wrong = []
    with warnings.catch_warnings():
        # Pillow's, of faults in metadata and of formats that it will give up.
        warnings.simplefilter("ignore")
        kinds = writable(rng)
        for number in range(n_images):
            kind = kinds[number % len(kinds)]
            content, want, name = written(kind, rng)
            try:
                if number % 3 == 0:  # the door of PIL images
                    got = read_image(opened(content), "path")
                else:
                    got, is_plain = by_each_decoder(content)
                    outcome["by TorchCodec"] += is_plain
            except CellError as err:
                outcome["refused"] += 1
                if want is not None:
                    wrong.append(f"{name}: {err}")
                continue
            outcome["read"] += 1
            if want is None:
                wrong.append(f"{name}: read, and its range is not defined")
                continue
            gap = (
                np.abs(got.astype(int) - want).max() if got.shape == want.shape else 999
            )
            if gap > LARGEST_DIFFERENCE:
                wrong.append(f"{name}: differs by {gap}")
    assert not wrong, f"{len(wrong)} of {n_images}: {sorted(set(wrong))[:40]}"
    return {
        "images": n_images,
        "kinds": len(kinds),
        "formats": sorted({kind[1] for kind in kinds}),
        "modes": sorted({kind[0] for kind in kinds}),
        **outcome,
    }


def by_each_decoder(content):
    """Decode by Pillow, and by TorchCodec where it is there; both must say the same.

    Returns
    -------
    pixels : ndarray
    is_plain : bool
        True if TorchCodec decoded it.
    """
    from sktransfer._cells import images
    from sktransfer._cells.decoders import decode_plain

    plain = []

    def watched(image, content):
        pixels = decode_plain(image, content)
        plain.append(pixels is not None)
        return pixels

    with mock.patch.object(images, "is_plain", return_value=False):
        want = images.decode_image(content)
    with mock.patch.object(images, "decode_plain", watched):
        got = images.decode_image(content)
    np.testing.assert_array_equal(got, want)
    return got, any(plain)


def opened(content):
    from PIL import Image

    return Image.open(io.BytesIO(content))


def writable(rng):
    """Return each (mode, format, options) that Pillow writes and reads again."""
    kinds = []
    for mode in MAKERS:
        for file_format, options in {**LOSSLESS, **LOSSY}.items():
            image, _, own = MAKERS[mode](rng)
            try:
                content = saved(image, file_format, {**options, **own})
                opened(content).load()
            except (OSError, ValueError, KeyError, TypeError, SystemError):
                continue  # not a pair that Pillow writes
            if keeps(mode, file_format, content):
                kinds.append((mode, file_format, options))
    return kinds


def keeps(mode, file_format, content):
    """Whether a file holds what it was given: some formats turn it into less."""
    image = opened(content)
    image.load()
    if mode in REFUSED and (image.mode != mode or file_format == "PPM"):
        return False  # 8 bits by now, or, in PPM, 16
    if mode.startswith("I;16") and not image.mode.startswith("I;16"):
        return False  # cut off at 255 when it was written
    if mode in TRANSPARENT and not image.has_transparency_data:
        return False  # the format drops transparency when it writes
    # RGB becomes a palette in GIF, LA an RGBA in others: quantised, or the same pixels.
    return not (
        file_format in ("GIF", "PCX", "BLP") and image.mode == "P" and mode != "P"
    )


def saved(image, file_format, options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def written(kind, rng):
    """Return a file's bytes, what is to be read (None: it is refused), and its name."""
    mode, file_format, options = kind
    image, want, own = MAKERS[mode](rng)
    options = {**options, **own}
    name = f"{mode} as {file_format}"
    if file_format in LOSSY and want is not None:
        stored = opened(saved(image, file_format, options))
        if stored.has_transparency_data:  # what the codec makes of colours and alpha
            both = np.asarray(stored.convert("RGBA"))
            want = on_white(both[..., :3], both[..., 3])
        else:
            want = np.asarray(stored.convert("RGB"))
    if file_format in WITH_EXIF and rng.random() < 0.7:
        order = int(rng.integers(1, 9))
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
        options["exif"] = exif_with(order, fault)
        try:
            content = saved(image, file_format, options)
        except (OSError, ValueError, TypeError, struct.error, SystemError):
            options.pop("exif")  # Pillow does not write such a record here
            return saved(image, file_format, options), want, name
        if read_back(content) == order and want is not None:
            want = ORIENTATIONS[order](want)
        return content, want, f"{name}, orientation {order}, {fault}"
    return saved(image, file_format, options), want, name


def read_back(content):
    """Return the orientation that the file has; formats differ in what they keep."""
    image = opened(content)
    try:
        order = image.getexif().get(0x0112, 1)
    except Exception:  # what Pillow cannot parse turns nothing
        return 1
    return order if order in ORIENTATIONS else 1


def as_image(array):
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(array, dtype=np.uint8))


# -- pixels ----------------------------------------------------------------------------


def smooth(rng, channels):
    """Return uint8 pixels with large even parts, as drawings and lossy formats like."""
    coarse = rng.integers(0, 256, (3, 4, channels), dtype=np.uint8)
    rows = np.linspace(0, 2.99, SHAPE[0]).astype(int)
    columns = np.linspace(0, 3.99, SHAPE[1]).astype(int)
    return coarse[rows][:, columns]


def on_white(colours, alpha):
    share = alpha[..., None] / 255
    return np.round(colours * share + 255 * (1 - share)).astype(int)


def grey(pixels):
    return np.repeat(pixels[..., None], 3, axis=-1).astype(int)


def _rgb(rng):
    pixels = smooth(rng, 3)
    return as_image(pixels), pixels.astype(int), {}


def _grey(rng):
    pixels = smooth(rng, 1)[..., 0]
    return as_image(pixels), grey(pixels), {}


def _bits(rng):
    pixels = smooth(rng, 1)[..., 0] > 127
    return as_image(pixels * 255).convert("1"), grey(pixels * 255), {}


def _rgba(rng):
    from PIL import Image

    pixels = smooth(rng, 4)
    return Image.fromarray(pixels), on_white(pixels[..., :3], pixels[..., 3]), {}


def _grey_alpha(rng):
    from PIL import Image

    pixels = smooth(rng, 2)
    want = on_white(grey(pixels[..., 0]), pixels[..., 1])
    return Image.fromarray(pixels), want, {}


def _palette(rng):
    from PIL import Image

    codes = rng.integers(0, 12, SHAPE, dtype=np.uint8)
    colours = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(codes)
    image.putpalette(colours.tobytes())
    return image, colours[codes].astype(int), {}


def _palette_key(rng):
    image, want, _ = _palette(rng)
    key = int(rng.integers(0, 12))
    want[np.asarray(image) == key] = 255
    return image, want, {"transparency": key}


def _palette_alpha(rng):
    image, want, _ = _palette(rng)
    alpha = rng.integers(0, 256, 12, dtype=np.uint8)
    want = on_white(want, alpha[np.asarray(image)])
    return image, want, {"transparency": alpha.tobytes()}


def _rgb_key(rng):
    image, want, _ = _rgb(rng)
    key = tuple(int(v) for v in want[0, 0])
    want[(want == key).all(-1)] = 255
    return image, want, {"transparency": key}


def _grey_key(rng):
    image, want, _ = _grey(rng)
    key = int(want[0, 0, 0])
    want[want == key] = 255
    return image, want, {"transparency": key}


def _bits_key(rng):
    image, _, _ = _bits(rng)
    return image, np.full((*SHAPE, 3), 255), {"transparency": 0}  # black is white too


def _deep(rng):
    from PIL import Image

    pixels = smooth(rng, 1)[..., 0].astype(np.uint16) * 257
    return Image.fromarray(pixels), grey(pixels >> 8), {}


def _deep_key(rng):
    image, want, _ = _deep(rng)
    pixels = np.asarray(image)
    key = int(pixels[0, 0])
    want[pixels == key] = 255
    return image, want, {"transparency": key}


def _cmyk(rng):
    image = as_image(smooth(rng, 3)).convert("CMYK")
    return image, np.asarray(image.convert("RGB")).astype(int), {}


def _ycbcr(rng):
    image = as_image(smooth(rng, 3)).convert("YCbCr")
    return image, np.asarray(image.convert("RGB")).astype(int), {}


def _integers(rng):
    from PIL import Image

    return Image.fromarray(smooth(rng, 1)[..., 0].astype(np.int32)), None, {}


def _floats(rng):
    from PIL import Image

    return Image.fromarray(smooth(rng, 1)[..., 0].astype(np.float32)), None, {}


MAKERS = {
    "RGB": _rgb,
    "L": _grey,
    "1": _bits,
    "RGBA": _rgba,
    "LA": _grey_alpha,
    "P": _palette,
    "P, a colour transparent": _palette_key,
    "P, transparency": _palette_alpha,
    "RGB, a colour transparent": _rgb_key,
    "L, a grey transparent": _grey_key,
    "1, black transparent": _bits_key,
    "I;16": _deep,
    "I;16, a grey transparent": _deep_key,
    "CMYK": _cmyk,
    "YCbCr": _ycbcr,
    "I": _integers,
    "F": _floats,
}
TRANSPARENT = ("RGBA", "LA", *[mode for mode in MAKERS if "transparen" in mode])


# -- metadata --------------------------------------------------------------------------

FAULTS = (
    "no fault",
    "a denominator of 0",
    "a rational out of range",
    "a count of a million",
    "an offset behind the end",
    "an unknown type",
    "a string for a number",
    "a directory that points to itself",
    "cut short",
)


def exif_with(order, fault):
    """Return an EXIF record with an orientation and an entry that is wrong."""
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, order, 0)]
    end = 8 + 2 + 2 * 12 + 4
    tail = struct.pack("<ii", -1, 0)
    bad = {
        "a denominator of 0": struct.pack("<HHII", 282, 5, 1, end),
        "a rational out of range": struct.pack("<HHII", 282, 10, 1, end),
        "a count of a million": struct.pack("<HHII", 283, 5, 10**6, end),
        "an offset behind the end": struct.pack("<HHII", 282, 5, 1, 10**6),
        "an unknown type": struct.pack("<HHII", 282, 99, 1, end),
        "a string for a number": struct.pack("<HHI4s", 296, 2, 4, b"two\0"),
        "a directory that points to itself": struct.pack("<HHII", 0x8769, 4, 1, 8),
    }
    if fault in bad:
        entries.append(bad[fault])
    record = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    content = b"Exif\0\0II*\0" + struct.pack("<I", 8) + record + tail
    return content[:-10] if fault == "cut short" else content
