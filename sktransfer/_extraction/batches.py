"""Batches: which rows run together, and in which shape.

Rows come chunk by chunk, and batches fill across chunks. With ``batch_size="auto"`` on
a CPU every batch has one shape, whatever the number of rows: what a row becomes does
not depend on the rows beside it, bitwise. Otherwise only the last rows are padded, to a
few shapes (`ladder`).
"""

import dataclasses
from typing import Any, NamedTuple

# Measured on 2 CPU cores: larger activations spill out of the last-level cache. A GPU
# wants few launches; where its memory is too small, batches are halved.
CPU_IMAGE_BATCH, GPU_IMAGE_BATCH = 4, 256
CPU_TOKENS, GPU_TOKENS = 256, 65536
GPU_ENGINE_BATCH = 64  # images that a compiled network takes, however few there are
# Texts are padded to multiples of 4 tokens, above 32 tokens of 8. On banking77 that is
# 1.15 times its tokens, rows of padding included; with 8 throughout it was 1.26.
SHORT_STEP, LONG_STEP, SHORT_LENGTH = 4, 8, 32
# A GPU takes fewer lengths, an eighth to a quarter apart, and last rows as they are:
# 20,000 texts of 37 tokens on average make 22 batches with 8 % of padding, and not 132.
STEPS_AN_OCTAVE = 4
MOST_PADDING = 1 / 8  # of the rows of a last batch


class Item(NamedTuple):
    """A row that is to run.

    Attributes
    ----------
    row : int
        Position of its cell.
    digest : bytes
        Name of its content.
    """

    row: int
    digest: bytes


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows that run together.

    Attributes
    ----------
    items : list of Item
    rows : list of ndarray
        Prepared content of each item.
    n_rows : int
        Rows to pad to.
    length : int or None
        Tokens to pad to.
    start : int
        Blocks that the rows went through already.
    """

    items: list
    rows: list
    n_rows: int
    length: int | None = None
    start: int = 0

    @property
    def size(self) -> int:
        """Images, or tokens, padding included."""
        return self.n_rows * (self.length or 1)

    @property
    def digests(self) -> list:
        """Names of the contents."""
        return [item.digest for item in self.items]

    def halves(self) -> list:
        """Return two batches of half the size."""
        size = -(-self.n_rows // 2)
        parts = (slice(0, size), slice(size, None))
        return [
            dataclasses.replace(
                self, items=self.items[p], rows=self.rows[p], n_rows=size
            )
            for p in parts
            if self.rows[p]
        ]


def ladder(n_rows, size):
    """Return the shapes of batches for `n_rows`, of at most `size` rows each.

    Whole batches first, and then powers of two: few shapes, which graphs and compilers
    like, and at most an eighth of padding in the last one.
    """
    shapes = [size] * (n_rows // size)
    left = n_rows % size
    while left:
        # Up to the next power of two, if that is near; else the one below, and again.
        shape = min(1 << (left - 1).bit_length(), size)
        if shape - left > MOST_PADDING * left:
            shape = 1 << (left.bit_length() - 1)
        shapes.append(shape)
        left = max(0, left - shape)
    return shapes


class _Filling:
    """Rows that wait until their batch is full.

    A subclass gives ``_size(key)``, rows of a batch whose rows have that key, and
    ``_key(row)``.
    """

    def __init__(self, request, start=0):
        self.request, self.start = request, start
        self.is_cpu = request.device.type == "cpu"
        self.is_fixed = self.is_cpu and request.batch_size == "auto"
        self.waiting: dict[Any, list] = {}  # key -> pairs of an item and its row

    def _key(self, row):
        raise NotImplementedError

    def _size(self, key):
        raise NotImplementedError

    def _shapes(self, n_rows, size):
        """Return how many rows the batches have that the last rows fill."""
        return [size] if self.is_fixed else ladder(n_rows, size)

    def add(self, pairs):
        """Take ``(item, row)`` pairs; yield each batch that is full."""
        for pair in pairs:
            key = self._key(pair[1])
            group = self.waiting.setdefault(key, [])
            group.append(pair)
            if len(group) == self._size(key):
                yield self._batch(self.waiting.pop(key), len(group), key)

    def rest(self):
        """Yield what is left, padded."""
        # Long texts first, which take longest; images have one key.
        for key in sorted(self.waiting, reverse=True):
            group = self.waiting[key]
            for n_rows in self._shapes(len(group), self._size(key)):
                yield self._batch(group[:n_rows], n_rows, key)
                group = group[n_rows:]
        self.waiting = {}

    def _batch(self, pairs, n_rows, length=None):
        items, rows = map(list, zip(*pairs, strict=True))
        return Batch(items, rows, n_rows, length, self.start)


class FillingBySize(_Filling):
    """Rows of one shape, such as images."""

    def _key(self, row):
        return None

    def _size(self, key):
        return image_batch_size(self.request)


class FillingByLength(_Filling):
    """Token ids, or what they have become after some blocks, by their length."""

    def _key(self, row):
        padded = padded_length if self.is_cpu else coarse_length
        return min(padded(len(row)), self.request.preprocess.max_length)

    def _size(self, key):
        size = self.request.batch_size
        budget = CPU_TOKENS if self.is_cpu else GPU_TOKENS
        return max(1, budget // key) if size == "auto" else size

    def _shapes(self, n_rows, size):
        # On a GPU launches cost more than another shape does.
        return super()._shapes(n_rows, size) if self.is_cpu else [n_rows]


def filling(request, start=0):
    """Return what makes batches of rows after `start` blocks."""
    is_text = request.backbone.modality == "text"
    return (FillingByLength if is_text else FillingBySize)(request, start)


def image_batch_size(request):
    """Return how many images run together."""
    if request.batch_size != "auto":
        return request.batch_size
    return auto_image_batch(request.device)


def auto_image_batch(device):
    """Return what ``batch_size="auto"`` stands for."""
    return CPU_IMAGE_BATCH if device.type == "cpu" else GPU_IMAGE_BATCH


def images_at_once(request):
    """Return how many images an engine takes at a time; None of texts."""
    if request.backbone.modality != "image":
        return None
    most = CPU_IMAGE_BATCH if request.device.type == "cpu" else GPU_ENGINE_BATCH
    return min(image_batch_size(request), most)


def is_small(batch):
    """Whether a batch of texts is one that a core alone should run."""
    return batch.n_rows * batch.length <= 2 * CPU_TOKENS


def padded_length(length):
    """Return how many tokens a text of `length` runs with: a matter of it alone."""
    step = SHORT_STEP if length <= SHORT_LENGTH else LONG_STEP
    return -(-length // step) * step


def coarse_length(length):
    """Return how many tokens a text of `length` runs with on a GPU."""
    octave = 1 << max(0, length.bit_length() - 1)
    step = max(SHORT_STEP, octave // STEPS_AN_OCTAVE)
    return -(-length // step) * step
