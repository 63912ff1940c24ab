"""FolderStore: the lasting part of a FeatureCache, shared by processes and threads."""

import os
import socket
import sqlite3
import threading
import time
import uuid
import warnings
import zlib

import numpy as np

from ._file import (
    DAMAGED,
    FILE_ERRORS,
    NO_WRITE,
    DamagedFileError,
    StoreFile,
    diagnose,
    transaction,
)
from ._store import FeatureStore

KEYS_A_READ = 100  # rows of 1 MB stay below 100 MB
WRITE_BYTES = 2**24  # written in one transaction
LEASE_S = 120.0  # a claim whose owner is silent for so long is anybody's
STAMP_S = 3600  # "used" is only as exact as this, so that reads rarely write
CHECK_BYTES = 2**25  # written between two looks at the file's size
KEEP_SHARE = 0.9  # of the budget, after rows have been evicted


class FolderStore(FeatureStore):
    """Arrays by key in a folder, shared by whoever opens it.

    A store that cannot be used costs one warning, and its rows are computed: a damaged
    file is marked and left, and a new one is begun; one that is full, locked or
    read-only is read; one that is not ours or newer is left alone. A record whose
    checksum is wrong is as good as missing.

    Parameters
    ----------
    folder : Path
        On a local disk; made on the first write.
    budget : int, default=None
        Bytes that the file may have. Beyond, the least recently used rows leave.
    """

    def __init__(self, folder, budget=None):
        self.file = StoreFile(folder)
        self.budget = budget
        self._token = uuid.uuid4().hex
        self._may_write = self._is_on = True
        self._warned = set()
        self._since_check = 0
        self._renewed = {}  # thread -> when its claims were last renewed

    # -- records -----------------------------------------------------------------------

    def get_many(self, keys):
        """Yield ``(key, array)`` for the keys that are there, a few at a time."""
        if self._is_on and self.file.exists():
            for start in range(0, len(keys), KEYS_A_READ):
                part = keys[start : start + KEYS_A_READ]
                yield from self._attempt(lambda c, part=part: self._read(c, part), ())

    def _read(self, connection, keys):
        query = (
            "SELECT key, crc, used, form, record FROM features "
            f"WHERE key IN ({_marks(keys)})"
        )
        found, old, wrong, now = [], [], [], int(time.time())
        for key, crc, used, form, record in connection.execute(query, keys):
            array = _decode(key, crc, form, record)
            if array is None:
                self._warn(
                    "checksum",
                    "holds records whose checksum is wrong; they are computed again. "
                    "`python -m sktransfer cache verify` counts them.",
                )
                wrong.append((key,))
                continue
            found.append((key, array))
            if not isinstance(used, int) or used < now - STAMP_S:
                old.append((now, key))
        if wrong and self.writes:
            # Else they would count as done, and nobody would compute them.
            query = "DELETE FROM features WHERE key = ?"
            self._attempt(lambda c: _write_all(c, query, wrong), None, writes=True)
        if old and self.writes:
            query = "UPDATE features SET used = ? WHERE key = ?"
            self._attempt(lambda c: _write_all(c, query, old), None, writes=True)
        return found

    def put_many(self, records):
        """Write arrays by key, and give up this thread's claims on them."""
        rows, n_bytes = [], 0
        for key, array in records.items():
            rows.append(_encode(key, array))
            n_bytes += rows[-1][3]
            if n_bytes >= WRITE_BYTES:
                self._write(rows, n_bytes)
                rows, n_bytes = [], 0
        if rows:
            self._write(rows, n_bytes)

    def _write(self, rows, n_bytes):
        keys = [row[0] for row in rows]
        owner = self._owner()

        def work(connection):
            with transaction(connection):
                connection.executemany(
                    "INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?, ?)", rows
                )
                _delete_claims(connection, keys, owner)
                self._renew(connection, owner)

        self._attempt(work, None, writes=True)
        self._since_check += n_bytes
        if self.budget is not None and self._since_check >= min(
            CHECK_BYTES, self.budget // 10
        ):
            self._since_check = 0
            self._attempt(self._evict, None, writes=True)

    def clear(self):
        """Delete every record."""
        if self.file.exists():
            self._attempt(
                lambda c: c.execute("DELETE FROM features"), None, writes=True
            )

    def _evict(self, connection):
        if file_bytes(connection) > self.budget:
            evict(connection, int(KEEP_SHARE * self.budget))

    # -- claims ------------------------------------------------------------------------

    def claim(self, keys):
        """Say that this thread computes rows, so that no other process does.

        Claims end with `put_many`, `release`, the death of the process, or a lease of
        two minutes that each `put_many` renews.

        Returns
        -------
        set of bytes
            The keys that are this thread's now. The others are being computed by
            someone else, or are there already. A store that cannot be written to
            grants every key.
        """
        if not self.writes:
            return set(keys)
        owner = self._owner()

        # In one transaction, so that of two processes that ask for the same keys one
        # sees what the other was granted.
        def work(connection):
            granted, now = set(), time.time()
            with transaction(connection):
                for start in range(0, len(keys), KEYS_A_READ):
                    part = keys[start : start + KEYS_A_READ]
                    granted |= _claim(connection, part, owner, now)
            return granted

        granted = self._attempt(work, None, writes=True)
        return set(keys) if granted is None else granted

    def release(self, keys):
        """Give up this thread's claims."""
        if keys and self.writes:
            owner = self._owner()

            def work(connection):
                with transaction(connection):
                    _delete_claims(connection, keys, owner)

            self._attempt(work, None, writes=True)

    def _renew(self, connection, owner):
        now = time.time()
        if now - self._renewed.get(owner, 0.0) > LEASE_S / 4:
            query = "UPDATE claims SET expires = ? WHERE owner = ?"
            connection.execute(query, (now + LEASE_S, owner))
            self._renewed[owner] = now

    def _owner(self):
        # The token tells apart processes that got the same number one after the other,
        # and two stores of one thread; it is drawn anew by whoever opens the folder.
        parts = (socket.gethostname(), os.getpid(), threading.get_ident(), self._token)
        return ":".join(map(str, parts)).encode()

    # -- when it fails -----------------------------------------------------------------

    @property
    def writes(self):
        """Whether writing is still worth a try."""
        return self._is_on and self._may_write and not self.file.is_read_only

    def _attempt(self, work, default, writes=False):
        """Call ``work(connection)``; return `default` where the store fails."""
        for _ in range(3):  # the file, and two new ones after damaged ones
            if not (self.writes if writes else self._is_on):
                return default
            try:
                connection = self.file.connection()
                if self.file.is_read_only:
                    self._warn(NO_WRITE, "can only be read; new rows are not kept.")
                    if writes:
                        return default
                return work(connection)
            except sqlite3.ProgrammingError:
                raise
            except FILE_ERRORS as err:
                if not self._go_on(err, writes):
                    return default
        self._is_on = False
        return default

    def _go_on(self, err, writes):
        """Decide what an error means; return whether to try again."""
        cause = diagnose(err)
        if cause == DAMAGED:
            try:
                path = self.file.mark_damaged()
            except OSError:
                self._is_on = False
                self._warn(cause, f"is damaged ({err}), and its folder is read-only.")
                return False
            self._warn(
                cause,
                f"is damaged ({err}). {path.name!r} is left as it is and a new file is "
                "begun; `python -m sktransfer cache prune` deletes the old one.",
            )
            return True
        if cause == NO_WRITE and writes:
            self._may_write = False
            self._warn(cause, f"cannot be written ({err}); new rows are not kept.")
        else:
            self._is_on = False
            self._warn(
                cause,
                f"cannot be used ({err}). It is left as it is; give cache= another "
                "folder.",
            )
        return False

    def _warn(self, cause, text):
        if cause not in self._warned:
            self._warned.add(cause)
            warnings.warn(
                f"The feature cache in {str(self.file.folder)!r} {text} Results are "
                "right; what is not kept is computed again.",
                RuntimeWarning,
                stacklevel=2,
            )


def file_bytes(connection):
    """Return the bytes of the pages in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def evict(connection, budget):
    """Delete the least recently used rows until the pages in use fit a budget."""
    excess = file_bytes(connection) - budget
    while excess > 0:
        keys, freed = [], 0
        rows = connection.execute("SELECT key, size FROM features ORDER BY used")
        for key, size in rows:
            if not isinstance(size, int):
                raise DamagedFileError("a size is no number")
            keys.append((key,))
            freed += max(size, 1)
            if freed >= min(excess, WRITE_BYTES):
                break
        rows.close()
        if not keys:
            return
        with transaction(connection):
            connection.executemany("DELETE FROM features WHERE key = ?", keys)
        excess = file_bytes(connection) - budget


def check_record(key, crc, form, record):
    """Whether a record is what was written under its key."""
    return _decode(key, crc, form, record) is not None


def _claim(connection, keys, owner, now):
    """Claim what is neither there nor claimed; keys of dead owners are free."""
    marks = _marks(keys)
    there = f"SELECT key FROM features WHERE key IN ({marks})"
    done = {key for (key,) in connection.execute(there, keys)}
    held = f"SELECT key, owner, expires FROM claims WHERE key IN ({marks})"
    taken = set()
    for key, other, expires in connection.execute(held, keys):
        if not isinstance(other, bytes) or not isinstance(expires, (int, float)):
            raise DamagedFileError("a claim is no claim")
        if other != owner and expires > now and _is_alive(other):
            taken.add(key)
    granted = set(keys) - done - taken
    connection.executemany(
        "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)",
        [(key, owner, now + LEASE_S) for key in granted],
    )
    return granted


def _is_alive(owner):
    """Whether an owner may still be at work; of another host nobody can say."""
    host, _, rest = owner.decode(errors="replace").partition(":")
    pid = rest.partition(":")[0]
    if os.name != "posix" or host != socket.gethostname() or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _delete_claims(connection, keys, owner):
    query = "DELETE FROM claims WHERE key = ? AND owner = ?"
    connection.executemany(query, [(key, owner) for key in keys])


def _write_all(connection, query, rows):
    with transaction(connection):
        connection.executemany(query, rows)


def _marks(keys):
    return ",".join("?" * len(keys))


def _encode(key, array):
    array = np.ascontiguousarray(array)
    form = f"{array.dtype.str} {','.join(map(str, array.shape))}".encode()
    record = array.tobytes()
    return key, _crc(key, form, record), int(time.time()), len(record), form, record


def _decode(key, crc, form, record):
    """Return the array, or None if it is not what was written."""
    if not isinstance(form, bytes) or not isinstance(record, bytes):
        return None
    if _crc(key, form, record) != crc:
        return None
    dtype, _, shape = form.decode().partition(" ")
    return np.frombuffer(record, dtype).reshape(tuple(map(int, shape.split(","))))


def _crc(key, form, record):
    return zlib.crc32(record, zlib.crc32(form, zlib.crc32(key)))
