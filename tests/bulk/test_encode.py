"""bulk.encode: every row once, whatever happens on the way."""

import argparse
import dataclasses
import inspect
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import sklearn
from conftest import REPOSITORY, encoded

from sktransfer import (
    Backbone,
    ImageEncoder,
    TextEncoder,
    bulk,
    load_backbone,
    register_backbone,
)
from sktransfer.__main__ import main
from sktransfer._commands import encode as command
from sktransfer.bulk import _tables
from sktransfer.bulk._progress import ProgressBar
from sktransfer.encoders import Pieces
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
    assert done == (tmp_path / "out", 7, 0, 3, 0, {}, {})
    frame = read(done.out)
    assert list(frame.columns[:3]) == ["source_file", "source_row", "id"]
    assert list(frame.columns[3:]) == [f"mail_{i}" for i in range(16)]
    assert frame["source_row"].tolist() == list(range(7))
    assert frame["id"].tolist() == [str(i) for i in range(7)]
    want = TextEncoder("tiny-bert").fit_transform(TEXTS)
    np.testing.assert_array_equal(features(frame, "mail"), want)
    assert features(frame, "mail").dtype == np.float32


@pytest.mark.usefixtures("auto_is_cpu")
def test_a_folder_of_images_and_a_damaged_one(pictures, tmp_path):
    with pytest.warns(UserWarning, match=r"1 file was left out: 1 \.md"):
        done = bulk.encode(
            pictures, tmp_path / "out", backbone="tiny-cnn", rows_per_part=4, verbose=0
        )
    assert done[1:5] == (6, 1, 2, 0)
    assert done.left_out == {".md": 1}
    ((reason, count),) = done.reasons.items()
    assert "HTML page" in reason
    assert count == 1
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
    assert done[1:5] == (12, 4, 4, 0)
    assert done.reasons == {"the cell is null": 2, "there is no such file": 2}
    frame = read(done.out)
    assert frame["price"].dtype == np.float64
    assert features(frame, "photo").shape == (12, 12)
    wrong = read(done.out, "_rejected/part-*.parquet")
    assert wrong["reason"].tolist() == ["the cell is null", "there is no such file"] * 2
    assert wrong["source_row"].tolist() == [3, 4] * 2


def test_a_part_without_one_good_row(tmp_path):
    pd.DataFrame({"photo": [None, "nowhere.png"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="None of the 2 rows could be encoded.*null"):
        done = bulk.encode(
            tmp_path / "t.parquet",
            tmp_path / "out",
            column="photo",
            backbone="tiny-cnn",
            verbose=0,
        )
    assert done[1:5] == (0, 2, 1, 0)
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
    assert done[1:5] == (7, 0, 4, 3)
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
    assert done[1:5] == (30, 0, 10, len(finished))
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


def test_a_job_does_not_go_on_with_another_preprocessing(pictures, tmp_path):
    (pictures / "notes.md").unlink()
    cnn = load_backbone("tiny-cnn")

    def register(**changed):
        preprocess = dataclasses.replace(cnn.preprocess, **changed)
        register_backbone(
            "job-network",
            lambda spec: Backbone("mine", "image", cnn.blocks, preprocess, "mean"),
            modality="image",
            overwrite=True,
        )

    def run():
        return bulk.encode(pictures, tmp_path / "o", backbone="job-network", verbose=0)

    register()
    assert run().n_rows == run().n_rows == 6
    register(mean=(0.1, 0.2, 0.3))
    with pytest.raises(BulkError, match="another job: preprocess is not the same"):
        run()


def test_two_processes_do_not_write_to_one_folder(csv, tmp_path):
    from sktransfer.bulk._folder import alone

    (tmp_path / "out").mkdir()
    with alone(tmp_path / "out"), pytest.raises(BulkError, match="Another process"):
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
    (pictures / "notes.md").unlink()
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


# -- cells and files that jobs meet ----------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*texts have more than 64 tokens")
def test_a_csv_cell_may_be_of_any_length(tmp_path):
    """Longer than a block of pyarrow's reader, first, in the middle and last."""
    cells = ["short", "word " * 2**19, "other", 'say "x"\n' * 2**18, "w" * 9 * 2**20]
    for order in (cells, cells[::-1]):
        source = tmp_path / f"{len(order[0])}.csv"
        pd.DataFrame({"id": range(5), "mail": order}).to_csv(source, index=False)
        done = bulk.encode(
            source,
            tmp_path / f"out{len(order[0])}",
            column="mail",
            keep=["id"],
            backbone="tiny-bert",
            rows_per_part=2,
            verbose=0,
        )
        assert done[1:4] == (5, 0, 3)
        frame = read(done.out)
        assert frame["id"].tolist() == [str(i) for i in range(5)]
        want = TextEncoder("tiny-bert").fit_transform(order)
        np.testing.assert_array_equal(features(frame, "mail"), want)


def test_a_cell_that_no_block_can_hold_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(_tables, "LARGEST_BLOCK", 2**21)
    pd.DataFrame({"mail": ["a", "b" * 2**22]}).to_csv(tmp_path / "t.csv")
    with pytest.raises(BulkError, match="cannot be read as CSV"):
        bulk.encode(
            tmp_path / "t.csv", tmp_path / "out", column="mail", backbone="tiny-bert"
        )


NAMES = ["a.jpg", "b.jfif", "c.jpe", "d.tga", "e.ico", "f.JPEG", "g.pgm", "h.pbm"]
NAMES += ["i.dib", "j.apng", "k.jp2", "m.mpo"]


def test_every_suffix_that_pillow_knows_is_an_image(tmp_path, pixels):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in (*NAMES, "none", "x.txt", "y.txt", ".hidden.png"):
        (folder / name).write_bytes(encoded(pixels[0]))
    with pytest.warns(
        UserWarning, match=r"3 files were left out: 2 \.txt, 1 without a"
    ):
        done = bulk.encode(folder, tmp_path / "out", backbone="tiny-cnn", verbose=0)
    assert done.n_rows == len(NAMES)
    assert done.left_out == {".txt": 2, "": 1}
    # A file that is named is asked for.
    named = [folder / "none", folder / "x.txt"]
    done = bulk.encode(named, tmp_path / "named", backbone="tiny-cnn", verbose=0)
    assert done[1:3] == (2, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own")
def test_links_are_followed_and_dead_ones_are_rejected_rows(tmp_path, pixels):
    folder, other = tmp_path / "pictures", tmp_path / "other"
    for i, place in enumerate((folder, other)):
        place.mkdir()
        (place / "a.png").write_bytes(encoded(pixels[i]))
    (folder / "linked").symlink_to(other)
    (folder / "loop").symlink_to(folder)
    (folder / "z.png").symlink_to("/gone/x.png")
    done = bulk.encode(folder, tmp_path / "out", backbone="tiny-cnn", verbose=0)
    assert read(done.out)["source_file"].tolist() == ["a.png", "linked/a.png"]
    wrong = read(done.out, "_rejected/part-*.parquet")
    assert wrong["source_file"].tolist() == ["z.png"]
    assert "the link leads to /gone/x.png" in wrong["reason"][0]


def test_tables_of_the_hub_hold_bytes_or_paths(tmp_path, pixels):
    (tmp_path / "b.png").write_bytes(encoded(pixels[1]))
    cells = [
        {"bytes": encoded(pixels[0]), "path": "gone.png"},
        {"bytes": None, "path": "b.png"},
        {"bytes": None, "path": None},
        None,
    ]
    pd.DataFrame({"image": cells}).to_parquet(tmp_path / "t.parquet")
    options = {"column": "image", "verbose": 0, "backbone": "tiny-cnn"}
    done = bulk.encode(tmp_path / "t.parquet", tmp_path / "out", **options)
    want = ImageEncoder("tiny-cnn").fit_transform(pixels[:2])
    np.testing.assert_array_equal(features(read(done.out), "image"), want)
    wrong = read(done.out, "_rejected/part-*.parquet")["reason"].tolist()
    assert wrong == ["it has neither bytes nor a path", "the cell is null"]
    done = bulk.encode(tmp_path / "t.parquet", tmp_path / "b", **options, cell="bytes")
    assert (done.n_rows, done.n_rejected) == (1, 3)
    # Nobody takes bytes for texts.
    del options["backbone"]
    with pytest.raises(BulkError, match="seems to hold images"):
        bulk.encode(
            tmp_path / "t.parquet", tmp_path / "c", **options, backbone="tiny-bert"
        )


def test_a_column_that_is_there_twice_is_an_error(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    (tmp_path / "t.csv").write_text("mail,mail,id,x,x\na,b,1,,\n")
    table = pa.table(
        [["a"], ["b"], ["1"], ["x"], ["x"]], names="mail mail id x x".split()
    )
    pq.write_table(table, tmp_path / "t.parquet")
    for suffix in ("csv", "parquet"):
        source = tmp_path / f"t.{suffix}"
        with pytest.raises(BulkError, match="has the column 'mail' 2 times"):
            bulk.encode(source, tmp_path / "out", column="mail")
        out = tmp_path / suffix
        done = bulk.encode(source, out, column="id", backbone="tiny-bert", verbose=0)
        assert done.n_rows == 1


@pytest.mark.parametrize(
    "cell", ["photos/{}.jpg", "https://shop.example/{}.jpg?s=1", "data:image/png;,{}"]
)
def test_names_of_images_are_not_encoded_as_texts_without_a_question(cell, tmp_path):
    cells = [cell.format(i) for i in range(9)]
    pd.DataFrame({"photo": cells}).to_csv(tmp_path / "t.csv", index=False)
    options = {"column": "photo", "verbose": 0}
    for backbone, message in (
        (None, "Set modality='image' .*--modality image or --modality text"),
        ("tiny-bert", "'tiny-bert' reads texts. .* reads images, such as 'efficient"),
    ):
        with pytest.raises(BulkError, match=message):
            bulk.encode(
                tmp_path / "t.csv", tmp_path / "out", **options, backbone=backbone
            )
    assert not (tmp_path / "out").exists()
    done = bulk.encode(
        tmp_path / "t.csv",
        tmp_path / "out",
        **options,
        backbone="tiny-bert",
        modality="text",
    )
    assert done.n_rows == 9


def test_a_folder_of_images_is_for_networks_of_images(pictures, tmp_path):
    (pictures / "notes.md").unlink()
    with pytest.raises(BulkError, match="The folder seems to hold images, such as"):
        bulk.encode(pictures, tmp_path / "out", backbone="tiny-bert")
    with pytest.raises(ValueError, match="cell='base64': a folder has files"):
        bulk.encode(pictures, tmp_path / "out", backbone="tiny-cnn", cell="base64")


def test_texts_are_not_taken_for_files_without_a_question(tmp_path, pixels):
    texts = pd.DataFrame({"mail": ["hello", None, "good bye"]})
    texts.to_csv(tmp_path / "t.csv", index=False)
    options = {"column": "mail", "backbone": "tiny-cnn", "verbose": 0}
    message = "'mail' seems to hold texts, such as 'hello', and .*'tiny-cnn' reads im"
    with pytest.raises(BulkError, match=message):
        bulk.encode(tmp_path / "t.csv", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.warns(UserWarning, match="there is no such file"):
        done = bulk.encode(
            tmp_path / "t.csv", tmp_path / "out", **options, modality="image"
        )
    assert done.n_rejected == 3
    # A file without a suffix is found beside the table.
    (tmp_path / "good bye").write_bytes(encoded(pixels[0]))
    done = bulk.encode(tmp_path / "t.csv", tmp_path / "found", **options)
    assert (done.n_rows, done.n_rejected) == (1, 2)
    wrong = read(done.out, "_rejected/part-*.parquet")["rejected_cell"].tolist()
    assert wrong == [str(tmp_path / "hello"), ""]


def test_of_several_sources_none_is_left_out(pictures, tmp_path):
    """Images and tables in one call were a result without one of them."""
    table, empty = tmp_path / "t.csv", tmp_path / "empty"
    table.write_text("mail\na\n")
    empty.mkdir()
    options = {"backbone": "tiny-bert", "verbose": 0}
    for sources, column, idle in (
        ([pictures, table], "mail", f"{pictures} has no CSV or Parquet file"),
        ([table, empty], "mail", f"{empty} has no CSV or Parquet file"),
        ([pictures, table], None, f"{table} has no image"),
        ([pictures, empty], None, f"{empty} has no image"),
    ):
        with pytest.raises(BulkError, match=f"{idle}, .*jobs of their own"):
            bulk.encode(sources, tmp_path / "out", column=column, **options)
    assert not (tmp_path / "out").exists()
    # A folder that has both is a table with its images.
    (pictures / "t.csv").write_text("mail\na\n")
    with pytest.warns(UserWarning, match="left out"):
        done = bulk.encode(pictures, tmp_path / "out", column="mail", **options)
    assert done.n_rows == 1


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("mail\na\n")
    (tmp_path / "file").touch()
    with pytest.raises(BulkError, match="file/out cannot be made .*another folder"):
        bulk.encode(
            tmp_path / "t.csv",
            tmp_path / "file" / "out",
            column="mail",
            backbone="tiny-bert",
            verbose=0,
        )


@pytest.mark.parametrize("name", ["source_file", "reason", "rejected_cell"])
def test_columns_of_the_result_are_not_kept(name, tmp_path):
    (tmp_path / "t.csv").write_text(f"mail,{name}\na,b\n")
    with pytest.raises(BulkError, match=f"'{name}'.* are columns of the result"):
        bulk.encode(tmp_path / "t.csv", tmp_path / "out", column="mail", keep=[name])


def test_a_rejected_cell_is_cut(tmp_path):
    cells = [{"bytes": None, "path": "x" * 300}, {"bytes": b"no image", "path": None}]
    pd.DataFrame({"image": cells}).to_parquet(tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="None of the 2 rows"):
        done = bulk.encode(
            tmp_path / "t.parquet",
            tmp_path / "out",
            column="image",
            backbone="tiny-cnn",
            verbose=0,
        )
    wrong = read(done.out, "_rejected/part-*.parquet")["rejected_cell"].tolist()
    assert wrong[0] == f"{tmp_path}/{'x' * 300}"[:200] + "..."
    assert pd.isna(wrong[1])


def test_cells_that_are_no_texts_are_rejected_rows(tmp_path):
    pd.DataFrame({"n": [1, 2, 2]}).to_parquet(tmp_path / "n.parquet")
    frame = pd.DataFrame({"t": pd.Series(["a", None, "b"], dtype=object)})
    frame.to_parquet(tmp_path / "t.parquet")
    options = {"backbone": "tiny-bert", "verbose": 0}
    with pytest.warns(UserWarning, match="None of the 3 rows"):
        done = bulk.encode(
            tmp_path / "n.parquet", tmp_path / "n", column="n", **options
        )
    assert done[1:3] == (0, 3)
    assert next(iter(done.reasons)).startswith("a cell of type int is no text")
    done = bulk.encode(
        tmp_path / "t.parquet", tmp_path / "t", column="t", missing="reject", **options
    )
    assert done.reasons == {"the cell is null": 1}
    assert read(done.out)["source_row"].tolist() == [0, 2]


@pytest.mark.filterwarnings("default")
def test_a_job_that_encodes_nothing_ends_with_an_error(tmp_path, capsys):
    pd.DataFrame({"photo": ["a.png", "b.png", None]}).to_csv(tmp_path / "t.csv")
    arguments = ["encode", str(tmp_path / "t.csv"), "--column", "photo", "--quiet"]
    arguments += ["--backbone", "tiny-cnn", "--out", str(tmp_path / "out")]
    for _ in range(2):  # also where all of it was there already
        assert main(arguments) == 1
        said = capsys.readouterr()
        assert "3 rows rejected" in said.out
        assert "  2 x there is no such file\n  1 x the cell is null" in said.out
        assert "warning: None of the 3 rows could be encoded" in said.err


# -- distinct rows ---------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["all", 1])
def test_a_row_runs_once_in_a_job(tmp_path, depth, monkeypatch):
    from sktransfer._extraction.runners import VectorRunner

    rows, depths = [], []
    real = VectorRunner._records_of

    def records_of(self, batch, states):
        rows.extend(batch.digests)
        depths.append(self.depths)
        return real(self, batch, states)

    monkeypatch.setattr(VectorRunner, "_records_of", records_of)
    cells = [f"text {i % 7}" for i in range(40)]
    pd.DataFrame({"mail": cells}).to_csv(tmp_path / "t.csv", index=False)
    done = bulk.encode(
        tmp_path / "t.csv",
        tmp_path / "out",
        column="mail",
        backbone="tiny-bert",
        depth=depth,
        rows_per_part=5,
        verbose=0,
    )
    assert len(rows) == len(set(rows)) == 7
    # No deeper than it was asked to.
    assert {max(some) for some in depths} == {3 if depth == "all" else 1}
    want = TextEncoder("tiny-bert", depth=depth).fit_transform(cells)
    np.testing.assert_array_equal(features(read(done.out), "mail"), want)


def test_a_worker_has_one_cache_for_all_parts_of_a_job():
    import pickle

    from sktransfer.bulk import _job_cache

    first, second = _job_cache.JobCache(), _job_cache.JobCache()
    here = [pickle.loads(pickle.dumps(first)) for _ in range(2)]
    assert here[0] is here[1] is not first
    assert here[0].memory_budget == _job_cache.WORKER_BUDGET
    assert pickle.loads(pickle.dumps(second)) is not here[0]
    assert len(_job_cache._at_work) == 1
    _job_cache.forget_job()
    assert not _job_cache._at_work


# -- options ---------------------------------------------------------------------------


def test_one_warning_counts_the_long_texts_of_all_parts(tmp_path):
    table = tmp_path / "long.csv"
    texts = ["many words " * 50 + str(i) if i % 2 else str(i) for i in range(12)]
    pd.DataFrame({"mail": texts}).to_csv(table, index=False)
    with pytest.warns(UserWarning, match="6 of 12 texts have more") as caught:
        bulk.encode(
            table,
            tmp_path / "o",
            column="mail",
            backbone="tiny-bert",
            rows_per_part=3,
            verbose=0,
        )
    assert len(caught) == 1
    assert "bulk.encode" in str(caught[0].message)


@pytest.mark.parametrize("max_length", ["pieces", Pieces(12, stride=3)], ids=str)
def test_long_texts_are_encoded_in_pieces_and_the_job_goes_on(max_length, tmp_path):
    table = tmp_path / "long.csv"
    texts = ["many words " * 50 + str(i) for i in range(4)]
    pd.DataFrame({"mail": texts}).to_csv(table, index=False)
    options = {"column": "mail", "backbone": "tiny-bert", "verbose": 0}
    for _ in range(2):
        done = bulk.encode(table, tmp_path / "o", max_length=max_length, **options)
    want = TextEncoder("tiny-bert", max_length=max_length).fit_transform(texts)
    np.testing.assert_array_equal(features(read(done.out), "mail"), want)
    with pytest.raises(BulkError, match="max_length, preprocess are not the same"):
        bulk.encode(table, tmp_path / "o", max_length=Pieces(13), **options)


def test_a_row_of_which_an_image_cannot_be_read_is_rejected(pictures, tmp_path):
    images = sorted(str(path) for path in pictures.rglob("*.png"))[:2]
    table = tmp_path / "lists.parquet"
    rows = [images, [images[0], "gone.png"], []]
    pd.DataFrame({"photos": rows}).to_parquet(table)
    done = bulk.encode(
        table, tmp_path / "o", column="photos", backbone="tiny-cnn", verbose=0
    )
    assert (done.n_rows, done.n_rejected) == (1, 2)
    want = ImageEncoder("tiny-cnn").fit_transform([images])
    np.testing.assert_allclose(features(read(done.out), "photos"), want, atol=1e-6)
    assert any("2 of 2 in its list" in reason for reason in done.reasons)


@pytest.mark.filterwarnings("ignore:.*texts have more than 3 tokens")
def test_every_option_of_the_encoders_does_something(csv, pictures, tmp_path):
    (pictures / "notes.md").unlink()
    (pictures / "sub0" / "damaged.jpg").unlink()
    texts = {"max_length": 3, "prompt": "find: ", "normalize": True, "depth": 2}
    images = {"image_size": 24, "normalize": True, "pooling": "max"}
    done = bulk.encode(
        csv, tmp_path / "t", column="mail", backbone="tiny-bert", verbose=0, **texts
    )
    want = TextEncoder("tiny-bert", **texts).fit_transform(TEXTS)
    np.testing.assert_array_equal(features(read(done.out), "mail"), want)
    done = bulk.encode(
        pictures, tmp_path / "i", backbone="tiny-cnn", verbose=0, **images
    )
    files = [str(pictures / name) for name in read(done.out)["source_file"]]
    want = ImageEncoder("tiny-cnn", **images).fit_transform(files)
    np.testing.assert_array_equal(features(read(done.out), "path"), want)
    with pytest.raises(BulkError, match="prompt is not the same"):
        bulk.encode(
            csv,
            tmp_path / "t",
            column="mail",
            backbone="tiny-bert",
            **texts | {"prompt": "look: "},
        )
    with pytest.warns(UserWarning, match="None of the 6 rows"):
        done = bulk.encode(
            pictures, tmp_path / "m", backbone="tiny-cnn", max_pixels=9, verbose=0
        )
    assert "(max_pixels=9)" in next(iter(done.reasons))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 24}, "image_size: for images only"),
        ({"max_pixels": 24, "cell": "url"}, "max_pixels, cell: for images only"),
        ({"modality": "image", "prompt_name": "q"}, "prompt_name: for texts only"),
        ({"modality": "image", "missing": "empty"}, "missing='empty' must be 'reject'"),
        ({"missing": "raise"}, "missing='raise' must be"),
        ({"prompt_name": "query"}, "has no prompts"),
        ({"prompt_name": "query", "prompt": "q"}, "both given"),
        ({"device": "meta"}, "device='meta'"),
        ({"precision": "float8"}, "precision"),
        ({"engine": "jax"}, "engine"),
        ({"max_length": 0}, "max_length=0"),
        ({"max_length": "piece"}, "max_length='piece'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_made(
    options, words, csv, tmp_path
):
    name = "tiny-cnn" if options.get("modality") == "image" else "tiny-bert"
    with pytest.raises(ValueError, match=words):
        bulk.encode(csv, tmp_path / "out", column="mail", backbone=name, **options)
    assert not (tmp_path / "out").exists()


def test_the_command_line_has_every_option_with_its_default_and_help(capsys):
    """And the choices that the signature names."""
    signature = inspect.signature(bulk.encode, eval_str=False)
    commands = argparse.ArgumentParser().add_subparsers()
    command.add_parser(commands)
    actions = {a.dest: a for a in commands.choices["encode"]._actions}
    missing = set(signature.parameters) - set(actions)
    assert missing == {"verbose"}  # --quiet
    for name, action in actions.items():
        assert action.help
        parameter = signature.parameters.get(name)
        if parameter is None or parameter.default is parameter.empty:
            continue
        default = {"batch_size": None, "keep": []}.get(name, parameter.default)
        assert action.default == default
        if action.default is not None and name not in ("keep", "normalize"):
            assert f"default: {action.default}" in action.help
        if action.choices:
            named = re.findall(r"'(\w+)'", parameter.annotation)
            assert tuple(named) == action.choices


def test_a_resumed_job_counts_finished_rows_and_not_their_rate(capsys):
    with ProgressBar(total=1000, verbose=1) as bar:
        bar.update(900, is_work=False)
        time.sleep(0.2)
        bar.update(50)
        figures = bar.bar.format_dict
    assert (figures["n"], figures["initial"]) == (950, 900)
    assert figures["rate"] is None or figures["rate"] < 50 / 0.15
    assert "950/1000" in capsys.readouterr().err
