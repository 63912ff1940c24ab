"""The lasting part of a FeatureCache: one SQLite file in a folder."""

import os
import sqlite3
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np

FILE_NAME = "features.sqlite"
SCHEMA_VERSION = 1
LOOKUP_CHUNK = 500  # below SQLite's limit on bound parameters
BUSY_TIMEOUT_S = 30.0


class FolderStore:
    """Records by key in ``folder/features.sqlite``, shared by processes.

    A store that cannot be used (damaged, foreign, newer, read-only) costs one
    warning; the rows are computed as if it were not there. A damaged file is moved
    aside to ``features.sqlite.damaged``.

    Parameters
    ----------
    folder : Path
        Made on the first write.
    """

    def __init__(self, folder):
        self.path = Path(folder) / FILE_NAME
        self._local = threading.local()
        self._broken = False

    def get_many(self, keys):
        """Return the records that are there, as a dict of key to float32 vector."""
        found = {}
        if self._broken or not self.path.exists():
            return found
        for start in range(0, len(keys), LOOKUP_CHUNK):
            chunk = keys[start : start + LOOKUP_CHUNK]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT key, crc, record FROM features WHERE key IN ({marks})"
            for key, crc, blob in self._attempt(query, chunk):
                if zlib.crc32(blob) == crc:
                    found[key] = np.frombuffer(blob, dtype="<f4")
        return found

    def put_many(self, records):
        """Write records in one transaction."""
        rows = []
        for key, record in records.items():
            blob = np.asarray(record, dtype="<f4").tobytes()
            rows.append((key, zlib.crc32(blob), blob))
        if rows:
            self._attempt("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)

    def clear(self):
        """Delete every record."""
        if self.path.exists():
            self._attempt("DELETE FROM features", ())

    def _attempt(self, query, values):
        """Run a query; a store that fails is given up for this process."""
        if self._broken:
            return []
        try:
            connection = self._connect()
            with connection:
                if values and isinstance(values[0], tuple):
                    connection.executemany(query, values)
                    return []
                return connection.execute(query, values).fetchall()
        except (sqlite3.Error, OSError) as err:
            self._give_up(err)
            return []

    def _connect(self):
        # A connection belongs to one thread, and must not cross a fork.
        owner = getattr(self._local, "owner", None)
        if owner == os.getpid():
            return self._local.connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            connection.close()
            raise sqlite3.NotSupportedError(
                f"it has schema version {version}, and this sktransfer reads "
                f"{SCHEMA_VERSION}"
            )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS features "
                "(key BLOB PRIMARY KEY, crc INTEGER, record BLOB)"
            )
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._local.connection, self._local.owner = connection, os.getpid()
        return connection

    def _give_up(self, err):
        self._broken = True
        fate = "It is left as it is"
        # DatabaseError itself, not a subclass: "file is not a database", "malformed".
        if type(err) is sqlite3.DatabaseError:
            aside = self.path.with_name(FILE_NAME + ".damaged")
            try:
                os.replace(self.path, aside)
                fate = f"It was moved to {aside.name!r}"
            except OSError:
                fate = "It could not be moved aside either"
        warnings.warn(
            f"The feature cache {str(self.path)!r} cannot be used: {err}. {fate}; "
            "this process computes what it would have read.",
            RuntimeWarning,
            stacklevel=2,
        )
