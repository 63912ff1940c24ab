"""Digests of files that were read before, so that a known file is not read again.

A file is known by its path, device, inode, size and the times of its last change, to
the nanosecond. Changing the content sets the time of change (ctime), which no program
can set back. A file that changed in the two seconds before it was read is not
remembered, because some file systems count in steps as long as that. What is left: a
file system that does not keep these times, such as some network mounts, or a clock that
is set back.
"""

import os
import time
from collections import OrderedDict
from pathlib import Path

from .._utils.threads import ForkLock

MAX_FILES = 2**17  # of some 400 bytes each
COARSEST_CLOCK_NS = 2 * 10**9  # FAT's

_known: OrderedDict[tuple, tuple] = OrderedDict()
_lock = ForkLock()


def recall(cell, max_pixels):
    """Return the digest of a file that has not changed since it was read, or None.

    Parameters
    ----------
    cell : object
        Whatever is no path is not known.
    max_pixels : int or None
        Limit that the file was found to keep.

    Returns
    -------
    bytes or None
    """
    if not isinstance(cell, (str, Path)):
        return None
    path = os.fspath(cell)
    entry = _known.get((path, max_pixels))
    if entry is None:
        return None
    signature, digest = entry
    return digest if signature == _signature(path) else None


def before_reading(cell, max_pixels):
    """Look at a file before it is read.

    Parameters
    ----------
    cell : object
        Whatever is no path is not remembered.
    max_pixels : int or None
        Limit that the file keeps if it can be read.

    Returns
    -------
    callable
        ``remember(digest)`` keeps the digest, unless the file changed meanwhile.
    """
    if not isinstance(cell, (str, Path)):
        return lambda digest: None
    path = os.fspath(cell)
    before, now = _signature(path), time.time_ns()

    def remember(digest):
        if before is None or before != _signature(path):
            return
        if max(before[-2:]) > now - COARSEST_CLOCK_NS:
            return
        with _lock:
            _known[path, max_pixels] = before, digest
            while len(_known) > MAX_FILES:
                _known.popitem(last=False)

    return remember


def _signature(path):
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL inside the path
        return None
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
