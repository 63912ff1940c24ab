"""Claims: who computes which row, in the file that processes share."""

import os
import socket
import time

from ._file import DamagedFileError

KEYS_A_READ = 100  # rows of 1 MB stay below 100 MB
LEASE_S = 120.0  # a claim whose owner is silent for so long is anybody's


def claim_free(connection, keys, owner):
    """Claim keys that are neither stored nor claimed by an owner who is alive."""
    granted, now = set(), time.time()
    for start in range(0, len(keys), KEYS_A_READ):
        part = keys[start : start + KEYS_A_READ]
        granted |= _claim_part(connection, part, owner, now)
    return granted


def _claim_part(connection, keys, owner, now):
    there = f"SELECT key FROM features WHERE key IN ({marks(keys)})"
    done = {key for (key,) in connection.execute(there, keys)}
    held = f"SELECT key, owner, expires FROM claims WHERE key IN ({marks(keys)})"
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
        # Signal 0 only asks whether the process exists. If another process has got its
        # number since, the claim waits for the end of its lease.
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def delete_claims(connection, keys, owner):
    """Delete an owner's claims on keys."""
    query = "DELETE FROM claims WHERE key = ? AND owner = ?"
    connection.executemany(query, [(key, owner) for key in keys])


def marks(keys):
    """Return as many question marks as there are keys."""
    return ",".join("?" * len(keys))
