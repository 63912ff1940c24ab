"""Turns: one network at a time on a device, and small batches on a core each."""

import contextlib
from concurrent import futures

from .arithmetic import own_arithmetic
from .threads import ForkLock, held, is_fork, single_cores

MOST_FOR_ALL_CORES = 8  # small batches gain little from more cores than that
ITEMS_A_TURN = 16  # for each core; others wait so long, and so many results are held

_turns: dict[str, ForkLock] = {}


def _lock_of(device):
    return _turns.setdefault(str(device), ForkLock())


@contextlib.contextmanager
def turn(device, precision="float32"):
    """Run one network at a time on a device, whichever thread asks.

    The threads that compute a layer wait for each other, so two networks at once on the
    same cores are many times slower than one after the other. In a forked process torch
    computes on one thread inside: its thread pool did not survive the fork, and waiting
    for it would never end. What the caller has changed about torch does not count
    inside (`own_arithmetic`).
    """
    import torch

    with held(_lock_of(device), f"computes on {device}"):
        n_threads = torch.get_num_threads()
        # On one thread torch needs no pool. The setting is put back, because it also is
        # the share of the cores that this process was given.
        is_alone = is_fork() and n_threads > 1
        if is_alone:
            torch.set_num_threads(1)
        try:
            with own_arithmetic(device, precision):
                yield
        finally:
            if is_alone:
                torch.set_num_threads(n_threads)


def each_on_a_core(function, items, device):
    """Yield ``function(item)`` for each item, in order: side by side, on a core each.

    Cores that share a small batch wait for each other at every layer. Where there are
    fewer items than cores, they share them all the same. The device's turn is taken for
    some items at a time, and nothing is computed outside it.

    Parameters
    ----------
    function : callable
        Runs a network; it must be safe in threads.
    items : list
    device : torch.device
        The CPU.
    """
    import torch

    n_threads = 1 if is_fork() else torch.get_num_threads()
    if n_threads == 1 or len(items) < min(n_threads, MOST_FOR_ALL_CORES):
        for item in items:
            with turn(device):
                result = function(item)
            yield result
        return
    n_together = n_threads * ITEMS_A_TURN
    pool = single_cores(n_threads)
    for first in range(0, len(items), n_together):
        with turn(device):
            results = _all_done(pool, function, items[first : first + n_together])
        yield from results


def _all_done(pool, function, items):
    """Return the results when nothing runs any more, also after an error."""
    started: list[futures.Future] = []
    try:
        # Where the system gives no more threads, this raises.
        started += (pool.submit(function, item) for item in items)
        futures.wait(started, return_when=futures.FIRST_EXCEPTION)
    finally:
        for future in started:
            future.cancel()
        futures.wait(started)
    return [future.result() for future in started]
