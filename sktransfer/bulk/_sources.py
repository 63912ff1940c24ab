"""What bulk.encode reads: folders of images, CSV and Parquet files, chunk by chunk."""

import os
from pathlib import Path
from typing import NamedTuple

from .._cells.guess import IMAGE_SUFFIXES
from ..exceptions import BulkError

TABLE_SUFFIXES = (".csv", ".parquet")
PLACE = ("source_file", "source_row")


class Chunk(NamedTuple):
    """Rows that become a part.

    Attributes
    ----------
    cells : list or None
        None where the part is there already.
    known : pyarrow.Table or None
        Where the rows come from, and the columns to keep.
    n_rows : int
    """

    cells: list | None
    known: object
    n_rows: int


def open_source(source, column, keep):
    """Find out what a source is.

    Parameters
    ----------
    source : str, Path or list of them
    column : str or None
    keep : sequence of str

    Returns
    -------
    ImageFolder or Tables

    Raises
    ------
    BulkError
        If it is nothing that can be read, or has not the columns.
    """
    if isinstance(keep, str):
        raise TypeError(f"keep={keep!r} must be a list of column names.")
    given = [source] if isinstance(source, (str, Path)) else list(source)
    paths = [Path(path).expanduser().absolute() for path in given]
    missing = [str(path) for path in paths if not path.exists()]
    if missing or not paths:
        raise BulkError(f"There is no such file or folder: {missing or source!r}.")
    files: list[Path] = []
    for path in paths:
        files += _files_in(path) if path.is_dir() else [path]
    tables = [path for path in files if path.suffix.lower() in TABLE_SUFFIXES]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if tables and not (images and column is None):
        if column is None:
            raise BulkError(
                f"{tables[0]} is a table; say which column to encode: column=, or "
                "--column on the command line."
            )
        others = [p for p in paths if p.is_file() and p not in tables]
        if others:
            raise BulkError(f"{others[0]} is neither CSV nor Parquet.")
        return Tables(tables, column, keep)
    if not images:
        raise BulkError(
            f"{paths[0]} has no images ({', '.join(IMAGE_SUFFIXES)}) and no CSV or "
            "Parquet files."
        )
    if column is not None or keep:
        raise BulkError(
            f"{paths[0]} is a folder of images, which has no columns; leave column= "
            "and keep= out."
        )
    return ImageFolder(images, paths[0] if len(paths) == 1 else None)


def _files_in(folder):
    found = []
    for base, folders, names in os.walk(folder):
        folders.sort()
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(base) / name for name in names if not name.startswith(".")]
    return sorted(found)


def _fingerprints(paths):
    """Return name, size and time of each file: a changed source is another job."""
    return [[str(p), (s := p.stat()).st_size, s.st_mtime_ns] for p in paths]


class ImageFolder:
    """Image files; each is a row.

    Parameters
    ----------
    paths : list of Path
    root : Path or None
        Names in the result are relative to it.
    """

    modality, column = "image", None

    def __init__(self, paths, root):
        self.paths, self.root = paths, root
        self.n_rows = len(paths)

    def fingerprints(self):
        """Return a summary of what the files are, one entry for the folder."""
        import hashlib

        digest = hashlib.sha256(repr(_fingerprints(self.paths)).encode()).hexdigest()
        return [[str(self.root), self.n_rows, digest]]

    def chunks(self, size, is_done):
        """Yield a `Chunk` for each part."""
        import pyarrow as pa

        for number, start in enumerate(range(0, self.n_rows, size)):
            paths = self.paths[start : start + size]
            if is_done(number):
                yield Chunk(None, None, len(paths))
                continue
            names = [
                str(
                    p
                    if self.root is None or self.root.is_file()
                    else p.relative_to(self.root)
                )
                for p in paths
            ]
            known = pa.table({PLACE[0]: names, PLACE[1]: [0] * len(names)})
            yield Chunk([str(path) for path in paths], known, len(paths))


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
        clash = [name for name in keep if name in PLACE]
        if clash:
            raise BulkError(f"keep={clash} are columns of the result; rename them.")
        counts = [_count(path) for path in paths]
        self.n_rows = None if None in counts else sum(counts)

    def fingerprints(self):
        """Return name, size and time of each file."""
        return _fingerprints(self.paths)

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
        return cell


def _column_names(path):
    if path.suffix.lower() == ".parquet":
        return _metadata(path).schema.to_arrow_schema().names
    with _csv_reader(path, None) as reader:
        return reader.schema.names


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
    for batch in _batches(path, list(dict.fromkeys((column, *keep))), size):
        table = pa.Table.from_batches([batch])
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while len(waiting) >= size:
            yield waiting.slice(0, size)
            waiting = waiting.slice(size)
    if waiting is not None and len(waiting):
        yield waiting


def _batches(path, columns, size):
    import pyarrow as pa

    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=size, columns=columns)
        else:
            with _csv_reader(path, columns) as reader:
                yield from reader
    except (pa.ArrowInvalid, pa.ArrowTypeError) as err:
        raise BulkError(f"{path} cannot be read: {err}") from err


def _csv_reader(path, columns):
    """Open a CSV file; every column is text, so that a part looks like the others."""
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(newlines_in_values=True)
    try:
        with csv.open_csv(path, parse_options=parse) as reader:
            names = reader.schema.names
        convert = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=columns,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        )
        return csv.open_csv(path, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as err:
        raise BulkError(f"{path} cannot be read as CSV: {err}") from err
