"""A part of a bulk job: its vectors, and its two files, each there whole or not."""

import contextlib

import numpy as np

from .._cells.column import CellError
from .._cells.parts import is_missing
from .._cells.texts import read_text
from .._utils.validation import dense, is_null
from .._utils.whole_file import write_whole
from ..encoders import TextEncoder
from ..exceptions import BulkError

NOT_THERE = "there is no such file"
NULL = "the cell is null"
REJECTED = "_rejected"
REASON, CELL = "reason", "rejected_cell"  # columns of the rejected rows
LONGEST_CELL = 200  # characters that are shown of it


def compute(encoder, cells, missing):
    """Encode the cells of a part.

    Parameters
    ----------
    encoder : ImageEncoder or TextEncoder
    cells : list
    missing : {"empty", "reject"}
        Policy for null cells.

    Returns
    -------
    vectors : ndarray of shape (n_cells, n_features), float32
    bad : dict of int to str
        The reason for each row that cannot be encoded.
    n_cut : int
        Texts that are longer than the network takes.
    """
    bad: dict[int, str] = {}
    cut = [0]
    if missing == "reject":
        bad = {row: NULL for row, cell in enumerate(cells) if is_missing(cell)}
    if isinstance(encoder, TextEncoder):
        bad |= _no_texts(cells)
        cells = [None if row in bad else cell for row, cell in enumerate(cells)]

    def keep_reasons(column, failed, parts):
        # Also those of rows of which the encoder has the mean of the other images.
        for unread in failed.values():
            bad.setdefault(unread.row, f"{unread.error}{unread.which}")

    def count_cut(n_cut, n_texts, request):
        cut[0] += n_cut

    with _instead_of_warnings(encoder, unreadable=keep_reasons, cut=count_cut):
        vectors = dense(encoder.fit_transform(cells))
    return vectors, bad, cut[0]


def _no_texts(cells):
    bad = {}
    for row, cell in enumerate(cells):
        try:
            read_text("" if is_null(cell) else cell)
        except CellError as err:
            bad[row] = str(err)
    return bad


@contextlib.contextmanager
def _instead_of_warnings(encoder, **functions):
    """Have functions called in place of warnings, which would come for each part."""
    names = {f"_warn_{name}": function for name, function in functions.items()}
    vars(encoder).update(names)
    try:
        yield
    finally:
        for name in names:
            del vars(encoder)[name]


def write_part(out, number, chunk, column, vectors, bad):
    """Write a part and its rejected rows."""
    import pyarrow as pa

    good = np.setdiff1d(np.arange(len(vectors)), list(bad)).astype(np.int64)
    stem = "path" if column is None else column
    columns = {
        f"{stem}_{i}": pa.array(vectors[good, i]) for i in range(vectors.shape[1])
    }
    known = chunk.known.take(pa.array(good))
    clash = sorted(set(columns) & set(known.column_names))
    if clash:
        raise BulkError(f"keep has {clash}, which are names of features.")
    table = pa.table({**{n: known[n] for n in known.column_names}, **columns})
    rows = sorted(bad)
    wrong = chunk.known.take(pa.array(rows, type=pa.int64()))
    for name, values in (
        (REASON, [bad[row] for row in rows]),
        (CELL, [_shown(chunk.cells[row]) for row in rows]),
    ):
        wrong = wrong.append_column(name, pa.array(values, pa.string()))
    # The rejected rows first: where the part is there, they are too.
    _write_table(rejected_path(out, number), wrong)
    _write_table(part_path(out, number), table)


def part_path(out, number):
    return out / f"part-{number:05d}.parquet"


def rejected_path(out, number):
    return out / REJECTED / f"part-{number:05d}.parquet"


def reasons_in(path):
    """Return the reason of each rejected row of a part."""
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=[REASON])[REASON].to_pylist()


def _shown(cell):
    """Return the text or the path that a cell is, cut; None for other cells."""
    if isinstance(cell, dict):
        cell = cell.get("path")
    if not isinstance(cell, str):
        return None
    is_long = len(cell) > LONGEST_CELL
    # Halves of a surrogate pair have no UTF-8.
    text = f"{cell[:LONGEST_CELL]}..." if is_long else cell
    return text.encode(errors="replace").decode()


def _write_table(path, table):
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_whole(path, sink.getvalue().to_pybytes())
