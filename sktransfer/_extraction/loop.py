"""The one batched loop: read -> look up -> claim -> prepare -> run -> keep.

Rows arrive as cells and leave as vectors or activations. Each distinct row runs once a
call, and not at all if the cache has it. Batches are padded to a fixed shape, so that
what a row becomes does not depend on the rows beside it.
"""

import contextlib
import time
import warnings
from collections import deque

import numpy as np

from .._cells.column import CellError, pick
from .._utils.allocator import do_nothing, kept_pages

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
    request, cache = runner.request, runner.cache
    first_row: dict[bytes, int] = {}  # digest -> the first row with that content
    repeats: list[tuple[int, int]] = []
    errors: dict[int, CellError] = {}
    waiting: dict[
        bytes, int
    ] = {}  # digest -> row: another thread or process computes it
    run_now: set[bytes] = set()  # digests that this call waits for no longer

    def fail(row, error):
        errors[row] = error
        on_error(row, error)

    def look_up(fresh):
        """Fill in the rows that the cache has; leave the others in `fresh`."""
        found = runner.look_up(list(fresh))
        for digest, value in found.items():
            out[fresh.pop(digest)] = value
        on_progress(len(found))

    def recall(rows):
        """Fill in rows of files that are known and cached; return the others."""
        known: dict[bytes, list[int]] = {}
        others = []
        for row, digest in zip(rows, reader.recall(pick(cells, rows)), strict=True):
            if digest is None:
                others.append(row)
            else:
                known.setdefault(digest, []).append(row)
        left = {digest: same[0] for digest, same in known.items()}
        look_up(left)
        for digest, same in known.items():
            if digest in left:
                # It has to be read to be run, and may have changed since this look.
                others += same
                continue
            first = first_row.setdefault(digest, same[0])
            repeats.extend((row, first) for row in same if row != first)
            on_progress(len(same) - 1)
        return sorted(others)

    def start(rows):
        """Read and look up rows; start preparing what is this call's to run."""
        fresh, contents = {}, {}  # digest -> row, content
        n_done = 0
        if cache is not None and hasattr(reader, "recall"):
            rows = recall(rows)
        results = reader.read(pick(cells, rows))
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
        # What others compute waits until the end (`waiting`), whether they are threads
        # of this process or of another: meanwhile this call does the rest.
        mine = runner.claim(list(fresh)) | run_now
        for digest in [digest for digest in fresh if digest not in mine]:
            waiting[digest] = fresh.pop(digest)
        for batch, digests in runner.resume(list(fresh)):
            deliver(
                [fresh.pop(digest) for digest in digests], runner.run(batch, digests)
            )
        to_run = [contents[digest] for digest in fresh]
        return list(fresh.values()), list(fresh), reader.prepare(to_run, preprocess)

    def deliver(rows, values):
        """Hand out what a batch has given."""
        for row, value in zip(rows, values, strict=True):
            out[row] = value
        on_progress(len(rows))

    def usable(chunk, digests, prepared):
        """Yield batches, and deal with rows that could not be prepared."""
        for batch in reader.batches(prepared, request):
            if isinstance(batch, tuple):
                position, error = batch
                runner.release([digests[position]])
                fail(chunk[position], error)
                on_progress(1)
            else:
                yield batch

    def run(rows):
        """Start rows chunk by chunk, and run what is to run."""
        size = reader.chunk_size
        if cache is not None and cache.is_shared:
            size = min(size, ROWS_A_CLAIM)
        starts = map(start, (rows[i : i + size] for i in range(0, len(rows), size)))
        if request.device.type != "cpu":
            starts = _one_ahead(starts)
        for chunk, digests, prepared in starts:
            batches = usable(chunk, digests, prepared)
            with contextlib.closing(runner.run_each(batches, digests)) as results:
                for batch, values in results:
                    deliver([chunk[i] for i in batch.positions], values)
            tidy()

    preprocess = request.preprocess
    with contextlib.ExitStack() as stack:
        stack.callback(reader.close)
        stack.callback(runner.release_all)
        is_cpu = request.device.type == "cpu"
        pages = kept_pages() if is_cpu else contextlib.nullcontext(do_nothing)
        tidy = stack.enter_context(pages)
        run(range(len(cells)))
        # Nothing is claimed here any more, so that nobody waits for one who waits.
        n_left, since = len(waiting), time.monotonic()
        while waiting:
            look_up(waiting)
            # Whatever nobody has or computes any more, because its owner failed, was
            # killed, or could not keep it, is claimed here.
            mine = runner.claim(list(waiting))
            if len(waiting) < n_left:
                n_left, since = len(waiting), time.monotonic()
            elif time.monotonic() - since > PATIENCE_S:
                # The owner is alive and gives nothing: better twice than never.
                warnings.warn(
                    f"Waited {PATIENCE_S:.0f} s for {len(waiting)} rows that another "
                    "thread or process says it computes, and none has come. They are "
                    "computed here, too.",
                    RuntimeWarning,
                    stacklevel=4,
                )
                mine = set(waiting)
            if mine:
                run_now |= mine
                run(sorted(waiting.pop(digest) for digest in mine))
            elif waiting:
                runner.wait()
    for row, first in repeats:
        if first in errors:
            fail(row, errors[first])
        elif isinstance(out, (np.ndarray, list)):
            out[row] = out[first]
        else:
            out.repeat(row, first)


def _one_ahead(iterable):
    """Start the next item before giving this one."""
    ahead: deque = deque()
    for item in iterable:
        ahead.append(item)
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead
