"""Samples of the campaigns of benchmarks/reliability/."""

import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY))
from benchmarks.reliability import (
    budgets,
    columns,
    identity,
    inputs,
    jobs,
    modes,
    reading,
    saves,
    stores,
    threads,
    urls,
)

sys.path.remove(str(REPOSITORY))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks and kills"),
]


def test_processes_that_start_together_do_each_row_once(tmp_path):
    outcome = stores.together(
        tmp_path, n_processes=3, n_images=300, backbone="tiny-cnn"
    )
    assert outcome["forwards"] == 300


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_killed_writers_leave_a_sound_store(tmp_path):
    outcome = stores.kills(tmp_path, n_rounds=8, n_writers=3)
    assert outcome["finished rows found again"] > 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_threads_beside_forks_leave_nothing_behind(tmp_path):
    outcome = threads.threads(tmp_path, n_threads=6, n_calls=15, n_forks=4, n_images=20)
    assert outcome["calls"] == 90
    assert outcome["forks"] > 0


def test_edited_networks_find_no_old_vector(tmp_path):
    outcome = identity.identity(tmp_path, n_edits=2 * len(identity.EDITS), seed=1)
    assert outcome["old vectors"] == 0


def test_damaged_stores_warn_and_never_give_a_wrong_vector(tmp_path):
    n_stores = 3 * len(stores.DAMAGES)
    outcome = stores.damage(tmp_path, n_stores=n_stores, seed=1)
    assert sum(outcome["kinds"].values()) == n_stores


def test_a_place_smaller_than_the_job_keeps_what_fits(tmp_path):
    outcome = budgets.budgets(tmp_path, n_rows=300, n_folds=6, memory_mib=30)
    assert outcome["rows found in passes 1 to 4"]["folder"][0] == 0


def test_a_full_disk_and_a_read_only_folder_warn_once(tmp_path):
    try:
        stores.full_disk(tmp_path, n_texts=2000)
    except (PermissionError, FileNotFoundError) as err:
        pytest.skip(f"mounting is not allowed: {err}")


def test_what_is_read_is_right_and_read_without_computing(tmp_path):
    outcome = reading.reading(
        tmp_path, n_rows=500, n_activations=100, n_computed=8, backbone="tiny-cnn"
    )
    assert outcome["rows"] == 500


def test_mutated_images_are_read_or_refused(tmp_path):
    outcome = inputs.images(tmp_path, n_images=300, seed=1)
    assert 0 < outcome["unreadable"] < 300


def test_every_mode_and_format_is_read_right_or_refused(tmp_path):
    outcome = modes.modes(tmp_path, n_images=600, seed=1)
    assert outcome["kinds"] > 90
    assert outcome["refused"] > 0


def test_dirty_columns_keep_their_kind_and_identifiers_theirs(tmp_path):
    outcome = columns.columns(
        tmp_path, n_columns=600, n_identifiers=300, n_scored=20, seed=1
    )
    assert outcome["kinds_of_noise"] >= 30
    assert outcome["identifiers_mistaken"] == 0


def test_mutated_strings_are_texts_and_open_nothing(tmp_path, bundled_weights):
    assert inputs.texts(tmp_path, n_texts=200, seed=1)["strings"] == 200


def test_tampered_saves_are_refused_and_execute_nothing(tmp_path):
    outcome = saves.tampered_saves(tmp_path, n_saves=26, seed=1)
    assert outcome["refused where sha256= pins the manifest"] == 26


@pytest.mark.loopback
def test_urls_are_fetched_in_time_and_from_allowed_addresses(tmp_path, monkeypatch):
    monkeypatch.setattr(urls, "LATE_S", 20.0)  # tests share their machine
    assert urls.urls(tmp_path, n_urls=20, seed=1)["urls"] == 20


def test_a_killed_encode_goes_on_behind_the_last_finished_part(tmp_path):
    jobs.killed_jobs(
        tmp_path, n_images=400, n_kills=2, rows_per_part=20, backbone="tiny-cnn"
    )
