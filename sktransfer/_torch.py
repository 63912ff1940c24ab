"""Device and precision: the two choices that depend on the machine."""

import contextlib
import os
import random
import threading
from collections import defaultdict

PRECISIONS = ("float32", "bfloat16", "float16")

_first_pid = os.getpid()
_turns = defaultdict(threading.RLock)


def resolve_device(device):
    """Turn ``"auto"``, a name or a ``torch.device`` into a usable device.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as err:
        raise ValueError(
            f"device={device!r} is not a device that torch knows; "
            "use 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'."
        ) from err
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if resolved.type == "cuda" and (resolved.index or 0) >= n_cuda:
        raise ValueError(
            f"device={device!r} was asked for, but torch sees {n_cuda} CUDA "
            "devices here; use device='auto' to take what there is."
        )
    return resolved


def autocast(device, precision):
    """Return the context manager that runs a network at `precision`."""
    import torch

    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


@contextlib.contextmanager
def seeded(random_state):
    """Seed torch inside; leave torch's and Python's global generators as found."""
    import torch

    python_state = random.getstate()  # imports and temporary files draw from it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(random_state)
            yield
    finally:
        random.setstate(python_state)


def is_fork():
    """Whether this process was forked from one that had loaded this module."""
    return os.getpid() != _first_pid


@contextlib.contextmanager
def turn(device):
    """Run one network at a time on a device, whichever thread asks.

    The threads that compute a layer wait for each other, so two networks at once on the
    same cores are many times slower than one after the other. In a forked process torch
    computes on one thread inside: its thread pool did not survive the fork, and waiting
    for it would never end.
    """
    import torch

    with _turns[os.getpid(), str(device)]:
        n_threads = torch.get_num_threads()
        is_alone = is_fork() and n_threads > 1
        if is_alone:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if is_alone:
                torch.set_num_threads(n_threads)


def halving(run, batch):
    """Run a batch; where the device's memory is too small, its halves.

    Parameters
    ----------
    run : callable
        Takes a batch and returns a list with one value for each row.
    batch : Batch
    """
    import torch

    try:
        return run(batch)
    except torch.OutOfMemoryError:
        if batch.n_rows == 1:
            raise
    # Outside the handler, whose traceback holds the tensors that did not fit.
    torch.cuda.empty_cache()
    values = []
    for half in batch.halves():
        values += halving(run, half)
    return values
