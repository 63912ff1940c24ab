"""A store of one's own: what a third party fills, the cache uses."""

import pickle
import threading

import numpy as np
import pytest

from sktransfer import FeatureCache, ImageClassifier, TextEncoder
from sktransfer.cache import FeatureStore

TEXTS = ["one", "two", "three", "two"]


class DictStore(FeatureStore):
    """Keeps arrays in a dict that all copies in this process share."""

    places: dict[str, dict] = {}

    def __init__(self, name):
        self.name = name
        self.arrays = self.places.setdefault(name, {})

    def __reduce__(self):
        return DictStore, (self.name,)

    def get_many(self, keys):
        return [(key, self.arrays[key]) for key in keys if key in self.arrays]

    def put_many(self, records):
        self.arrays.update(records)

    def clear(self):
        self.arrays.clear()


class ClaimingStore(DictStore):
    """Lets one cache at a time compute a row."""

    def __init__(self, name):
        super().__init__(name)
        self.lock, self.claimed, self.released = threading.Lock(), set(), []

    def claim(self, keys):
        with self.lock:
            granted = set(keys) - self.claimed - set(self.arrays)
            self.claimed |= granted
        return granted

    def release(self, keys):
        self.released += keys
        self.claimed -= set(keys)


@pytest.fixture(autouse=True)
def no_places(monkeypatch):
    monkeypatch.setattr(DictStore, "places", {})


def test_rows_go_to_the_store_and_come_from_it(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    store = DictStore("a")
    encode = TextEncoder(backbone, cache=FeatureCache(store=store)).fit_transform
    expected = encode(TEXTS)
    assert (len(store.arrays), counter.rows) == (3, 3)
    # Another cache over the same store: nothing is in its memory.
    again = TextEncoder(backbone, cache=FeatureCache(store=store)).fit_transform(TEXTS)
    np.testing.assert_array_equal(again, expected)
    assert counter.rows == 3


def test_activations_of_a_fit_go_to_the_store_too(counting_backbone, pixels):
    backbone, counter = counting_backbone("tiny-cnn")
    y = [0, 1] * 3
    for _ in range(2):
        cache = FeatureCache(store=DictStore("a"))
        ImageClassifier(
            backbone, freeze_depth=-1, max_epochs=1, cache=cache, random_state=0
        ).fit(pixels, y)
    assert counter.rows == 6


def test_a_row_that_another_claims_is_waited_for_and_not_computed(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    expected = TextEncoder(backbone, cache=None).fit_transform(TEXTS)
    n_rows = counter.rows
    store = ClaimingStore("a")
    threads, vectors = [], []
    start = threading.Barrier(2)

    def work():
        start.wait()
        cache = FeatureCache(store=store)
        vectors.append(TextEncoder(backbone, cache=cache).fit_transform(TEXTS))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.rows - n_rows == 3
    for found in vectors:
        np.testing.assert_array_equal(found, expected)


def test_claims_of_a_call_that_fails_are_released():
    store = ClaimingStore("a")
    encoder = TextEncoder("tiny-bert", cache=FeatureCache(store=store))
    with pytest.raises(ValueError, match="cannot be used"):
        encoder.fit_transform(["one", 17])
    encoder.fit_transform(["one"])
    assert len(store.arrays) == 1


def test_a_pickled_cache_carries_its_store():
    cache = FeatureCache(store=DictStore("a"), memory_budget=7)
    expected = TextEncoder("tiny-bert", cache=cache).fit_transform(TEXTS)
    data = pickle.dumps(cache)
    assert pickle.loads(data) is cache
    del cache  # as in another process
    loaded = pickle.loads(data)
    assert loaded.memory_budget == 7
    assert repr(loaded).startswith("FeatureCache(store=<")
    again = TextEncoder("tiny-bert", cache=loaded).fit_transform(TEXTS)
    np.testing.assert_array_equal(again, expected)
    assert loaded.info().misses == 0


def test_clear_empties_the_store_where_it_is_asked_to():
    store = DictStore("a")
    cache = FeatureCache(store=store)
    TextEncoder("tiny-bert", cache=cache).fit_transform(TEXTS)
    cache.clear()
    assert store.arrays
    cache.clear(folder=True)
    assert not store.arrays


def test_what_the_store_raises_reaches_the_caller():
    class Down(DictStore):
        def get_many(self, keys):
            raise ConnectionError("the store does not answer")

    encoder = TextEncoder("tiny-bert", cache=FeatureCache(store=Down("a")))
    with pytest.raises(ConnectionError, match="does not answer"):
        encoder.fit_transform(TEXTS)


def test_other_things_than_stores_are_refused(tmp_path):
    with pytest.raises(TypeError, match="must be a sktransfer.cache.FeatureStore"):
        FeatureCache(store={})
    with pytest.raises(ValueError, match="give one of them"):
        FeatureCache(tmp_path, store=DictStore("a"))
    with pytest.raises(TypeError, match="abstract"):
        FeatureStore()
