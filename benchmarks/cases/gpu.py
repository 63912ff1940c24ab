"""The GPU path against loops by hand, on a CUDA card; see benchmarks/gpu."""

from .._harness import MissingDataError
from ..gpu.report import has_card, outcome, table

__all__ = ["run", "table"]


def run(full=False):
    if not has_card():
        raise MissingDataError("it needs a CUDA device, and torch finds none")
    return outcome()
