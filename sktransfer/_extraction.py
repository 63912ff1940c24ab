"""The one batched loop: read -> look up -> prepare -> run -> pool -> keep.

Rows arrive as cells and leave as one float32 matrix. Each distinct row runs once a
call, and not at all if the cache has it. Batches are padded to a fixed shape, so that
a row's vector does not depend on the rows beside it.
"""

import contextlib
import dataclasses
import hashlib
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from ._allocator import kept_pages
from ._images import decode_image, hash_image, read_image
from ._texts import hash_text, read_text
from ._torch import autocast, turn
from ._validation import CellError
from .backbones._engine import prepare_for_inference

IMAGES_A_CHUNK = 64
TEXTS_A_CHUNK = 4096
# With a folder, processes share the work by chunks; smaller ones fill fewer batches
# (5 % slower on 2,500 short texts).
ROWS_A_CLAIM = 1024
PATIENCE_S = 300.0  # with others' rows, when none of them arrives
# Measured on 2 CPU cores: larger activations spill out of the last-level cache.
CPU_IMAGE_BATCH, GPU_IMAGE_BATCH = 4, 64
CPU_TOKENS, GPU_TOKENS = 256, 16384
LENGTH_STEP = 8  # texts are padded to multiples of this many tokens
MAX_THREADS = 8


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
    """

    backbone: object
    preprocess: object
    depth: int
    pooling: str
    batch_size: object
    device: object
    precision: str


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows that run together.

    Attributes
    ----------
    positions : list of int
        Where the rows stand among the prepared ones.
    rows : list of ndarray
    n_rows : int
        Rows to pad to.
    length : int or None
        Tokens to pad to.
    """

    positions: list
    rows: list
    n_rows: int
    length: int | None


class ImageReader:
    """Cells of pictures: read and decoded in threads, ahead of the network.

    Parameters
    ----------
    source : str
        What a string is.
    """

    chunk_size = IMAGES_A_CHUNK

    def __init__(self, source):
        import torch

        self.source = source
        # A joblib worker's share of the cores, which torch knows.
        n_threads = min(MAX_THREADS, torch.get_num_threads())
        self.threads = ThreadPoolExecutor(n_threads, thread_name_prefix="sktransfer")

    def read(self, cells):
        """Return one ``(digest, content)`` or CellError for each cell."""
        return list(self.threads.map(self._read_one, cells))

    def _read_one(self, cell):
        try:
            content = read_image(cell, self.source)
            return hash_image(content), content
        except CellError as err:
            return err

    def prepare(self, contents, preprocess):
        """Start decoding; return one future for each content."""
        return [self.threads.submit(_decode, c, preprocess) for c in contents]

    def batches(self, prepared, request):
        """Yield each `Batch`, or ``(position, CellError)`` for a bad row."""
        size, on_cpu = request.batch_size, request.device.type == "cpu"
        if size == "auto":
            size = CPU_IMAGE_BATCH if on_cpu else GPU_IMAGE_BATCH
        if on_cpu:
            # The network's threads wait for each other at every layer, so threads
            # that decode beside them cost more than they gain.
            wait(prepared)
        positions, rows = [], []
        for position, future in enumerate(prepared):
            row = future.result()
            if isinstance(row, CellError):
                yield position, row
                continue
            positions.append(position)
            rows.append(row)
            if len(rows) == size:
                yield Batch(positions, rows, size, None)
                positions, rows = [], []
        if rows:
            yield Batch(positions, rows, size, None)

    def close(self):
        """Stop the threads."""
        self.threads.shutdown(wait=True, cancel_futures=True)


def _decode(content, preprocess):
    try:
        return preprocess.prepare(decode_image(content))
    except CellError as err:
        return err


class TextReader:
    """Cells of text: tokenized together, run in batches of like lengths.

    Parameters
    ----------
    prompt : str
        Put in front of each text.
    """

    chunk_size = TEXTS_A_CHUNK

    def __init__(self, prompt):
        self.prompt = prompt

    def read(self, cells):
        """Return one ``(digest, content)`` or CellError for each cell."""
        return [self._read_one(cell) for cell in cells]

    def _read_one(self, cell):
        try:
            text = self.prompt + read_text(cell)
            return hash_text(text), text
        except CellError as err:
            return err

    def prepare(self, contents, preprocess):
        """Tokenize; return one array of ids for each content."""
        return preprocess.prepare(contents) if contents else []

    def batches(self, prepared, request):
        """Yield each `Batch`, long texts first."""
        limit = request.preprocess.max_length
        groups = {}
        for position, ids in enumerate(prepared):
            length = min(-(-len(ids) // LENGTH_STEP) * LENGTH_STEP, limit)
            groups.setdefault(length, []).append(position)
        budget = CPU_TOKENS if request.device.type == "cpu" else GPU_TOKENS
        for length, positions in sorted(groups.items(), reverse=True):
            size = request.batch_size
            if size == "auto":
                size = max(1, budget // length)
            for start in range(0, len(positions), size):
                part = positions[start : start + size]
                yield Batch(part, [prepared[i] for i in part], size, length)

    def close(self):
        """Nothing is held."""


def extract(cells, reader, request, cache, *, on_error, on_progress):
    """Encode cells.

    Parameters
    ----------
    cells : sequence
        Non-null cells.
    reader : ImageReader or TextReader
        Closed at the end.
    request : Request
    cache : FeatureCache or None
    on_error : callable
        Called with a position in `cells` and a CellError; may raise to stop.
    on_progress : callable
        Called with a number of finished rows.

    Returns
    -------
    ndarray of shape (n_cells, width), float32
        NaN where a cell could not be used.
    """
    encoder = _Encoder(request, cache)
    out = np.full((len(cells), encoder.width), np.nan, dtype=np.float32)
    first_row = {}  # digest -> the first row with that content
    repeats, errors = [], {}
    waiting = {}  # digest -> row: another thread or process computes it
    run_now = set()  # digests that this call waits for no longer

    def fail(row, error):
        errors[row] = error
        on_error(row, error)

    def look_up(fresh):
        """Fill in the rows that the cache has; leave the others in `fresh`."""
        found = encoder.look_up(list(fresh))
        for digest, vector in found.items():
            out[fresh.pop(digest)] = vector
        on_progress(len(found))

    def start(rows):
        """Read and look up rows; start preparing what is this call's to run."""
        fresh, contents = {}, {}  # digest -> row, content
        n_done = 0
        results = reader.read([cells[row] for row in rows])
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, CellError):
                fail(row, result)
                n_done += 1
                continue
            digest, content = result
            first = first_row.setdefault(digest, row)
            if first != row:
                repeats.append((row, first))
                n_done += 1
                continue
            fresh[digest], contents[digest] = row, content
        on_progress(n_done)
        look_up(fresh)
        mine = encoder.claim(list(fresh)) | run_now
        for digest in [digest for digest in fresh if digest not in mine]:
            waiting[digest] = fresh.pop(digest)
        to_run = [contents[digest] for digest in fresh]
        return list(fresh.values()), list(fresh), reader.prepare(to_run, preprocess)

    def run(rows):
        """Start rows chunk by chunk, and run what is to run."""
        size = reader.chunk_size
        if cache is not None and cache.folder is not None:
            size = min(size, ROWS_A_CLAIM)
        starts = map(start, (rows[i : i + size] for i in range(0, len(rows), size)))
        if request.device.type != "cpu":
            starts = _one_ahead(starts)
        for chunk, digests, prepared in starts:
            for batch in reader.batches(prepared, request):
                if isinstance(batch, tuple):
                    position, error = batch
                    encoder.release([digests[position]])
                    fail(chunk[position], error)
                    on_progress(1)
                    continue
                vectors = encoder.run(batch, [digests[i] for i in batch.positions])
                for position, vector in zip(batch.positions, vectors, strict=True):
                    out[chunk[position]] = vector
                on_progress(len(vectors))

    preprocess = request.preprocess
    with contextlib.ExitStack() as stack:
        stack.callback(reader.close)
        stack.callback(encoder.release_all)
        if request.device.type == "cpu":
            stack.enter_context(kept_pages())
        run(range(len(cells)))
        # Nothing is claimed here any more, so that nobody waits for one who waits.
        n_left, since = len(waiting), time.monotonic()
        while waiting:
            look_up(waiting)
            mine = encoder.claim(list(waiting))
            if len(waiting) < n_left:
                n_left, since = len(waiting), time.monotonic()
            elif time.monotonic() - since > PATIENCE_S:
                mine = set(waiting)
            if mine:
                run_now |= mine
                run(sorted(waiting.pop(digest) for digest in mine))
            elif waiting:
                encoder.wait()
    for row, first in repeats:
        out[row] = out[first]
        if first in errors:
            fail(row, errors[first])
    return out


def _one_ahead(iterable):
    """Start the next item before giving this one."""
    ahead = deque()
    for item in iterable:
        ahead.append(item)
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


class _Encoder:
    """Runs batches and keeps their records under keys."""

    def __init__(self, request, cache):
        self.request, self.cache = request, cache
        backbone = request.backbone
        self.ready, tag = prepare_for_inference(backbone, request.device)
        what = (
            backbone.fingerprint,
            request.preprocess.key,
            request.pooling,
            request.precision,
            tag,
        )
        self.namespace = hashlib.blake2b(repr(what).encode(), digest_size=20).digest()
        # With a cache the pass keeps every depth: the record of a row is the pooled
        # vectors of all blocks, end to end, and a depth is a part of it.
        depths = range(1, len(backbone.blocks) + 1)
        self.depths = [request.depth] if cache is None else list(depths)
        ends = np.cumsum([backbone.widths[depth - 1] for depth in self.depths])
        self.width = backbone.widths[request.depth - 1]
        self.claimed = set()
        end = int(ends[self.depths.index(request.depth)])
        self.part = slice(end - self.width, end)

    def look_up(self, digests):
        """Return the vectors that the cache has, by digest."""
        if self.cache is None:
            return {}
        keys = {self.namespace + digest: digest for digest in digests}
        vectors = self.cache.get_many(list(keys), self.part)
        return {keys[key]: vector for key, vector in vectors.items()}

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

    def run(self, batch, digests):
        """Run a batch, keep its records, and return its vectors."""
        with turn(self.request.device):
            records = self._forward(batch)
        if self.cache is not None:
            keys = [self.namespace + digest for digest in digests]
            self.cache.put_many(dict(zip(keys, records, strict=True)), self.part)
            self.claimed.difference_update(keys)
        return [record[self.part] for record in records]

    def _forward(self, batch):
        import torch

        request, ready = self.request, self.ready
        state = ready.batch(batch.rows, n_rows=batch.n_rows, length=batch.length)
        state = state.to(request.device)
        pooled, done = [], 0
        with torch.inference_mode(), autocast(request.device, request.precision):
            for depth in self.depths:
                state = ready.run(state, done, depth)
                done = depth
                pooled.append(ready.pool(state, request.pooling, depth).float())
            matrix = torch.cat(pooled, dim=1)[: len(batch.rows)].cpu().numpy()
        return [row.copy() for row in matrix]
