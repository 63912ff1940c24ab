"""From any mode of Pillow's to RGB: transparency on white, 16 bits to 8."""

import numpy as np

from .column import CellError

WHITE = (255, 255, 255, 255)
ALPHA_MODES = ("1", "L", "LA", "P", "PA", "RGBA")  # that Pillow turns into RGBA
FEW_BITS = {"L;2": 85, "L;4": 17}  # what Pillow multiplies greys of fewer bits by
# Modes without an alpha that is multiplied in.
PLAIN = {"La": "LA", "RGBa": "RGBA"}


def to_rgb(image, on_deep=None, stored=""):
    """Return a loaded image as RGB, its transparent parts white.

    Parameters
    ----------
    image : PIL.Image.Image
    on_deep : callable, default=None
        Called with the greatest value of an image of 16 bits.
    stored : str, default=""
        How the file stores pixels, where it is known: Pillow's raw mode.

    Returns
    -------
    PIL.Image.Image
        Mode "RGB"; the image itself if it is so already.

    Raises
    ------
    CellError
        If it is of numbers whose range is not defined.
    """
    from PIL import Image

    if image.mode.startswith("I"):
        return _from_integers(image, on_deep)
    if image.mode == "F":
        raise CellError(
            "it has floating-point pixels, whose range is not defined; convert it to "
            "8 bits"
        )
    if image.mode in PLAIN:
        image = image.convert(PLAIN[image.mode])
    key = image.info.get("transparency")
    if image.mode == "RGB":
        # A colour that stands for transparent, which Pillow's conversions ignore.
        is_key = isinstance(key, (tuple, list)) and len(key) == 3
        return _without_colour(image, _in_8_bits(key, stored)) if is_key else image
    if image.mode in ALPHA_MODES and image.has_transparency_data:
        if image.mode == "L" and isinstance(key, int):
            key = _in_8_bits([key] * 3, stored)
            return _without_colour(image.convert("RGB"), key)
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, WHITE)
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("RGB")


def _from_integers(image, on_deep):
    """Scale 16 bits to 8; refuse 32, but where the file says that they are 16."""
    from PIL import Image

    pixels = np.asarray(image)
    if image.mode == "I" and image.format != "PPM":  # which scales to 65,535
        raise CellError(
            "it has 32-bit integer pixels, whose range is not defined; convert it to 8 "
            "or 16 bits"
        )
    if on_deep is not None:
        on_deep(int(pixels.max()))
    grey = (pixels >> 8).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[pixels == key] = 255  # the key has 16 bits, as the pixels before
    return Image.fromarray(grey).convert("RGB")


def _in_8_bits(key, stored):
    """Scale a transparent colour as Pillow scales the pixels, which have 8 bits here.

    Pillow keeps the upper 8 of 16 bits, so a colour that differs from the key only in
    the lower 8 becomes transparent too.
    """
    key = np.asarray(key)
    if ";16" in stored or key.max() > 255:
        return key >> 8
    return key * FEW_BITS.get(stored, 1)


def _without_colour(image, key):
    """Make the pixels of one colour white."""
    from PIL import Image

    pixels = np.array(image)
    pixels[(pixels == key).all(axis=-1)] = 255
    return Image.fromarray(pixels)
