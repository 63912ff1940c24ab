"""A folder with a budget: which rows leave, and which are not kept."""

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from sktransfer import FeatureCache
from sktransfer.cache import _room
from sktransfer.cache._folder import FolderStore
from sktransfer.cache._memory import new_scan

N_ROWS = 200
ROW = 2500  # floats; a page of 16 kB holds one
BUDGET = int(0.7 * N_ROWS * 2**14)


def array(i, size=6):
    return np.arange(size, dtype=np.float32) + 10 * i


def got(store, keys):
    return dict(store.get_many(keys))


def key(i):
    return i.to_bytes(40, "big")


def go_through(cache, numbers=range(N_ROWS), chunk=10):
    """Do what a call does; return how many rows were found."""
    scan, n_found, numbers = new_scan(), 0, list(numbers)
    for start in range(0, len(numbers), chunk):
        part = {key(i): i for i in numbers[start : start + chunk]}
        found = cache.get_many(list(part), None, scan)
        for k, value in found.items():
            np.testing.assert_array_equal(value, array(part[k], ROW))
        n_found += len(found)
        left = {k: array(i, ROW) for k, i in part.items() if k not in found}
        cache.put_many(left, None, scan)
    return n_found


def disk_bytes(folder):
    with closing(sqlite3.connect(folder / "features.sqlite")) as connection:
        return _room.file_bytes(connection)


def test_the_least_recently_used_rows_leave_a_full_folder(tmp_path, monkeypatch):
    now = [1_000_000]
    monkeypatch.setattr(time, "time", lambda: now[0])
    store = FolderStore(tmp_path, budget=2_000_000)
    for i in range(30):
        now[0] += 4_000
        store.put_many({bytes([i]): array(i, 25_000)})
        assert got(store, [b"\0"])  # always the most recent but one
    left = got(store, [bytes([i]) for i in range(30)])
    assert 5 < len(left) < 20
    assert {b"\0", bytes([29]), bytes([28])} <= left.keys()
    assert b"\1" not in left
    size = (tmp_path / "features.sqlite").stat().st_size
    assert size < 2_500_000


def test_a_call_with_more_rows_than_there_is_room_for_finds_those_that_fit(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=BUDGET)
    with pytest.warns(
        RuntimeWarning, match="is full: .* raise the folder_budget"
    ) as seen:
        found = [go_through(cache) for _ in range(4)]
    assert len(seen) == 1
    assert found[0] == 0
    assert min(found[1:]) > 0.6 * N_ROWS
    assert disk_bytes(tmp_path) <= BUDGET


def test_rows_of_older_calls_make_room(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=BUDGET)
    half = N_ROWS // 2
    for start in (0, half, 2 * half):
        assert go_through(cache, range(start, start + half)) == 0
        assert go_through(cache, range(start, start + half)) == half


def test_rows_found_before_a_folder_fills_up_stay(tmp_path):
    """Below half of the budget nobody has written down that they were found."""
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=BUDGET)
    go_through(cache, range(N_ROWS // 4))
    with pytest.warns(RuntimeWarning, match="is full"):
        assert go_through(cache) == N_ROWS // 4
    assert go_through(cache) > 0.6 * N_ROWS


@pytest.mark.filterwarnings("ignore:The feature cache in .* is full")
def test_a_row_that_is_gone_takes_no_others_with_it(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=BUDGET)
    go_through(cache)
    n_kept = go_through(cache)
    for i in (20, 50, 90):
        cache._store.discard([key(i)])
    assert go_through(cache) > n_kept - 20
    assert go_through(cache) > n_kept - 5


@pytest.mark.filterwarnings("ignore:The feature cache in .* is full")
def test_threads_that_share_a_job_find_what_fits(tmp_path):
    found = []
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=BUDGET)

    def work():
        found.append([go_through(cache) for _ in range(3)])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(passes[-1] for passes in found) > 0.5 * N_ROWS
    assert disk_bytes(tmp_path) <= BUDGET


def test_processes_that_share_a_job_find_what_fits(tmp_path):
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        f"sys.path.insert(0, {str(__file__.rpartition('/')[0])!r})\n"
        "from test_budget import BUDGET, FeatureCache, go_through\n"
        f"folder = {str(tmp_path)!r}\n"
        "cache = FeatureCache(folder, memory_budget=0, folder_budget=BUDGET)\n"
        "print([go_through(cache) for _ in range(3)][-1])"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    found = [int(process.communicate(timeout=100)[0]) for process in processes]
    assert min(found) > 0.5 * N_ROWS
    assert disk_bytes(tmp_path) <= BUDGET


def test_rows_with_a_stamp_in_the_future_leave(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=BUDGET)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 1e8)
    go_through(cache, range(N_ROWS // 2))
    monkeypatch.undo()
    go_through(cache, range(1000, 1000 + N_ROWS // 2))
    assert go_through(cache, range(1000, 1000 + N_ROWS // 2)) == N_ROWS // 2


def test_a_row_larger_than_the_folder_is_not_kept(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=0, folder_budget=300_000)
    with pytest.warns(RuntimeWarning, match="is full"):
        cache.put_many({key(1): array(1, 500_000)}, None, new_scan())
    assert not cache.get_many([key(1)])
    assert disk_bytes(tmp_path) <= 300_000


@pytest.mark.parametrize(
    "query",
    [
        "SELECT key, size FROM features WHERE used < 7 ORDER BY used",
        "SELECT key, size FROM features WHERE used > 7 ORDER BY used",
        "SELECT count(*), min(used), max(used) FROM features",
        "SELECT substr(key, 1, 20), count(*), sum(size) FROM features GROUP BY 1",
    ],
)
def test_eviction_and_counting_read_no_records(tmp_path, query):
    FolderStore(tmp_path).put_many({b"a": array(1)})
    with closing(sqlite3.connect(tmp_path / "features.sqlite")) as connection:
        plan = " ".join(
            str(row) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        )
    assert "COVERING INDEX features_used" in plan


def test_clear_frees_the_disk_claims_and_damaged_files(tmp_path):
    cache = FeatureCache(tmp_path)
    go_through(cache)
    cache.claim([key(9999)])
    (tmp_path / "features-1.sqlite").write_bytes(bytes(100_000))
    (tmp_path / "features-1.sqlite.damaged").touch()
    cache.clear(folder=True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000
    assert FolderStore(tmp_path).claim([key(9999)]) == {key(9999)}
    assert go_through(cache) == 0
