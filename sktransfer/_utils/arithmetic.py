"""In which numbers a network computes: precisions, autocast, TF32."""

import contextlib

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


def settled_precision(precision, device):
    """Return what a precision is on a device: "tf32" is float32 where there is none."""
    return "float32" if precision == "tf32" and device.type != "cuda" else precision


def weights_precision(precision):
    """Return the precision in which weights are stored."""
    return "float32" if precision == "tf32" else precision


def autocast(device, precision, *, is_trained=False):
    """Return the context manager that runs a network at `precision`.

    With `is_trained`, weights are cast anew at each use: inside another autocast, torch
    would keep the casts of the first step, and every later one would run on those.
    """
    import torch

    if weights_precision(precision) == "float32":
        # Not what a caller's own autocast makes of it: vectors are kept as float32's.
        return torch.autocast(device.type, enabled=False)
    dtype = getattr(torch, precision)
    return torch.autocast(device.type, dtype, cache_enabled=not is_trained)


def arithmetic_of(device):
    """Name what torch's global settings make of float32 on a device, for cache keys.

    ``torch.set_float32_matmul_precision("medium")``, for one, lets a CPU multiply
    matrices in bfloat16. The settings are the program's and stay as they are. On CUDA
    they do not count (`own_arithmetic`).

    Returns
    -------
    str
        Empty where float32 is float32.
    """
    import torch

    if device.type != "cpu":
        return ""
    found = []
    for name in ("matmul", "conv"):
        setting = getattr(torch.backends.mkldnn, name, None)
        precision = getattr(setting, "fp32_precision", "none")  # before torch 2.9
        if precision not in ("none", "ieee"):
            found.append(f"mkldnn.{name}={precision}")
    return " ".join(found)


@contextlib.contextmanager
def own_arithmetic(device=None, precision="float32"):
    """Compute inside as if the caller had changed nothing about torch.

    Vectors and weights are kept and compared as those of their precision. A caller's
    autocast, default dtype or inference mode would make others, or none, and so would
    TF32, which cuDNN uses for float32 unless it is told not to.

    Parameters
    ----------
    device : torch.device, default=None
        Device whose autocast to leave, beside the CPU's.
    precision : str, default="float32"
        "tf32" lets CUDA round the factors of products to TF32, and every other one
        does not.
    """
    import torch

    kinds = {"cpu", "cpu" if device is None else device.type}
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        if "cuda" in kinds:
            stack.enter_context(_tf32(precision == "tf32"))
        # One setting for all threads, and so left alone where it is right already.
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


@contextlib.contextmanager
def _tf32(is_allowed):
    """Allow TF32 on CUDA inside, or forbid it; leave torch's settings as found."""
    with contextlib.ExitStack() as stack:
        for place, name, value in _tf32_settings(is_allowed):
            before = getattr(place, name)
            if before != value:  # one setting for all threads
                setattr(place, name, value)
                stack.callback(setattr, place, name, before)
        yield


def _tf32_settings(is_allowed):
    """Return triples of an object, the name of its setting, and the value."""
    import torch

    backends = torch.backends
    conv = getattr(backends.cudnn, "conv", None)
    if hasattr(conv, "fp32_precision"):
        value = "tf32" if is_allowed else "ieee"
        places = backends.cuda.matmul, conv
        return [(place, "fp32_precision", value) for place in places]
    places = backends.cuda.matmul, backends.cudnn  # before torch 2.9
    return [(place, "allow_tf32", is_allowed) for place in places]
