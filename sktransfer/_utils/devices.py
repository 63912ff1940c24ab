"""Device and precision: the two choices that depend on the machine."""

import contextlib
import multiprocessing
import os
import random
import time
import warnings
from pathlib import Path

PRECISIONS = ("float32", "bfloat16", "float16")

LOAD_PATIENCE_S, LOAD_PAUSE_S = 60.0, 0.5  # with a device that is full
LOCK_PATIENCE_S, LOCK_PAUSE_S = 120.0, 0.1  # with a lock that another process holds


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


def autocast(device, precision, *, is_trained=False):
    """Return the context manager that runs a network at `precision`.

    With `is_trained`, weights are cast anew at each use: inside another autocast, torch
    would keep the casts of the first step, and every later one would run on those.
    """
    import torch

    if precision == "float32":
        # Not what a caller's own autocast makes of it: vectors are kept as float32's.
        return torch.autocast(device.type, enabled=False)
    dtype = getattr(torch, precision)
    return torch.autocast(device.type, dtype, cache_enabled=not is_trained)


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


def arithmetic_of(device):
    """Name what torch's global settings make of float32 on a device, for cache keys.

    ``torch.set_float32_matmul_precision("medium")``, for one, lets matrices be
    multiplied in bfloat16. The settings are the program's and stay as they are.

    Returns
    -------
    str
        Empty where float32 is float32.
    """
    import torch

    backends = torch.backends
    parts = {
        "cpu": {"mkldnn.matmul": backends.mkldnn, "mkldnn.conv": backends.mkldnn},
        "cuda": {"cuda.matmul": backends.cuda, "cudnn.conv": backends.cudnn},
    }
    found = []
    for name, backend in parts.get(device.type, {}).items():
        setting = getattr(backend, name.partition(".")[2], None)
        precision = getattr(setting, "fp32_precision", "none")  # before torch 2.9
        if precision not in ("none", "ieee"):
            found.append(f"{name}={precision}")
    return " ".join(found)


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

    give_up = time.monotonic() + LOAD_PATIENCE_S
    while True:
        # One that finds no room lets others come first, who may be the ones to give
        # some back.
        with device_lock(device):
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
    """Hold a device's lock file, which the kernel frees if the process dies.

    The lock only keeps memory from filling up. Who cannot have it, because the folder
    cannot be written to or another process keeps it for two minutes, goes on without.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_open_lock(f"{_physical_name(device)}.lock"))
        except OSError as err:
            _warn_no_lock(device, f"its file cannot be opened ({err})")
            yield
            return
        give_up = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    _warn_no_lock(device, f"held for {LOCK_PATIENCE_S:.0f} s elsewhere")
                    break
            time.sleep(LOCK_PAUSE_S)
        yield


def _warn_no_lock(device, reason):
    warnings.warn(
        f"Weights are loaded onto {device} without its lock: {reason}. Processes that "
        "load at the same time may run out of its memory.",
        RuntimeWarning,
        stacklevel=2,
    )


def _open_lock(name):
    """Open a file in a folder that only this user can write to."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "sktransfer"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A link under this name, whoever has put it there, is not followed.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(folder / f"sktransfer-{name}", flags, 0o600), "r+")


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
