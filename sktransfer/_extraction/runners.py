"""Runners: run batches through a network, and know what the cache has of them."""

import contextlib
import hashlib
import os
from typing import Any, NamedTuple

import numpy as np

from .._utils.allocator import apart
from .._utils.arithmetic import arithmetic_of, autocast
from .._utils.device_memory import halving
from .._utils.turns import each_on_a_core, turn
from ..backbones._engines.builders import AUTO, ENGINES
from ..backbones._engines.choose import EngineKey, candidates, choose_engine, known
from ..backbones._engines.prepare import prepare_for_inference
from ..backbones._identity import versions
from ..cache._memory import new_scan
from .batches import filling, images_at_once, is_small


class Request(NamedTuple):
    """What to compute, resolved.

    Attributes
    ----------
    backbone : Backbone
    preprocess : ImagePreprocess or TextPreprocess
        The backbone's, with the caller's size or length.
    depth : int
        Number of blocks.
    pooling : str
    batch_size : int or "auto"
    device : torch.device
    precision : str
    engine : str
        Engine that computes pooled vectors; activations are torch's in any case.
    """

    backbone: Any
    preprocess: object
    depth: int
    pooling: str
    batch_size: object
    device: object
    precision: str
    engine: str = "torch"

    @property
    def n_behind(self) -> int:
        """Number of blocks behind the depth."""
        return len(self.backbone.blocks) - self.depth


class _Runner:
    """What runners share: keys, claims, and turns on the device.

    A subclass gives `look_up`, `resume` and `_forward`.
    """

    part: slice | None = None
    namespace: bytes

    def __init__(self, request, cache, *, scan=None, packed=True):
        self.request, self.cache = request, cache
        backbone = request.backbone
        identity = backbone.cache_identity  # before the network has run
        self.ready, tag = prepare_for_inference(
            backbone, request.device, packed=packed, precision=request.precision
        )
        # The first half of every key: whatever changes a value and is not the row's own
        # content. A folder keeps it in words, too. The batch size is missing on
        # purpose, as padding to a fixed shape makes a row's value independent of the
        # rows beside it; so is the depth, as a record holds all of them
        # (`VectorRunner`) or names its own (`ActivationRunner`).
        self.origin = {
            "network": backbone.name,
            "identity": identity,
            "versions": backbone.versions,
            "preprocess": request.preprocess.key,
            "precision": request.precision,
            "computed_by": tag,
            "arithmetic": arithmetic_of(request.device),
        }
        self.claimed = set()
        self.noted = set()  # namespaces whose origin the cache was told
        self.scan = new_scan() if scan is None else scan

    def _forward(self, batch):
        """Return one value for each row of a batch."""
        raise NotImplementedError

    def _state(self, batch):
        """Collate a batch and move it to the device."""
        state = self.ready.batch(batch.rows, n_rows=batch.n_rows, length=batch.length)
        return state.to(self.request.device)

    def _namespace(self, *more):
        # Hashed to 20 bytes, as long as a row's digest: a key is the two end to end.
        what = {name: self.origin[name] for name in self.origin if name != "network"}
        digest = hashlib.blake2b(repr((what, *more)).encode(), digest_size=20)
        return digest.digest()

    def _is_right(self, record, depth):
        """Whether a record from a store can be that of a row at this depth."""
        raise NotImplementedError

    def _find(self, digests, namespace, part=None, depth=None):
        """Return what the cache has, by digest."""
        if self.cache is None:
            return {}
        keys = {namespace + digest: digest for digest in digests}
        at = self.request.depth if depth is None else depth
        found = self.cache.get_many(
            list(keys), part, self.scan, lambda record: self._is_right(record, at)
        )
        return {keys[key]: value for key, value in found.items()}

    def look_up(self, digests):
        """Return the values that the cache has, by digest."""
        return self._find(digests, self.namespace, self.part)

    def claim(self, digests):
        """Return those digests that this call is to run."""
        if self.cache is None:
            return set(digests)
        keys = {self.namespace + digest: digest for digest in digests}
        granted = self.cache.claim(list(keys), self.part)
        self.claimed |= granted
        return {keys[key] for key in granted}

    def release(self, digests):
        """Give up rows that will not be run."""
        if self.cache is not None:
            # Another thread's claim on the same row is not this call's to give up.
            keys = {self.namespace + digest for digest in digests} & self.claimed
            self.cache.release(keys)
            self.claimed -= keys

    def release_all(self):
        """Give up what an error has left."""
        if self.claimed:
            self.cache.release(self.claimed)

    def wait(self):
        """Wait a little for the rows of others."""
        self.cache.wait()

    def resume(self, items):
        """Yield batches of the items that can go on from a shallower depth."""
        return ()

    def run(self, batch):
        """Run a batch, keep what it gives, and return one value for each row."""
        with turn(self.request.device, self.request.precision):
            records = self._records(batch)
        return self._keep(records, batch)

    def run_each(self, batches):
        """Run batches, keep what they give, and yield ``(batch, values)`` for each.

        On a CPU small batches of texts run on one core each, side by side.

        Parameters
        ----------
        batches : iterable of Batch
        """
        if not self._runs_side_by_side():
            for batch in batches:
                yield batch, self.run(batch)
            return
        batches = list(batches)
        small = [batch for batch in batches if is_small(batch)]
        for batch in (batch for batch in batches if not is_small(batch)):
            yield batch, self.run(batch)
        done = each_on_a_core(self._records, small, self.request.device)
        with contextlib.closing(done):
            for batch, records in zip(small, done, strict=True):
                yield batch, self._keep(records, batch)

    def _runs_side_by_side(self):
        request = self.request
        return request.device.type == "cpu" and request.backbone.modality == "text"

    def _records(self, batch):
        return halving(self._forward, batch, self.request.device)

    def _keep(self, records, batch):
        if self.cache is not None:
            keys = [self.namespace + digest for digest in batch.digests]
            records_by_key = dict(zip(keys, records, strict=True))
            if self.namespace not in self.noted:
                self.cache.note_origin(self.namespace, self.origin)
                self.noted.add(self.namespace)
            self.cache.put_many(records_by_key, self.part, self.scan)
            self.claimed.difference_update(keys)
        return [self._value(record) for record in records]

    def _value(self, record):
        return record if self.part is None else record[self.part]


class VectorRunner(_Runner):
    """Gives pooled vectors at one depth; with a cache it keeps those of all depths.

    The record of a row is the pooled vectors of all blocks, end to end, and a depth is
    a part of it.
    """

    def __init__(self, request, cache, scan=None):
        super().__init__(request, cache, scan=scan)
        backbone = request.backbone
        self.namespace = self._namespace(request.pooling)
        depths = range(1, len(backbone.blocks) + 1)
        keeps_all = cache is not None and cache._keeps_all_depths
        self.depths = list(depths) if keeps_all else [request.depth]
        # Where the vectors of each depth end in a record, and so the part of this one.
        ends = np.cumsum([backbone.widths[depth - 1] for depth in self.depths])
        self.width = backbone.widths[request.depth - 1]
        end = int(ends[self.depths.index(request.depth)])
        self.part = slice(end - self.width, end)
        self.length = int(ends[-1])
        self.candidates = candidates(
            request.engine, request.device, request.precision, backbone.modality
        )
        self.torch_namespace = self.namespace
        self._take_engine()

    def _take_engine(self):
        """Take the keys of the first engine that is not known to fail, or torch's."""
        request = self.request
        self.is_chosen = True
        self.function = None  # of a State: what an engine computes instead of torch
        self.namespace = self.torch_namespace
        for engine in self.candidates:
            self.key = EngineKey(
                engine,
                str(request.device),
                request.precision,
                request.pooling,
                request.preprocess.key,
                tuple(self.depths),
                images_at_once(request),
                os.getpid(),
            )
            self.is_chosen, self.function = known(request.backbone, self.key)
            if self.function is not None or not self.is_chosen:
                packages = versions(ENGINES[engine].packages)
                self.namespace = self._namespace(request.pooling, engine, packages)
                return

    def look_up(self, digests):
        """Return the values that the cache has, by digest.

        An engine is built when the first row is missing. Where another one or torch has
        to compute in its place, the keys are theirs from then on.
        """
        found = super().look_up(digests)
        while not self.is_chosen and len(found) < len(digests):
            request = self.request
            self.function = choose_engine(
                request.backbone,
                request.preprocess,
                self.key,
                request.device,
                warns=request.engine != AUTO,
            )
            self.is_chosen = self.function is not None
            if not self.is_chosen:
                self._take_engine()
                found = super().look_up(digests)
        return found

    def _is_right(self, record, depth):
        return record.shape == (self.length,) and record.dtype == np.float32

    def _runs_side_by_side(self):
        # Engines have threads of their own.
        return self.function is None and super()._runs_side_by_side()

    def _forward(self, batch):
        import torch

        request, ready = self.request, self.ready
        state = self._state(batch)
        if self.function is not None:
            return [row.copy() for row in self.function(state)[: len(batch.rows)]]
        pooled, done = [], 0
        with torch.inference_mode(), autocast(request.device, request.precision):
            for depth in self.depths:
                state = ready.run(state, done, depth)
                done = depth
                pooled.append(ready.pool(state, request.pooling, depth).float())
            matrix = torch.cat(pooled, dim=1)[: len(batch.rows)].cpu().numpy()
        return [row.copy() for row in matrix]


class ActivationRunner(_Runner):
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

    def _forward(self, batch):
        import torch

        request, ready = self.request, self.ready
        state = self._state(batch)
        if batch.start:
            state = state._replace(hidden=state.hidden.float())
        done = batch.start
        with torch.inference_mode(), autocast(request.device, request.precision):
            for depth in (*self.byproducts, request.depth):
                if depth <= done:
                    continue
                state = ready.run(state, done, depth)
                done = depth
                if depth < request.depth and self.cache is not None:
                    rows = self._rows(ready, state, len(batch.rows), depth)
                    keys = [self._at(depth) + digest for digest in batch.digests]
                    self.cache.keep_spare(dict(zip(keys, rows, strict=True)))
            if self.is_pooled:
                vectors = ready.pool(state, request.pooling, done).float().cpu()
                return [self._stored(row) for row in vectors[: len(batch.rows)].numpy()]
        return self._rows(ready, state, len(batch.rows), request.depth)

    def _rows(self, ready, state, n_rows, depth):
        rows = ready.unbatch(state._replace(hidden=state.hidden.float()))
        if self.request.backbone.modality == "image":
            shape = rows[0].shape
            if self.shapes.setdefault(depth, shape) != shape:
                raise ValueError(
                    f"The cache gave activations of shape {self.shapes[depth]} for an "
                    f"image, and the network computes {shape}. Clear the folder or the "
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


class InputRunner(_Runner):
    """Gives prepared rows as they are, for a network of which nothing is frozen."""

    def __init__(self, request):
        super().__init__(request, None, packed=False)  # the rows run elsewhere
        self.namespace = b""

    def run(self, batch):
        """Return the rows."""
        return batch.rows

    def _runs_side_by_side(self):
        return False
