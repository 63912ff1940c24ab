"""Looking after a folder of features: what it holds, is it sound, what to drop."""

import time
from typing import NamedTuple

from ._file import StoreFile, transaction
from ._folder import check_record, evict, file_bytes

READ_ROWS = 500


class StoreInfo(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    path : Path
        The file in use.
    n_rows : int
    n_bytes : int
        Of the pages in use.
    oldest, newest : float or None
        When the least and the most recently used row was last used, as a timestamp.
    n_claims : int
        Rows that a process is computing, or was when it died.
    damaged : list of Path
        Files that were given up.
    """

    path: object
    n_rows: int
    n_bytes: int
    oldest: float | None
    newest: float | None
    n_claims: int
    damaged: list


class StoreHealth(NamedTuple):
    """What a check of every row found.

    Attributes
    ----------
    n_rows : int
    n_wrong : int
        Rows whose checksum is wrong.
    problems : list of str
        What SQLite says of the file.
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
    file = _existing(folder)
    connection = file.connection()
    n_rows, oldest, newest = connection.execute(
        "SELECT count(*), min(used), max(used) FROM features"
    ).fetchone()
    n_claims = connection.execute("SELECT count(*) FROM claims").fetchone()[0]
    n_bytes = file_bytes(connection)
    return StoreInfo(
        file.path, n_rows, n_bytes, oldest, newest, n_claims, file.damaged()
    )


def verify(folder, on_progress=lambda n_rows: None):
    """Read every row and compare checksums; return a `StoreHealth`."""
    file = _existing(folder)  # which holds the connection
    connection = file.connection()
    report = connection.execute("PRAGMA integrity_check(10)").fetchall()
    problems = [line.decode() for (line,) in report if line != b"ok"]
    n_rows = n_wrong = 0
    query = "SELECT key, crc, form, record FROM features"
    rows = connection.execute(query)
    while part := rows.fetchmany(READ_ROWS):
        n_rows += len(part)
        n_wrong += sum(not check_record(*row) for row in part)
        on_progress(len(part))
    return StoreHealth(n_rows, n_wrong, problems)


def prune(folder, *, max_bytes=None, max_age_s=None):
    """Delete old rows, damaged rows' files and dead claims; give the space back.

    Parameters
    ----------
    folder : Path
    max_bytes : int, default=None
        Keep at most so much; the least recently used rows go.
    max_age_s : float, default=None
        Delete rows that were not used for so many seconds.

    Returns
    -------
    n_rows, n_bytes : int
        Deleted rows, and bytes that the folder has lost.
    """
    file = _existing(folder)
    connection = file.connection()
    before = _rows(connection), _disk_bytes(file)
    if max_age_s is not None:
        with transaction(connection):
            connection.execute(
                "DELETE FROM features WHERE used < ?", (time.time() - max_age_s,)
            )
    if max_bytes is not None:
        evict(connection, max_bytes)
    with transaction(connection):
        connection.execute("DELETE FROM claims WHERE expires < ?", (time.time(),))
    _give_back(connection)
    _delete_damaged(file)
    return before[0] - _rows(connection), before[1] - _disk_bytes(file)


def clear(folder):
    """Delete every row; return what `prune` does."""
    file = _existing(folder)
    connection = file.connection()
    before = _rows(connection), _disk_bytes(file)
    with transaction(connection):
        connection.execute("DELETE FROM features")
        connection.execute("DELETE FROM claims")
    _give_back(connection)
    _delete_damaged(file)
    return before[0], before[1] - _disk_bytes(file)


def _existing(folder):
    file = StoreFile(folder)
    if not file.exists():
        raise FileNotFoundError(f"there is no feature cache in {str(folder)!r}")
    return file


def _rows(connection):
    return connection.execute("SELECT count(*) FROM features").fetchone()[0]


def _give_back(connection):
    connection.executescript("PRAGMA incremental_vacuum")  # execute stops at one page
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _delete_damaged(file):
    """Delete the content of files that were given up; their marks keep the names."""
    for path in file.damaged():
        for part in _parts(path):
            if part.is_file():
                part.unlink()


def _parts(path):
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def _disk_bytes(file):
    paths = [part for path in [file.path, *file.damaged()] for part in _parts(path)]
    return sum(path.stat().st_size for path in paths if path.is_file())
