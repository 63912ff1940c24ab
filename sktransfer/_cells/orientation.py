"""Orientation of an image by its EXIF entry."""

ORIENTATION = 0x0112  # EXIF's tag
UPRIGHT = 1


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
    return turns.get(orientation_of(image))


def orientation_of(image):
    """Return EXIF's number of an orientation; that of upright images without one."""
    try:
        return int(image.getexif().get(ORIENTATION, UPRIGHT))
    except Exception:  # a record that cannot be parsed turns nothing
        return UPRIGHT
