"""Keep freed memory while a network runs, where glibc would hand it back.

Activations are tens of megabytes that live for a millisecond. glibc gives such blocks
back to the kernel when they are freed, and the kernel zeroes fresh pages for the next
layer: about 1,000 page faults an image for EfficientNet-Lite0, a sixth of the time.

Activations that stay must not lie between those that pass: the heap would have holes in
which the next layer's do not fit, and grow by megabytes for each image. Other holes
are handed back now and then.
"""

import contextlib
import ctypes
import functools
import mmap
import os
import sys
import threading

import numpy as np

SWITCH = "SKTRANSFER_KEEP_PAGES"  # "0" turns it off
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP_BYTES = 2**30
GROWTH_BYTES = 2**29  # of the process, above what a network passes through
SMALLEST_BLOCK = 2**16
# The values that glibc's own adjustment ends at; they are set again afterwards,
# because that adjustment stops for good once one of them has been set.
GLIBC_MMAP_BYTES, GLIBC_TRIM_BYTES = 2**25, 2**26

_lock = threading.Lock()
_n_users = 0


@functools.cache
def _glibc():
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "gnu_get_libc_version") else None
    except OSError:
        return None


@contextlib.contextmanager
def kept_pages():
    """Keep freed pages inside; hand them back at the end.

    Yields
    ------
    tidy : callable
        To be called now and then: hands back what is free if the process has grown by
        512 MiB since the last time.
    """
    global _n_users
    libc = None if os.environ.get(SWITCH) == "0" else _glibc()
    if libc is None:
        yield do_nothing
        return
    with _lock:
        _n_users += 1
        libc.mallopt(M_MMAP_THRESHOLD, GLIBC_MMAP_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
    before = _resident()

    def tidy():
        nonlocal before
        if _resident() - before > GROWTH_BYTES:
            hand_back()
            before = _resident()

    try:
        yield tidy
    finally:
        with _lock:
            _n_users -= 1
            if not _n_users:
                libc.mallopt(M_TRIM_THRESHOLD, GLIBC_TRIM_BYTES)
                hand_back()


def hand_back():
    """Hand back what is free, where something large comes next."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def do_nothing():
    """Stand for `tidy` where there is nothing to tidy."""


def _resident():
    """Return the bytes that the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


def apart(arrays, dtype):
    """Copy arrays to memory of their own, outside the heap.

    Parameters
    ----------
    arrays : list of ndarray
    dtype : numpy.dtype

    Returns
    -------
    list of ndarray
        C-contiguous. They share one block, which is free when all of them are.
    """
    sizes = [array.size for array in arrays]
    block = _block(sum(sizes), dtype)
    copies, start = [], 0
    for array, size in zip(arrays, sizes, strict=True):
        copy = block[start : start + size].reshape(array.shape)
        copy[...] = array
        copies.append(copy)
        start += size
    return copies


def _block(n_values, dtype):
    n_bytes = n_values * dtype.itemsize
    # A block takes whole pages, so that a small one would waste some.
    if n_bytes >= SMALLEST_BLOCK and hasattr(mmap, "MAP_ANONYMOUS"):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        with contextlib.suppress(OSError):  # the system's number of maps is limited
            return np.frombuffer(mmap.mmap(-1, n_bytes, flags=flags), dtype)
    return np.empty(n_values, dtype)
