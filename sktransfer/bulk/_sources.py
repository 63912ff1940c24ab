"""Sources of bulk.encode: a folder of images, or tables."""

from pathlib import Path

from .._cells.folders import by_suffix, files_in, say_left_out
from .._cells.guess import is_image_suffix
from ..exceptions import BulkError
from ._chunk import PLACE, Chunk, fingerprints_of
from ._tables import SAMPLE, TABLE_SUFFIXES, Tables


def open_source(source, column, keep):
    """Find out what a source is.

    Parameters
    ----------
    source : str, Path or list of them
    column : str or None
    keep : sequence of str

    Returns
    -------
    data : ImageFolder or Tables
    left_out : dict of str to int
        Files in folders that are no rows: how many there are of each suffix.

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
    named = [path for path in paths if not path.is_dir()]
    by_folder = {path: _files_in(path) for path in paths if path.is_dir()}
    found = [file for files in by_folder.values() for file in files]
    tables = [path for path in (*named, *found) if _is_table(path)]
    # A file that was named is an image, whatever its suffix.
    images = [path for path in named if not _is_table(path)]
    images += [path for path in found if is_image_suffix(path.suffix)]
    if tables and not (images and column is None):
        if column is None:
            raise BulkError(
                f"{tables[0]} is a table; choose which column to encode with column=, "
                "or with --column on the command line."
            )
        others = [path for path in named if not _is_table(path)]
        if others:
            raise BulkError(f"{others[0]} is neither CSV nor Parquet.")
        _check_all_take_part(paths, by_folder, tables, "CSV or Parquet file")
        return Tables(tables, column, keep), by_suffix(found, tables)
    if not images:
        left_out = say_left_out(by_suffix(found, ()))
        raise BulkError(
            f"{paths[0]} has no images with a suffix that Pillow knows and no CSV or "
            f"Parquet files{f': {left_out}' if left_out else ''}."
        )
    if column is not None or keep:
        what = "a folder of images" if paths[0].is_dir() else "read as an image"
        raise BulkError(
            f"{paths[0]} is {what}, which has no columns; leave column= and keep= out. "
            f"Tables are files with the suffix {' or '.join(TABLE_SUFFIXES)}."
        )
    _check_all_take_part(paths, by_folder, images, "image")
    root = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    return ImageFolder(images, root), by_suffix(found, images)


def _check_all_take_part(paths, by_folder, taken, what):
    """Refuse a file or folder that was given, and of which nothing would be read."""
    taken = set(taken)
    idle = [path for path in paths if taken.isdisjoint(by_folder.get(path, [path]))]
    if idle:
        raise BulkError(
            f"{idle[0]} has no {what}, and would be left out. Images and tables need "
            "jobs of their own: give folders of images alone, or tables with column= "
            "(--column)."
        )


def _is_table(path):
    return path.suffix.lower() in TABLE_SUFFIXES


def _files_in(folder):
    try:
        return files_in(folder)
    except OSError as err:
        raise BulkError(
            f"The folder {err.filename} cannot be read ({err.strerror})."
        ) from err


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

        digest = hashlib.sha256(repr(fingerprints_of(self.paths)).encode()).hexdigest()
        return [[str(self.root), self.n_rows, digest]]

    def sample(self):
        """Return the first names."""
        return [str(path) for path in self.paths[:SAMPLE]]

    def chunks(self, size, is_done):
        """Yield a `Chunk` for each part."""
        import pyarrow as pa

        for number, start in enumerate(range(0, self.n_rows, size)):
            paths = self.paths[start : start + size]
            if is_done(number):
                yield Chunk(None, None, len(paths))
                continue
            names = [
                str(p if self.root is None else p.relative_to(self.root)) for p in paths
            ]
            known = pa.table({PLACE[0]: names, PLACE[1]: [0] * len(names)})
            yield Chunk([str(path) for path in paths], known, len(paths))
