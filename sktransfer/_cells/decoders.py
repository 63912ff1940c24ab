"""TorchCodec, where it is installed: plain images decoded outside Pillow.

It gives the pixels that Pillow gives, bit for bit, faster and with more threads at a
time. What is not plain, and what it cannot decode, is Pillow's.
"""

import functools
import re

from .orientation import UPRIGHT, orientation_of

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
    # WebP has no raw mode, and no other pixels than of 8 bits.
    if raw_mode(image) not in ("", *PLAIN_MODES) or "transparency" in image.info:
        return False
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        return False
    if image.format == "PNG":
        return MAY_TURN.search(content) is None
    has_records = "exif" in image.info or "xmp" in image.info
    return not has_records or orientation_of(image) == UPRIGHT


def raw_mode(image):
    """Return how the file stores pixels, such as "L;4", of an image not loaded yet.

    Returns
    -------
    str
        Empty where Pillow does not say.
    """
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    raw = tiles[0][3]
    return str(raw[0] if isinstance(raw, tuple) and raw else raw)


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
