"""The one loop: read -> look up -> claim -> prepare -> batch -> run -> keep.

Rows arrive as cells and leave as vectors or activations. Each distinct row runs once a
call, and not at all if the cache has it.
"""

import contextlib
import itertools
import time
import warnings
from collections import deque

import numpy as np

from .._cells.column import CellError, pick
from .._utils.allocator import do_nothing, kept_pages
from .batches import GPU_IMAGE_BATCH, Item, filling

# With a folder, processes share the work by chunks; smaller ones fill fewer batches
# (5 % slower on 2,500 short texts).
ROWS_A_CLAIM = 1024
PATIENCE_S = 300.0  # with others' rows, when none of them arrives


def extract(cells, reader, runner, out, *, on_error, on_progress):
    """Run cells through a network.

    Parameters
    ----------
    cells : sequence
        Non-null cells.
    reader : ImageReader or TextReader
        Closed at the end.
    runner : VectorRunner, ActivationRunner or InputRunner
    out : ndarray, list, Rows or Forward of n_cells
        Takes one value for each row; that of a cell that cannot be used stays.
    on_error : callable
        Called with a position in `cells` and a CellError; may raise to stop.
    on_progress : callable
        Called with a number of finished rows.
    """
    is_cpu = runner.request.device.type == "cpu"
    with contextlib.ExitStack() as stack:
        stack.callback(reader.close)
        stack.callback(runner.release_all)
        pages = kept_pages() if is_cpu else contextlib.nullcontext(do_nothing)
        tidy = stack.enter_context(pages)
        call = _Call(cells, reader, runner, out, on_error, on_progress, tidy)
        call.run(range(len(cells)))
        call.wait_for_others()
    call.fill_repeats()


class _Call:
    """State of one call: the rows it has seen, and those it waits for.

    Attributes
    ----------
    first_row : dict of bytes to int
        Digest -> the first row with that content.
    repeats : list of (int, int)
        Rows whose content has been seen, and the first ones with it.
    errors : dict of int to CellError
    waiting : dict of bytes to int
        Digest -> row that another thread or process computes.
    run_now : set of bytes
        Digests that are waited for no longer.
    """

    def __init__(self, cells, reader, runner, out, on_error, on_progress, tidy):
        self.cells, self.reader, self.runner, self.out = cells, reader, runner, out
        self.on_error, self.on_progress, self.tidy = on_error, on_progress, tidy
        self.request, self.cache = runner.request, runner.cache
        self.first_row: dict[bytes, int] = {}
        self.repeats: list[tuple[int, int]] = []
        self.errors: dict[int, CellError] = {}
        self.waiting: dict[bytes, int] = {}
        self.run_now: set[bytes] = set()

    @property
    def is_cpu(self):
        return self.request.device.type == "cpu"

    def run(self, rows):
        """Start rows chunk by chunk, and run what is to run."""
        size = self.reader.chunk_size
        if not self.is_cpu:
            size = max(size, GPU_IMAGE_BATCH)
        if self.cache is not None and self.cache.is_shared:
            size = min(size, ROWS_A_CLAIM)
        chunks = (rows[i : i + size] for i in range(0, len(rows), size))
        started = map(self._start, chunks)
        if self.is_cpu:
            for batches in self._batches(started):
                self._deliver(batches)
        else:
            # One stream of batches, so that the device never waits for a chunk to end.
            self._deliver(itertools.chain.from_iterable(self._batches(_ahead(started))))

    def _batches(self, started):
        """Yield the batches that each chunk fills, and those that are left."""
        batches = filling(self.request)
        for items, prepared, unread in started:
            yield batches.add(self._usable(items, prepared, unread))
            self.tidy()
        yield batches.rest()

    def _start(self, rows):
        """Read and look up rows; start preparing what is this call's to run."""
        fresh, contents = {}, {}  # digest -> row, content
        unread: deque[tuple[int, CellError]] = deque()
        n_done = 0
        if self.cache is not None and hasattr(self.reader, "recall"):
            rows = self._recall(rows)
        results = self.reader.read(pick(self.cells, rows))
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, CellError):
                unread.append((row, result))
                n_done += 1
                continue
            digest, content = result
            first = self.first_row.setdefault(digest, row)
            if first != row:
                self.repeats.append((row, first))
                n_done += 1
                continue
            fresh[digest], contents[digest] = row, content
        self.on_progress(n_done)
        self._look_up(fresh)
        # What others compute waits until the end (`waiting`), whether they are threads
        # of this process or of another: meanwhile this call does the rest.
        mine = self.runner.claim(list(fresh)) | self.run_now
        for digest in [digest for digest in fresh if digest not in mine]:
            self.waiting[digest] = fresh.pop(digest)
        items = [Item(row, digest) for digest, row in fresh.items()]
        resumed = set()
        for batch in self.runner.resume(items):
            resumed.update(batch.digests)
            self._hand_out(batch, self.runner.run(batch))
        items = [item for item in items if item.digest not in resumed]
        to_run = [contents[item.digest] for item in items]
        return items, self.reader.prepare(to_run, self.request), unread

    def _recall(self, rows):
        """Fill in rows of files that are known and cached; return the others."""
        known: dict[bytes, list[int]] = {}
        others = []
        digests = self.reader.recall(pick(self.cells, rows))
        for row, digest in zip(rows, digests, strict=True):
            if digest is None:
                others.append(row)
            else:
                known.setdefault(digest, []).append(row)
        left = {digest: same[0] for digest, same in known.items()}
        self._look_up(left)
        for digest, same in known.items():
            if digest in left:
                # It has to be read to be run, and may have changed since this look.
                others += same
                continue
            first = self.first_row.setdefault(digest, same[0])
            self.repeats.extend((row, first) for row in same if row != first)
            self.on_progress(len(same) - 1)
        return sorted(others)

    def _look_up(self, fresh):
        """Fill in the rows that the cache has; leave the others in `fresh`."""
        found = self.runner.look_up(list(fresh))
        for digest, value in found.items():
            self.out[fresh.pop(digest)] = value
        self.on_progress(len(found))

    def _usable(self, items, prepared, unread):
        """Yield items with what they are prepared to, and deal with bad rows.

        Rows that could not be read come in their order among those that cannot be
        prepared: an error names the first row, as a warning does.
        """
        results = self.reader.results(prepared, self.request.device)
        for item, row in zip(items, results, strict=True):
            while unread and unread[0][0] < item.row:
                self._fail(*unread.popleft())
            if isinstance(row, CellError):
                self.runner.release([item.digest])
                self._fail(item.row, row)
                self.on_progress(1)
            else:
                yield item, row
        while unread:
            self._fail(*unread.popleft())

    def _deliver(self, batches):
        """Run batches, and hand out what they give."""
        with contextlib.closing(self.runner.run_each(batches)) as results:
            for batch, values in results:
                self._hand_out(batch, values)

    def _hand_out(self, batch, values):
        for item, value in zip(batch.items, values, strict=True):
            self.out[item.row] = value
        self.on_progress(len(batch.items))

    def _fail(self, row, error):
        self.errors[row] = error
        self.on_error(row, error)

    def wait_for_others(self):
        """Fill in the rows that others compute, or compute them where they fail."""
        # Nothing is claimed here any more, so that nobody waits for one who waits.
        waiting = self.waiting
        n_left, since = len(waiting), time.monotonic()
        while waiting:
            self._look_up(waiting)
            # Whatever nobody has or computes any more, because its owner failed, was
            # killed, or could not keep it, is claimed here.
            mine = self.runner.claim(list(waiting))
            if len(waiting) < n_left:
                n_left, since = len(waiting), time.monotonic()
            elif time.monotonic() - since > PATIENCE_S:
                # The owner is alive and gives nothing: better twice than never.
                warnings.warn(
                    f"Waited {PATIENCE_S:.0f} s for {len(waiting)} rows that another "
                    "thread or process had claimed, and got none. They are computed "
                    "here as well.",
                    RuntimeWarning,
                    stacklevel=5,
                )
                mine = set(waiting)
            if mine:
                self.run_now |= mine
                self.run(sorted(waiting.pop(digest) for digest in mine))
            elif waiting:
                self.runner.wait()

    def fill_repeats(self):
        """Give rows of a content that has run what its first row has."""
        for row, first in self.repeats:
            if first in self.errors:
                self._fail(row, self.errors[first])
            elif isinstance(self.out, (np.ndarray, list)):
                self.out[row] = self.out[first]
            else:
                self.out.repeat(row, first)


def _ahead(iterable):
    """Start the next item before giving this one."""
    ahead: deque = deque()
    for item in iterable:
        ahead.append(item)
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead
