"""Walk through an estimator, and put other things in the place of some."""

from typing import Any

import numpy as np

from .._utils.names import on_disk

ATOMS = (str, bytes, int, float, complex, bool, type(None), np.generic, type)


@on_disk
class Token:
    """Stands in a saved structure where a network or a net was.

    Parameters
    ----------
    kind : {"backbone", "net"}
    number : int
        Number of its record in the manifest.
    """

    kind = number = None  # of one that a file has emptied

    def __init__(self, kind, number):
        self.kind, self.number = kind, number


def swap(obj, replace, *, in_place=False):
    """Replace parts of a structure.

    Parameters
    ----------
    obj : object
        Dicts, lists, tuples, sets, object arrays and objects with attributes are
        walked through.
    replace : callable
        ``replace(obj, path)`` returns what is to stand there; `obj` itself, or another
        object of its type, is then walked through.
    in_place : bool, default=False
        Change the objects themselves. False copies those above a change, and leaves
        `obj` as it was.

    Returns
    -------
    object
        `obj` itself where nothing was replaced.
    """
    return _Walk(replace, in_place).walk(obj, "")


class _Walk:
    def __init__(self, replace, in_place):
        self.replace, self.in_place = replace, in_place
        self.done = {}  # id -> (the object, kept alive, what stands for it)

    def walk(self, obj, path):
        if isinstance(obj, ATOMS):
            return obj
        if id(obj) in self.done:
            return self.done[id(obj)][1]
        self.done[id(obj)] = obj, obj  # a cycle ends here
        new = self.replace(obj, path)
        self.done[id(obj)] = obj, new
        if type(new) is type(obj) and not isinstance(new, Token):
            new = self._inside(new, path)
        self.done[id(obj)] = obj, new
        return new

    def _inside(self, obj, path):
        if isinstance(obj, dict):
            return self._mapping(obj, path)
        if isinstance(obj, (list, tuple, set, frozenset)):
            return self._sequence(obj, path)
        if isinstance(obj, np.ndarray):
            return self._array(obj, path)
        state = getattr(obj, "__dict__", None)
        if not isinstance(state, dict) or callable(obj) and hasattr(obj, "__code__"):
            return obj
        new = {k: self.walk(v, f"{path}.{k}") for k, v in state.items()}
        if not _differ(state.values(), new.values()):
            return obj
        if self.in_place:
            state.update(new)
            return obj
        copy: Any = type(obj).__new__(type(obj))  # type: ignore[call-overload]
        copy.__dict__.update(new)
        return copy

    def _mapping(self, obj, path):
        new = {k: self.walk(v, f"{path}[{k!r}]") for k, v in obj.items()}
        if not _differ(obj.values(), new.values()):
            return obj
        if self.in_place:
            obj.update(new)
            return obj
        if type(obj) is dict:
            return new
        copy = obj.copy()  # a Bunch, a defaultdict
        copy.update(new)
        return copy

    def _sequence(self, obj, path):
        new = [self.walk(v, f"{path}[{i}]") for i, v in enumerate(obj)]
        if not _differ(obj, new):
            return obj
        if self.in_place and isinstance(obj, list):
            obj[:] = new
            return obj
        if hasattr(obj, "_fields"):
            return type(obj)(*new)
        return type(obj)(new)

    def _array(self, obj, path):
        if obj.dtype != object:
            return obj
        flat = np.ma.getdata(obj).ravel()
        new = [self.walk(v, f"{path}[{i}]") for i, v in enumerate(flat)]
        if not _differ(flat, new):
            return obj
        copy = obj.copy()
        for i, value in enumerate(new):
            np.ma.getdata(copy).flat[i] = value
        return copy


def _differ(old, new):
    return any(a is not b for a, b in zip(old, new, strict=True))
