"""bulk.encode: every row once, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import sklearn
from conftest import REPOSITORY, encoded

from sktransfer import ImageEncoder, TextEncoder, bulk
from sktransfer.__main__ import main
from sktransfer.exceptions import BulkError

pytest.importorskip("pyarrow")

TEXTS = ["hello", "good bye", "a, quoted", None, "two\nlines", "hello", 'say "x"']


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "mails.csv"
    pd.DataFrame({"id": range(7), "mail": TEXTS}).to_csv(path, index=False)
    return path


@pytest.fixture
def pictures(tmp_path, pixels):
    """Six pictures in two folders, and a damaged one."""
    folder = tmp_path / "pictures"
    for i, array in enumerate(pixels):
        path = folder / f"sub{i % 2}" / f"picture{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(array))
    (folder / "sub0" / "damaged.jpg").write_bytes(b"<html>404</html>")
    (folder / "notes.md").write_text("no picture")
    return folder


def read(out, where="part-*.parquet"):
    frames = [pd.read_parquet(path) for path in sorted(out.glob(where))]
    return pd.concat(frames, ignore_index=True)


def features(frame, stem):
    names = [name for name in frame.columns if name.startswith(f"{stem}_")]
    return frame[names].to_numpy()


def test_a_column_of_texts(csv, tmp_path):
    done = bulk.encode(
        csv,
        tmp_path / "out",
        column="mail",
        keep=["id"],
        backbone="tiny-bert",
        rows_per_part=3,
        verbose=0,
    )
    assert done == (tmp_path / "out", 7, 0, 3, 0)
    frame = read(done.out)
    assert list(frame.columns[:3]) == ["source_file", "source_row", "id"]
    assert list(frame.columns[3:]) == [f"mail_{i}" for i in range(16)]
    assert frame["source_row"].tolist() == list(range(7))
    assert frame["id"].tolist() == [str(i) for i in range(7)]
    want = TextEncoder("tiny-bert").fit_transform(TEXTS)
    np.testing.assert_array_equal(features(frame, "mail"), want)
    assert features(frame, "mail").dtype == np.float32


def test_a_folder_of_images_and_a_damaged_one(pictures, tmp_path):
    done = bulk.encode(
        pictures, tmp_path / "out", backbone="tiny-cnn", rows_per_part=4, verbose=0
    )
    assert done[1:] == (6, 1, 2, 0)
    frame = read(done.out)
    want = ImageEncoder("tiny-cnn").fit_transform(
        [str(pictures / name) for name in frame["source_file"]]
    )
    np.testing.assert_array_equal(features(frame, "path"), want)
    wrong = read(done.out, "_rejected/part-*.parquet")
    assert wrong["source_file"].tolist() == ["sub0/damaged.jpg"]
    assert "HTML page" in wrong["reason"][0]


def test_many_parquet_files_with_relative_paths(pictures, tmp_path):
    names = sorted(str(p.relative_to(pictures)) for p in pictures.rglob("*.png"))
    cells = [*names[:3], None, "nowhere.png", *names[3:]]
    for i in range(2):
        frame = pd.DataFrame({"photo": cells, "price": np.arange(8.0) + i})
        frame.to_parquet(pictures / f"table{i}.parquet")
    done = bulk.encode(
        [pictures / "table0.parquet", pictures / "table1.parquet"],
        tmp_path / "out",
        column="photo",
        keep=["price"],
        backbone="tiny-cnn",
        depth=2,
        rows_per_part=5,
        verbose=0,
    )
    assert done[1:] == (12, 4, 4, 0)
    frame = read(done.out)
    assert frame["price"].dtype == np.float64
    assert features(frame, "photo").shape == (12, 12)
    wrong = read(done.out, "_rejected/part-*.parquet")
    assert wrong["reason"].tolist() == ["the cell is null", "there is no such file"] * 2
    assert wrong["source_row"].tolist() == [3, 4] * 2


def test_a_part_without_one_good_row(tmp_path):
    pd.DataFrame({"photo": [None, "nowhere.png"]}).to_parquet(tmp_path / "t.parquet")
    done = bulk.encode(
        tmp_path / "t.parquet",
        tmp_path / "out",
        column="photo",
        backbone="tiny-cnn",
        verbose=0,
    )
    assert done[1:] == (0, 2, 1, 0)
    assert read(done.out).shape == (0, 26)


def test_a_finished_part_is_not_computed_again(csv, tmp_path, monkeypatch):
    options = {"column": "mail", "backbone": "tiny-bert", "rows_per_part": 2}
    out = tmp_path / "out"
    bulk.encode(csv, out, **options, verbose=0)
    (out / "part-00002.parquet").unlink()
    (out / ".part-00002.parquet.99-abc.tmp").write_bytes(b"half")
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("part-*")}
    seen = []
    real = TextEncoder.fit_transform
    monkeypatch.setattr(
        TextEncoder,
        "fit_transform",
        lambda self, X, y=None: seen.append(list(X)) or real(self, X),
    )
    done = bulk.encode(csv, out, **options, verbose=1)
    assert seen == [["two\nlines", "hello"]]
    assert done[1:] == (7, 0, 4, 3)
    assert not list(out.glob(".*.tmp"))
    after = {p.name: p.stat().st_mtime_ns for p in out.glob("part-*")}
    assert {name: after[name] for name in before} == before


CODE = """
import sys
from sktransfer import bulk, ImageEncoder
import time
real = ImageEncoder.fit_transform
def slow(self, X, y=None):
    time.sleep(0.15)
    return real(self, X)
ImageEncoder.fit_transform = slow
bulk.encode(sys.argv[1], sys.argv[2], backbone="tiny-cnn", rows_per_part=3, verbose=0)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_is_finished_by_the_next(tmp_path, pixels):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(30):
        array = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        (folder / f"{i:02d}.png").write_bytes(encoded(array))
    out, command = tmp_path / "out", [sys.executable, "-c", CODE, str(folder)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for n_parts in (2, 5):
        process = subprocess.Popen([*command, str(out)], env=env)
        deadline = time.monotonic() + 120
        while len(list(out.glob("part-*"))) < n_parts:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished = {p: p.stat().st_mtime_ns for p in out.glob("part-*")}
        assert n_parts <= len(finished) < 10
    done = bulk.encode(folder, out, backbone="tiny-cnn", rows_per_part=3, verbose=0)
    assert done[1:] == (30, 0, 10, len(finished))
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    whole = bulk.encode(
        folder, tmp_path / "whole", backbone="tiny-cnn", rows_per_part=3, verbose=0
    )
    pd.testing.assert_frame_equal(read(out), read(whole.out))
    assert read(out)["source_file"].is_unique


def test_another_job_in_the_same_folder_is_refused(csv, tmp_path):
    options = {"column": "mail", "backbone": "tiny-bert", "verbose": 0}
    bulk.encode(csv, tmp_path / "out", **options)
    with pytest.raises(BulkError, match="depth is not the same"):
        bulk.encode(csv, tmp_path / "out", **options, depth=1)
    csv.write_text("id,mail\n1,other\n")
    with pytest.raises(BulkError, match="files is not the same"):
        bulk.encode(csv, tmp_path / "out", **options)
    with pytest.raises(BulkError, match="give a new folder"):
        bulk.encode(csv, tmp_path, **options)


def test_two_processes_do_not_write_to_one_folder(csv, tmp_path):
    from sktransfer.bulk._encode import _alone

    (tmp_path / "out").mkdir()
    with _alone(tmp_path / "out"), pytest.raises(BulkError, match="Another process"):
        bulk.encode(csv, tmp_path / "out", column="mail", backbone="tiny-bert")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.csv"], "no such file"),
        (["mails.csv"], "which column"),
        (["mails.csv", "--column", "mial"], "has no column"),
        (["mails.csv", "--column", "mail", "--keep", "source_row"], "no column"),
        (["mails.csv", "--column", "mail", "--backbone", "tiny-mlp"], "modality"),
        (["empty"], "no images"),
        (["broken.parquet", "--column", "mail"], "broken.parquet"),
    ],
)
def test_what_cannot_be_encoded_is_said(
    arguments, words, csv, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert main(["encode", *arguments, "--out", "out", "--quiet"]) == 1
    assert words in capsys.readouterr().err


def test_the_command_line(csv, tmp_path, capsys):
    arguments = ["encode", str(csv), "--column", "mail", "--backbone", "tiny-bert"]
    arguments += ["--out", str(tmp_path / "out"), "--depth", "-1", "--keep", "id"]
    assert main([*arguments, "--rows-per-part", "4"]) == 0
    said = capsys.readouterr()
    assert "7 rows in 2 parts" in said.out
    assert "row/s" in said.err
    assert main([*arguments, "--rows-per-part", "4", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "2 of them found" in said.out
    assert said.err == ""
    want = TextEncoder("tiny-bert", depth=-1).fit_transform(TEXTS)
    np.testing.assert_array_equal(features(read(tmp_path / "out"), "mail"), want)


def test_readers_of_parquet_folders_read_the_rows(pictures, tmp_path):
    done = bulk.encode(pictures, tmp_path / "out", backbone="tiny-cnn", verbose=0)
    frame = pd.read_parquet(done.out)
    assert done.n_rejected == 1
    assert frame["source_file"].tolist() == read(done.out)["source_file"].tolist()


def test_frames_by_default_change_nothing(csv, tmp_path):
    options = {"column": "mail", "backbone": "tiny-bert"}
    bulk.encode(csv, tmp_path / "plain", **options)
    with sklearn.config_context(transform_output="pandas"):
        bulk.encode(csv, tmp_path / "frames", **options)
    pd.testing.assert_frame_equal(read(tmp_path / "plain"), read(tmp_path / "frames"))
