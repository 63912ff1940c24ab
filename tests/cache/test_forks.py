"""Forks beside threads that use a cache: no hang, no lock and no wrong vector."""

import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from sktransfer import FeatureCache
from sktransfer.cache import _forks
from sktransfer.cache._file import transaction
from sktransfer.cache._folder import FolderStore

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
LIMIT_S = 60.0


def array(i):
    return np.arange(6, dtype=np.float32) + 10 * i


def records(*numbers):
    return {bytes([i]): array(i) for i in numbers}


def got(store, keys):
    return dict(store.get_many(keys))


def in_child(function):
    """Run a function in a forked child; return whether it returned True."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                code = 0 if function() is True else 1
        finally:
            os._exit(code)
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


def test_a_forked_child_uses_a_connection_of_its_own(tmp_path):
    store = FolderStore(tmp_path)
    store.put_many(records(1))
    pid = os.fork()
    if pid == 0:
        try:
            store.put_many(records(2))
            os._exit(0 if len(got(store, [b"\1", b"\2"])) == 2 else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    store.put_many(records(3))
    assert len(got(store, [b"\1", b"\2", b"\3"])) == 3


@pytest.mark.slow
def test_a_forked_child_encodes_after_its_parent_did(tmp_path):
    code = f"""
import os, numpy as np
from sktransfer import ImageEncoder
X = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
want = ImageEncoder("tiny-cnn", cache=None).fit_transform(X)
pid = os.fork()
if pid == 0:
    got = ImageEncoder("tiny-cnn", cache={str(tmp_path)!r}).fit_transform(X)
    os._exit(0 if np.allclose(got, want, atol=1e-6) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, timeout=120, check=False
    )
    assert done.returncode == 0


def test_a_child_writes_while_its_parent_writes(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put_many(records(1))
    inside, leave = threading.Event(), threading.Event()

    def write():
        with transaction(cache._store.file.connection()):
            inside.set()
            leave.wait(0.5)

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()

    def child():
        start = time.monotonic()
        FeatureCache(tmp_path).put_many(records(2))
        return time.monotonic() - start < 5

    assert in_child(child)
    leave.set()
    thread.join()
    cache.put_many(records(3))
    assert got(FolderStore(tmp_path), [b"\1", b"\2", b"\3"]).keys() == {
        b"\1",
        b"\2",
        b"\3",
    }


def test_a_fork_does_not_wait_for_ever_for_an_operation(tmp_path, monkeypatch):
    monkeypatch.setattr(_forks, "PATIENCE_S", 0.2)
    store = FolderStore(tmp_path)
    store.put_many(records(1))
    inside, leave = threading.Event(), threading.Event()

    def read():
        with _forks.operation():
            store.file.connection().execute("BEGIN")
            inside.set()
            leave.wait(LIMIT_S)
            store.file.connection().execute("COMMIT")

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert in_child(lambda: got(store, [b"\1"]).keys() == {b"\1"})
    assert ["has an operation that lasts" in str(w.message) for w in seen].count(
        True
    ) == 1
    leave.set()
    thread.join()
    assert got(store, [b"\1"])


@pytest.mark.parametrize("has_folder", [False, True])
def test_a_lock_that_another_thread_holds_is_free_in_the_child(tmp_path, has_folder):
    cache = FeatureCache(tmp_path if has_folder else None)
    cache.put_many(records(1))
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with cache._lock:
            inside.set()
            leave.wait(LIMIT_S)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()

    def child():
        cache.put_many(records(2))
        cache.wait()
        return cache.claim([b"\3"]) == {b"\3"} and b"\2" in cache.get_many([b"\2"])

    assert in_child(child)
    leave.set()
    thread.join()
    assert cache.get_many([b"\1"])


def test_a_fork_inside_an_operation_of_its_own_thread_goes_on(tmp_path):
    store = FolderStore(tmp_path)
    store.put_many(records(1))
    with _forks.operation(), transaction(store.file.connection()):
        assert in_child(lambda: True)
    with FeatureCache(tmp_path)._lock:
        assert in_child(lambda: True)
    store.put_many(records(2))
    assert len(got(store, [b"\1", b"\2"])) == 2


@pytest.mark.slow
def test_many_forks_beside_threads_that_write(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=0)
    stop, errors, written = threading.Event(), [], [0] * 4

    def check(numbers):
        found = cache.get_many([bytes([i]) for i in numbers])
        return len(found) == len(set(numbers)) and all(
            np.array_equal(value, array(key[0])) for key, value in found.items()
        )

    def work(seed):
        try:
            while not stop.is_set():
                number = 50 * seed + written[seed] % 50
                cache.put_many(records(number))
                assert check([number])
                written[seed] += 1
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()

    def child(number):
        cache.put_many(records(number))
        return check([number])

    try:
        for i in range(25):
            assert in_child(lambda i=i: child(200 + i))
    finally:
        stop.set()
        for thread in threads:
            thread.join(LIMIT_S)
    assert not errors
    assert min(written) > 0
    assert check(range(200, 225))
