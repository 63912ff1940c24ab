"""``python -m sktransfer cache``."""

import importlib.metadata
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


ROW = np.zeros(1000, "f4")


@pytest.fixture
def installed(monkeypatch):
    """Give the versions that count as installed."""
    versions = {"torch": "2.14.1+cu130", "timm": "1.0.3", "Pillow": "13"}

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return versions


def put(folder, letter, n_rows, versions=None, network="tiny-cnn"):
    """Write rows whose keys begin with 20 times a letter."""
    store = FolderStore(folder)
    prefix = letter * 20
    if versions is not None:
        store.note_origin(prefix, {"network": network, "versions": versions})
    store.put_many({prefix + bytes([i]) * 20: ROW for i in range(n_rows)})


def test_info_says_which_versions_made_the_rows(tmp_path, capsys, installed):
    put(tmp_path, b"a", 5, {"torch": "2.14", "timm": "1.0"})
    put(tmp_path, b"b", 4, {"torch": "2.14", "timm": "1.0"}, "tiny-\x1b[31mvit")
    put(tmp_path, b"c", 3, {"torch": "2.13", "timm": "1.0"})
    put(tmp_path, b"d", 2)
    _, printed = run(capsys, "info", tmp_path)
    lines = printed.out.splitlines()
    assert (
        "in use: 9 rows, 0.0 MiB; timm 1.0, torch 2.14; tiny-?[31mvit, tiny-cnn"
    ) in lines
    assert (
        "stale: 3 rows, 0.0 MiB; timm 1.0, torch 2.13 (2.14 is installed); tiny-cnn"
    ) in lines
    assert "of unknown origin: 2 rows, 0.0 MiB" in lines
    put(tmp_path, b"e", 1, {"elsewhere": "7.1"})
    _, printed = run(capsys, "info", tmp_path)
    other = "of another environment: 1 rows, 0.0 MiB; elsewhere 7.1 (not installed); "
    assert other in printed.out
    assert "An upgrade of elsewhere or timm or torch to another" in printed.out


def test_prune_deletes_stale_rows_and_their_origins(tmp_path, capsys, installed):
    put(tmp_path, b"a", 5, {"torch": "2.14", "Pillow": "13.0"})
    put(tmp_path, b"c", 3, {"torch": "2.13"})
    put(tmp_path, b"d", 2)
    put(tmp_path, b"e", 1, {"torch": "2.14", "elsewhere": "7.1"})  # not installed here
    _, printed = run(capsys, "prune", tmp_path)
    assert printed.out.startswith("0 rows deleted")
    _, printed = run(capsys, "prune", tmp_path, "--stale")
    assert printed.out.startswith("3 rows deleted")
    assert "\nstale:" not in run(capsys, "info", tmp_path)[1].out
    assert origins(tmp_path) == {b"a" * 20, b"e" * 20}
    installed["torch"] = "3.0"
    run(capsys, "prune", tmp_path, "--stale")
    assert origins(tmp_path) == set()
    assert "of unknown origin: 2 rows" in run(capsys, "info", tmp_path)[1].out


def origins(folder):
    with closing(sqlite3.connect(folder / "features.sqlite")) as connection:
        return {
            prefix for (prefix,) in connection.execute("SELECT prefix FROM origins")
        }


@pytest.mark.parametrize("origin", ["no JSON", "[]", '{"versions": 3}', "null", 7])
def test_a_damaged_origin_is_an_unknown_one(tmp_path, capsys, installed, origin):
    put(tmp_path, b"a", 2, {"torch": "2.14"})
    with closing(sqlite3.connect(tmp_path / "features.sqlite")) as connection:
        connection.execute("UPDATE origins SET origin = ?", (origin,))
        connection.commit()
    code, printed = run(capsys, "info", tmp_path)
    assert code == 0
    assert "of unknown origin: 2 rows" in printed.out


def test_clear_deletes_origins_and_claims(folder, capsys, installed):
    put(folder, b"a", 2, {"torch": "2.14"})
    run(capsys, "clear", folder)
    assert origins(folder) == set()
    _, printed = run(capsys, "info", folder)
    assert "being computed" not in printed.out


@pytest.mark.parametrize("action", ["info", "verify", "prune", "clear"])
def test_what_is_no_store_is_an_error_and_left_alone(tmp_path, capsys, action):
    code, printed = run(capsys, action, tmp_path / "nowhere")
    assert code == 1
    assert "there is no feature cache in" in printed.err
    assert printed.err.count("nowhere") == 1
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
        (
            ["prune", "x", "--max-size", "lots"],
            "'lots' is no size; expected for example 500M",
        ),
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
