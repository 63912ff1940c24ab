"""TorchCodec, where it is installed: plain images decoded outside Pillow.

It gives the pixels that Pillow gives, bit for bit, faster and with more threads at a
time. What is not plain, and what it cannot decode, is Pillow's.
"""

import functools
import inspect
import io
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
MOST_PIXELS = 2**25  # that are decoded together on a device: 100 MB
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


def decodes_on(device):
    """Whether TorchCodec decodes JPEGs on a device: on CUDA, by nvJPEG."""
    if device.type != "cuda" or "JPEG" not in decoders():
        return False
    from torchcodec import decoders as module

    return "device" in inspect.signature(module.decode_jpeg).parameters


def decode_jpegs(contents, device):
    """Decode the plain JPEGs of a list on a device, together.

    Parameters
    ----------
    contents : list of bytes or ndarray
    device : torch.device

    Returns
    -------
    dict of int to Tensor
        Positions, and uint8 pixels of shape (3, height, width) on the device. Images
        that are not plain JPEGs, or larger than `MOST_PIXELS`, or that do not decode,
        are missing: they are Pillow's.
    """
    plain = {i: size for i, c in enumerate(contents) if (size := _plain_jpeg(c))}
    found: dict = {}
    while plain:
        part, n_pixels = [], 0
        while plain and n_pixels < MOST_PIXELS:
            i, (width, height) = plain.popitem()
            part.append(i)
            n_pixels += width * height
        images = _decoded([contents[i] for i in part], device)
        if images is not None:
            found.update(zip(part, images, strict=True))
            continue
        # One of them is damaged: the others are decoded as they are beside sound ones.
        for i in part:
            images = _decoded([contents[i]], device)
            if images is not None:
                found[i] = images[0]
    return found


def _decoded(contents, device):
    import torch

    sources = [torch.frombuffer(bytearray(c), dtype=torch.uint8) for c in contents]
    try:
        return decoders()["JPEG"](sources, mode="RGB", device=device)
    except RuntimeError:  # whether it is damaged, and how to say so, is Pillow's matter
        return None


def _plain_jpeg(content):
    """Return width and height of a plain JPEG of bearable size, or None."""
    from PIL import Image

    if not isinstance(content, bytes) or not content.startswith(b"\xff\xd8"):
        return None
    try:
        image = Image.open(io.BytesIO(content))  # reads the header alone
        is_small = 0 < image.width * image.height <= MOST_PIXELS
        is_ours = image.format in ("JPEG", "MPO") and is_small
        return image.size if is_ours and is_plain(image, content) else None
    except Exception:  # whatever is wrong, Pillow says it when it decodes
        return None
