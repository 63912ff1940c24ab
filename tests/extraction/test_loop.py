"""The loop that runs the network: counted forwards, fixed shapes, bad rows."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sktransfer import (
    Backbone,
    FeatureCache,
    ImageEncoder,
    TextEncoder,
    cache_info,
    clear_cache,
)

WORDS = "one two three four five six seven eight nine ten".split()


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, size=n)
    return [
        " ".join(rng.choice(WORDS, size=k)) + f" {i}" for i, k in enumerate(lengths)
    ]


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(n, 33, 41, 3), dtype=np.uint8)


CASES = {
    "image": ("tiny-cnn", ImageEncoder, pictures),
    "text": ("tiny-bert", TextEncoder, texts),
}


@pytest.fixture(params=CASES)
def case(request, counting_backbone):
    """Give ``(encoder class, counting backbone, counter, rows)``."""
    name, encoder, make_rows = CASES[request.param]
    backbone, counter = counting_backbone(name)
    return encoder, backbone, counter, list(make_rows(150))


def test_each_distinct_row_runs_once_a_call_without_a_cache(case):
    encoder, backbone, counter, rows = case
    repeated = [rows[i % 7] for i in range(140)]
    out = encoder(backbone, cache=None).fit_transform(repeated)
    assert counter.rows == 7
    np.testing.assert_array_equal(out[:7], out[7:14])


def test_each_distinct_row_runs_once_ever_with_the_cache(case):
    encoder, backbone, counter, rows = case
    first = encoder(backbone).fit_transform(rows)
    assert counter.rows == len(rows)
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(len(rows))[:100]
        again = encoder(backbone).fit_transform([rows[i] for i in order])
        np.testing.assert_array_equal(again, first[order])
    assert counter.rows == len(rows)
    assert cache_info().misses == len(rows)


def test_every_depth_is_a_by_product_of_one_pass(case):
    encoder, backbone, counter, rows = case
    for depth in ("all", *range(1, len(backbone.blocks))):
        cached = encoder(backbone, depth=depth).fit_transform(rows)
        assert counter.rows == len(rows)
        plain = encoder(backbone.name, depth=depth, cache=None).fit_transform(rows)
        np.testing.assert_array_equal(cached, plain)


def test_another_pooling_is_another_vector(case):
    encoder, backbone, counter, rows = case
    mean = encoder(backbone, pooling="mean").fit_transform(rows)
    assert not np.array_equal(
        encoder(backbone, pooling="max").fit_transform(rows), mean
    )
    assert counter.rows == 2 * len(rows)
    # "auto" is "mean" for both networks, so it is known already.
    np.testing.assert_array_equal(encoder(backbone).fit_transform(rows), mean)
    assert counter.rows == 2 * len(rows)


@pytest.mark.usefixtures("auto_is_cpu")
def test_a_vector_does_not_depend_on_its_neighbours(case):
    encoder, backbone, _, rows = case
    whole = encoder(backbone, cache=None).fit_transform(rows)
    for part in ([3], [149, 3, 77], list(range(149, -1, -1))):
        some = encoder(backbone, cache=None).fit_transform([rows[i] for i in part])
        np.testing.assert_array_equal(some, whole[part])


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_changes_nothing_that_matters(case, batch_size):
    encoder, backbone, _, rows = case
    want = encoder(backbone, cache=None).fit_transform(rows)
    got = encoder(backbone, cache=None, batch_size=batch_size).fit_transform(rows)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_row_wrong_in_the_first_chunk_stops_before_the_last(case):
    encoder, backbone, counter, rows = case
    with pytest.raises(ValueError, match="row 1 cannot be used"):
        encoder(backbone).fit_transform([rows[0], object(), *rows[1:]])
    assert counter.rows == 0


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_a_bad_row_is_not_remembered(counting_backbone, image_paths):
    backbone, counter = counting_backbone("tiny-cnn")
    path = Path(image_paths[0])
    content = path.read_bytes()
    path.write_bytes(content[:50])
    encoder = ImageEncoder(backbone, on_error="zero")
    assert not encoder.fit_transform([path]).any()
    path.write_bytes(content)
    assert encoder.fit_transform([path]).any()
    assert counter.rows == 1


def test_a_file_that_changes_under_its_name_is_another_row(
    counting_backbone, image_paths
):
    backbone, counter = counting_backbone("tiny-cnn")
    encoder = ImageEncoder(backbone)
    before = encoder.fit_transform(image_paths[:2])
    with open(image_paths[1], "rb") as source, open(image_paths[0], "wb") as target:
        target.write(source.read())
    after = encoder.transform(image_paths[:2])
    np.testing.assert_array_equal(after, before[[1, 1]])
    assert counter.rows == 2


def test_networks_do_not_share_rows(pixels):
    from sktransfer import BackboneSpec

    one, two = (
        ImageEncoder(BackboneSpec("tiny-cnn", random_state=seed)).fit_transform(pixels)
        for seed in (0, 1)
    )
    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    "change",
    [{"image_size": 24}, {"precision": "bfloat16"}],
    ids=["image_size", "precision"],
)
def test_what_changes_an_image_vector_is_in_its_key(change, pixels):
    want = ImageEncoder("tiny-cnn", cache=None, **change).fit_transform(pixels)
    plain = ImageEncoder("tiny-cnn").fit_transform(pixels)
    got = ImageEncoder("tiny-cnn", **change).fit_transform(pixels)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.float32
    assert not np.array_equal(got, plain)


@pytest.mark.parametrize(
    "change", [{"max_length": 5}, {"prompt": "query: "}], ids=["max_length", "prompt"]
)
@pytest.mark.filterwarnings("ignore:.*texts have more than 5 tokens")
def test_what_changes_a_text_vector_is_in_its_key(change):
    rows = texts(20)
    want = TextEncoder("tiny-bert", cache=None, **change).fit_transform(rows)
    plain = TextEncoder("tiny-bert").fit_transform(rows)
    got = TextEncoder("tiny-bert", **change).fit_transform(rows)
    np.testing.assert_array_equal(got, want)
    assert not np.array_equal(got, plain)


def test_normalised_vectors_come_from_the_same_pass(case):
    encoder, backbone, counter, rows = case
    plain = encoder(backbone).fit_transform(rows)
    unit = encoder(backbone, normalize=True).fit_transform(rows)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    norms = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(unit * norms, plain, rtol=1e-4, atol=1e-6)
    assert counter.rows == len(rows)


def test_a_folder_serves_another_object_without_a_forward(case, tmp_path):
    encoder, backbone, counter, rows = case
    first = encoder(backbone, cache=FeatureCache(tmp_path)).fit_transform(rows)
    counter.reset()
    for depth in ("all", -1, 1):
        other = encoder(backbone, depth=depth, cache=FeatureCache(tmp_path))
        again = other.fit_transform(rows)
        if depth == "all":
            np.testing.assert_array_equal(again, first)
    assert counter.rows == 0


def test_more_rows_than_the_budget_holds_are_right_all_the_same(case):
    encoder, backbone, _, rows = case
    want = encoder(backbone, cache=None).fit_transform(rows)
    small = FeatureCache(memory_budget=3_000)
    with pytest.warns(RuntimeWarning, match="cache is full"):
        got = encoder(backbone, cache=small).fit_transform(rows)
    np.testing.assert_array_equal(got, want)


def test_the_bundled_image_network_gives_a_row_whatever_stands_beside_it(
    bundled_weights,
):
    rows = list(pictures(11))
    whole = ImageEncoder(cache=None).fit_transform(rows)
    alone = ImageEncoder(cache=None).fit_transform(rows[5:6])
    np.testing.assert_array_equal(alone, whole[5:6])


def test_the_bundled_text_network_gives_a_row_whatever_stands_beside_it(
    bundled_weights,
):
    rows = texts(60)
    whole = TextEncoder(cache=None).fit_transform(rows)
    for i in (0, 17, 59):
        alone = TextEncoder(cache=None).fit_transform(rows[i : i + 1])
        np.testing.assert_array_equal(alone, whole[i : i + 1])


def test_rows_that_never_come_are_computed_in_the_end(case, tmp_path, monkeypatch):
    encoder, backbone, counter, rows = case
    want = encoder(backbone, cache=None).fit_transform(rows)
    counter.reset()
    cache = FeatureCache(tmp_path)
    # Somebody claims every row, is alive, and never delivers.
    monkeypatch.setattr(cache, "claim", lambda keys, part: set())
    monkeypatch.setattr("sktransfer._extraction.loop.PATIENCE_S", 0.2)
    with pytest.warns(RuntimeWarning, match="Waited 0 s for 150 rows that another"):
        got = encoder(backbone, cache=cache).fit_transform(rows)
    np.testing.assert_array_equal(got, want)
    assert counter.rows == len(rows)


def test_clearing_the_cache_forgets(case):
    encoder, backbone, counter, rows = case
    encoder(backbone).fit_transform(rows)
    clear_cache()
    encoder(backbone).fit_transform(rows)
    assert counter.rows == 2 * len(rows)


@pytest.mark.parametrize("most", [2, 1])
def test_a_batch_that_the_device_has_no_room_for_is_halved(monkeypatch, most):
    rows = [f"{text} {i}" for i, text in enumerate(["one two three"] * 8)]
    want = TextEncoder("tiny-bert", cache=None).fit_transform(rows)
    sizes, run = [], Backbone.run

    def small(self, state, *depths):
        sizes.append(len(state.hidden))
        if len(state.hidden) > most:
            raise torch.OutOfMemoryError("no room")
        return run(self, state, *depths)

    monkeypatch.setattr(Backbone, "run", small)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    got = TextEncoder("tiny-bert", cache=None, batch_size=8).fit_transform(rows)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert max(sizes) == 8
    most = 0
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        TextEncoder("tiny-bert", cache=None, batch_size=8).fit_transform(rows)


@pytest.mark.parametrize("has_folder", [False, True])
def test_an_interrupted_transform_keeps_what_it_ran_and_no_claim(
    monkeypatch, counting_backbone, tmp_path, has_folder
):
    backbone, counter = counting_backbone("tiny-bert")
    rows = texts(12)
    want = TextEncoder("tiny-bert", cache=None).fit_transform(rows)
    cache = FeatureCache(tmp_path if has_folder else None)
    encoder = TextEncoder(backbone, cache=cache, batch_size=4)
    put_many, puts = FeatureCache.put_many, []

    def interrupted(self, records, *args):
        puts.append(len(records))
        if len(puts) == 2:
            raise KeyboardInterrupt
        return put_many(self, records, *args)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "put_many", interrupted)
        with pytest.raises(KeyboardInterrupt):
            encoder.fit_transform(rows)
    kept, before = puts[0], counter.rows
    np.testing.assert_array_equal(encoder.fit_transform(rows), want)
    assert counter.rows - before == len(rows) - kept


# -- files that are known --------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Give paths of images that count as unchanged for long, and what is read."""
    from PIL import Image

    from sktransfer._cells import digests, images

    monkeypatch.setattr(digests, "_known", type(digests._known)())
    monkeypatch.setattr(digests, "COARSEST_CLOCK_NS", -(10**9))
    paths = []
    for i, pixels in enumerate(pictures(6)):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(paths[-1])
    read, read_file = [], images._read_file

    def counted(path):
        read.append(path)
        return read_file(path)

    monkeypatch.setattr(images, "_read_file", counted)
    return paths, read


def test_a_known_file_whose_features_are_cached_is_not_read(files):
    paths, read = files
    encoder = ImageEncoder("tiny-cnn").fit(paths)
    want = encoder.transform(paths)
    assert len(read) == len(paths)
    rows = [*paths[::-1], paths[2], paths[2]]
    got = encoder.transform(rows)
    assert len(read) == len(paths)
    np.testing.assert_array_equal(got, want[[5, 4, 3, 2, 1, 0, 2, 2]])


def test_without_a_cache_files_are_read(files):
    paths, read = files
    encoder = ImageEncoder("tiny-cnn", cache=None)
    np.testing.assert_array_equal(
        encoder.fit_transform(paths), encoder.fit_transform(paths)
    )
    assert len(read) == 2 * len(paths)


def test_a_known_file_that_is_not_cached_is_read_once(files):
    paths, read = files
    want = ImageEncoder("tiny-cnn").fit_transform(paths)
    clear_cache()
    got = ImageEncoder("tiny-cnn").fit_transform([*paths, paths[0]])
    np.testing.assert_array_equal(got[:-1], want)
    np.testing.assert_array_equal(got[-1], want[0])
    assert len(read) == 2 * len(paths) + 1


@pytest.mark.usefixtures("auto_is_cpu")
def test_a_file_that_changes_after_the_look_has_its_own_features(files, monkeypatch):
    from sktransfer._cells import digests

    paths, _ = files
    encoder = ImageEncoder("tiny-cnn").fit(paths)
    want = encoder.transform(paths)
    clear_cache()
    recall = digests.recall

    def then_changed(cell, max_pixels):
        digest = recall(cell, max_pixels)
        if cell == paths[0]:
            Path(cell).write_bytes(Path(paths[1]).read_bytes())
        return digest

    monkeypatch.setattr(digests, "recall", then_changed)
    got = encoder.transform(paths)
    np.testing.assert_array_equal(got[[0, *range(1, 6)]], want[[1, *range(1, 6)]])
    # And under the right name: the old content is not found under the new one's.
    monkeypatch.setattr(digests, "recall", lambda cell, max_pixels: None)
    np.testing.assert_array_equal(encoder.transform(paths), got)


def test_equal_files_are_known_each(files, tmp_path):
    paths, read = files
    twin = tmp_path / "twin.png"
    twin.write_bytes(Path(paths[0]).read_bytes())
    encoder = ImageEncoder("tiny-cnn").fit(paths)
    rows = [paths[0], str(twin), twin]
    want = encoder.transform(rows)
    np.testing.assert_array_equal(encoder.transform(rows), want)
    np.testing.assert_array_equal(want[0], want[1])
    Path(paths[0]).write_bytes(Path(paths[1]).read_bytes())
    got = encoder.transform(rows)
    assert not np.array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1:], want[1:])


def test_a_known_file_keeps_the_limit_on_its_pixels(files):
    from sktransfer.exceptions import UnreadableRowError

    paths, _ = files
    ImageEncoder("tiny-cnn").fit_transform(paths)
    with pytest.raises(UnreadableRowError, match="pixels"):
        ImageEncoder("tiny-cnn", max_pixels=100).fit_transform(paths)
