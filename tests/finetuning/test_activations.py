"""The frozen prefix runs once a row, and what it leaves trains like the network."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sktransfer import FeatureCache, ImageClassifier, TextClassifier
from sktransfer.finetuning._rows import Rows

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
            name, freeze_depth=-1, head_init="random", random_state=0, cache=cache
        )
        model.fit(rows_for(name), LABELS)
        curves.append([row["train_loss"] for row in model.history_])
    np.testing.assert_allclose(curves[1:], curves[:1] * 2, atol=1e-6)


def test_rows_beyond_the_budget_come_back_from_a_file():
    arrays = [np.full((50, 7), i, np.float32) for i in range(6)]
    rows = Rows(7, budget=arrays[0].nbytes * 2)
    for i, array in enumerate(arrays):
        rows[i] = array
    rows[6] = rows[5]
    assert rows._file is not None
    for i, array in enumerate([*arrays, arrays[5]]):
        np.testing.assert_array_equal(rows[i], array)
