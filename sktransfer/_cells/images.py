"""From a cell to an RGB image: reading, guarding, decoding, hashing."""

import base64
import binascii
import contextlib
import hashlib
import io
import os
import re
import stat
import threading
from pathlib import Path

import numpy as np

from .._untrusted.web import FetchError, PrivateHostError, fetch
from .._utils.validation import is_tensor
from .column import CellError
from .containers import pixels_of
from .decoders import decode_plain, is_plain, raw_mode
from .ground import to_rgb
from .guess import is_image_struct
from .orientation import turn_of

SOURCES = ("path", "base64", "url", "intranet", "bytes")
URLS = ("url", "intranet")
# Beyond this ratio only the middle of an image is resized; a thin strip blown up
# to the network's input size would otherwise need gigabytes.
MAX_ASPECT_RATIO = 8
# Brands of HEIF files that hold HEVC images; Pillow reads AVIF by itself.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
STARTS_PROGRAMS = ("EPS",)  # Ghostscript
SCALABLE = ("JPEG", "MPO")
# Pillow opens lazily, and one image object may stand in several rows, or come in by
# several threads: two that load it at once read from one file and spoil it. Many locks,
# so that different images rarely wait for one another.
_locks = [threading.Lock() for _ in range(64)]
PIXELS_AT_ONCE = 2**28  # decoded at a time in this process: 4 GiB at 17 bytes each
ROOM_PATIENCE_S = 300.0
CELLS = "images (paths, bytes, PIL images or uint8 arrays)"


class _Room:
    """Room for so many pixels, for which threads with large images wait."""

    def __init__(self, n_pixels):
        self.n_pixels = n_pixels
        self.renew()

    def renew(self):
        """Have all the room again, whoever held some."""
        self.free = self.n_pixels
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def of(self, size):
        """Hold room for one image, however large: it is alone then."""
        taken = min(size[0] * size[1], self.n_pixels)
        with self.changed:
            # Decoding ends; a thread that died without giving back must not stop all.
            self.changed.wait_for(lambda: self.free >= taken, timeout=ROOM_PATIENCE_S)
            self.free -= taken
        try:
            yield
        finally:
            with self.changed:
                self.free += taken
                self.changed.notify_all()


_in_work = _Room(PIXELS_AT_ONCE)


def _renew_locks():
    """Forget what threads of the parent held when this process was forked."""
    _locks[:] = [threading.Lock() for _ in _locks]
    _in_work.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def read_image(cell, source, on_deep=None, max_pixels=None, fetch_url=None):
    """Fetch the content of a cell without decoding it.

    Parameters
    ----------
    cell : str, Path, bytes, PIL.Image.Image, ndarray, torch.Tensor or dict
        One non-null cell. A dict is one of the hub's, ``{"bytes": ..., "path": ...}``,
        whose bytes count where it has them.
    source : {"path", "base64", "url", "intranet", "bytes"}
        How to interpret a string. "intranet" are URLs whose hosts may have private
        addresses. "bytes" opens no string and no path at all.
    on_deep : callable, default=None
        As in `decode_image`, for PIL images.
    max_pixels : int, default=None
        Most pixels that an image may have, which its header says before it is decoded.
        None is Pillow's limit, twice ``PIL.Image.MAX_IMAGE_PIXELS``.
    fetch_url : callable, default=None
        ``fetch_url(url)`` gives the content of a URL, or raises FetchError; None
        fetches it.

    Returns
    -------
    content : bytes or ndarray
        Pixels of PIL images are copied, so that the caller's may change after.

    Raises
    ------
    CellError
        If there is nothing to be had; the text says why.
    """
    if isinstance(cell, (bytes, bytearray, memoryview)):
        content = bytes(cell)
        if not content:
            raise CellError("it is empty (0 bytes)")
        return _checked(content, max_pixels)
    if isinstance(cell, (str, Path)):
        return _checked(_read_string(cell, source, fetch_url), max_pixels)
    if isinstance(cell, np.ndarray):
        return _checked(_check_array(cell), max_pixels)
    if is_tensor(cell):
        return _checked(_check_array(pixels_of(cell, is_batch=False)), max_pixels)
    if hasattr(cell, "convert") and hasattr(cell, "getexif"):  # PIL image
        _check_size(cell.size, max_pixels)
        # Addresses are multiples of 16.
        with _locks[(id(cell) >> 4) % len(_locks)]:
            return decode_image(cell, on_deep)
    if is_image_struct(cell):
        inner = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
        if inner is None:
            raise CellError("it has neither bytes nor a path")
        return read_image(inner, source, on_deep, max_pixels, fetch_url)
    advice = ""
    if isinstance(cell, (int, np.integer)):  # what data sets of torch give
        advice = "; if it is the label of an image, pass the images of such pairs alone"
    raise CellError(f"a cell of type {type(cell).__name__} is no image", advice)


def _read_string(cell, source, fetch_url):
    if source == "path":
        return _read_file(cell)
    if source == "bytes":
        raise CellError(
            f"it is a {type(cell).__name__} where the content of an image is expected",
            ", and source='bytes' opens none; pass bytes, PIL images or arrays",
        )
    if isinstance(cell, Path):
        raise CellError("it is a path", f", and source={source!r} opens no files")
    if source == "base64":
        return _read_base64(cell)
    try:
        return fetch_url(cell) if fetch_url else fetch(cell, private=source != "url")
    except FetchError as err:
        is_private = isinstance(err, PrivateHostError)
        hint = "; source='intranet' asks private ones too" if is_private else ""
        raise CellError(f"the URL cannot be fetched: {err}", hint) from err


def _read_file(path):
    path = os.fspath(path)
    if not path:
        raise CellError("the path is an empty string")
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CellError("it is a directory")
        if not stat.S_ISREG(mode):  # a pipe is waited for, /dev/zero has no end
            raise CellError("it is a pipe, socket or device, and no file")
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError as err:
        raise CellError("there is no such file", _path_hint(path)) from err
    except (OSError, ValueError) as err:  # ValueError: a NUL inside the path
        hint = "; for base64 strings set source='base64'" if len(path) > 1000 else ""
        raise CellError(
            f"the file cannot be read ({type(err).__name__})", hint
        ) from err
    if not content:
        raise CellError("the file is empty (0 bytes)")
    return content


def _path_hint(path):
    """Say what a path may be that leads nowhere."""
    if os.path.islink(path):
        return f": the link leads to {os.readlink(path)}"
    if path.startswith(("http://", "https://")):
        return "; to fetch URLs set source='url'"
    if path.startswith("file:"):
        return "; pass the path alone, without 'file://' and with no %20 in it"
    if re.match(r"[a-z][a-z0-9+.-]+://", path):
        return "; other file systems are read by fsspec: pass the bytes that it reads"
    if path.startswith("data:image") or len(path) > 1000:
        return "; for base64 strings set source='base64'"
    if path.startswith("~"):
        return "; '~' is not replaced: pass os.path.expanduser(path)"
    if os.sep == "/" and re.match(r"[A-Za-z]:[\\/]|\\\\", path):
        return "; it is a path of Windows, and this system's paths are others"
    if not os.path.isabs(path):
        return f" in {os.getcwd()}, where relative paths start"
    return ""


def _read_base64(text):
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as err:
        raise CellError(f"it is not base64 ({err})") from err
    if not content:
        raise CellError("it is an empty base64 string")
    return content


def _check_array(array):
    grey = array.ndim == 2
    colour = array.ndim == 3 and array.shape[-1] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        advice = ""
        if array.dtype.kind == "f" and array.ndim in (2, 3):
            advice = (
                "; scale values of 0 to 1 with (255 * x).round(), and make it uint8"
            )
        raise CellError(
            f"an array of shape {array.shape} and dtype {array.dtype} is no image",
            f"; expected uint8 (h, w, 3) or (h, w){advice}",
        )
    return array


def hash_image(content):
    """Hash what `read_image` returned: 20 bytes that name the image."""
    if isinstance(content, bytes):
        return hashlib.blake2b(content, digest_size=20).digest()
    head = f"pixels:{content.shape}:".encode()
    digest = hashlib.blake2b(head, digest_size=20)
    digest.update(np.ascontiguousarray(content).data)
    return digest.digest()


def decode_image(content, on_deep=None, enough=None):
    """Decode bytes, pixels or a PIL image into the pixels of an upright RGB image.

    The orientation is read from EXIF and nothing else is, the first frame of an
    animation is taken (of a PIL image, the frame that it is at), 16-bit images are
    scaled to 8 bits, transparency is laid on white, and CMYK, palette and grey images
    become RGB.

    Parameters
    ----------
    content : bytes, ndarray or PIL.Image.Image
    on_deep : callable, default=None
        Called with the greatest value of an image of 16 bits.
    enough : int, default=None
        Pixels that width and height are to keep: a larger JPEG is decoded at 1/2, 1/4
        or 1/8 of its size, which costs half the time.

    Returns
    -------
    uint8 ndarray of shape (height, width, 3)

    Raises
    ------
    CellError
        If the content is damaged, no image, empty, above Pillow's limit on pixels, in a
        format that Pillow draws by starting another program, or of numbers whose range
        is not defined.
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(content, np.ndarray):
        is_grey = content.ndim == 2
        return np.repeat(content[..., None], 3, axis=2) if is_grey else content
    try:
        image = (
            Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content
        )
        if image.format in STARTS_PROGRAMS:
            raise CellError(
                f"it is {image.format}, which Pillow gives to another program to draw; "
                "convert it to PNG"
            )
        if 0 in image.size:
            raise CellError(f"it has no pixels (width x height {image.size})")
        stored = raw_mode(image)
        is_ours = isinstance(content, bytes)  # an image of the caller's is not changed
        is_large = enough and min(image.size) >= 2 * enough
        is_reduced = is_ours and is_large and image.format in SCALABLE
        if is_reduced:
            image.draft(None, (enough, enough))
        with _in_work.of(image.size):
            if is_ours and not is_reduced and is_plain(image, content):
                pixels = decode_plain(image, content)
                if pixels is not None:
                    return pixels
            image.load()
            turn = turn_of(image)  # after loading, which turns a TIFF by itself
            upright = to_rgb(image, on_deep, stored)
            return np.asarray(upright if turn is None else upright.transpose(turn))
    except CellError:
        raise
    except UnidentifiedImageError as err:
        raise CellError(*_sniff(content)) from err
    except Image.DecompressionBombError as err:
        raise CellError(
            f"it has more pixels than Pillow allows ({err})",
            "; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS",
        ) from err
    except Image.DecompressionBombWarning:
        raise  # a warning turned into an error by the caller's filters
    except Exception as err:
        # Pillow's plugins raise OSError, SyntaxError, struct.error, IndexError and
        # more on damaged files; whatever it is, the row is unreadable.
        raise CellError(f"it cannot be decoded ({type(err).__name__}: {err})") from err


def _checked(content, max_pixels):
    """Return bytes or pixels, if there are not more pixels than that."""
    if max_pixels is None:
        return content
    if isinstance(content, np.ndarray):
        _check_size(content.shape[1::-1], max_pixels)
        return content
    from PIL import Image

    try:
        size = Image.open(io.BytesIO(content)).size  # of the header alone
    except Exception:  # what is wrong, `decode_image` says
        return content
    _check_size(size, max_pixels)
    return content


def _check_size(size, max_pixels):
    width, height = size
    if max_pixels is not None and width * height > max_pixels:
        raise CellError(
            f"it has {width * height:,} pixels ({width} x {height}), and at most "
            f"{max_pixels:,} are allowed",
            f" (max_pixels={max_pixels})",
        )


def _sniff(content):
    """Return reason and advice for a content that Pillow does not know."""
    if not isinstance(content, bytes):
        return ("it is no image",)
    head = content[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return ("it is no image but an HTML page",)
    if head.startswith((b"<?xml", b"<svg")):
        return ("it is no image but XML or SVG",)
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return (
            "it is HEIC or HEIF, which cannot be read here",
            ": Pillow needs a plugin; run: pip install pillow-heif, and call "
            "pillow_heif.register_heif_opener() first",
        )
    return ("it is no image in a format that Pillow knows",)


def crop_to_aspect(pixels, max_ratio=MAX_ASPECT_RATIO):
    """Keep the middle of an image that is longer than `max_ratio` times its width."""
    height, width = pixels.shape[:2]
    limit = max_ratio * min(width, height)
    if max(width, height) <= limit:
        return pixels
    left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
    return pixels[top : top + limit, left : left + limit]
