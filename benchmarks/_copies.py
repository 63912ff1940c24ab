"""Copies from a device's memory to the host's, counted by torch's dispatcher."""

import importlib.util
import math
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ._harness import ROOT

ROWS = "matrices of rows"
VALUES = "one value per row"
COEFFICIENTS = "coefficients or their gradient"
NUMBERS = "single numbers"
aten = torch.ops.aten


class CopiesToHost(TorchDispatchMode):
    """Counts, in ``shapes``, the tensors that leave a device within ``with``.

    The dispatcher sees every copy, whichever method of a tensor asked for it. On a
    machine without a device there is nothing to see; `pretend_a_card` gives it one.
    """

    def __init__(self):
        super().__init__()
        self.shapes = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet is aten.copy_:
            self._note(args[1], args[0].device.type)
        elif packet is aten._to_copy:
            self._note(args[0], made.device.type)
        elif packet is aten._local_scalar_dense:
            self._note(args[0], "cpu")
        return made

    def _note(self, source, target):
        if source.device.type != "cpu" and target == "cpu":
            self.shapes[tuple(source.shape)] += 1


def by_kind(shapes, n_rows):
    """Sort counted shapes by what they hold.

    Parameters
    ----------
    shapes : dict of tuple to int
    n_rows : int
        Rows of the smallest test fold, which must be more than there are classes or
        features, so that shapes tell rows from coefficients.

    Returns
    -------
    dict of str to int
    """
    counts = dict.fromkeys((ROWS, VALUES, COEFFICIENTS, NUMBERS), 0)
    for shape, count in shapes.items():
        if math.prod(shape) <= 1:
            kind = NUMBERS
        elif shape[0] < n_rows:
            kind = COEFFICIENTS
        else:
            kind = VALUES if math.prod(shape) == shape[0] else ROWS
        counts[kind] += count
    return counts


def pretend_a_card():
    """Give this process the tests' pretended card, which "auto" takes."""
    path = ROOT / "tests" / "card.py"
    spec = importlib.util.spec_from_file_location("card", path)
    card = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(card)
    card.install()
