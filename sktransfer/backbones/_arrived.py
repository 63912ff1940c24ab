"""Registrations of networks that came with an estimator from another process."""

import functools
import importlib
import sys
from typing import Any, NamedTuple


class Arrival(NamedTuple):
    """How a network is built that was registered elsewhere.

    Attributes
    ----------
    builder : callable
        As `register_backbone` takes it.
    modality : str
    code : str or bytes
        Place of the builder, as "module:name", or the pickled builder itself.
    """

    builder: functools.partial
    modality: str
    code: str | bytes


_arrived: dict[str, Arrival] = {}


def find_arrival(name):
    """Return the registration of a name that came from elsewhere, or None."""
    return _arrived.get(name)


def remember(name, modality, code):
    """Keep a registration; nothing is imported or built before it is needed."""
    _arrived[name] = Arrival(functools.partial(_build, code), modality, code)


def _build(code, spec):
    return _unpack(code)(spec)


def _unpack(code):
    if isinstance(code, bytes):
        return _cloudpickle().loads(code)
    module, _, name = code.partition(":")
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def pack(builder):
    """Return what `remember` takes as code, or None where there is no way.

    A function of a module goes by its name. One of the script itself, of a notebook or
    of another function goes as cloudpickle has it, as joblib's workers get functions.
    """
    module = getattr(builder, "__module__", None)
    name = getattr(builder, "__qualname__", "<none>")
    if module != "__main__" and "<" not in name and module in sys.modules:
        found: Any = sys.modules[module]
        for key in name.split("."):
            found = getattr(found, key, None)
        if found is builder:
            return f"{module}:{name}"
    try:
        return _cloudpickle().dumps(builder)
    except Exception:
        # It holds a lock or an open file. The estimator can be pickled all the same,
        # and the other process has to register the name itself.
        return None


def _cloudpickle():
    """Return the module that joblib itself sends functions with."""
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:  # joblib before 1.6 has its own copy
        return importlib.import_module("joblib.externals.cloudpickle")
