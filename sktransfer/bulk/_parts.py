"""A part of a bulk job: its vectors, and its two files, each there whole or not."""

import contextlib
import warnings

import numpy as np

from .._cells.column import CellError, pick
from .._utils.whole_file import write_whole
from ..backbones import load_backbone
from ..encoders import TextEncoder
from ..exceptions import BulkError

LATER = "it could not be read at first, and could a moment later"
NOT_THERE = "there is no such file"
REJECTED = "_rejected"


def compute(encoder, cells):
    """Encode the cells of a part.

    Returns
    -------
    vectors : ndarray of shape (n_cells, n_features), float32
    bad : dict of int to str
        The reason for each row that cannot be encoded.
    """
    with warnings.catch_warnings():
        # Rejected rows are written down, each with its reason.
        warnings.filterwarnings("ignore", message=".* rows cannot be read")
        vectors = np.asarray(encoder.fit_transform(cells))
    bad = {int(row): "the cell is null" for row in encoder.missing_rows_}
    if isinstance(encoder, TextEncoder):
        bad = {}  # a null text counts as an empty one
    bad |= _reasons(encoder, cells, [int(row) for row in encoder.error_rows_])
    return vectors, bad


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
    wrong = wrong.append_column("reason", pa.array([bad[r] for r in rows], pa.string()))
    # The rejected rows first: where the part is there, they are too.
    _write_table(rejected_path(out, number), wrong)
    _write_table(part_path(out, number), table)


def _reasons(encoder, cells, rows):
    """Say why each of some rows cannot be used."""
    if not rows:
        return {}
    network = load_backbone(encoder.backbone, modality=encoder._modality)
    found = {}
    with contextlib.closing(encoder._reader(network)) as reader:
        results = reader.read(pick(cells, rows))
        for row, result in zip(rows, results, strict=True):
            if not isinstance(result, CellError):
                prepared = reader.prepare([result[1]], encoder._adapt(network))[0]
                result = prepared.result() if hasattr(prepared, "result") else prepared
            found[row] = str(result) if isinstance(result, CellError) else LATER
    return found


def part_path(out, number):
    return out / f"part-{number:05d}.parquet"


def rejected_path(out, number):
    return out / REJECTED / f"part-{number:05d}.parquet"


def n_rows(path):
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows


def _write_table(path, table):
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_whole(path, sink.getvalue().to_pybytes())
