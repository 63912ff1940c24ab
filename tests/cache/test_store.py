"""A store of one's own: what a third party fills, the cache uses."""

import pickle
import threading

import numpy as np
import pytest

from sktransfer import FeatureCache, ImageClassifier, TextEncoder, load_backbone
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


class NotingStore(DictStore):
    """Knows of calls and origins, and lets go of what is wrong."""

    def __init__(self, name):
        super().__init__(name)
        self.n_calls, self.origins, self.discarded = 0, {}, []

    def begin_call(self):
        self.n_calls += 1

    def note_origin(self, prefix, origin):
        if prefix not in self.origins:
            assert not any(key.startswith(prefix) for key in self.arrays)
        self.origins[prefix] = origin

    def discard(self, keys):
        self.discarded += keys
        for key in keys:
            del self.arrays[key]


def test_a_store_is_told_of_each_call_once():
    store = NotingStore("a")
    encoder = TextEncoder("tiny-bert", cache=FeatureCache(store=store))
    encoder.fit_transform(TEXTS)
    assert store.n_calls == 1
    encoder.transform([f"text {i}" for i in range(3000)])  # in several parts
    assert store.n_calls == 2


def test_a_store_is_told_the_origin_before_the_first_row():
    store = NotingStore("a")
    TextEncoder("tiny-bert", cache=FeatureCache(store=store)).fit_transform(TEXTS)
    assert set(store.origins) == {key[:20] for key in store.arrays}
    (origin,) = store.origins.values()
    backbone = load_backbone("tiny-bert")
    assert origin["network"] == "tiny-bert"
    assert origin["identity"] == backbone.cache_identity
    assert origin["versions"] == backbone.versions


WRONG = {
    "shorter": lambda array: array[:-1],
    "longer": lambda array: np.append(array, array[:1]),
    "empty": lambda array: array[:0],
    "a table": lambda array: array[None],
    "another type": lambda array: array.astype("float64"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_vector_of_a_wrong_form_costs_one_warning(change):
    store = NotingStore("a")
    encoder = TextEncoder("tiny-bert", cache=FeatureCache(store=store))
    expected = encoder.fit_transform(TEXTS)
    right = dict(store.arrays)
    for key in right:
        store.arrays[key] = change(right[key])
    encoder = TextEncoder("tiny-bert", cache=FeatureCache(store=store))
    with pytest.warns(RuntimeWarning, match="a wrong length or form") as seen:
        np.testing.assert_array_equal(encoder.fit_transform(TEXTS), expected)
    assert len(seen) == 1
    assert sorted(store.discarded) == sorted(right)
    for key, value in right.items():
        np.testing.assert_array_equal(store.arrays[key], value)


WRONG_ACTIVATIONS = {
    "another shape": lambda array: array[:, :-1],
    "another width": lambda array: array[..., :-1, :-1][:-1],
    "another type": lambda array: array.astype("float16"),
    "a vector": lambda array: array.ravel(),
}


@pytest.mark.parametrize("change", WRONG_ACTIVATIONS.values(), ids=WRONG_ACTIVATIONS)
@pytest.mark.filterwarnings("ignore:A record in the feature cache")
@pytest.mark.usefixtures("auto_is_cpu")
def test_activations_of_a_wrong_form_are_computed_anew(
    counting_backbone, pixels, change
):
    backbone, counter = counting_backbone("tiny-cnn")
    store = NotingStore("a")

    def fit():
        model = ImageClassifier(
            backbone,
            freeze_depth=1,
            max_epochs=1,
            cache=FeatureCache(store=store),
            random_state=0,
        )
        return model.fit(pixels, [0, 1] * 3).predict_proba(pixels)

    expected, n_rows = fit(), counter.rows
    wrong = list(store.arrays)[-1]
    store.arrays[wrong] = change(store.arrays[wrong])
    np.testing.assert_allclose(fit(), expected, atol=1e-6)
    assert counter.rows == n_rows + 1
    assert store.discarded == [wrong]


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
    with pytest.raises(
        TypeError, match="must be an instance of sktransfer.cache.FeatureStore"
    ):
        FeatureCache(store={})
    with pytest.raises(ValueError, match="expected only one of them"):
        FeatureCache(tmp_path, store=DictStore("a"))
    with pytest.raises(TypeError, match="abstract"):
        FeatureStore()
