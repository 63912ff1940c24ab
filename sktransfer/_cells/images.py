"""From a cell to an RGB image: reading, guarding, decoding, hashing."""

import base64
import binascii
import hashlib
import io
import os
import stat
from pathlib import Path

import numpy as np

from .column import CellError

SOURCES = ("path", "base64", "url", "bytes")
URL_TIMEOUT_S = 10.0
MAX_DOWNLOAD_BYTES = 64 * 2**20
# Beyond this ratio only the middle of an image is resized; a thin strip blown up
# to the network's input size would otherwise need gigabytes.
MAX_ASPECT_RATIO = 8
# Brands of HEIF files that hold HEVC images; Pillow reads AVIF by itself.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
STARTS_PROGRAMS = ("EPS",)  # Ghostscript
CELLS = "images (paths, bytes, PIL images or uint8 arrays)"


def read_image(cell, source):
    """Fetch the content of a cell without decoding it.

    Parameters
    ----------
    cell : str, Path, bytes, PIL.Image.Image or ndarray
        One non-null cell.
    source : {"path", "base64", "url", "bytes"}
        What a string is. ``"bytes"`` opens no string and no path at all.

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
        return content
    if isinstance(cell, (str, Path)):
        return _read_string(cell, source)
    if isinstance(cell, np.ndarray):
        return _check_array(cell)
    if hasattr(cell, "convert") and hasattr(cell, "getexif"):  # PIL image
        return np.asarray(decode_image(cell))
    raise CellError(f"a cell of type {type(cell).__name__} is no image")


def _read_string(cell, source):
    if source == "path":
        return _read_file(cell)
    if source == "bytes":
        raise CellError(
            f"it is a {type(cell).__name__}, and source='bytes' opens none; "
            "pass bytes, PIL images or arrays"
        )
    if isinstance(cell, Path):
        raise CellError(f"it is a path, and source={source!r} opens no files")
    return _read_base64(cell) if source == "base64" else _read_url(cell)


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
        hint = ""
        if path.startswith(("http://", "https://")):
            hint = "; to fetch URLs set source='url'"
        elif path.startswith("data:image") or len(path) > 1000:
            hint = "; for base64 strings set source='base64'"
        elif not os.path.isabs(path):
            hint = f" in {os.getcwd()}, where relative paths start"
        raise CellError(f"there is no such file{hint}") from err
    except (OSError, ValueError) as err:  # ValueError: a NUL inside the path
        hint = "; for base64 strings set source='base64'" if len(path) > 1000 else ""
        raise CellError(
            f"the file cannot be read ({type(err).__name__}){hint}"
        ) from err
    if not content:
        raise CellError("the file is empty (0 bytes)")
    return content


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


def _read_url(url):
    import http.client
    import urllib.error
    import urllib.request as request

    if not url.startswith(("http://", "https://")):
        raise CellError("only http:// and https:// URLs are fetched")
    # An opener of its own: the default one would also follow file: and ftp: URLs.
    opener = request.OpenerDirector()
    for handler in (
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=URL_TIMEOUT_S) as response:
            content = response.read(MAX_DOWNLOAD_BYTES + 1)
    except urllib.error.HTTPError as err:
        err.close()
        raise CellError(f"the URL cannot be fetched ({err})") from err
    except (OSError, http.client.HTTPException, ValueError) as err:
        raise CellError(f"the URL cannot be fetched ({err})") from err
    if len(content) > MAX_DOWNLOAD_BYTES:
        raise CellError(f"the URL sends more than {MAX_DOWNLOAD_BYTES >> 20} MiB")
    if not content:
        raise CellError("the URL sends 0 bytes")
    return content


def _check_array(array):
    grey = array.ndim == 2
    colour = array.ndim == 3 and array.shape[-1] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise CellError(
            f"an array of shape {array.shape} and dtype {array.dtype} is no image; "
            "expected uint8 (h, w, 3) or (h, w)"
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


def decode_image(content):
    """Decode bytes, pixels or a PIL image into an upright RGB image.

    EXIF rotation is applied, the first frame of an animation is taken (of a PIL
    image, the frame that it is at), 16-bit images are scaled to 8 bits,
    transparency is laid on white, and CMYK, palette and grey images become RGB.

    Returns
    -------
    PIL.Image.Image
        Mode "RGB".

    Raises
    ------
    CellError
        If the content is damaged, no image, above Pillow's limit on pixels, or in a
        format that Pillow draws by starting another program.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(content, np.ndarray):
        return Image.fromarray(content).convert("RGB")
    try:
        image = (
            Image.open(io.BytesIO(content)) if isinstance(content, bytes) else content
        )
        if image.format in STARTS_PROGRAMS:
            raise CellError(
                f"it is {image.format}, which Pillow gives to another program to draw; "
                "convert it to PNG"
            )
        image = ImageOps.exif_transpose(image)
        return _to_rgb(image)
    except CellError:
        raise
    except UnidentifiedImageError as err:
        raise CellError(f"it is no image{_sniff(content)}") from err
    except Image.DecompressionBombError as err:
        raise CellError(
            f"it has more pixels than Pillow allows ({err}); if you trust it, raise "
            "PIL.Image.MAX_IMAGE_PIXELS"
        ) from err
    except Image.DecompressionBombWarning:
        raise  # a warning turned into an error by the caller's filters
    except Exception as err:
        # Pillow's plugins raise OSError, SyntaxError, struct.error, IndexError and
        # more on damaged files; whatever it is, the row is unreadable.
        raise CellError(f"it cannot be decoded ({type(err).__name__}: {err})") from err


def _to_rgb(image):
    from PIL import Image

    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I"):
        pixels = np.asarray(image)
        if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
            raise CellError(
                "it has 32-bit integer pixels, whose range is not defined; convert it "
                "to 8 or 16 bits"
            )
        return Image.fromarray((pixels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise CellError(
            "it has floating-point pixels, whose range is not defined; convert it to "
            "8 bits"
        )
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("RGB")


def _sniff(content):
    if not isinstance(content, bytes):
        return ""
    head = content[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return " but an HTML page"
    if head.startswith((b"<?xml", b"<svg")):
        return " but XML or SVG"
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return (
            " that Pillow reads by itself: HEIC and HEIF need a plugin; run: pip "
            "install pillow-heif, and call pillow_heif.register_heif_opener() first"
        )
    return " in a format that Pillow knows"


def crop_to_aspect(image, max_ratio=MAX_ASPECT_RATIO):
    """Keep the middle of an image that is longer than `max_ratio` times its width."""
    width, height = image.size
    limit = max_ratio * min(width, height)
    if max(width, height) <= limit:
        return image
    left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
    return image.crop((left, top, left + min(width, limit), top + min(height, limit)))
