"""Readers: from cells to contents, and from contents to what a network takes."""

import functools
from collections import Counter, defaultdict
from concurrent.futures import Future, wait

from .._cells import digests
from .._cells.column import CellError
from .._cells.decoders import decode_jpegs
from .._cells.images import URLS, decode_image, hash_image, read_image
from .._cells.texts import hash_text, read_text
from .._untrusted.web import Fetcher
from .._utils.threads import n_readers, readers

IMAGES_A_CHUNK = 64
IMAGES_A_DECODE = 32  # that a card decodes in one call
TASKS_A_THREAD = 4  # of a chunk, so that threads end together
TEXTS_A_CHUNK = 4096
BYTES_A_LETTER = 4  # at most; a token has one at least
# Texts that this process has cut, by network: those that come from the cache later are
# not tokenized again.
MOST_CUT_TEXTS = 2**18
_cut_texts: defaultdict[tuple[str, int], set[bytes]] = defaultdict(set)


class _Reader:
    """Tasks that a reader gives to threads, and that are done when it is closed."""

    def __init__(self):
        self._started: list[Future] = []

    def _submit(self, calls):
        """Start functions in the threads; return a future for each."""
        pool = readers()
        # All are known to `close` before the first can fail.
        self._started = [future for future in self._started if not future.done()]
        first = len(self._started)
        for call in calls:
            self._started.append(pool.submit(call))
        return self._started[first:]

    def close(self):
        """Leave nothing behind in the threads, which others use, too."""
        for future in self._started:
            future.cancel()
        wait(self._started)


class ImageReader(_Reader):
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
        super().__init__()
        self.source, self.max_pixels = source, max_pixels
        # One reader a call, so that a URL in many rows is fetched once.
        self.fetch = Fetcher(private=source != "url").fetch if source in URLS else None
        self.deepest: list[int] = []  # greatest value of each image of 16 bits

    def recall(self, cells):
        """Return one digest for each cell, or None where it has to be read."""
        if self.source != "path":
            return [None] * len(cells)
        return [digests.recall(cell, self.max_pixels) for cell in cells]

    def read(self, cells):
        """Return one ``(digest, content)`` or CellError for each cell."""
        started = self._start(self._read_one, cells)
        return [result for future in started for result in future.result()]

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
        """Return futures, each of the results of some items; together, of all in order.

        A future costs as much as to hash a small image.
        """
        size = max(1, len(items) // (TASKS_A_THREAD * n_readers()))
        return self._start_groups(functools.partial(_each, function), items, size)

    def _start_groups(self, function, items, size):
        starts = range(0, len(items), size)
        return self._submit(
            functools.partial(function, items[start : start + size]) for start in starts
        )

    def prepare(self, contents, request):
        """Start decoding; return what `results` takes."""
        preprocess = request.preprocess
        decode = functools.partial(
            _decode, preprocess=preprocess, on_deep=self.deepest.append
        )
        if request.decoder == "device" and preprocess._runs_on_tensors:
            decode_all = functools.partial(
                _decode_on, request.device, preprocess=preprocess, decode=decode
            )
            return self._start_groups(decode_all, contents, IMAGES_A_DECODE)
        return self._start(decode, contents)

    def results(self, prepared, device):
        """Yield a row, or the CellError that is in its place, for each content."""
        if device.type == "cpu":
            # The network's threads wait for each other at every layer, so threads
            # that decode beside them cost more than they gain.
            wait(prepared)
        for future in prepared:
            yield from future.result()


def _each(function, items):
    return [function(item) for item in items]


def _decode(content, preprocess, on_deep):
    """Return prepared pixels, or a CellError: whatever is wrong, it is one row's."""
    try:
        return preprocess.prepare(decode_image(content, on_deep, preprocess.enough))
    except CellError as err:
        return err
    except Warning:
        raise  # turned into an error by the caller's filters
    except Exception as err:
        reason = CellError(f"it cannot be prepared ({type(err).__name__}: {err})")
        reason.__cause__ = err
        return reason


def _decode_on(device, contents, preprocess, decode):
    """Decode and resize plain JPEGs on a device, and all else here."""
    rows = preprocess._prepare_tensors(decode_jpegs(contents, device))
    return [
        rows[i] if i in rows else decode(content) for i, content in enumerate(contents)
    ]


class TextReader(_Reader):
    """Cells of text: tokenized together.

    Parameters
    ----------
    prompt : str
        Put in front of each text.
    request : Request
    """

    chunk_size = TEXTS_A_CHUNK
    deepest: tuple[int, ...] = ()  # texts have no bits

    def __init__(self, prompt, request):
        super().__init__()
        self.prompt, self.preprocess = prompt, request.preprocess
        self.cut_before = _cut_texts[
            request.backbone.fingerprint, self.preprocess.max_length
        ]
        self.cut_now: set[bytes] = set()
        self.long_ones: Counter[bytes] = Counter()  # rows of each that may be cut

    @property
    def n_cut(self):
        """Rows whose text has more tokens than the network is given."""
        return sum(
            n
            for digest, n in self.long_ones.items()
            if digest in self.cut_now or digest in self.cut_before
        )

    def read(self, cells):
        """Return one ``(digest, content)`` or CellError for each cell."""
        return [self._read_one(cell) for cell in cells]

    def _read_one(self, cell):
        try:
            text = self.prompt + read_text(cell)
            digest = hash_text(text)
            if len(text) * BYTES_A_LETTER >= self.preprocess.max_length:
                self.long_ones[digest] += 1
            return digest, text
        except CellError as err:
            return err

    def prepare(self, contents, request):
        """Start tokenizing; return what `results` takes."""
        if not contents:
            return list
        tokenize = functools.partial(self._tokenize, contents)
        if request.device.type == "cpu":
            # Tokenizers have threads of their own, and the network needs the cores.
            return tokenize
        (started,) = self._submit([tokenize])
        return started.result

    def _tokenize(self, texts):
        """Return the ids of each text, and note which were cut."""
        most = self.preprocess.max_length
        ids = self.preprocess.prepare(texts)
        full = [text for text, row in zip(texts, ids, strict=True) if len(row) >= most]
        if full:
            longer = self.preprocess.tokenize(full, most + 1)
            for text, row in zip(full, longer, strict=True):
                if len(row) > most:
                    self.cut_now.add(hash_text(text))
            if len(self.cut_before) < MOST_CUT_TEXTS:
                self.cut_before.update(self.cut_now)
        return ids

    def results(self, prepared, device):
        """Yield the ids of each content."""
        yield from prepared()
