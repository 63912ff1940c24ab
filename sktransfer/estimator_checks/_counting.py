"""A backbone that counts the rows that go through it."""

import dataclasses
import uuid

from .._utils.devices import resolve_device
from .._utils.threads import ForkLock
from ..backbones import load_backbone
from ..backbones._engines.prepare import prepare_for_inference


class Counter:
    """Counts what goes through the first block; copies share the counts.

    Attributes
    ----------
    rows : int
        Rows, without those of padding.
    calls : int
        Forward passes.
    """

    def __init__(self, name=None):
        self.name = uuid.uuid4().hex if name is None else name
        self._lock = ForkLock()  # batches run in several threads
        self.reset()

    def __reduce__(self):
        """Return how to make another one: counts are of one process."""
        return Counter, (self.name,)

    def cache_identity(self):
        """Return a name of its own, so that no other counter's rows are found."""
        return self.name

    def add(self, n_rows):
        """Count one pass of so many rows."""
        with self._lock:
            self.rows += n_rows
            self.calls += 1

    def reset(self):
        """Start again from zero."""
        self.rows = self.calls = 0

    def __deepcopy__(self, memo):
        """Return itself, so that folded and device copies count here too."""
        return self


def counting_backbone(backbone, *, modality=None):
    """Wrap the first block of a backbone in a counter.

    Parameters
    ----------
    backbone : str, BackboneSpec or Backbone
        As for `load_backbone`.
    modality : {"image", "text"}, default=None
        As for `load_backbone`.

    Returns
    -------
    backbone : Backbone
        The same network under a fingerprint of its own.
    counter : Counter
        At zero.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.estimator_checks._counting import counting_backbone
    >>> backbone, counter = counting_backbone("tiny-bert")
    >>> TextEncoder(backbone, cache=None).fit_transform(["a", "b", "a"]).shape
    (3, 16)
    >>> counter.rows
    2
    """
    import torch

    source = load_backbone(backbone, modality=modality)
    counter = Counter()
    blocks = dict(source.blocks)
    first = source.block_names[0]
    blocks[first] = _counting_block(blocks[first], counter)
    counted = dataclasses.replace(
        source, blocks=blocks, fingerprint=f"counting-{counter.name}"
    )
    for device in {torch.device("cpu"), resolve_device("auto")}:
        prepare_for_inference(counted, device)  # runs an example
    counter.reset()
    return counted, counter


def _counting_block(block, counter):
    import torch

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block
            self.counter = counter

        def forward(self, state):
            self.counter.add(_real_rows(state))
            return self.block(state)

    return Counting()


def _real_rows(state):
    if state.lengths is not None:
        return int((state.lengths > 0).sum())
    # Padding rows are equal zeros before normalisation, so constant in each channel
    # after it.
    flat = state.hidden.flatten(2)
    return int((flat != flat[..., :1]).flatten(1).any(1).sum())
