"""Readers: from cells to prepared rows, and to batches of a fixed shape."""

import dataclasses
import functools
from concurrent.futures import Future, wait

from .._cells import digests
from .._cells.column import CellError
from .._cells.images import URLS, decode_image, hash_image, read_image
from .._cells.texts import hash_text, read_text
from .._untrusted.web import Fetcher
from .._utils.threads import readers

IMAGES_A_CHUNK = 64
TEXTS_A_CHUNK = 4096
# Measured on 2 CPU cores: larger activations spill out of the last-level cache.
CPU_IMAGE_BATCH, GPU_IMAGE_BATCH = 4, 64
CPU_TOKENS, GPU_TOKENS = 256, 16384
# Texts are padded to multiples of 4 tokens, above 32 tokens of 8. On banking77 that is
# 1.15 times its tokens, rows of padding included; with 8 throughout it was 1.26.
SHORT_STEP, LONG_STEP, SHORT_LENGTH = 4, 8, 32


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows that run together.

    Attributes
    ----------
    positions : list of int
        Positions of the rows among the prepared ones.
    rows : list of ndarray
    n_rows : int
        Rows to pad to.
    length : int or None
        Tokens to pad to.
    start : int
        Blocks that the rows went through already.
    """

    positions: list
    rows: list
    n_rows: int
    length: int | None = None
    start: int = 0

    def halves(self):
        """Return two batches of half the size."""
        size = -(-self.n_rows // 2)
        parts = (slice(0, size), slice(size, None))
        return [
            dataclasses.replace(
                self, positions=self.positions[p], rows=self.rows[p], n_rows=size
            )
            for p in parts
            if self.rows[p]
        ]


class ImageReader:
    """Cells of images: read and decoded in threads, ahead of the network.

    Parameters
    ----------
    source : str
        How to interpret a string.
    max_pixels : int, default=None
        Limit on the pixels of one image; None is Pillow's.
    """

    chunk_size = IMAGES_A_CHUNK

    def __init__(self, source, max_pixels=None):
        self.source, self.max_pixels = source, max_pixels
        # One reader a call, so that a URL in many rows is fetched once.
        self.fetch = Fetcher(private=source != "url").fetch if source in URLS else None
        self.deepest: list[int] = []  # greatest value of each image of 16 bits
        self._started: list[Future] = []

    def recall(self, cells):
        """Return one digest for each cell, or None where it has to be read."""
        if self.source != "path":
            return [None] * len(cells)
        return [digests.recall(cell, self.max_pixels) for cell in cells]

    def read(self, cells):
        """Return one ``(digest, content)`` or CellError for each cell."""
        return [future.result() for future in self._start(self._read_one, cells)]

    def _read_one(self, cell):
        try:
            remember = digests.before_reading(cell, self.max_pixels)
            content = read_image(
                cell, self.source, self.deepest.append, self.max_pixels, self.fetch
            )
            digest = hash_image(content)
            if self.source == "path":
                remember(digest)
            return digest, content
        except CellError as err:
            return err

    def _start(self, function, items):
        pool = readers()
        # All are known to `close` before the first can fail.
        self._started = [future for future in self._started if not future.done()]
        first = len(self._started)
        for item in items:
            self._started.append(pool.submit(function, item))
        return self._started[first:]

    def prepare(self, contents, preprocess):
        """Start decoding; return one future for each content."""
        decode = functools.partial(
            _decode, preprocess=preprocess, on_deep=self.deepest.append
        )
        return self._start(decode, contents)

    def batches(self, prepared, request):
        """Yield each `Batch`, or ``(position, CellError)`` for a bad row."""
        if request.device.type == "cpu":
            # The network's threads wait for each other at every layer, so threads
            # that decode beside them cost more than they gain.
            wait(prepared)
        size = image_batch_size(request)
        positions, rows = [], []
        for position, future in enumerate(prepared):
            row = future.result()
            if isinstance(row, CellError):
                yield position, row
                continue
            positions.append(position)
            rows.append(row)
            if len(rows) == size:
                yield Batch(positions, rows, size)
                positions, rows = [], []
        if rows:
            yield Batch(positions, rows, size)

    def close(self):
        """Leave nothing behind in the threads, which others use, too."""
        for future in self._started:
            future.cancel()
        wait(self._started)


def _decode(content, preprocess, on_deep):
    """Return prepared pixels, or a CellError: whatever is wrong, it is one row's."""
    try:
        return preprocess.prepare(decode_image(content, on_deep))
    except CellError as err:
        return err
    except Warning:
        raise  # turned into an error by the caller's filters
    except Exception as err:
        reason = CellError(f"it cannot be prepared ({type(err).__name__}: {err})")
        reason.__cause__ = err
        return reason


class TextReader:
    """Cells of text: tokenized together, run in batches of like lengths.

    Parameters
    ----------
    prompt : str
        Put in front of each text.
    """

    chunk_size = TEXTS_A_CHUNK
    deepest: tuple[int, ...] = ()  # texts have no bits

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
        yield from token_batches(prepared, request)

    def close(self):
        """Nothing is held."""


def image_batch_size(request):
    """Return how many images run together."""
    if request.batch_size != "auto":
        return request.batch_size
    return CPU_IMAGE_BATCH if request.device.type == "cpu" else GPU_IMAGE_BATCH


def token_batches(rows, request, start=0):
    """Yield batches of rows of like lengths, long ones first.

    Rows are token ids, or what they have become after `start` blocks.
    """
    limit = request.preprocess.max_length
    groups: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        length = min(padded_length(len(row)), limit)
        groups.setdefault(length, []).append(position)
    budget = CPU_TOKENS if request.device.type == "cpu" else GPU_TOKENS
    for length, positions in sorted(groups.items(), reverse=True):
        size = request.batch_size
        if size == "auto":
            size = max(1, budget // length)
        for first in range(0, len(positions), size):
            part = positions[first : first + size]
            yield Batch(part, [rows[i] for i in part], size, length, start)


def is_small(batch):
    """Whether a batch of texts is one that a core alone should run."""
    return batch.n_rows * batch.length <= 2 * CPU_TOKENS


def padded_length(length):
    """Return how many tokens a text of `length` runs with: a matter of it alone."""
    step = SHORT_STEP if length <= SHORT_LENGTH else LONG_STEP
    return -(-length // step) * step


def activation_batches(rows, request, start):
    """Yield batches of activations after `start` blocks."""
    if request.backbone.modality == "text":
        yield from token_batches(rows, request, start)
        return
    size = image_batch_size(request)
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        yield Batch(list(range(first, first + len(part))), part, size, None, start)
