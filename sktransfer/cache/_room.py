"""Room in a folder: what its rows take, which of them leave, and how it is emptied."""

import time

from ._file import DamagedFileError, transaction

WRITE_BYTES = 2**24  # written in one transaction
STAMP_S = 3600.0  # "used" is only as exact as this, so that reads rarely write


def file_bytes(connection):
    """Return the bytes of the pages in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def needed_bytes(sizes):
    """Return what records of these sizes may take at most.

    A page of 16 kB may hold a single record of half its size; each row is in two
    indexes, and the trees have some pages that are not full.
    """
    return 4 * 2**14 + sum(2 * size + 400 for size in sizes)


def evict(connection, budget, before=float("inf"), newest_first=False):
    """Delete the least recently used rows until the pages in use fit a budget.

    Parameters
    ----------
    connection : Connection
    budget : int
    before : float, default=inf
        Timestamp; only rows that were not used since then are deleted.
    newest_first : bool, default=False
        Delete the most recently used of them first.
    """
    excess = file_bytes(connection) - budget
    while excess > 0:
        keys, freed = [], 0
        for key, size in _in_order(connection, before, newest_first):
            if not isinstance(size, int):
                raise DamagedFileError("a size is no number")
            keys.append((key,))
            freed += max(size, 1)
            if freed >= min(excess, WRITE_BYTES):
                break
        if not keys:
            return
        with transaction(connection):
            connection.executemany("DELETE FROM features WHERE key = ?", keys)
        excess = file_bytes(connection) - budget


def _in_order(connection, before, newest_first):
    # A clock that was wrong may have left rows in the future; they would never leave.
    for condition, limit in (
        ("used > ?", time.time() + STAMP_S),
        ("used < ?", before),
    ):
        query = f"SELECT key, size FROM features WHERE {condition} ORDER BY used"
        rows = connection.execute(query + " DESC" * newest_first, (limit,))
        try:
            yield from rows
        finally:
            rows.close()


def empty(file, connection):
    """Delete every row, claim and origin, and damaged files; give the space back."""
    with transaction(connection):
        for table in ("features", "claims", "origins"):
            connection.execute(f"DELETE FROM {table}")
    tidy(file, connection)


def tidy(file, connection):
    """Delete damaged files and dead claims, and give the space of free pages back."""
    with transaction(connection):
        connection.execute("DELETE FROM claims WHERE expires < ?", (time.time(),))
    connection.executescript("PRAGMA incremental_vacuum")  # execute stops at one page
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    # The marks keep the names.
    for path in file.damaged():
        for part in parts(path):
            if part.is_file():
                part.unlink()


def parts(path):
    """Return the files that belong to a file of SQLite."""
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]
