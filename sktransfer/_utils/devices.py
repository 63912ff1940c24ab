"""Choice of a device: names, workers of a pool, forked processes."""

import functools
import json
import multiprocessing
import os
import sys
from pathlib import Path

from ..exceptions import ForkedDeviceError

KINDS = ("cuda", "mps", "xpu")  # for messages: what torch calls an accelerator


def resolve_device(device):
    """Turn ``"auto"``, a name or a ``torch.device`` into a usable device.

    A device has one name: "cpu:0" is "cpu", and "cuda" has the index of the current
    device. Where there are several devices and no index chooses one, the workers of a
    process pool (joblib's, multiprocessing's, Dask's) take one each, in turn.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    ForkedDeviceError
        If it is an accelerator that the parent of this forked process had started.
    """
    import torch

    if device == "auto":
        kind = _accelerator()
        return torch.device("cpu") if kind is None else _usual(kind)
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as err:
        raise ValueError(
            f"device={device!r} is not a device that torch knows; "
            "use 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'."
        ) from err
    kind, index = resolved.type, resolved.index
    if (index or 0) >= _n_devices(kind):
        there = [kind for kind in KINDS if _n_devices(kind)]
        names = [f"{k}:{i}" for k in there for i in range(_n_devices(k))]
        raise ValueError(
            f"device={device!r} is not available: torch can compute on "
            f"{['cpu', *names]} here. Use device='auto' to choose from these."
        )
    if kind == "cpu":  # there is one, and an index would be another name
        return torch.device(kind)
    if kind == "mps" or index is None:
        return _usual(kind)
    _check_fork(kind)
    return torch.device(kind, index)


def _accelerator():
    """Return the kind of accelerator that torch can compute on here, or None."""
    import torch

    found = torch.accelerator.current_accelerator()
    # torch names what it was built for, whether or not the machine has one.
    kinds = KINDS if found is None else (found.type, *KINDS)
    return next((kind for kind in kinds if _n_devices(kind)), None)


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


def _usual(kind):
    """Return the device of a kind that this process takes where no index is given."""
    import torch

    _check_fork(kind)
    if kind == "mps":
        return torch.device(kind)
    n_devices = _n_devices(kind)
    number = _worker_number() if n_devices > 1 else None
    if number is not None:
        return torch.device(kind, number % n_devices)
    # Asking would start the device, and a process that is forked later could not use
    # it.
    is_started = _is_started(kind)
    module = torch.get_device_module(kind)
    return torch.device(kind, module.current_device() if is_started else 0)


# -- workers of a pool -----------------------------------------------------------------


def _worker_number():
    """Return this process's number among the children of its parent, from 0.

    Returns
    -------
    int or None
        None in a main process.
    """
    if multiprocessing.parent_process() is None:
        return None
    return _place_among(os.getppid(), os.getpid())


@functools.lru_cache(maxsize=1)
def _place_among(parent, pid):
    """Take the first free place among the children of a process; keep it while alive.

    A file of the user says which ones are taken. Names of workers would not do, as each
    kind of pool has its own.
    """
    try:
        import fcntl

        file = open_own("workers.json")
    except (ImportError, OSError):  # Windows; or a folder that cannot be written to
        return pid  # as good as any number, but two may be alike
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            pools = json.loads(file.read() or "{}")
        except ValueError:  # cut short by a full disk
            pools = {}
        pools = {
            name: [worker if _is_alive(worker) else 0 for worker in workers]
            for name, workers in pools.items()
            if any(map(_is_alive, workers))
        }
        workers = pools.setdefault(str(parent), [])
        if pid not in workers:
            if 0 not in workers:
                workers.append(0)
            workers[workers.index(0)] = pid
        file.seek(0)
        file.truncate()
        file.write(json.dumps(pools))
        file.flush()
        return workers.index(pid)


def _is_alive(pid):
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def open_own(name):
    """Open a file for reading and writing in a folder that is this user's alone.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "sktransfer"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A link under this name, whoever has put it there, is not followed.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(folder / f"sktransfer-{name}", flags, 0o600), "r+")


# -- forks -----------------------------------------------------------------------------

# Kinds of accelerators that the parent had started when this process was forked.
_lost: set[str] = set()
_started_here: set[str] = set()


def _is_started(kind):
    """Whether this process has started an accelerator, without starting it."""
    import torch

    is_initialized = getattr(torch.get_device_module(kind), "is_initialized", None)
    return is_initialized is None or is_initialized()


def _check_fork(kind):
    if kind in _lost:
        raise ForkedDeviceError(
            f"The parent of this process had started {kind!r} before the process was "
            "forked, so this one cannot compute on it. Start workers with "
            "multiprocessing.get_context('spawn'), or by joblib's n_jobs, which does "
            "not fork; or set device='cpu'."
        )


def _note_started():
    """Remember, before a fork, what the child will not be able to use."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    for kind in ("cuda", "xpu"):
        module = getattr(torch, kind, None)  # None while torch is being imported
        if module is not None and module.is_initialized():
            _started_here.add(kind)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_note_started, after_in_child=lambda: _lost.update(_started_here)
    )
