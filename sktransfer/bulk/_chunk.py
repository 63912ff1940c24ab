"""A chunk of a source: the rows that become one part, and where they come from."""

import os
from typing import NamedTuple

PLACE = ("source_file", "source_row")


class Chunk(NamedTuple):
    """Rows that become a part.

    Attributes
    ----------
    cells : list or None
        None where the part is there already.
    known : pyarrow.Table or None
        Source of each row, and the columns to keep.
    n_rows : int
    """

    cells: list | None
    known: object
    n_rows: int


def fingerprints_of(paths):
    """Return name, size and time of each file: a changed source is another job."""
    return [[str(path), *_size_and_time(path)] for path in paths]


def _size_and_time(path):
    try:
        found = os.stat(path)
    except OSError:  # a link that leads nowhere is a row that will be rejected
        return None, None
    return found.st_size, found.st_mtime_ns
