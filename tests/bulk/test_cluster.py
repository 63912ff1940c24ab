"""Bulk work and grids on a real Dask cluster of two worker processes."""

import os
import pickle
import random
import signal
import threading
import time

import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import encoded
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, TextEncoder, bulk, load_backbone
from sktransfer.__main__ import main
from sktransfer.exceptions import BulkError, WeightsMismatchError

distributed = pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two worker processes of one thread; each has a folder of its own for features."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {
        "OMP_NUM_THREADS": "1",
        "SKTRANSFER_CACHE": str(folder / "features"),
    }
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        host="127.0.0.1",
        env=environment,
        local_directory=str(folder),
    ) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def python_random_as_found():
    """Put back what distributed draws from Python's global generator."""
    state = random.getstate()
    yield
    random.setstate(state)


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)
        yield client


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(60):
        array = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        (folder / f"{i:02d}.png").write_bytes(encoded(array))
    (folder / "damaged.png").write_bytes(b"<html>404</html>")
    return folder


def read(out):
    frames = [pd.read_parquet(path) for path in sorted(out.glob("part-*.parquet"))]
    return pd.concat(frames, ignore_index=True)


def test_a_cluster_gives_what_one_process_gives(client, pictures, tmp_path):
    options = {"backbone": "tiny-cnn", "rows_per_part": 7, "verbose": 0}
    here = bulk.encode(pictures, tmp_path / "here", **options)
    there = bulk.encode(pictures, tmp_path / "there", **options, scheduler=client)
    assert there[1:] == here[1:]
    assert there[1:5] == (60, 1, 9, 0)
    pd.testing.assert_frame_equal(read(there.out), read(here.out))
    again = bulk.encode(pictures, tmp_path / "there", **options, scheduler=client)
    assert again.n_found == 9


def test_a_worker_runs_a_row_once_in_a_job(client, tmp_path):
    def count():
        import sktransfer._extraction.runners as runners

        if not hasattr(runners, "n_rows_for_tests"):
            runners.n_rows_for_tests, real = [], runners.VectorRunner._forward

            def forward(self, batch):
                runners.n_rows_for_tests.extend(batch.digests)
                return real(self, batch)

            runners.VectorRunner._forward = forward
        found = list(runners.n_rows_for_tests)
        runners.n_rows_for_tests.clear()
        return found

    def held():
        from sktransfer.bulk import _job_cache

        return len(_job_cache._at_work)

    client.run(count)
    mails = [f"mail {i % 4}" for i in range(60)]
    pd.DataFrame({"mail": mails}).to_csv(tmp_path / "m.csv")
    done = bulk.encode(
        tmp_path / "m.csv",
        tmp_path / "out",
        column="mail",
        backbone="tiny-bert",
        rows_per_part=3,
        verbose=0,
        scheduler=client,
    )
    assert done.n_rows == 60
    for rows in client.run(count).values():
        assert len(rows) == len(set(rows)) <= 4
    assert set(client.run(held).values()) == {0}


def test_the_command_line_finds_the_cluster_by_address(client, tmp_path, capsys):
    pd.DataFrame({"mail": ["hello", None, "bye"]}).to_csv(tmp_path / "m.csv")
    address = client.scheduler.address
    arguments = ["encode", str(tmp_path / "m.csv"), "--column", "mail", "--quiet"]
    arguments += ["--backbone", "tiny-bert", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--scheduler", address]) == 0
    assert "3 rows in 1 part" in capsys.readouterr().out


def test_a_worker_that_is_killed_costs_no_row(client, pictures, tmp_path):
    options = {"backbone": "tiny-cnn", "rows_per_part": 1, "verbose": 0}
    out = tmp_path / "out"
    (pid, _) = client.run(os.getpid).values()

    def kill():
        while len(list(out.glob("part-*"))) < 10:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = bulk.encode(pictures, out, **options, scheduler=client)
    killer.join()
    assert done[1:5] == (60, 1, 61, 0)
    assert not _is_running(pid)
    frame = read(out)
    assert frame["source_file"].is_unique
    here = bulk.encode(pictures, tmp_path / "here", **options)
    pd.testing.assert_frame_equal(frame, read(here.out))


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_encoders_travel_as_a_specification():
    for encoder in (ImageEncoder("efficientnet_lite0"), TextEncoder("tiny-bert")):
        assert len(pickle.dumps(encoder)) < 2048
    with pytest.raises(BulkError, match="pass a name"):
        bulk.encode(
            "x.csv", "out", backbone=load_backbone("tiny-bert"), scheduler="tcp://x:1"
        )


def test_each_worker_loads_the_network_once(client, pictures, tmp_path):
    def loaded():
        from sktransfer.backbones import _registry

        return len(_registry._loaded)

    def forget():
        from sktransfer.backbones import _registry

        _registry._loaded.clear()

    client.run(forget)
    options = {"backbone": "tiny-cnn", "rows_per_part": 2, "verbose": 0}
    bulk.encode(pictures, tmp_path / "out", **options, scheduler=client)
    assert set(client.run(loaded).values()) == {1}


def test_other_weights_on_a_worker_are_refused(client):
    from sktransfer.bulk._cluster import _on_worker

    future = client.submit(
        _on_worker, TextEncoder("tiny-bert"), "another", ["a"], "empty"
    )
    with pytest.raises(WeightsMismatchError, match="worker has another network"):
        future.result()


def test_files_that_workers_do_not_see_are_an_error(pictures):
    from sktransfer.bulk._cluster import _check_seen

    cells = [str(pictures / "00.png"), str(pictures / "nowhere.png")]
    _check_seen(cells, {1: "there is no such file"})
    with pytest.raises(BulkError, match=r"do not see .*00\.png"):
        _check_seen(cells, {0: "there is no such file"})


def test_no_scheduler_is_an_error_that_says_how_to_start_one(tmp_path):
    import dask

    pd.DataFrame({"mail": ["hello"]}).to_csv(tmp_path / "m.csv")
    options = {"column": "mail", "backbone": "tiny-bert", "verbose": 0}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(BulkError, match="dask scheduler"),
    ):
        bulk.encode(
            tmp_path / "m.csv", tmp_path / "out", **options, scheduler="127.0.0.1:1"
        )
    with pytest.raises(TypeError, match="must be an address"):
        bulk.encode(tmp_path / "m.csv", tmp_path / "out", **options, scheduler=3)


def test_a_grid_runs_under_joblibs_dask_backend(client, tmp_path):
    texts = [f"text {i} of class {i % 2}" for i in range(24)]
    labels = np.arange(24) % 2
    grid = GridSearchCV(
        make_pipeline(TextEncoder("tiny-bert"), LogisticRegression()),
        {"textencoder__depth": ["all", -1], "logisticregression__C": [0.1, 1.0]},
        cv=3,
        error_score="raise",
    )
    want = grid.fit(texts, labels).cv_results_["mean_test_score"]

    def n_rows():
        from sktransfer import FeatureCache

        folder = os.environ["SKTRANSFER_CACHE"]
        cache = FeatureCache(folder)
        TextEncoder("tiny-bert", cache=cache).fit_transform(texts)
        return cache.info().misses

    with joblib.parallel_config("dask", client=client):
        got = grid.fit(texts, labels).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(got, want)
    assert set(client.run(n_rows).values()) == {0}, "the folder has no row"
