"""Looking after a folder of features: what it holds, is it sound, what to drop."""

import contextlib
import time
from typing import NamedTuple

from ._file import StoreFile, transaction
from ._forks import operation
from ._origins import delete_rows, delete_unused, row_groups
from ._records import decode
from ._room import empty, evict, file_bytes, parts, tidy

READ_ROWS = 500


class StoreInfo(NamedTuple):
    """Content of a cache folder.

    Attributes
    ----------
    path : Path
        The file in use.
    n_rows : int
    n_bytes : int
        Bytes of the pages in use.
    oldest, newest : float or None
        Timestamps of the last use of the least and the most recently used row.
    n_claims : int
        Rows that a process is computing, or was when it died.
    damaged : list of Path
        Files that were given up.
    groups : list of RowGroup
        The rows by the versions of the packages that made them.
    """

    path: object
    n_rows: int
    n_bytes: int
    oldest: float | None
    newest: float | None
    n_claims: int
    damaged: list
    groups: list


class StoreHealth(NamedTuple):
    """Result of a check of every row.

    Attributes
    ----------
    n_rows : int
    n_wrong : int
        Rows whose checksum is wrong.
    problems : list of str
        Problems that SQLite reports.
    """

    n_rows: int
    n_wrong: int
    problems: list

    @property
    def is_sound(self):
        """Whether there is nothing wrong."""
        return not self.n_wrong and not self.problems


def describe(folder):
    """Return the `StoreInfo` of a folder.

    Raises
    ------
    FileNotFoundError
        If there is no store in it.
    One of `_file.FILE_ERRORS`
        If it cannot be used.
    """
    with _existing(folder) as (file, connection):
        n_rows, oldest, newest = connection.execute(
            "SELECT count(*), min(used), max(used) FROM features"
        ).fetchone()
        n_claims = connection.execute("SELECT count(*) FROM claims").fetchone()[0]
        return StoreInfo(
            file.path,
            n_rows,
            file_bytes(connection),
            oldest,
            newest,
            n_claims,
            file.damaged(),
            row_groups(connection),
        )


def verify(folder, on_progress=lambda n_rows: None):
    """Read every row and compare checksums; return a `StoreHealth`."""
    with _existing(folder) as (_, connection):
        report = connection.execute("PRAGMA integrity_check(10)").fetchall()
        problems = [line.decode() for (line,) in report if line != b"ok"]
        n_rows = n_wrong = 0
        query = "SELECT key, crc, form, record FROM features"
        rows = connection.execute(query)
        while part := rows.fetchmany(READ_ROWS):
            n_rows += len(part)
            n_wrong += sum(decode(*row) is None for row in part)
            on_progress(len(part))
    return StoreHealth(n_rows, n_wrong, problems)


def prune(folder, *, max_bytes=None, max_age_s=None, stale=False):
    """Delete old rows, damaged rows' files and dead claims; give the space back.

    Parameters
    ----------
    folder : Path
    max_bytes : int, default=None
        Keep at most so much; the least recently used rows go.
    max_age_s : float, default=None
        Delete rows that were not used for so many seconds.
    stale : bool, default=False
        Delete rows of other versions of packages than those that are installed.

    Returns
    -------
    n_rows, n_bytes : int
        Deleted rows, and bytes that the folder has lost.
    """
    with _existing(folder) as (file, connection):
        before = _rows(connection), _disk_bytes(file)
        if stale:
            groups = [group for group in row_groups(connection) if group.is_stale]
            prefixes = [prefix for group in groups for prefix in group.prefixes]
            with transaction(connection):
                delete_rows(connection, prefixes)
        if max_age_s is not None:
            with transaction(connection):
                connection.execute(
                    "DELETE FROM features WHERE used < ?", (time.time() - max_age_s,)
                )
        if max_bytes is not None:
            evict(connection, max_bytes)
        with transaction(connection):
            delete_unused(connection)
        tidy(file, connection)
        return before[0] - _rows(connection), before[1] - _disk_bytes(file)


def clear(folder):
    """Delete every row; return what `prune` does."""
    with _existing(folder) as (file, connection):
        before = _rows(connection), _disk_bytes(file)
        empty(file, connection)
        return before[0], before[1] - _disk_bytes(file)


@contextlib.contextmanager
def _existing(folder):
    """Give the file of a folder and a connection to it."""
    file = StoreFile(folder)
    if not file.exists():
        raise FileNotFoundError(f"there is no feature cache in {str(folder)!r}")
    with operation():
        yield file, file.connection()


def _rows(connection):
    return connection.execute("SELECT count(*) FROM features").fetchone()[0]


def _disk_bytes(file):
    paths = [part for path in [file.path, *file.damaged()] for part in parts(path)]
    return sum(path.stat().st_size for path in paths if path.is_file())
