"""TorchCodec, where it is installed: plain images decoded outside Pillow.

It gives the pixels that Pillow gives, bit for bit, faster and with more threads at a
time. What is not plain, and what it cannot decode, is Pillow's.
"""

import functools
import re

ORIENTATION = 0x0112  # EXIF's tag
UPRIGHT = 1
# Pillow's name of a format -> TorchCodec's function. "MPO" are JPEGs of phones, whose
# first image is the photo.
DECODERS = {
    "JPEG": "decode_jpeg",
    "MPO": "decode_jpeg",
    "PNG": "decode_png",
    "WEBP": "decode_webp",
}
PLAIN_MODES = ("RGB", "L")
# Where a PNG keeps what may turn it; Pillow would have to read all of it to look there.
MAY_TURN = re.compile(rb"exif|xmp", re.IGNORECASE)


@functools.cache
def decoders():
    """Return the functions by format; none where TorchCodec is not there or broken."""
    try:
        from torchcodec import decoders as module
    except (ImportError, OSError, RuntimeError):  # its libraries may not fit torch's
        return {}
    found = {name: getattr(module, f, None) for name, f in DECODERS.items()}
    return {name: function for name, function in found.items() if function}


def turn_of(image):
    """Return what `transpose` needs to set an image upright, or None.

    Only the orientation is asked for. Pillow's own `exif_transpose` writes all other
    entries anew, so that one that is wrong would cost the image.
    """
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(_orientation(image))


def _orientation(image):
    try:
        return int(image.getexif().get(ORIENTATION, UPRIGHT))
    except Exception:  # a record that cannot be parsed turns nothing
        return UPRIGHT


def is_plain(image, content):
    """Whether an image is one that TorchCodec decodes as Pillow does.

    Opaque, of 8 bits, grey or RGB, one frame, and upright: TorchCodec has a reading of
    its own of EXIF.

    Parameters
    ----------
    image : PIL.Image.Image
        Not loaded yet.
    content : bytes
    """
    if image.format not in decoders() or image.mode not in PLAIN_MODES:
        return False
    if not _has_8_bits(image) or "transparency" in image.info:
        return False
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        return False
    if image.format == "PNG":
        return MAY_TURN.search(content) is None
    has_records = "exif" in image.info or "xmp" in image.info
    return not has_records or _orientation(image) == UPRIGHT


def _has_8_bits(image):
    """Whether samples are stored as 8 bits each, and not inverted."""
    tiles = getattr(image, "tile", None)
    if not tiles:  # WebP, which has no others
        return True
    raw = tiles[0][3]
    return (raw[0] if isinstance(raw, tuple) else raw) in PLAIN_MODES


def decode_plain(image, content):
    """Return the pixels of a plain image, or None where TorchCodec fails.

    Parameters
    ----------
    image : PIL.Image.Image
    content : bytes

    Returns
    -------
    uint8 ndarray of shape (height, width, 3) or None
    """
    import torch

    # A copy, as torch warns of memory that cannot be written to.
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    try:
        pixels = decoders()[image.format](data, mode="RGB")
    except RuntimeError:  # whether it is damaged, and how to say so, is Pillow's matter
        return None
    pixels = pixels.permute(1, 2, 0).contiguous().numpy()
    width, height = image.size
    return pixels if pixels.shape == (height, width, 3) else None
