"""Forks: no SQLite connection and no held lock goes over to the child.

SQLite's locks belong to the process and to the file, not to a connection: a child that
inherits one in the middle of a write waits for a lock that nobody will release. So
before a fork the operations of other threads come to their end and all connections are
closed; parent and child open new ones when they need them.
"""

import contextlib
import os
import sqlite3
import threading
import time
import warnings
import weakref

PATIENCE_S = 20.0  # with operations that are going on when somebody forks
LOCK_PATIENCE_S = 1.0  # with the locks of caches, which are held for microseconds


class _Fork:
    """Locks and connections that a forking thread has stopped."""

    def __init__(self):
        self.holders = []  # (object with a lock, that lock if it was free)
        self.unclosed = []


_changed = threading.Condition()
_working: dict[int, int] = {}  # thread -> how many operations, one inside the other
_forking: dict[int, _Fork] = {}
_connections: weakref.WeakSet = weakref.WeakSet()
_holders: weakref.WeakSet = weakref.WeakSet()
_inherited: list = []  # connections of the parent that must never be closed


def close_before_forks(connection):
    """Have a `Connection` closed before each fork."""
    with _changed:
        _connections.add(connection)


def renew_in_children(holder):
    """Have the lock of an object renewed in forked children.

    Parameters
    ----------
    holder : object
        With a `_lock`, and with ``_renew_lock(was_free)``, which the child calls; it
        says whether no other thread was at work under the lock.
    """
    with _changed:
        _holders.add(holder)


@contextlib.contextmanager
def operation():
    """Use connections inside: a fork waits for the end, and this for a fork's."""
    me = threading.get_ident()
    with _changed:
        # Inside another operation, or a fork of its own, a thread goes on.
        if me not in _working and not _changed.wait_for(
            lambda: not _forking.keys() - {me}, 3 * PATIENCE_S
        ):
            _warn("has waited for a fork in another thread, which does not end")
        _working[me] = _working.get(me, 0) + 1
    try:
        yield
    finally:
        with _changed:
            _working[me] = _working.get(me, 1) - 1  # none is left in a forked child
            if _working[me] < 1:
                del _working[me]
            _changed.notify_all()


def _before():
    me, fork = threading.get_ident(), _Fork()
    with _changed:
        holders = list(_holders)
    end = time.monotonic() + LOCK_PATIENCE_S
    # Locks first: no operation takes one, so it can end while they are held here.
    for holder in holders:
        lock = holder._lock
        is_free = lock.acquire(timeout=max(0, end - time.monotonic()))
        fork.holders.append((holder, lock if is_free else None))
    with _changed:
        _forking[me] = fork
        is_quiet = _changed.wait_for(lambda: not _working.keys() - {me}, PATIENCE_S)
        busy, connections = set(_working), list(_connections)
    for connection in connections:
        if connection.thread in busy:  # this thread, or one that was waited for in vain
            fork.unclosed.append(connection)
            continue
        try:
            connection.close()
        except sqlite3.Error:
            fork.unclosed.append(connection)
    if not is_quiet:
        _warn(
            "has an operation that lasts; a process that is forked meanwhile may find "
            "the folder locked"
        )


def _in_parent():
    with _changed:
        fork = _forking.pop(threading.get_ident(), None) or _Fork()
        _changed.notify_all()
    for _, lock in fork.holders:
        if lock is not None:
            lock.release()


def _in_child():
    global _changed, _connections
    # A thread that the child does not have may hold the parent's condition.
    fork = _forking.get(threading.get_ident()) or _Fork()
    _changed = threading.Condition()
    _forking.clear()
    _working.clear()
    _connections = weakref.WeakSet()
    for connection in fork.unclosed:
        # Closing it would end the parent's transaction and delete its journal.
        connection.is_open = False
        _inherited.append(connection)
    for holder, lock in fork.holders:
        holder._renew_lock(was_free=lock is not None)


def _warn(text):
    warnings.warn(f"A feature cache {text}.", RuntimeWarning, stacklevel=4)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_in_parent, after_in_child=_in_child
    )
