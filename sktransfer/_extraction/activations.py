"""Runners of a fit: activations after the frozen blocks, or rows as they are."""

import numpy as np

from .._utils.allocator import apart
from .._utils.arithmetic import autocast
from ..backbones._state import State
from .batches import filling
from .runners import Runner, VectorRunner


class ActivationRunner(Runner):
    """Gives the activations after a frozen prefix; at full depth the pooled vectors.

    Each row runs through a block at most once: what a shallower depth has left in the
    cache is where a deeper one goes on, and on the way by-products are kept for the
    shallower depths that a grid may ask for next.

    Parameters
    ----------
    request : Request
        Its depth is the number of frozen blocks.
    cache : FeatureCache or None
    dtype : {"float32", "float16"}, default="float32"
        Data type in which activations are stored.
    scan : int, default=None
        Scan of `new_scan`, where several runners go through the rows of one call.
    """

    def __init__(self, request, cache, dtype="float32", scan=None):
        super().__init__(request, cache, scan=scan)
        self.dtype = np.dtype(dtype)
        self.n_blocks = len(request.backbone.blocks)
        self.is_pooled = request.depth == self.n_blocks
        self.namespace = self._at(request.depth)
        # The deeper half: what partial fine-tuning asks for, and small.
        self.byproducts = range(max(1, self.n_blocks // 2), request.depth)
        self.shapes = {}  # depth -> shape of an image's activations
        self.vectors = None
        if self.is_pooled:
            self.vectors = VectorRunner(request, cache, self.scan)

    def _at(self, depth):
        pooling = self.request.pooling if depth == self.n_blocks else ""
        return self._namespace("activations", depth, self.dtype.str, pooling)

    def look_up(self, digests):
        """Return the activations that the cache has, by digest."""
        found = super().look_up(digests)
        if self.vectors is not None and len(found) < len(digests):
            # An encoder may have been here.
            left = [digest for digest in digests if digest not in found]
            for digest, vector in self.vectors.look_up(left).items():
                found[digest] = self._stored(vector)
        return found

    def resume(self, items):
        """Yield batches of items that a shallower depth has left in the cache."""
        # Deepest first: a row goes on from as far as somebody has brought it.
        left = {item.digest: item for item in items}
        for depth in range(self.request.depth - 1, 0, -1):
            found = self._find(left, self._at(depth), depth=depth) if left else {}
            if found:
                batches = filling(self.request, depth)
                pairs = [(left.pop(digest), row) for digest, row in found.items()]
                yield from batches.add(pairs)
                yield from batches.rest()

    def _compute(self, state, batch):
        import torch

        request, ready = self.request, self.ready
        if batch.start:
            state = state._replace(hidden=state.hidden.float())
        done, states = batch.start, []
        with torch.inference_mode(), autocast(request.device, request.precision):
            for depth in self._depths_of(batch):
                state = ready.run(state, done, depth)
                done = depth
                states.append(state._replace(hidden=state.hidden.float(), mask=None))
            if self.is_pooled:
                vectors = ready.pool(state, request.pooling, done)
                states[-1] = State(vectors.float())
        return states

    def _depths_of(self, batch):
        """Return the depths whose activations are kept, the asked for at last."""
        deeper = [depth for depth in self.byproducts if depth > batch.start]
        return [*(deeper if self.cache is not None else ()), self.request.depth]

    def _records_of(self, batch, states):
        for depth, state in zip(self._depths_of(batch)[:-1], states, strict=False):
            keys = [self._at(depth) + digest for digest in batch.digests]
            rows = self._rows(state, len(batch.rows), depth)
            self.cache.keep_spare(dict(zip(keys, rows, strict=True)))
        if self.is_pooled:
            vectors = states[-1].hidden[: len(batch.rows)].numpy()
            return [self._stored(row) for row in vectors]
        return self._rows(states[-1], len(batch.rows), self.request.depth)

    def _rows(self, state, n_rows, depth):
        rows = self.ready.unbatch(state)
        if self.request.backbone.modality == "image":
            shape = rows[0].shape
            if self.shapes.setdefault(depth, shape) != shape:
                raise ValueError(
                    f"The cache has activations of shape {self.shapes[depth]} for an "
                    f"image, but the network computes {shape}. Clear the folder or the "
                    "store of the cache."
                )
        return apart(rows[:n_rows], self.dtype)

    def _is_right(self, record, depth):
        backbone = self.request.backbone
        width = backbone.widths[depth - 1]
        if record.dtype != self.dtype:
            return False
        if depth == self.n_blocks:
            return record.shape == (width,)
        if backbone.modality == "text":
            limit = self.request.preprocess.max_length
            return record.shape[1:] == (width,) and 0 < len(record) <= limit
        # The images of a call have one size, and so one shape.
        shape = record.shape
        is_plausible = len(shape) > 1 and width in shape and record.size > 0
        return is_plausible and self.shapes.setdefault(depth, shape) == shape

    def _stored(self, row):
        return np.array(row, dtype=self.dtype, order="C")


class InputRunner(Runner):
    """Gives prepared rows as they are, for a network of which nothing is frozen."""

    def __init__(self, request):
        super().__init__(request, None, packed=False)  # the rows run elsewhere
        self.namespace = b""

    def run_each(self, batches):
        """Yield each batch and its rows."""
        for batch in batches:
            yield batch, batch.rows
