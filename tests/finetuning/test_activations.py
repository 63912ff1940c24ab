"""The frozen prefix runs once a row, and what it leaves trains like the network."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import encoded
from sklearn.model_selection import GridSearchCV

from sktransfer import FeatureCache, ImageClassifier, TextClassifier
from sktransfer.finetuning import Augmentation, Head, _passes
from sktransfer.finetuning._activations import Rows

LABELS = np.arange(12) % 2
KINDS = [("tiny-cnn", ImageClassifier), ("tiny-bert", TextClassifier)]


def rows_for(name):
    if name == "tiny-bert":
        return [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(12, 36, 36, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "depths", [["all", -1, -2], [-2, -1, "all"]], ids=["deep first", "shallow first"]
)
@pytest.mark.parametrize(("name", "cls"), KINDS)
def test_a_grid_runs_each_row_through_the_first_block_once(
    name, cls, depths, counting_backbone
):
    backbone, counter = counting_backbone(name)
    model = cls(backbone, max_epochs=1, random_state=0)
    grid = {"freeze_depth": depths, "lr": [0.001, 0.01]}
    GridSearchCV(model, grid, cv=3, error_score="raise").fit(rows_for(name), LABELS)
    assert counter.rows == 12


@pytest.mark.parametrize(("name", "cls"), KINDS)
def test_a_folder_serves_another_cache_without_a_forward(
    name, cls, counting_backbone, tmp_path
):
    backbone, counter = counting_backbone(name)
    options = {"freeze_depth": -1, "max_epochs": 1, "random_state": 0}
    for _ in range(2):
        model = cls(backbone, cache=FeatureCache(tmp_path / "kept"), **options)
        model.fit(rows_for(name), LABELS)
        assert counter.rows == 12


@pytest.mark.parametrize(("name", "cls"), KINDS)
def test_cached_and_uncached_training_have_the_same_loss_curve(name, cls):
    curves = []
    for cache in ("auto", "auto", None):
        model = cls(
            name, freeze_depth=-1, head=Head(init="random"), random_state=0, cache=cache
        )
        model.fit(rows_for(name), LABELS)
        curves.append([row["train_loss"] for row in model.history_])
    np.testing.assert_allclose(curves[1:], curves[:1] * 2, atol=1e-6)


def test_rows_beyond_the_budget_come_back_from_a_file():
    arrays = [np.full((50, 7), i, np.float32) for i in range(6)]
    rows = Rows(7, budget=arrays[0].nbytes * 2)
    for i, array in enumerate(arrays):
        rows[i] = array
    rows.repeat(6, 5)
    assert rows._file is not None
    for i, array in enumerate([*arrays, arrays[5]]):
        np.testing.assert_array_equal(rows[i], array)


def test_many_rows_in_the_file_hold_one_open_file():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 20, hard))
    try:
        rows = Rows(300, budget=0)
        for i in range(299):
            rows[i] = np.full((2, 3), i, np.float16)
        rows.repeat(299, 7)
        size = rows._file.seek(0, 2)
        got = [rows[i] for i in range(300)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert size == 299 * 12
    assert {array.dtype for array in got} == {np.dtype(np.float16)}
    values = [*range(299), 7]
    np.testing.assert_array_equal(got, [np.full((2, 3), i) for i in values])


@pytest.mark.filterwarnings("ignore:The feature cache is full")
def test_views_of_one_fit_do_not_push_each_other_out(counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    model = ImageClassifier(
        backbone,
        freeze_depth=-1,
        augment=Augmentation("light", views=2),
        max_epochs=1,
        random_state=0,
        cache=FeatureCache(),
    )
    model.fit(rows_for("tiny-cnn"), LABELS)
    n_bytes = model.cache.info().n_bytes
    assert counter.rows == 24
    model.set_params(cache=FeatureCache(memory_budget=n_bytes // 4))
    model.fit(rows_for("tiny-cnn"), LABELS)
    n_kept, n_run = model.cache.info().rows, counter.rows
    assert 12 <= n_kept < 24
    model.fit(rows_for("tiny-cnn"), LABELS)
    assert counter.rows - n_run == 24 - n_kept


def test_a_pass_over_the_rows_has_batches_of_like_size():
    rows = np.arange(33)
    dataset = SimpleNamespace(plain=lambda part: part)
    batches = list(_passes.at_random(dataset, rows, seed=0))
    assert [len(batch) for batch in batches] == [17, 16]
    assert sorted(np.concatenate(batches).ravel()) == rows.tolist()


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_the_same_broken_picture_twice_is_left_out_twice():
    whole = [encoded(pixels) for pixels in rows_for("tiny-cnn")]
    broken = whole[0][: len(whole[0]) // 2]
    model = ImageClassifier(
        "tiny-cnn",
        source="bytes",
        on_error="prior",
        freeze_depth=-1,
        max_epochs=1,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="leaves out 2 of 14 rows"):
        model.fit([*whole, broken, broken], [*LABELS, 0, 1])
    outputs = model.predict_proba([broken, whole[1], broken])
    np.testing.assert_array_equal(outputs[0], outputs[2])
