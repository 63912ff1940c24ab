"""Memory of a device: weights come in turn, and batches that do not fit are halved."""

import contextlib
import os
import time
import warnings

from .devices import open_own

LOAD_PATIENCE_S, LOAD_PAUSE_S = 60.0, 0.5  # with a device that is full
LOCK_PATIENCE_S, LOCK_PAUSE_S = 120.0, 0.1  # with a lock that another process holds
# What a RuntimeError says that is none of torch.OutOfMemoryError.
OUT_OF_MEMORY = (
    "out of memory",
    "DefaultCPUAllocator: ",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


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
            except RuntimeError as err:
                if not is_out_of_memory(err):
                    raise
                if time.monotonic() >= give_up:
                    raise torch.OutOfMemoryError(
                        f"The weights do not fit into the free memory of {device} "
                        f"({err}). Use fewer processes (n_jobs), a smaller network, or "
                        "device='cpu'."
                    ) from err
        # Outside the handler, whose traceback holds what was loaded.
        give_back(device)
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
            file = stack.enter_context(open_own(f"{physical_name(device)}.lock"))
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


def physical_name(device):
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


def is_out_of_memory(error):
    """Whether an error says that a device has no room left.

    CUDA's allocator has a class for it. MPS, and CUDA's libraries where they ask for
    room themselves, raise a RuntimeError.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in OUT_OF_MEMORY
    )


def give_back(device):
    """Let a device have what torch keeps of its memory for later."""
    import torch

    if device.type == "cpu":
        return
    torch.get_device_module(device).empty_cache()


def to_device(tensor, device):
    """Copy a tensor to a device; to CUDA from pinned memory, without waiting."""
    if device.type == "cuda" and not tensor.is_cuda:
        # torch keeps the pinned copy until the device has read it.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class InParts:
    """Runs batches, in halves where the device's memory is too small for them.

    Parameters
    ----------
    device : torch.device

    Attributes
    ----------
    most : float
        Size of the largest batch that is tried, which falls when one does not fit.
    """

    def __init__(self, device):
        self.device, self.most = device, float("inf")

    def split(self, batch):
        """Return the parts of a batch that are small enough, as far as is known."""
        if batch.n_rows == 1 or batch.size <= self.most:
            return [batch]
        return [part for half in batch.halves() for part in self.split(half)]

    def run(self, function, batch):
        """Return the list that a function of a batch gives, one value per row."""
        parts = self.split(batch)
        if len(parts) == 1:
            try:
                return function(batch)
            except RuntimeError as err:
                if batch.n_rows == 1 or not is_out_of_memory(err):
                    raise
            # Outside the handler, whose traceback holds the tensors that did not fit.
            self.shrink(batch)
            parts = batch.halves()
        return [value for part in parts for value in self.run(function, part)]

    def shrink(self, batch):
        """Remember that a batch did not fit."""
        give_back(self.device)
        if batch.n_rows > 1:
            self.most = min(self.most, batch.halves()[0].size)
