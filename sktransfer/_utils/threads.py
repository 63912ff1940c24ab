"""Threads and locks of this process: pools made once, locks that a fork leaves free.

A forked process has its parent's memory and none of its threads. Pools are made anew
there, and so are locks, because one that a thread of the parent held at that moment
would never be released.
"""

import contextlib
import os
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

from ..exceptions import WaitError

MOST_READERS = 32
SAY_S, PATIENCE_S = 60.0, 900.0

_fork_locks: weakref.WeakSet = weakref.WeakSet()


class ForkLock:
    """A re-entrant lock that is free in a forked process, whoever held it before."""

    def __init__(self):
        self._lock = self._taken = threading.RLock()
        _fork_locks.add(self)

    def renew(self):
        """Be free."""
        self._lock = threading.RLock()

    def acquire(self, timeout=-1):
        """Acquire the lock; return whether that was possible in so many seconds."""
        lock = self._lock
        is_ours = lock.acquire(timeout=timeout)
        if is_ours:
            self._taken = lock
        return is_ours

    def release(self):
        """Release it, also where the thread that holds it has forked meanwhile."""
        self._taken.release()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *error):
        self.release()


# The process that loaded this module. In a child that was forked from it, torch's own
# pools of threads would be waited for forever.
_first_pid = os.getpid()
_lock = ForkLock()
_pools: dict[str, ThreadPoolExecutor] = {}


def is_fork():
    """Whether this process was forked from one that had loaded this module."""
    return os.getpid() != _first_pid


def n_cores():
    """Return how many cores this process may use.

    By its affinity, the limits of its container, and ``LOKY_MAX_CPU_COUNT``. What torch
    says is another thing: a `DataLoader` that pins memory sets it to 1 for all threads
    that begin later, and so does ``OMP_NUM_THREADS=1``.
    """
    from joblib import cpu_count

    return cpu_count()


def n_readers():
    """Return how many threads read and decode."""
    return min(MOST_READERS, n_cores())


def readers():
    """Return the pool that reads and decodes, one for the process."""
    return _pool("reader", n_readers())  # each resizes on its own core


def stager():
    """Return the thread that makes batches for a device."""
    return _pool("stager", 1)


def single_cores(n_threads):
    """Return a pool of `n_threads` in which torch computes on one core each."""
    return _pool(f"core-{n_threads}", n_threads)


def _pool(name, n_threads):
    with _lock:
        if name not in _pools:
            _pools[name] = ThreadPoolExecutor(
                n_threads, f"sktransfer-{name}", _compute_alone
            )
        return _pools[name]


def _compute_alone():
    """Let this thread compute on one core, and no other.

    ``torch.set_num_threads`` would also set what threads begin with that start later;
    OpenMP's own call is a matter of the thread that calls it.
    """
    import torch
    from threadpoolctl import ThreadpoolController

    torch.get_num_threads()  # torch's own start of a thread, which sets it too
    ThreadpoolController().limit(limits=1, user_api="openmp")


@contextlib.contextmanager
def held(lock, owner):
    """Hold a lock that others may hold for long, with a word after a minute.

    Parameters
    ----------
    lock : ForkLock
    owner : str
        Explains what whoever holds it is doing, for messages.

    Raises
    ------
    WaitError
        If it is still held after 15 minutes.
    """
    if not lock.acquire(timeout=SAY_S):
        warnings.warn(
            f"Has waited {SAY_S:.0f} s for another thread, which {owner}.",
            RuntimeWarning,
            stacklevel=4,
        )
        if not lock.acquire(timeout=PATIENCE_S - SAY_S):
            raise WaitError(
                f"Waited {PATIENCE_S:.0f} s for another thread, which {owner} and has "
                "not finished."
            )
    try:
        yield
    finally:
        lock.release()


def _begin_anew():
    """Forget pools and holders of locks in a forked process."""
    for lock in list(_fork_locks):
        lock.renew()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
