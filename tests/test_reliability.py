"""Samples of the campaigns of benchmarks/reliability.py."""

import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY))
from benchmarks import reliability

sys.path.remove(str(REPOSITORY))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks and kills"),
]


def test_processes_that_start_together_do_each_row_once(tmp_path):
    outcome = reliability.together(
        tmp_path, n_processes=3, n_images=300, backbone="tiny-cnn"
    )
    assert outcome["forwards"] == 300


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_killed_writers_leave_a_sound_store(tmp_path):
    outcome = reliability.kills(tmp_path, n_rounds=8, n_writers=3)
    assert outcome["finished rows found again"] > 0


def test_damaged_stores_warn_and_never_give_a_wrong_vector(tmp_path):
    n_stores = 3 * len(reliability.DAMAGES)
    outcome = reliability.damage(tmp_path, n_stores=n_stores, seed=1)
    assert sum(outcome["kinds"].values()) == n_stores


def test_a_full_disk_and_a_read_only_folder_warn_once(tmp_path):
    try:
        reliability.full_disk(tmp_path, n_texts=2000)
    except (PermissionError, FileNotFoundError) as err:
        pytest.skip(f"mounting is not allowed: {err}")


def test_what_is_read_is_right_and_read_without_computing(tmp_path):
    outcome = reliability.reading(
        tmp_path, n_rows=500, n_activations=100, n_computed=8, backbone="tiny-cnn"
    )
    assert outcome["rows"] == 500
