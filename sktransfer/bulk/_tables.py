"""Tables that bulk.encode reads: a column of CSV and Parquet files, chunk by chunk."""

import contextlib
import os

from .._cells.guess import is_image_name, is_image_struct, is_url
from ..exceptions import BulkError
from ._chunk import PLACE, Chunk, fingerprints_of
from ._parts import CELL, REASON

TABLE_SUFFIXES = (".csv", ".parquet")
SAMPLE = 64  # rows that say whether a column holds images; those may be large
# A cell has to lie within one block of a CSV file, and so the block grows where one
# does not; pyarrow counts its bytes in 32 bits.
FIRST_BLOCK, LARGEST_BLOCK, GROWTH = 2**20, 2**31 - 1, 8


class Tables:
    """A column of CSV or Parquet files, read in batches.

    Parameters
    ----------
    paths : list of Path
    column : str
    keep : sequence of str
    """

    modality = "text"
    opens_paths = False  # then relative paths start at the file's folder

    def __init__(self, paths, column, keep):
        self.paths, self.column, self.keep = paths, column, list(keep)
        for path in paths:
            names = _column_names(path)
            missing = [n for n in (column, *keep) if n not in names]
            if missing:
                raise BulkError(f"{path} has no column {missing}; it has {names}.")
            twice = [n for n in (column, *keep) if names.count(n) > 1]
            if twice:
                raise BulkError(
                    f"{path} has the column {twice[0]!r} {names.count(twice[0])} "
                    "times; rename them, so that each name is unique."
                )
        clash = [name for name in keep if name in (*PLACE, REASON, CELL)]
        if clash:
            raise BulkError(f"keep={clash} are columns of the result; rename them.")
        counts = [_count(path) for path in paths]
        self.n_rows = None if None in counts else sum(counts)

    def fingerprints(self):
        """Return name, size and time of each file."""
        return fingerprints_of(self.paths)

    def sample(self):
        """Return the first cells of the column."""
        for path in self.paths:
            with contextlib.closing(_pieces(path, self.column, (), SAMPLE)) as pieces:
                for table in pieces:
                    return table[self.column].to_pylist()
        return []

    def may_be_files(self, cells):
        """Whether some cell is no string, an address, an image's name or a file's."""
        return any(
            not isinstance(cell, str)
            or is_image_name(cell)
            or is_url(cell)
            or any(os.path.isfile(path.parent / cell) for path in self.paths)
            for cell in cells
        )

    def chunks(self, size, is_done):
        """Yield a `Chunk` for each part; parts do not reach across files."""
        number = 0
        for path in self.paths:
            start = 0
            for table in _pieces(path, self.column, self.keep, size):
                if is_done(number):
                    yield Chunk(None, None, len(table))
                else:
                    yield self._chunk(path, start, table)
                start += len(table)
                number += 1

    def _chunk(self, path, start, table):
        import pyarrow as pa

        cells = table[self.column].to_pylist()
        cells = [self._absolute(path, cell) for cell in cells]
        columns = {
            PLACE[0]: pa.array([path.name] * len(table)),
            PLACE[1]: pa.array(range(start, start + len(table)), pa.int64()),
            **{name: table[name] for name in self.keep},
        }
        return Chunk(cells, pa.table(columns), len(table))

    def _absolute(self, path, cell):
        if self.opens_paths and isinstance(cell, str) and cell:
            return str(path.parent / cell)
        if is_image_struct(cell) and cell.get("bytes") is None:
            return cell | {"path": self._absolute(path, cell.get("path"))}
        return cell


def _column_names(path):
    if path.suffix.lower() == ".parquet":
        return _metadata(path).schema.to_arrow_schema().names
    reader, _, names = _open_csv(path, None, FIRST_BLOCK)
    reader.close()
    return names


def _count(path):
    if path.suffix.lower() != ".parquet":
        return None  # a CSV is not read twice for a progress bar
    return _metadata(path).num_rows


def _metadata(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as err:
        raise BulkError(f"{path} cannot be read as Parquet: {err}") from err


def _pieces(path, column, keep, size):
    """Yield tables of `size` rows, the last one shorter."""
    import pyarrow as pa

    waiting = None
    is_parquet = path.suffix.lower() == ".parquet"
    read = _parquet_batches if is_parquet else _csv_batches
    for batch in read(path, list(dict.fromkeys((column, *keep))), size):
        table = pa.Table.from_batches([batch])
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while len(waiting) >= size:
            yield waiting.slice(0, size)
            waiting = waiting.slice(size)
    if waiting is not None and len(waiting):
        yield waiting


def _parquet_batches(path, columns, size):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=size, columns=columns)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as err:
        raise BulkError(f"{path} cannot be read: {err}") from err


def _csv_batches(path, columns, size):
    """Yield batches; where a cell is longer than a block, go on with larger blocks."""
    import pyarrow as pa

    block, n_done = FIRST_BLOCK, 0
    while True:
        reader, block, _ = _open_csv(path, columns, block)
        to_skip = n_done
        try:
            with reader:
                for batch in reader:
                    new = batch.slice(min(to_skip, len(batch)))
                    to_skip -= len(batch) - len(new)
                    n_done += len(new)
                    if len(new):
                        yield new
            return
        except (pa.ArrowInvalid, OSError) as err:
            block = _larger_block(path, block, err)


def _open_csv(path, columns, block):
    """Open a CSV file; every column is text, so that a part looks like the others.

    Returns
    -------
    reader : pyarrow.csv.CSVStreamingReader
    block : int
        Bytes of a block, which the first row may have made larger.
    names : list of str
        All columns.
    """
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(newlines_in_values=True)
    while True:
        options = {
            "read_options": csv.ReadOptions(block_size=block),
            "parse_options": parse,
        }
        try:
            with csv.open_csv(path, **options) as reader:
                names = reader.schema.names
            convert = csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=columns,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            )
            reader = csv.open_csv(path, convert_options=convert, **options)
        except (pa.ArrowInvalid, OSError) as err:
            block = _larger_block(path, block, err)
            continue
        return reader, block, names


def _larger_block(path, block, err):
    """Return the size of block to try next; raise where that is no cure."""
    n_bytes = path.stat().st_size if path.exists() else 0
    # A block as large as the file has no boundary inside.
    if "straddl" not in str(err) or block >= min(LARGEST_BLOCK, n_bytes):
        raise BulkError(f"{path} cannot be read as CSV: {err}") from err
    return min(block * GROWTH, LARGEST_BLOCK)
