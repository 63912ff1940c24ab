"""``python -m sktransfer cache``."""

import os
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from sktransfer.__main__ import main
from sktransfer.cache._folder import FolderStore


@pytest.fixture
def folder(tmp_path):
    """Return a folder of 20 rows of 40 kB."""
    store = FolderStore(tmp_path)
    store.put_many({bytes([i]): np.full(10_000, i, "f4") for i in range(20)})
    store.claim([b"busy"])
    return tmp_path


def change(folder, statement):
    with closing(sqlite3.connect(folder / "features.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def run(capsys, *arguments):
    code = main(["cache", *map(str, arguments)])
    return code, capsys.readouterr()


def test_info_says_what_a_folder_holds(folder, capsys):
    code, printed = run(capsys, "info", folder)
    assert code == 0
    assert "features.sqlite: 20 rows" in printed.out
    assert "KiB" in printed.out
    assert "last used between 20" in printed.out
    assert "1 rows are being computed" in printed.out


def test_verify_reads_every_row(folder, capsys):
    code, printed = run(capsys, "verify", folder)
    assert (code, printed.out) == (0, "20 rows read, 0 with a wrong checksum\n")
    change(folder, "UPDATE features SET record = zeroblob(40000) WHERE key > x'0f'")
    code, printed = run(capsys, "verify", folder)
    assert code == 1
    assert "20 rows read, 4 with a wrong checksum" in printed.out


def test_verify_says_what_sqlite_finds(folder, capsys):
    with closing(sqlite3.connect(folder / "features.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(folder / "features.sqlite", "r+b") as file:
        file.seek(16384 * 3)
        file.write(os.urandom(16384 * 8))
    code, printed = run(capsys, "verify", folder)
    assert code == 1
    assert "SQLite: " in printed.out or "malformed" in printed.err


def test_prune_keeps_a_size_and_gives_the_space_back(folder, capsys):
    FolderStore(folder).put_many({b"big": np.zeros(2_000_000, "f4")})
    change(folder, "UPDATE features SET used = 1 WHERE key = CAST('big' AS BLOB)")
    before = (folder / "features.sqlite").stat().st_size
    code, printed = run(capsys, "prune", folder, "--max-size", "1.5M")
    assert code == 0
    assert printed.out.startswith("1 rows deleted, ")
    assert (folder / "features.sqlite").stat().st_size < before / 4
    assert (
        len(dict(FolderStore(folder).get_many([bytes([i]) for i in range(20)]))) == 20
    )


def test_prune_deletes_what_was_not_used_for_long(folder, capsys):
    change(folder, "UPDATE features SET used = 1 WHERE key < x'05'")
    _, printed = run(capsys, "prune", folder, "--older-than", "30")
    assert printed.out.startswith("5 rows deleted")
    _, printed = run(capsys, "prune", folder)
    assert printed.out.startswith("0 rows deleted")


def test_prune_deletes_damaged_files(folder, capsys):
    (folder / "features.sqlite.damaged").touch()
    FolderStore(folder).put_many({b"a": np.zeros(3, "f4")})
    _, printed = run(capsys, "info", folder)
    assert "features-1.sqlite: 1 rows" in printed.out
    assert "features.sqlite: damaged, not used" in printed.out
    _, printed = run(capsys, "prune", folder)
    assert "0 rows deleted" in printed.out
    assert not (folder / "features.sqlite").exists()
    _, printed = run(capsys, "info", folder)
    assert "damaged, not used (deleted)" in printed.out
    assert dict(FolderStore(folder).get_many([b"a"]))


def test_clear_deletes_every_row(folder, capsys):
    code, printed = run(capsys, "clear", folder)
    assert code == 0
    assert printed.out.startswith("20 rows deleted, ")
    assert "20" not in run(capsys, "info", folder)[1].out.partition("rows")[0][-4:]
    assert (folder / "features.sqlite").stat().st_size < 200_000


@pytest.mark.parametrize("action", ["info", "verify", "prune", "clear"])
def test_what_is_no_store_is_an_error_and_left_alone(tmp_path, capsys, action):
    code, printed = run(capsys, action, tmp_path / "nowhere")
    assert code == 1
    assert "there is no feature cache in" in printed.err
    assert not (tmp_path / "nowhere").exists()
    with closing(sqlite3.connect(tmp_path / "features.sqlite")) as connection:
        connection.execute("CREATE TABLE mine (a)")
        connection.commit()
    code, printed = run(capsys, action, tmp_path)
    assert code == 1
    assert "another program" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune", "x", "--max-size", "lots"], "'lots' is no size, such as 500M"),
        (["prune", "x", "--older-than", "-1"], "'-1' is no number of days"),
        (["prune", "x", "--older-than", "old"], "'old' is no number of days"),
        ([], "required"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["cache", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_folder_is_that_of_the_environment_unless_one_is_given(
    folder, capsys, monkeypatch
):
    monkeypatch.delenv("SKTRANSFER_CACHE", raising=False)
    assert main(["cache", "info"]) == 2
    assert "give FOLDER, or set SKTRANSFER_CACHE" in capsys.readouterr().err
    monkeypatch.setenv("SKTRANSFER_CACHE", str(folder))
    assert main(["cache", "info"]) == 0
    assert str(folder) in capsys.readouterr().out
