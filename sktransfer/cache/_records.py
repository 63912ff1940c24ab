"""Records: arrays as the bytes of a row, with a checksum."""

import math
import re
import time
import zlib

import numpy as np

# Type and shape, as `encode` writes them; numbers only, which cannot hold code.
_FORM = re.compile(rb"([<>|][biufc]\d{1,2}) ((?:\d{1,15}(?:,\d{1,15}){0,31})?)")


def encode(key, array):
    """Return the row of an array: key, checksum, used, size, form, record."""
    shape = np.shape(array)
    array = np.ascontiguousarray(array)
    form = f"{array.dtype.str} {','.join(map(str, shape))}".encode()
    record = array.tobytes()
    return key, _crc(key, form, record), time.time(), len(record), form, record


def decode(key, crc, form, record):
    """Return the array, or None if it is not what was written; nothing is raised."""
    if not all(isinstance(part, bytes) for part in (key, form, record)):
        return None
    match = _FORM.fullmatch(form)
    if match is None or _crc(key, form, record) != crc:
        return None
    shape = tuple(map(int, match[2].split(b","))) if match[2] else ()
    try:
        dtype = np.dtype(match[1].decode())
    except TypeError:  # such as <f3
        return None
    if math.prod(shape) * dtype.itemsize != len(record):
        return None
    return np.frombuffer(record, dtype).reshape(shape)


def _crc(key, form, record):
    return zlib.crc32(record, zlib.crc32(form, zlib.crc32(key)))
