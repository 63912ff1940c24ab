"""FeatureCache: memory budget, by-products, folder."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import sktransfer
from sktransfer import FeatureCache, TextEncoder
from sktransfer.cache._default import resolve_cache
from sktransfer.cache._memory import ENTRY_OVERHEAD

ALL = slice(0, 6)
TAIL = slice(4, 6)


def record(i):
    return np.arange(6, dtype=np.float32) + 10 * i


def records(*numbers):
    return {bytes([i]): record(i) for i in numbers}


def test_what_was_put_is_found_and_counted():
    cache = FeatureCache()
    cache.put_many(records(1, 2), TAIL)
    found = cache.get_many([b"\1", b"\2", b"\3"], TAIL)
    np.testing.assert_array_equal(found[b"\1"], record(1)[TAIL])
    assert found.keys() == {b"\1", b"\2"}
    assert cache.info()[:2] == (2, 2)


def test_another_part_of_a_record_is_a_by_product():
    cache = FeatureCache()
    cache.put_many(records(1), TAIL)
    np.testing.assert_array_equal(
        cache.get_many([b"\1"], slice(0, 4))[b"\1"], record(1)[:4]
    )


def test_by_products_leave_first_then_the_least_recently_used():
    asked, spare = 2 * 4 + ENTRY_OVERHEAD, 6 * 4 + ENTRY_OVERHEAD
    cache = FeatureCache(memory_budget=2 * asked + spare)
    cache.put_many(records(1), TAIL)
    cache.put_many(records(2), TAIL)  # pushes the by-product of 1 out
    assert not cache.get_many([b"\1"], slice(0, 4))
    assert cache.get_many([b"\1"], TAIL)  # 1 is now more recent than 2
    with pytest.warns(RuntimeWarning, match="cache is full") as seen:
        cache.put_many(records(3, 4), TAIL)
    assert len(seen) == 1
    assert not cache.get_many([b"\2"], TAIL)
    assert cache.info().n_bytes <= cache.memory_budget


def test_rows_of_one_call_do_not_push_each_other_out():
    cost = record(0).nbytes + ENTRY_OVERHEAD
    cache = FeatureCache(memory_budget=3 * cost)
    cache.put_many(records(8, 9), scan=1)
    with pytest.warns(RuntimeWarning, match="cache is full"):
        cache.put_many(records(0, 1, 2, 3, 4), scan=2)
    keys = list(records(*range(10)))
    assert list(cache.get_many(keys, scan=3)) == keys[:3]
    cache.put_many(records(5), scan=3)  # all that is there was used by this call
    assert list(cache.get_many(keys, scan=4)) == keys[:3]
    cache.put_many(records(5, 6), scan=5)
    assert list(cache.get_many(keys)) == [keys[2], keys[5], keys[6]]


@pytest.mark.filterwarnings("ignore:The feature cache is full")
def test_what_fits_is_found_by_the_next_call(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    rows = [f"row {i}" for i in range(20)]
    width = backbone.widths[-1] * 4 + ENTRY_OVERHEAD
    encoder = TextEncoder(backbone, cache=FeatureCache(memory_budget=8 * width))
    first = encoder.fit_transform(rows)
    assert counter.rows == 20
    np.testing.assert_allclose(encoder.transform(rows), first, atol=1e-6)
    assert counter.rows == 32
    others = [f"other {i}" for i in range(8)]
    encoder.transform(others)
    assert counter.rows == 40
    encoder.transform(others)
    assert counter.rows == 40


def test_the_budget_holds_whatever_is_put():
    cache = FeatureCache(memory_budget=5_000)
    with pytest.warns(RuntimeWarning, match="cache is full"):
        cache.put_many(records(*range(100)), TAIL)
    for i in range(200):
        cache.put_many(records(i), slice(i % 6, 6))
        assert cache.info().n_bytes <= 5_000
    cache.clear()
    assert cache.info()[:4] == (0, 0, 0, 0)


def test_a_budget_of_zero_keeps_nothing_and_breaks_nothing():
    cache = FeatureCache(memory_budget=0)
    encoder = TextEncoder("tiny-bert", cache=cache)
    want = TextEncoder("tiny-bert", cache=None).fit_transform(["a", "b", "a"])
    np.testing.assert_array_equal(encoder.fit_transform(["a", "b", "a"]), want)
    assert cache.info().rows == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("n_values", "rows_a_batch"), [(40_000, 8), (1500, 64)])
def test_the_process_grows_by_the_memory_budget_and_no_more(n_values, rows_a_batch):
    """A row that leaves gives its memory back, whatever becomes of its neighbours."""
    code = f"""
import gc, warnings
import numpy as np
from sktransfer import FeatureCache
from sktransfer._utils.allocator import _resident, apart
from sktransfer.cache._memory import new_scan
warnings.simplefilter("ignore")
budget = 30 * 2**20
n_rows, batch = 3 * budget // (4 * {n_values}), {rows_a_batch}
keys = [i.to_bytes(40, "big") for i in range(n_rows)]
cache, rng, growth = FeatureCache(memory_budget=budget), np.random.default_rng(0), []
before = _resident()
for _ in range(8):
    fold = np.sort(rng.choice(n_rows, n_rows // 2, replace=False)).tolist()
    scan = new_scan()
    found = cache.get_many([keys[i] for i in fold], None, scan).keys()
    left = [keys[i] for i in fold if keys[i] not in found]
    del found
    for start in range(0, len(left), batch):
        part = left[start : start + batch]
        rows = apart([np.ones({n_values}, np.float32) for _ in part], np.float32)
        cache.put_many(dict(zip(part, rows)), None, scan)
    del rows
    growth.append(_resident() - before)
print(max(growth) / budget)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=True, timeout=100)
    assert 0.8 < float(done.stdout) < 1.2


@pytest.mark.parametrize("name", ["memory_budget", "folder_budget"])
@pytest.mark.parametrize("budget", ["1GB", 1e9, True, [], b"1"])
def test_a_budget_that_is_no_int_is_refused(name, budget):
    with pytest.raises(TypeError, match=rf"{name}=.* a number of bytes as an int"):
        FeatureCache(**{name: budget})


def test_numbers_of_numpy_are_budgets_too():
    cache = FeatureCache(memory_budget=np.int64(10), folder_budget=np.uint8(3))
    assert repr(cache) == "FeatureCache(None, memory_budget=10, folder_budget=3)"
    with pytest.raises(TypeError, match="memory_budget=None must be"):
        FeatureCache(memory_budget=None)


@pytest.mark.parametrize("name", ["memory_budget", "folder_budget"])
def test_a_negative_budget_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}=-1 must not be negative"):
        FeatureCache(**{name: -1})


def test_vectors_in_the_cache_cannot_be_changed_from_outside():
    cache = FeatureCache()
    cache.put_many(records(1), TAIL)
    with pytest.raises(ValueError, match="read-only"):
        cache.get_many([b"\1"], TAIL)[b"\1"][:] = 0
    encoder = TextEncoder("tiny-bert", cache=cache)
    first = encoder.fit_transform(["a"])
    want = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(encoder.transform(["a"]), want)


def test_a_folder_outlives_the_object(tmp_path):
    FeatureCache(tmp_path / "new" / "folder").put_many(records(1, 2), TAIL)
    again = FeatureCache(tmp_path / "new" / "folder")
    found = again.get_many([b"\1", b"\2"], ALL)
    np.testing.assert_array_equal(found[b"\2"], record(2))
    again.clear(folder=True)
    assert not FeatureCache(tmp_path / "new" / "folder").get_many([b"\1"], ALL)


def test_clones_share_a_cache_and_pickles_carry_settings(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=12345, folder_budget=None)
    assert clone(TextEncoder(cache=cache)).cache is cache
    assert copy.deepcopy(cache) is cache
    cache.put_many(records(*range(200)), ALL)
    data = pickle.dumps(cache)
    assert len(data) < 500
    loaded = pickle.loads(data)
    assert (loaded.folder, loaded.memory_budget) == (cache.folder, 12345)
    assert loaded.folder_budget is None
    memory_only = pickle.loads(pickle.dumps(FeatureCache(memory_budget=7)))
    assert (memory_only.folder, memory_only.memory_budget) == (None, 7)


def test_a_pickle_is_the_cache_itself_where_it_was_made():
    cache = FeatureCache(memory_budget=10_000)
    encoder = pickle.loads(pickle.dumps(TextEncoder("tiny-bert", cache=cache)))
    assert encoder.cache is cache
    assert copy.copy(cache) is cache


def test_pickles_of_a_cache_are_one_cache_in_another_process(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    data = pickle.dumps(FeatureCache())  # whose cache is gone
    for _ in range(3):  # tasks, which let go of what they were given
        encoder = TextEncoder(backbone, cache=pickle.loads(data))
        encoder.fit_transform(["a", "b"])
        del encoder
        gc.collect()
    assert counter.rows == 2


def test_a_process_keeps_few_caches_from_pickles():
    loaded = [pickle.loads(pickle.dumps(FeatureCache())) for _ in range(10)]
    alive = [weakref.ref(cache) for cache in loaded]
    del loaded
    gc.collect()
    assert sum(reference() is not None for reference in alive) <= 4


@pytest.mark.slow
def test_a_cache_is_kept_from_task_to_task_of_a_worker():
    code = """
import warnings
from joblib import Parallel, delayed
from sktransfer import FeatureCache, TextEncoder
def task(cache, texts):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        TextEncoder("tiny-bert", cache=cache).fit_transform(texts)
    ours = [w for w in seen if "This is a worker process" in str(w.message)]
    return cache.info().misses, cache.info().hits, len(ours)
cache, texts = FeatureCache(), [f"text {i}" for i in range(40)]
results = Parallel(n_jobs=1 + 1, max_nbytes=None)(
    delayed(task)(cache, texts) for _ in range(8)
)
assert all(misses == 40 for misses, _, _ in results), results
assert sum(warned for _, _, warned in results) <= 2, results
assert max(hits for _, hits, _ in results) >= 40 * 3, results
assert max(warned for _, _, warned in results) == 1, results
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, check=True, timeout=200)


def test_auto_follows_the_setting_then_the_environment(tmp_path, monkeypatch):
    assert resolve_cache("auto").folder is None
    monkeypatch.setenv("SKTRANSFER_CACHE", str(tmp_path / "from_env"))
    assert resolve_cache("auto").folder == tmp_path / "from_env"
    sktransfer.set_cache_dir(tmp_path / "set")
    assert sktransfer.cache_info().folder == str(tmp_path / "set")
    assert resolve_cache(tmp_path / "set") is resolve_cache("auto")
    assert os.environ["SKTRANSFER_CACHE"] == str(tmp_path / "set")
    sktransfer.set_cache_dir(None)
    assert resolve_cache("auto").folder is None


def test_a_cache_of_a_wrong_type_is_refused():
    with pytest.raises(TypeError, match="'auto', a folder, a FeatureCache or None"):
        TextEncoder("tiny-bert", cache=3).fit_transform(["a"])


@pytest.mark.parametrize(
    "word",
    [
        "memory",
        "Memory",
        "none",
        "NONE",
        "off",
        "disk",
        "true",
        "False",
        "",
        " ",
        "AUTO",
    ]
    + ["auto ", "0", "no", "ram"],
)
def test_words_that_people_try_make_no_folder(tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    encoder = TextEncoder("tiny-bert", cache=word)
    with pytest.raises(ValueError, match=r"cache='.*' does not name a folder.*'auto'"):
        encoder.fit_transform(["a"])
    with pytest.raises(ValueError, match="folder='.*' does not name a folder"):
        FeatureCache(word)
    with pytest.raises(ValueError, match="folder='.*' does not name a folder"):
        sktransfer.set_cache_dir(word)
    if word:
        monkeypatch.setenv("SKTRANSFER_CACHE", word)
        with pytest.raises(ValueError, match="SKTRANSFER_CACHE='.*' does not name"):
            TextEncoder("tiny-bert").fit_transform(["a"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["./memory", Path("memory"), "my memory"])
def test_a_path_of_such_a_name_is_a_folder(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    TextEncoder("tiny-bert", cache=folder).fit_transform(["a"])
    assert (tmp_path / folder / "features.sqlite").exists()


def in_another_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("has_folder", [False, True])
def test_a_row_is_claimed_by_one_thread_until_it_is_put_or_released(
    tmp_path, has_folder
):
    cache = FeatureCache(tmp_path if has_folder else None)
    keys = [b"\1", b"\2", b"\3"]
    assert cache.claim(keys[:2], ALL) == {b"\1", b"\2"}
    assert cache.claim(keys[:2], ALL) == {b"\1", b"\2"}  # still this thread's
    assert in_another_thread(lambda: cache.claim(keys[:2], ALL)) == set()
    cache.put_many(records(1), ALL)
    cache.release([b"\2"])
    # What is there is nobody's to compute.
    assert in_another_thread(lambda: cache.claim(keys, ALL)) == {b"\2", b"\3"}


def test_threads_that_start_together_share_the_work(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    texts = [f"text number {i}" for i in range(400)]
    want = TextEncoder("tiny-bert", cache=None).fit_transform(texts)
    cache, barrier, results = FeatureCache(), threading.Barrier(4), []

    def work():
        barrier.wait()
        results.append(TextEncoder(backbone, cache=cache).fit_transform(texts))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.rows == len(texts)
    assert len(results) == 4
    for got in results:
        np.testing.assert_array_equal(got, want)


def test_a_thread_that_fails_gives_its_rows_back():
    cache = FeatureCache()
    encoder = TextEncoder("tiny-bert", cache=cache)

    def fail():
        with pytest.raises(ValueError, match="row 2"):
            encoder.fit_transform(["a", "b", 3])
        return True

    assert in_another_thread(fail)
    assert encoder.fit_transform(["a", "b"]).shape == (2, 16)


def test_a_worker_without_a_folder_is_told_once(monkeypatch, tmp_path):
    from sktransfer.cache import _default as module

    monkeypatch.setattr(module.multiprocessing, "parent_process", lambda: "parent")
    monkeypatch.setattr(module, "_warned_pids", set())
    with pytest.warns(RuntimeWarning, match=r"worker process.*set_cache_dir") as seen:
        TextEncoder("tiny-bert").fit_transform(["a"])
        TextEncoder("tiny-bert").fit_transform(["b"])
    assert len(seen) == 1
    monkeypatch.setattr(module, "_warned_pids", set())
    TextEncoder("tiny-bert", cache=tmp_path).fit_transform(["a"])
    TextEncoder("tiny-bert", cache=None).fit_transform(["a"])
