"""FolderStore: the lasting part of a FeatureCache, shared by processes and threads.

Some calls go through more rows than fit, and are repeated. If the least recently used
rows left, each row would push out one that comes later, and the next call would find
none. So the rows that a call has written or found stay until its end, and its next rows
are not kept.
"""

import os
import socket
import sqlite3
import threading
import time
import uuid
import warnings

from ._claims import KEYS_A_READ, LEASE_S, claim_free, delete_claims, marks
from ._file import (
    DAMAGED,
    FILE_ERRORS,
    NO_WRITE,
    StoreFile,
    diagnose,
    transaction,
)
from ._forks import operation
from ._origins import PREFIX_BYTES, encode_origin, note_origins
from ._records import decode, encode
from ._room import STAMP_S, WRITE_BYTES, empty, evict, file_bytes, needed_bytes
from ._store import FeatureStore

KEEP_SHARE = 0.9  # of the budget, after rows have been evicted
NEAR_SHARE = 0.5  # of the budget, from which on the rows that a call finds are stamped
STAMPS_A_WRITE = 5_000

_INSERT = "INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM features WHERE key = ?"
_STAMP = "UPDATE features SET used = ? WHERE key = ?"


class _Call(threading.local):
    """State of the call that this thread is in."""

    began: float | None = None
    is_full = False  # there is no room, and no row that may leave

    n_found = n_written = 0

    def __init__(self):
        self.unstamped = []  # keys of rows that were found, and not written to since

    def begin(self):
        """Forget the call before."""
        self.began = time.time()
        self.is_full, self.n_found, self.n_written, self.unstamped = False, 0, 0, []


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
        Bytes that the file may have. Beyond, the least recently used rows leave, but
        for those of the call that is going on.
    """

    def __init__(self, folder, budget=None):
        self.file = StoreFile(folder)
        self.budget = budget
        self._token = uuid.uuid4().hex
        self._may_write = self._is_on = True
        self._warned = set()
        self._renewed = {}  # thread -> when its claims were last renewed
        self._origins = {}  # prefix -> JSON
        self._call = _Call()

    # -- records -----------------------------------------------------------------------

    def begin_call(self):
        """Say that this thread's next rows are those of a new call."""
        self._call.begin()

    def note_origin(self, prefix, origin):
        """Say what made the rows whose keys begin with a prefix."""
        if prefix not in self._origins:
            self._origins[prefix] = encode_origin(origin)

    def get_many(self, keys):
        """Yield ``(key, array)`` for the keys that are there, a few at a time."""
        if self._is_on and self.file.exists():
            for start in range(0, len(keys), KEYS_A_READ):
                part = keys[start : start + KEYS_A_READ]
                yield from self._attempt(lambda c, part=part: self._read(c, part), ())

    def _read(self, connection, keys):
        query = (
            "SELECT key, crc, used, form, record FROM features "
            f"WHERE key IN ({marks(keys)})"
        )
        found, old, wrong, now = [], [], [], time.time()
        call = self._call
        for key, crc, used, form, record in connection.execute(query, keys):
            array = decode(key, crc, form, record)
            if array is None:
                self._warn(
                    "checksum",
                    "holds records whose checksum is wrong; they are computed again. "
                    "`python -m sktransfer cache verify` counts them.",
                )
                wrong.append(key)
                continue
            found.append((key, array))
            if not isinstance(used, float) or abs(used - now) > STAMP_S:
                old.append(key)
            elif call.began is not None and used < call.began:
                call.unstamped.append(key)
        call.n_found += len(found)
        # Else they would count as done, and nobody would compute them.
        self.discard(wrong)
        if self.budget is None:
            call.unstamped = []
        elif file_bytes(connection) > NEAR_SHARE * self.budget:
            old, call.unstamped = old + call.unstamped, []
        if old and self.writes:
            self._attempt(lambda c: _stamp(c, old), None, writes=True)
        return found

    def put_many(self, records):
        """Write arrays by key, and give up this thread's claims on them."""
        rows, n_bytes = [], 0
        for key, array in records.items():
            rows.append(encode(key, array))
            n_bytes += rows[-1][3]
            if n_bytes >= WRITE_BYTES:
                self._write(rows)
                rows, n_bytes = [], 0
        if rows:
            self._write(rows)

    def _write(self, rows):
        keys = [row[0] for row in rows]
        prefixes = {key[:PREFIX_BYTES] for key in keys} & self._origins.keys()
        origins = {prefix: self._origins[prefix] for prefix in prefixes}
        owner = self._owner()

        def work(connection):
            is_tight = self._make_room(connection, rows)
            with transaction(connection):
                # The time is that of the write: an earlier one could be from before a
                # call of somebody who has used the row meanwhile.
                now = time.time()
                stamped = [(*row[:2], now, *row[3:]) for row in rows]
                if is_tight:
                    self._insert_what_fits(connection, stamped)
                else:
                    connection.executemany(_INSERT, stamped)
                note_origins(connection, origins)
                delete_claims(connection, keys, owner)
                self._renew(connection, owner)

        was_full = self._call.is_full
        self._call.n_written += len(rows)
        self._attempt(work, None, writes=True)
        if self._call.is_full and not was_full and self.budget:
            budget = self.budget / 2**20
            self._warn(
                "full",
                f"is full: the rows of one call take all of its {budget:,.1f} MiB. "
                "Further rows of this call are not kept, so that the next call finds "
                "those that are kept. To keep all, raise the folder_budget of a "
                "FeatureCache.",
            )

    def _make_room(self, connection, rows):
        """Let rows of older calls go; return whether it may still not be enough."""
        if self.budget is None:
            return False
        need, call = needed_bytes([row[3] for row in rows]), self._call
        if file_bytes(connection) + need <= self.budget:
            return False
        if not call.is_full:
            _stamp(connection, call.unstamped)
            call.unstamped = []
            began = float("inf") if call.began is None else call.began
            # Where most rows are found, the next ones may be among those that were not
            # used yet: then the last of them leave, and no more than has to. If the
            # first did, each would be missing in turn.
            is_repeat = call.n_found > call.n_written
            share = 1 if is_repeat else KEEP_SHARE
            target = max(0, int(share * self.budget) - need)
            evict(connection, target, began, newest_first=is_repeat)
        return file_bytes(connection) + need > self.budget

    def _insert_what_fits(self, connection, rows):
        for row in rows:
            is_there = connection.execute(_STAMP, (row[2], row[0])).rowcount
            if not is_there and not self._call.is_full:
                connection.execute(_INSERT, row)
                if file_bytes(connection) > self.budget:
                    connection.execute(_DELETE, (row[0],))
                    self._call.is_full = True

    def discard(self, keys):
        """Delete records that are not what they should be."""
        if keys and self.writes:
            rows = [(key,) for key in keys]
            self._attempt(lambda c: _write_all(c, _DELETE, rows), None, writes=True)

    def clear(self):
        """Delete every record, every claim and damaged files; free the disk."""
        if self.file.exists():
            self._attempt(lambda c: empty(self.file, c), None, writes=True)
        self.begin_call()

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
            with transaction(connection):
                return claim_free(connection, keys, owner)

        granted = self._attempt(work, None, writes=True)
        return set(keys) if granted is None else granted

    def release(self, keys):
        """Give up this thread's claims."""
        if keys and self.writes:
            owner = self._owner()

            def work(connection):
                with transaction(connection):
                    delete_claims(connection, keys, owner)

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
                with operation():
                    connection = self.file.connection()
                    if self.file.is_read_only:
                        self._warn(NO_WRITE, "can only be read; new rows are not kept.")
                        if writes:
                            return default
                    return work(connection)
            except sqlite3.ProgrammingError:
                raise
            except FILE_ERRORS as err:
                if not self.file.has_changed() and not self._go_on(err, writes):
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
                f"is damaged ({err}). {path.name!r} is left unchanged and a new file "
                "is started; `python -m sktransfer cache prune` deletes the old one.",
            )
            return True
        if cause == NO_WRITE and writes:
            self._may_write = False
            self._warn(cause, f"cannot be written ({err}); new rows are not kept.")
        else:
            self._is_on = False
            self._warn(
                cause,
                f"cannot be used ({err}). It is left unchanged; give cache= another "
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


def _stamp(connection, keys):
    """Write down that rows are used now."""
    for start in range(0, len(keys), STAMPS_A_WRITE):
        with transaction(connection):
            now = time.time()  # while nobody else writes: stamps only go up
            part = [(now, key) for key in keys[start : start + STAMPS_A_WRITE]]
            connection.executemany(_STAMP, part)


def _write_all(connection, query, rows):
    with transaction(connection):
        connection.executemany(query, rows)
