"""Watching of estimators: loads, weights and global state that must not change."""

import contextlib
import hashlib
import os
import random
import socket
import sys
import warnings
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import sklearn

from ..backbones import Backbone


@contextlib.contextmanager
def watched():
    """Count the networks that are built and the connections that are tried.

    It sees every parameter that a torch module registers, which is how any library
    builds a network in torch, whatever file the weights come from. It does not see a
    network of another framework, one that is taken from a cache of its library, or a
    module that is unpickled whole. Connections are refused.

    Yields
    ------
    SimpleNamespace
        ``parameters`` : int, ``connections`` : list of str.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    seen = SimpleNamespace(parameters=0, connections=[])

    def registered(module, name, parameter):
        seen.parameters += parameter is not None

    connect = socket.socket.connect

    def refuse(self, address, *args):
        if self.family == getattr(socket, "AF_UNIX", None):
            return connect(self, address, *args)
        seen.connections.append(str(address))
        raise OSError("the check refuses connections")

    def refuse_name(host, *args, **kwargs):
        seen.connections.append(str(host))
        raise OSError("the check refuses connections")

    handle = register_module_parameter_registration_hook(registered)
    try:
        with (
            mock.patch.object(socket.socket, "connect", refuse),
            mock.patch.object(socket.socket, "connect_ex", refuse),
            mock.patch.object(socket, "getaddrinfo", refuse_name),
        ):
            yield seen
    finally:
        handle.remove()


# -- weights -------------------------------------------------------------------------


def modules_of(thing, depth=6):
    """Torch modules that an estimator holds, in its parts and containers too.

    Parameters
    ----------
    thing : object
        Estimators are looked into, and dicts, lists and tuples.
    depth : int, default=6
        How far down.

    Returns
    -------
    list of torch.nn.Module
    """
    import torch

    if isinstance(thing, torch.nn.Module):
        return [thing]
    if isinstance(thing, Backbone):
        return list(thing.modules())
    if depth == 0:
        return []
    if isinstance(thing, dict):
        parts: Iterable[Any] = thing.values()
    elif isinstance(thing, (list, tuple)):
        parts = thing
    elif hasattr(thing, "get_params") and hasattr(thing, "__dict__"):
        parts = vars(thing).values()
    else:
        return []
    return [module for part in parts for module in modules_of(part, depth - 1)]


def weights_state(modules):
    """Return names and hashes of everything a network could be changed in.

    Returns
    -------
    dict of str to object
        Weights and buffers bitwise, training flags, and who asks for gradients.
    """
    state = {}
    for k, module in enumerate(modules):
        for name, tensor in module.state_dict().items():
            state[f"tensor {name} of module {k}"] = _digest(tensor)
        for name, part in module.named_modules():
            state[f"training flag of {name or 'the whole'} of module {k}"] = (
                part.training
            )
        for name, parameter in module.named_parameters():
            state[f"requires_grad of {name} of module {k}"] = parameter.requires_grad
    return state


def _digest(tensor):
    import torch

    if not isinstance(tensor, torch.Tensor):
        return repr(tensor)
    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.blake2b(flat.view(torch.uint8).numpy().data, digest_size=16).digest()


# -- the process ---------------------------------------------------------------------


def global_state():
    """Return what belongs to the whole process, by name."""
    state = {
        "scikit-learn's config": sklearn.get_config(),
        "warnings filters": list(warnings.filters),
        "working folder": os.getcwd(),
        "Python's random generator": random.getstate(),
        "NumPy's random generator": repr(np.random.get_state()),  # noqa: NPY002
        "NumPy's error state": np.geterr(),
    }
    if "torch" in sys.modules:
        import torch

        state["torch's random generator"] = torch.random.get_rng_state().tolist()
        state["torch's grad mode"] = torch.is_grad_enabled()
        state["torch's number of threads"] = torch.get_num_threads()
        state["torch's default dtype"] = torch.get_default_dtype()
        state["torch's determinism"] = torch.are_deterministic_algorithms_enabled()
    return state


@contextlib.contextmanager
def global_state_restored():
    """Put back inside a `with` what an estimator under test may have changed."""
    import torch

    config, python_state = sklearn.get_config(), random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.random.get_rng_state()
    grad, threads = torch.is_grad_enabled(), torch.get_num_threads()
    dtype, folder = torch.get_default_dtype(), os.getcwd()
    try:
        with warnings.catch_warnings(), np.errstate():
            yield
    finally:
        sklearn.set_config(**config)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.random.set_rng_state(torch_state)
        torch.set_grad_enabled(grad)
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        os.chdir(folder)


def set_usual_state():
    """Set what a process starts with, whatever was left by an earlier call."""
    import torch

    sklearn.set_config(
        assume_finite=False,
        display="diagram",
        enable_metadata_routing=False,
        print_changed_only=True,
        transform_output="default",
    )
    torch.set_grad_enabled(True)
    _stir(918273)


def set_unusual_state():
    """Set what no library would choose, so that what one sets cannot go unseen."""
    import torch

    sklearn.set_config(print_changed_only=False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    warnings.filterwarnings("ignore", message="a filter of the checks")
    _stir(192837)


def _stir(seed):
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.random.default_generator.manual_seed(seed)
