"""Device and precision: the two choices that depend on the machine."""

import contextlib
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections import defaultdict
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PRECISIONS = ("float32", "bfloat16", "float16")

LOAD_PATIENCE_S, LOAD_PAUSE_S = 60.0, 0.5  # with a device that is full
MOST_FOR_ALL_CORES = 8  # small batches gain little from more cores than that
ITEMS_A_TURN = 16  # for each core; others wait so long, and so many results are held

# The process that loaded this module. A child that was forked from it has its memory
# and none of its threads: pools that torch had started there would be waited for
# forever.
_first_pid = os.getpid()
# By process, too: a fork copies locks as they are, and one that a thread of the parent
# held at that moment would never be released in the child.
_turns: defaultdict[tuple, threading.RLock] = defaultdict(threading.RLock)


def resolve_device(device):
    """Turn ``"auto"``, a name or a ``torch.device`` into a usable device.

    A device has one name: "cpu:0" is "cpu", and "cuda" has the index of the current
    device. Of several CUDA devices that no index tells apart, the workers of a process
    pool (``n_jobs``) take one each, in turn.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return _cuda_of_worker()
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
    kind, index = resolved.type, resolved.index
    if (index or 0) >= _n_devices(kind):
        there = [kind for kind in ("cuda", "mps", "xpu") if _n_devices(kind)]
        names = [f"{k}:{i}" for k in there for i in range(_n_devices(k))]
        raise ValueError(
            f"device={device!r} was asked for, but all that torch can compute on here "
            f"is {['cpu', *names]}; use device='auto' to take what there is."
        )
    if kind in ("cpu", "mps"):  # there is one, and an index would be another name
        return torch.device(kind)
    if kind == "cuda" and index is None:
        return _cuda_of_worker()
    return torch.device(kind, index or 0)


def _n_devices(kind):
    """Return how many devices of a kind torch can compute on here."""
    import torch

    if kind == "cpu":
        return 1
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    try:
        module = torch.get_device_module(kind)
    except RuntimeError:  # "meta" and others, which hold no numbers
        return 0
    return module.device_count() if module.is_available() else 0


def _cuda_of_worker():
    """Return the CUDA device of this process, by its number in the pool."""
    import torch

    # "LokyProcess-3", "SpawnPoolWorker-3"; others ("MainProcess") keep the current one.
    number = multiprocessing.current_process().name.rpartition("-")[2]
    n_cuda = torch.cuda.device_count()
    if n_cuda < 2 or not number.isdigit():
        # Asking would start CUDA, and a process that is forked later could not use it.
        is_started = torch.cuda.is_initialized()
        return torch.device("cuda", torch.cuda.current_device() if is_started else 0)
    return torch.device("cuda", (int(number) - 1) % n_cuda)


def autocast(device, precision):
    """Return the context manager that runs a network at `precision`."""
    import torch

    if precision == "float32":
        # Not what a caller's own autocast makes of it: vectors are kept as float32's.
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=getattr(torch, precision))


@contextlib.contextmanager
def seeded(random_state, device=None):
    """Seed torch inside; leave torch's and Python's global generators as found.

    Parameters
    ----------
    random_state : int
    device : torch.device, default=None
        Whose generator to seed, too, if it has one: dropout on a GPU draws from it.
    """
    import torch

    python_state = random.getstate()  # imports and temporary files draw from it
    try:
        with torch.random.fork_rng(devices=[]), _device_seeded(random_state, device):
            torch.random.default_generator.manual_seed(random_state)
            yield
    finally:
        random.setstate(python_state)


@contextlib.contextmanager
def _device_seeded(random_state, device):
    import torch

    if device is None or device.type == "cpu":
        yield
        return
    module = torch.get_device_module(device)
    which = (device,) if device.type == "cuda" else ()  # MPS has one device
    state = module.get_rng_state(*which)
    try:
        with module.device(device) if which else contextlib.nullcontext():
            module.manual_seed(random_state)
        yield
    finally:
        module.set_rng_state(state, *which)


def is_fork():
    """Whether this process was forked from one that had loaded this module."""
    return os.getpid() != _first_pid


@contextlib.contextmanager
def own_arithmetic(device=None):
    """Compute inside as if the caller had changed nothing about torch.

    Vectors and weights are kept and compared as those of float32. A caller's autocast,
    default dtype or inference mode would make others, or none.

    Parameters
    ----------
    device : torch.device, default=None
        Whose autocast to leave; None is the CPU's.
    """
    import torch

    kind = "cpu" if device is None else device.type
    dtype = torch.get_default_dtype()
    with torch.autocast(kind, enabled=False), torch.inference_mode(False):
        if dtype == torch.float32:
            yield
            return
        # One setting for all threads, and so left alone where it is right already.
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextlib.contextmanager
def turn(device):
    """Run one network at a time on a device, whichever thread asks.

    The threads that compute a layer wait for each other, so two networks at once on the
    same cores are many times slower than one after the other. In a forked process torch
    computes on one thread inside: its thread pool did not survive the fork, and waiting
    for it would never end. What the caller has changed about torch does not count
    inside (`own_arithmetic`).
    """
    import torch

    with _turns[os.getpid(), str(device)]:
        n_threads = torch.get_num_threads()
        # On one thread torch needs no pool. The setting is put back, because it also is
        # the share of the cores that this process was given.
        is_alone = is_fork() and n_threads > 1
        if is_alone:
            torch.set_num_threads(1)
        try:
            with own_arithmetic(device):
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
    with _single_threads(n_threads) as pool:
        for first in range(0, len(items), n_together):
            with turn(device):
                results = _all_done(pool, function, items[first : first + n_together])
            yield from results


@contextlib.contextmanager
def _single_threads(n_threads):
    """Give a pool of threads that compute on one core each; leave others alone."""
    import torch

    # What torch is told in one thread is also what later threads begin with.
    before = _in_new_thread(torch.get_num_threads)
    pool = ThreadPoolExecutor(n_threads)
    try:
        # Without the barrier, one quick thread could take two of the starts, and
        # another thread would compute on all cores.
        ready = threading.Barrier(n_threads)

        def start():
            torch.get_num_threads()  # torch's own start of a thread, which sets it too
            torch.set_num_threads(1)
            ready.wait()

        list(pool.map(lambda _: start(), range(n_threads)))
        _in_new_thread(torch.set_num_threads, before)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _all_done(pool, function, items):
    """Return the results when nothing runs any more, also after an error."""
    started = [pool.submit(function, item) for item in items]
    try:
        futures.wait(started, return_when=futures.FIRST_EXCEPTION)
    finally:
        for future in started:
            future.cancel()
        futures.wait(started)
    return [future.result() for future in started]


def _in_new_thread(function, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def load_onto(device, load):
    """Load weights onto a device, one process at a time.

    Workers that start together would each hold the weights twice for a moment, all at
    once. One that finds no room waits a while for others to finish.

    Parameters
    ----------
    device : torch.device
    load : callable

    Raises
    ------
    torch.OutOfMemoryError
        If there is no room after a minute.
    """
    import torch

    with device_lock(device):
        give_up = time.monotonic() + LOAD_PATIENCE_S
        while True:
            try:
                return load()
            except torch.OutOfMemoryError as err:
                if time.monotonic() >= give_up:
                    raise torch.OutOfMemoryError(
                        f"The weights do not fit into what is free on {device} "
                        f"({err}). Use fewer processes (n_jobs), a smaller network, or "
                        "device='cpu'."
                    ) from err
            # Outside the handler, whose traceback holds what was loaded.
            torch.cuda.empty_cache()
            time.sleep(LOAD_PAUSE_S)


@contextlib.contextmanager
def device_lock(device):
    """Hold a device's lock file, which the kernel frees if the process dies."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    name = f"sktransfer-{os.getuid()}-{_physical_name(device)}.lock"
    with open(Path(tempfile.gettempdir()) / name, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _physical_name(device):
    """Name a device alike in processes that see different ones."""
    import torch

    if device.type != "cuda":
        return str(device).replace(":", "-")
    index = device.index
    if index is None:
        index = torch.cuda.current_device()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    known = visible[index].strip() if index < len(visible) else ""
    return "cuda-" + "".join(c if c.isalnum() else "-" for c in known or str(index))


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
