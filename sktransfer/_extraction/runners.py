"""Runners: run batches through a network, and know what the cache has of them."""

import contextlib
import hashlib
import os
from typing import Any, NamedTuple

import numpy as np

from .._utils.arithmetic import arithmetic_of, autocast
from .._utils.device_memory import InParts
from .._utils.turns import each_on_a_core, turn
from ..backbones._engines.builders import AUTO, ENGINES
from ..backbones._engines.choose import EngineKey, candidates, choose_engine, known
from ..backbones._engines.prepare import prepare_for_inference
from ..backbones._identity import versions
from ..backbones._state import State
from ..cache._memory import new_scan
from .batches import images_at_once, is_small
from .transfers import Transfers, Way


class Request(NamedTuple):
    """Resolved settings of a computation.

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
    decoder : {"host", "device"}
        Place that decodes and resizes plain JPEGs.
    """

    backbone: Any
    preprocess: object
    depth: int
    pooling: str
    batch_size: object
    device: object
    precision: str
    engine: str = "torch"
    decoder: str = "host"

    @property
    def n_behind(self) -> int:
        """Number of blocks behind the depth."""
        return len(self.backbone.blocks) - self.depth


class Runner:
    """Base of the runners: keys, claims, and turns on the device.

    A subclass gives `_compute`, `_records_of` and `_is_right`.
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
        if request.decoder != "host":  # other pixels, by a level or some
            self.origin["decoder"] = f"{request.decoder} {versions(['torchcodec'])}"
        self.parts = InParts(request.device)
        self.claimed = set()
        self.noted = set()  # namespaces whose origin the cache was told
        self.scan = new_scan() if scan is None else scan

    def _compute(self, state, batch):
        """Run a batch that is on the device; return states, which are there too."""
        raise NotImplementedError

    def _records_of(self, batch, states):
        """Return one record for each row, of states on the host."""
        raise NotImplementedError

    def _forward(self, batch):
        """Return one record for each row of a batch."""
        transfers = Transfers(self.request.device)
        state = transfers.arrived(transfers.send(self.ready, batch))
        fetched = transfers.fetch(self._compute(state, batch))
        return self._records_of(batch, fetched())

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
        if self.request.device.type != "cpu":
            yield from self._way().run(batches)
            return
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
        return self.request.backbone.modality == "text"

    def _records(self, batch):
        return self.parts.run(self._forward, batch)

    def _way(self):
        return Way(
            self.request,
            self.ready,
            compute=self._compute,
            finish=lambda batch, states: self._keep(
                self._records_of(batch, states), batch
            ),
            alone=self.run,
            parts=self.parts,
        )

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


class VectorRunner(Runner):
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

    def _compute(self, state, batch):
        import torch

        request, ready = self.request, self.ready
        if self.function is not None:
            return [State(torch.from_numpy(self.function(state)))]
        pooled, done = [], 0
        with torch.inference_mode(), autocast(request.device, request.precision):
            for depth in self.depths:
                state = ready.run(state, done, depth)
                done = depth
                pooled.append(ready.pool(state, request.pooling, depth).float())
            return [State(torch.cat(pooled, dim=1))]

    def _records_of(self, batch, states):
        (vectors,) = states
        return [row.copy() for row in vectors.hidden[: len(batch.rows)].numpy()]
