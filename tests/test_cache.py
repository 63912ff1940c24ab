"""FeatureCache: memory budget, by-products, folder."""

import copy
import os
import pickle
import sqlite3

import numpy as np
import pytest
from sklearn.base import clone

import sktransfer
from sktransfer import FeatureCache, TextEncoder
from sktransfer.cache import ENTRY_OVERHEAD, resolve_cache

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
    assert cache.info()[:2] == (2, 1)


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


def test_a_negative_budget_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        FeatureCache(memory_budget=-1)


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


def test_more_keys_than_sqlite_takes_at_once(tmp_path):
    many = {i.to_bytes(2): record(i) for i in range(3000)}
    FeatureCache(tmp_path).put_many(many, ALL)
    assert len(FeatureCache(tmp_path).get_many(list(many), ALL)) == 3000


def test_a_changed_byte_is_a_miss_not_a_wrong_vector(tmp_path):
    FeatureCache(tmp_path).put_many(records(1, 2), ALL)
    with sqlite3.connect(tmp_path / "features.sqlite") as connection:
        blob = record(1).tobytes()
        connection.execute(
            "UPDATE features SET record = ? WHERE key = ?", (b"\xff" + blob[1:], b"\1")
        )
    connection.close()
    assert FeatureCache(tmp_path).get_many([b"\1", b"\2"], ALL).keys() == {b"\2"}


def test_a_file_that_is_no_database_costs_one_warning(tmp_path):
    (tmp_path / "features.sqlite").write_bytes(b"no database at all" * 100)
    encoder = TextEncoder("tiny-bert", cache=FeatureCache(tmp_path))
    with pytest.warns(
        RuntimeWarning, match="moved to 'features.sqlite.damaged'"
    ) as seen:
        got = encoder.fit_transform(["a", "b"])
    assert len(seen) == 1
    np.testing.assert_array_equal(got, encoder.transform(["a", "b"]))
    assert (tmp_path / "features.sqlite.damaged").exists()


def test_a_newer_store_is_left_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "features.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    encoder = TextEncoder("tiny-bert", cache=FeatureCache(tmp_path))
    with pytest.warns(RuntimeWarning, match="schema version 99"):
        encoder.fit_transform(["a"])
    assert (tmp_path / "features.sqlite").exists()


def test_clones_share_a_cache_and_pickles_carry_settings(tmp_path):
    cache = FeatureCache(tmp_path, memory_budget=12345)
    assert clone(TextEncoder(cache=cache)).cache is cache
    assert copy.deepcopy(cache) is cache
    cache.put_many(records(*range(200)), ALL)
    data = pickle.dumps(cache)
    assert len(data) < 500
    loaded = pickle.loads(data)
    assert (loaded.folder, loaded.memory_budget) == (cache.folder, 12345)
    memory_only = pickle.loads(pickle.dumps(FeatureCache(memory_budget=7)))
    assert (memory_only.folder, memory_only.memory_budget) == (None, 7)


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
