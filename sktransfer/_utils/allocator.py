"""Keep freed memory while a network runs, where glibc would hand it back.

Activations are tens of megabytes that live for a millisecond. glibc gives such blocks
back to the kernel when they are freed, and the kernel zeroes fresh pages for the next
layer: about 1,000 page faults an image for EfficientNet-Lite0, a sixth of the time.

Activations that stay must not lie between those that pass: the heap would have holes in
which the next layer's do not fit, and grow by megabytes for each image. So each of them
gets pages of its own (`apart`). Other holes are handed back now and then.
"""

import contextlib
import ctypes
import functools
import math
import mmap
import os
import sys
import threading
import weakref

import numpy as np

SWITCH = "SKTRANSFER_KEEP_PAGES"  # "0" turns it off
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP_BYTES = 2**30
GROWTH_BYTES = 2**29  # of the process, above what a network passes through
# Memory that is mapped at once. The system limits the number of maps (65,530), and who
# runs into that limit can start no thread: so rows share maps, and not pages.
BLOCK_BYTES = 2**22
# The values that glibc's own adjustment ends at; they are set again afterwards,
# because that adjustment stops for good once one of them has been set.
GLIBC_MMAP_BYTES, GLIBC_TRIM_BYTES = 2**25, 2**26

_lock = threading.Lock()
_n_users = 0


def _renew():
    """Have a forked child begin anew: it has none of the parent's threads."""
    global _lock, _n_users
    _lock, _n_users = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


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

    Does nothing where the environment has settings for malloc: they are the user's. A
    program that has called ``mallopt`` itself cannot be told from one that has not, and
    sets ``SKTRANSFER_KEEP_PAGES=0``.

    Yields
    ------
    tidy : callable
        To be called now and then: hands back what is free if the process has grown by
        512 MiB since the last time.
    """
    global _n_users
    is_off = os.environ.get(SWITCH) == "0" or has_settings(os.environ)
    libc = None if is_off else _glibc()
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
            _n_users = max(0, _n_users - 1)  # 0 already if this is a forked child
            if not _n_users:
                libc.mallopt(M_TRIM_THRESHOLD, GLIBC_TRIM_BYTES)
                hand_back()


def has_settings(environment):
    """Whether an environment sets anything of glibc's malloc."""
    # As in MALLOC_TRIM_THRESHOLD_, MALLOC_ARENA_MAX, and the newer way to say it.
    return "glibc.malloc." in environment.get("GLIBC_TUNABLES", "") or any(
        name.startswith("MALLOC_") for name in environment
    )


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
    arrays : iterable of ndarray
    dtype : numpy.dtype

    Returns
    -------
    list of ndarray
        C-contiguous. Each gives its memory back when it goes, whatever becomes of the
        others.
    """
    copies = []
    for array in arrays:
        copy = _empty(array.shape, np.dtype(dtype))
        copy[...] = array
        copies.append(copy)
    return copies


def held_bytes(n_bytes):
    """Return what an array of `apart` takes: whole pages, from one page on."""
    page = mmap.PAGESIZE
    return n_bytes if n_bytes < page else -(-n_bytes // page) * page


def _empty(shape, dtype):
    n_bytes = math.prod(shape) * dtype.itemsize
    # Linux only: elsewhere pages are not given back by MADV_DONTNEED.
    if n_bytes >= mmap.PAGESIZE and sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):  # no map is left
            return _take(held_bytes(n_bytes), shape, dtype)
    return np.empty(shape, dtype)


class _Block:
    """Memory that slots of one size share; it is unmapped with the last of them."""

    def __init__(self, size):
        self.size = size
        n_slots = max(1, BLOCK_BYTES // size)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.map = mmap.mmap(-1, n_slots * size, flags=flags)
        with contextlib.suppress(OSError):  # kernels without huge pages
            # One row would hold 2 MiB.
            self.map.madvise(mmap.MADV_NOHUGEPAGE)
        self.is_free = bytearray(b"\1") * n_slots
        self.watches = {}  # number of a slot -> its `_Watch`


class _Watch(weakref.ref):
    """Knows which slot is free when an array has gone."""

    __slots__ = ("block", "number")

    def __new__(cls, array, block, number):
        """Watch an array."""
        return super().__new__(cls, array, _give_back)

    def __init__(self, array, block, number):
        self.block, self.number = block, number


_blocks: dict[int, list] = {}  # size -> blocks, the one in use last


def _take(size, shape, dtype):
    """Return an array in a free slot."""
    with _lock:
        blocks = _blocks.setdefault(size, [])
        for _ in range(len(blocks)):
            block = blocks[-1]
            number = block.is_free.find(1)
            if number >= 0:
                break
            # Full ones go to the other end, so that few are looked at twice.
            blocks.insert(0, blocks.pop())
        else:
            block, number = _Block(size), 0
            blocks.append(block)
        block.is_free[number] = 0
        whole = np.frombuffer(block.map, dtype, math.prod(shape), number * size)
        block.watches[number] = _Watch(whole, block, number)
    return whole.reshape(shape)  # of which `whole` is the base, as of all views of it


def _give_back(watch, is_finalizing=sys.is_finalizing):
    """Free the slot of an array that has gone."""
    if is_finalizing():  # modules are being emptied, and memory goes with the process
        return
    block, number = watch.block, watch.number
    block.map.madvise(mmap.MADV_DONTNEED, number * block.size, block.size)
    del block.watches[number]
    block.is_free[number] = 1
    # This is called at any moment, also while this thread has the lock: so it does not
    # wait, and an empty block may stay, which costs nothing.
    if not block.watches and _lock.acquire(blocking=False):
        blocks = _blocks[block.size]
        if not block.watches and block in blocks:
            blocks.remove(block)
        _lock.release()
