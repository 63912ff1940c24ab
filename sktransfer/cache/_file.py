"""The SQLite file behind a FolderStore: opening it, and what its errors mean.

Whatever is wrong with the file, nothing is renamed or deleted while other processes
may have it open: SQLite finds a file's journal by name, so a new file under an old name
could meet the old file's journal. A damaged file is marked, and the next one gets a new
number.
"""

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

from ._forks import close_before_forks, operation

FILE_NAMES = ("features.sqlite", "features-{}.sqlite")
MARK = ".damaged"
MAX_FILES = 100
APPLICATION_ID = 0x534B5446  # "SKTF", in the file's header
SCHEMA_VERSION = 3
PAGE_BYTES = 16384  # reads rows of 100 kB in two thirds of the time of 4,096
BUSY_TIMEOUT_S = 20.0

# What is wrong, and so what to do.
DAMAGED = "damaged"  # this file is lost: mark it, go on with the next
NO_WRITE = "no write"  # full, read-only or locked: go on reading
UNUSABLE = "unusable"  # not ours, newer, or out of reach: leave it alone

_CAUSES = {
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_FORMAT: DAMAGED,
    sqlite3.SQLITE_ERROR: DAMAGED,  # our tables are not as we make them
    sqlite3.SQLITE_MISMATCH: DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: DAMAGED,
    sqlite3.SQLITE_FULL: NO_WRITE,
    sqlite3.SQLITE_READONLY: NO_WRITE,
    sqlite3.SQLITE_BUSY: NO_WRITE,
    sqlite3.SQLITE_LOCKED: NO_WRITE,
    sqlite3.SQLITE_PERM: NO_WRITE,
}

_SCHEMA = f"""
CREATE TABLE features (
    key BLOB PRIMARY KEY, crc INTEGER, used REAL, size INTEGER, form BLOB, record BLOB
);
CREATE INDEX features_used ON features (used, size, key);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner BLOB, expires REAL) WITHOUT ROWID;
CREATE TABLE origins (prefix BLOB PRIMARY KEY, origin BLOB) WITHOUT ROWID;
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={SCHEMA_VERSION};
"""


class UnusableFileError(Exception):
    """The file is not one that this version may use."""


class DamagedFileError(Exception):
    """The file's content is not what was written."""


# What a file that cannot be used may raise; `diagnose` says what it means.
FILE_ERRORS = (
    sqlite3.Error,
    OSError,
    UnicodeDecodeError,
    UnusableFileError,
    DamagedFileError,
)


def diagnose(err):
    """Return one of the three causes for an error of SQLite or of the system."""
    # SQLite's words on a damaged file may hold bytes that are no text.
    if isinstance(err, (DamagedFileError, UnicodeDecodeError)):
        return DAMAGED
    code = getattr(err, "sqlite_errorcode", None)
    if code is None:
        # Without a code: the sqlite3 module's own words on values that are no text, no
        # integer, ... and so on a damaged row; else an OSError or ours.
        return DAMAGED if isinstance(err, sqlite3.Error) else UNUSABLE
    # The low byte is the primary code; the others say more than is needed here.
    return _CAUSES.get(code & 0xFF, UNUSABLE)


class StoreFile:
    """One connection a thread to the newest undamaged file of a folder.

    Parameters
    ----------
    folder : Path
        Made on the first write.

    Attributes
    ----------
    is_read_only : bool
        True once the file could only be opened for reading.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.is_read_only = False
        self._local = threading.local()

    @property
    def path(self):
        """The newest file that is not marked as damaged; it may not exist yet."""
        return next(path for path in _paths(self.folder) if not _mark(path).exists())

    def exists(self):
        """Whether there is a file to read."""
        return self._connected() is not None or self.path.exists()

    def damaged(self):
        """Return the files that are marked as damaged."""
        return [path for path in _paths(self.folder) if _mark(path).exists()]

    def connection(self):
        """Return this thread's connection, for use inside of `_forks.operation`.

        Raises
        ------
        One of FILE_ERRORS
            `diagnose` says what it means.
        """
        with operation():
            if self.has_changed():
                self.close()
            connection = self._connected()
            if connection is None:
                connection = self._open()
                self._local.handle = _Handle(connection)
            return connection

    def has_changed(self):
        """Whether somebody has written to a file that is only read here."""
        connection = self._connected()
        return (
            connection is not None
            and connection.seen is not None
            and connection.seen != _look(connection.path)
        )

    def mark_damaged(self):
        """Give the file up, for every process that opens the folder from now on."""
        path = self.close() or self.path
        _mark(path).touch()
        return path

    def close(self):
        """Close this thread's connection; return the path that it had."""
        connection = self._connected()
        self._local.handle = None
        if connection is None:
            return None
        connection.close()
        return connection.path

    def _connected(self):
        handle = getattr(self._local, "handle", None)
        return handle.connection if handle and handle.connection.is_open else None

    def _open(self):
        path = self.path
        if path.is_dir():
            raise DamagedFileError("it is a directory")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _open_for_writing(path)
        except (sqlite3.Error, OSError) as err:
            cannot_write = isinstance(err, sqlite3.OperationalError) and (
                err.sqlite_errorcode & 0xFF
                in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
            )
            if not cannot_write or not path.is_file():
                raise
        connection = _open_for_reading(path)
        self.is_read_only = True
        return connection


class Connection(sqlite3.Connection):
    """A connection of one thread, closed before a fork.

    Attributes
    ----------
    path : Path
    thread : int
    is_open : bool
        False for one that is closed, or is that of a parent process.
    seen : tuple or None
        State of a file that can only be read, from when it was opened.
    """

    path: Path
    thread: int
    is_open = False
    seen: tuple | None = None

    def close(self):
        """Close it for good."""
        # A fork in the middle would copy locks that SQLite is about to give up.
        with operation():
            self.is_open = False
            super().close()


class _Handle:
    """Closes a connection with its thread or its store.

    A connection and its cache of statements hold each other, so that it would stay open
    until garbage is collected.
    """

    def __init__(self, connection):
        self.connection = connection

    def __del__(self):
        if self.connection.is_open:
            self.connection.close()


def _paths(folder):
    first, later = FILE_NAMES
    yield folder / first
    for number in range(1, MAX_FILES):
        yield folder / later.format(number)


def _mark(path):
    return path.with_name(path.name + MARK)


def _open_for_writing(path):
    connection = _connect(path)
    try:
        if not _is_ours(connection):
            # These two can only be set while the file is empty, and before WAL.
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            _set_wal(connection)
            with transaction(connection):
                if not _is_ours(connection):  # nobody else made it in between
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_for_reading(path):
    """Open a file in a place that cannot be written to."""
    options = ["mode=ro"]
    seen = _look(path)
    if not seen[-1]:
        # Without a journal nothing is beside the file. Whoever can write to it may do
        # so at any time, which SQLite does not look for: `has_changed` does.
        options.append("immutable=1")
    connection = _connect(path, options)
    connection.seen = seen
    try:
        if not _is_ours(connection):
            raise UnusableFileError("it is empty, and cannot be written to")
    except BaseException:
        connection.close()
        raise
    return connection


def _look(path):
    """Return what tells that a file, or what stands for it, has changed."""
    marks: list[tuple | None] = []
    for part in (path, path.with_name(path.name + "-wal"), _mark(path)):
        try:
            status = part.stat()
            marks.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            marks.append(None)
    file, journal, mark = marks
    return file, mark, journal if journal and journal[1] else None


def _connect(path, options=()):
    uri = f"{path.absolute().as_uri()}?{'&'.join(options)}"
    # Connections stay with their thread; only the last reference may go elsewhere.
    connection = sqlite3.connect(
        uri if options else path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        uri=bool(options),
        factory=Connection,
    )
    connection.path, connection.thread = path, threading.get_ident()
    connection.is_open = True
    close_before_forks(connection)
    connection.text_factory = bytes  # a damaged row may hold text that is no text
    # Mapped pages of a file that somebody truncates would end the process.
    connection.execute("PRAGMA mmap_size=0")
    return connection


def _set_wal(connection):
    """Switch to write-ahead logging, for which SQLite itself does not wait."""
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as err:
            is_busy = err.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _is_ours(connection):
    """Whether our tables are there; False if nothing is."""
    with contextlib.ExitStack() as stack:
        if not connection.in_transaction:
            # One look at all three: somebody may be making the file right now.
            connection.execute("BEGIN")
            stack.callback(connection.execute, "COMMIT")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    if not tables and not application and not version:
        return False
    if application != APPLICATION_ID:
        raise UnusableFileError("it is the SQLite file of another program")
    if version != SCHEMA_VERSION:
        raise UnusableFileError(
            f"it has schema version {version}, and this sktransfer reads "
            f"{SCHEMA_VERSION}"
        )
    return True


@contextlib.contextmanager
def transaction(connection):
    """Write all or nothing."""
    with operation():
        # IMMEDIATE waits for other writers; a read that turns into a write would not.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error says more
                    connection.execute("ROLLBACK")
            raise
