"""Seeding torch inside a block, and leaving its generators as found."""

import contextlib
import random


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
