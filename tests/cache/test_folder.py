"""FolderStore: shared, checked, bounded, and harmless when it fails."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
import zlib
from contextlib import closing

import numpy as np
import pytest

from sktransfer import FeatureCache, TextEncoder
from sktransfer.cache import _claims, _records
from sktransfer.cache import _file as _store_file
from sktransfer.cache import _folder as _folder_store
from sktransfer.cache._folder import FolderStore

TEXTS = [f"text number {i}" for i in range(40)]


def array(i, size=6):
    return np.arange(size, dtype=np.float32) + 10 * i


def records(*numbers, size=6):
    return {bytes([i]): array(i, size) for i in numbers}


def got(store, keys):
    return dict(store.get_many(keys))


def edit(folder, *statements, name="features.sqlite"):
    """Change a store behind its back."""
    with closing(sqlite3.connect(folder / name)) as connection:
        for statement, *values in statements:
            connection.execute(statement, values)
        connection.commit()


@pytest.fixture
def encode(tmp_path):
    """Give a function that encodes through a fresh store and checks the vectors."""
    want = TextEncoder("tiny-bert", cache=None).fit_transform(TEXTS)

    def run(folder=tmp_path):
        cache = FeatureCache(folder)
        result = TextEncoder("tiny-bert", cache=cache).fit_transform(TEXTS)
        np.testing.assert_array_equal(result, want)
        return cache.info()

    return run


# -- records -------------------------------------------------------------------------


def test_arrays_of_any_shape_and_type_come_back_from_another_object(tmp_path):
    values = {
        b"a": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        b"b": np.arange(5, dtype=np.float16),
        b"c": np.arange(12, dtype=np.float64).reshape(3, 4).T,
        b"d": np.zeros((0, 8), dtype=np.float32),
        b"e": np.arange(3, dtype=np.int64),
    }
    FolderStore(tmp_path / "new" / "folder").put_many(values)
    found = got(FolderStore(tmp_path / "new" / "folder"), [*values, b"z"])
    assert found.keys() == values.keys()
    for key, value in values.items():
        np.testing.assert_array_equal(found[key], value)
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)


def test_more_keys_than_sqlite_takes_at_once(tmp_path):
    many = {i.to_bytes(2): array(i) for i in range(3000)}
    FolderStore(tmp_path).put_many(many)
    assert len(got(FolderStore(tmp_path), list(many))) == 3000


def test_large_records_are_written_and_read_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(_folder_store, "WRITE_BYTES", 100_000)
    store = FolderStore(tmp_path)
    many = {i.to_bytes(2): array(i, 5_000) for i in range(250)}
    store.put_many(many)
    reading = iter(store.get_many(list(many)))
    next(reading)
    store.clear()  # what is not read yet is not in memory
    assert len(list(reading)) == _folder_store.KEYS_A_READ - 1


def test_reading_a_store_that_is_not_there_makes_none(tmp_path):
    assert got(FolderStore(tmp_path / "no"), [b"a"]) == {}
    FolderStore(tmp_path / "no").clear()
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    "form",
    [b"", b"<U6 zz", b"|O 6", b"<f4 -1", b"<f4 7", b"<f3 8", b"<f4 6,", b"f4 6", b"<f4",
     b"<f4 " + b"1," * 70 + b"6", b"<f4 99999999999999999999", b"{'a': 1} 6", b"\xff 6",
     b"<f4,<f4 3", b"<M8 3", b"<f4 2,3,\xb2"],
)  # fmt: skip
def test_no_form_of_a_record_raises(form):
    record = array(1).tobytes()
    crc = zlib.crc32(record, zlib.crc32(form, zlib.crc32(b"key")))
    assert _records.decode(b"key", crc, form, record) is None


def test_an_array_without_dimensions_comes_back():
    found = _records.decode(
        *np.array(_records.encode(b"k", np.float32(7)), object)[[0, 1, 4, 5]]
    )
    assert (found.shape, found.dtype, found[()]) == ((), np.float32, 7)


def test_what_is_discarded_can_be_claimed_and_written_anew(tmp_path):
    store = FolderStore(tmp_path)
    store.put_many(records(1, 2))
    assert store.claim([b"\1"]) == set()
    store.discard([b"\1"])
    assert got(store, [b"\1", b"\2"]).keys() == {b"\2"}
    assert store.claim([b"\1"]) == {b"\1"}


def test_a_file_of_an_older_schema_is_left_as_it_is(tmp_path):
    FolderStore(tmp_path).put_many(records(1))
    edit(tmp_path, ("PRAGMA user_version=2",))
    with pytest.warns(RuntimeWarning, match="schema version 2, and this sktransfer"):
        assert not got(FolderStore(tmp_path), [b"\1"])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("record", b"\xff" * 24),
        ("record", "text"),
        ("record", None),
        ("form", b"<f4 3,2"),
        ("form", 7),
        ("form", b"<U7 zz"),
        ("crc", 5),
        ("crc", "text"),
        ("key", b"\3"),
    ],
)
def test_a_changed_record_is_a_miss_not_a_wrong_vector(tmp_path, column, value):
    FolderStore(tmp_path).put_many(records(1, 2))
    edit(tmp_path, (f"UPDATE features SET {column} = ? WHERE key = ?", value, b"\1"))
    store = FolderStore(tmp_path)
    with pytest.warns(RuntimeWarning, match="checksum is wrong") as seen:
        assert got(store, [b"\1", b"\2", b"\3"]).keys() == {b"\2"}
        assert got(store, [b"\1", b"\2", b"\3"]).keys() == {b"\2"}
    assert len(seen) == 1
    store.put_many(records(1))
    np.testing.assert_array_equal(got(store, [b"\1"])[b"\1"], array(1))


# -- claims --------------------------------------------------------------------------


def test_a_claim_holds_against_others_until_the_row_is_there(tmp_path):
    one, two = FolderStore(tmp_path), FolderStore(tmp_path)
    assert one.claim([b"\1", b"\2"]) == {b"\1", b"\2"}
    assert one.claim([b"\1"]) == {b"\1"}
    assert two.claim([b"\1", b"\2", b"\3"]) == {b"\3"}
    one.put_many(records(1))
    assert two.claim([b"\1"]) == set()
    one.release([b"\2"])
    assert two.claim([b"\2"]) == {b"\2"}
    two.release([b"\1"])  # nobody can release what is not theirs
    assert got(two, [b"\1"])


def test_a_claim_ends_with_its_lease_unless_its_owner_goes_on(tmp_path, monkeypatch):
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    one, two = FolderStore(tmp_path), FolderStore(tmp_path)
    one.claim([b"\1", b"\2", b"\3"])
    now[0] += _claims.LEASE_S - 10
    one.put_many(records(1))  # renews the others
    now[0] += 20
    assert two.claim([b"\2", b"\3"]) == set()
    now[0] += _claims.LEASE_S
    assert two.claim([b"\2", b"\3"]) == {b"\2", b"\3"}


@pytest.mark.skipif(os.name != "posix", reason="asks the kernel for the process")
def test_a_claim_ends_with_its_process(tmp_path):
    code = (
        "from sktransfer.cache._folder import FolderStore; "
        f"print(FolderStore({str(tmp_path)!r}).claim([b'a']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{b'a'}"
    assert FolderStore(tmp_path).claim([b"a"]) == {b"a"}


def test_a_claim_of_another_host_waits_for_its_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(_claims.socket, "gethostname", lambda: "elsewhere")
    FolderStore(tmp_path).claim([b"a"])
    monkeypatch.undo()
    assert FolderStore(tmp_path).claim([b"a"]) == set()


# -- failures ------------------------------------------------------------------------


def flip_bytes(path):
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for i in rng.integers(100, len(content), size=len(content) // 50):
        content[i] ^= 0xFF
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def write_garbage(path):
    path.write_bytes(b"no database at all" * 1000)


def make_a_directory(path):
    path.unlink()
    path.mkdir()


def drop_a_table(path):
    edit(path.parent, ("DROP TABLE features",), ("CREATE TABLE features (a, b)",))


@pytest.mark.parametrize(
    "damage", [flip_bytes, truncate, write_garbage, make_a_directory, drop_a_table]
)
def test_a_damaged_file_costs_one_warning_and_a_new_file(tmp_path, encode, damage):
    encode()
    damage(tmp_path / "features.sqlite")
    with pytest.warns(RuntimeWarning, match="Results are right") as seen:
        encode()
    assert len(seen) == 1
    encode()  # what has been computed since is kept, without a word
    assert encode().misses == 0
    if "begun" in str(seen[0].message):
        assert (tmp_path / "features.sqlite.damaged").exists()
        assert (tmp_path / "features-1.sqlite").exists()


def test_a_file_damaged_under_an_open_connection_is_left_behind(tmp_path):
    store = FolderStore(tmp_path)
    store.put_many(records(*range(200), size=5000))
    with closing(sqlite3.connect(tmp_path / "features.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(tmp_path / "features.sqlite", "r+b") as file:
        file.seek(16384)
        file.write(os.urandom(1_000_000))
    with pytest.warns(RuntimeWarning, match="damaged"):
        found = got(store, [bytes([i]) for i in range(200)])
        store.put_many(records(201))
    for key, value in found.items():
        np.testing.assert_array_equal(value, array(key[0], 5000))
    assert got(store, [b"\xc9"])


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ([("PRAGMA user_version=99",)], "schema version 99"),
        ([("PRAGMA application_id=7",)], "SQLite file of another program"),
    ],
)
def test_a_newer_or_foreign_file_is_left_as_it_is(
    tmp_path, encode, statements, message
):
    encode()
    edit(tmp_path, *statements)
    before = (tmp_path / "features.sqlite").read_bytes()
    with pytest.warns(RuntimeWarning, match=message) as seen:
        encode()
    assert len(seen) == 1
    assert (tmp_path / "features.sqlite").read_bytes() == before
    assert not (tmp_path / "features.sqlite.damaged").exists()


def test_a_full_disk_costs_one_warning_and_keeps_what_is_there(
    tmp_path, encode, monkeypatch
):
    FolderStore(tmp_path).put_many(records(1))
    connect = _store_file._connect

    def connect_with_quota(path, **options):
        connection = connect(path, **options)
        connection.execute("PRAGMA max_page_count=6")  # SQLite's own "disk is full"
        return connection

    monkeypatch.setattr(_store_file, "_connect", connect_with_quota)
    with pytest.warns(RuntimeWarning, match=r"full.*new rows are not kept") as seen:
        encode()
        store = FolderStore(tmp_path)
        for i in range(2, 6):
            store.put_many(records(i, size=100_000))
        assert got(store, [b"\1"])
        assert store.claim([b"\2"]) == {b"\2"}
    assert len(seen) == 1


def test_a_locked_store_costs_one_warning_and_no_hang(tmp_path, encode, monkeypatch):
    encode()
    monkeypatch.setattr(_store_file, "BUSY_TIMEOUT_S", 0.2)
    other = sqlite3.connect(tmp_path / "features.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        store = FolderStore(tmp_path)
        with pytest.warns(RuntimeWarning, match=r"locked.*not kept") as seen:
            store.put_many(records(1))
            store.put_many(records(2))
        assert len(seen) == 1
        assert encode().misses == 0  # reading goes on
    finally:
        other.close()


def test_a_folder_that_is_a_file_costs_one_warning(tmp_path, encode):
    (tmp_path / "file").write_text("no folder")
    with pytest.warns(RuntimeWarning, match="cannot be used") as seen:
        encode(tmp_path / "file")
    assert len(seen) == 1


@pytest.fixture
def read_only_mount(tmp_path):
    """Give ``mount(folder)``: the folder as a read-only mount, for roots."""
    mounted = []

    def mount(folder):
        if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("needs root and mount")
        target = tmp_path / f"mounted{len(mounted)}"
        target.mkdir()
        made = subprocess.run(
            ["mount", "--bind", "-o", "ro", str(folder), str(target)],
            capture_output=True,
        )
        if made.returncode:
            pytest.skip(f"mount is not allowed: {made.stderr.decode().strip()}")
        mounted.append(target)
        return target

    yield mount
    for target in mounted:
        subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_read_only_folder_is_read(tmp_path, encode, read_only_mount):
    folder = tmp_path / "team"
    encode(folder)
    mounted = read_only_mount(folder)
    with pytest.warns(RuntimeWarning, match="can only be read") as seen:
        assert encode(mounted).misses == 0
    assert len(seen) == 1


def test_what_others_write_to_a_read_only_folder_is_found(tmp_path, read_only_mount):
    folder = tmp_path / "team"
    FolderStore(folder).put_many(records(1))
    mounted = read_only_mount(folder)
    reader = FolderStore(mounted)
    with pytest.warns(RuntimeWarning, match="can only be read"):
        assert got(reader, [b"\1", b"\2"]).keys() == {b"\1"}
    writer = FolderStore(folder)
    writer.put_many(records(2))  # in the journal, which was not there
    assert got(reader, [b"\1", b"\2"]).keys() == {b"\1", b"\2"}
    writer.put_many(records(*range(3, 100), size=5000))
    writer.file.close()  # and now in the file
    keys = [bytes([i]) for i in range(1, 100)]
    found = got(reader, keys)
    assert found.keys() == set(keys)
    np.testing.assert_array_equal(found[b"\x50"], array(0x50, 5000))


def test_an_empty_read_only_folder_costs_one_warning(tmp_path, encode, read_only_mount):
    (tmp_path / "empty").mkdir()
    mounted = read_only_mount(tmp_path / "empty")
    with pytest.warns(RuntimeWarning, match="cannot be used") as seen:
        assert encode(mounted).misses == len(TEXTS)
    assert len(seen) == 1


# -- threads and processes -----------------------------------------------------------


def test_threads_read_and_write_one_store(tmp_path):
    store, errors = FolderStore(tmp_path), []

    def work(seed):
        try:
            for i in range(seed, 200, 4):
                store.put_many(records(i))
                np.testing.assert_array_equal(
                    got(store, [bytes([i])])[bytes([i])], array(i)
                )
        except Exception as err:
            errors.append(err)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(got(store, [bytes([i]) for i in range(200)])) == 200


def test_a_file_is_made_once_by_whoever_comes_first(tmp_path):
    for round_ in range(30):
        stores = [FolderStore(tmp_path / str(round_)) for _ in range(4)]
        barrier, results = threading.Barrier(4), []

        def work(store, barrier=barrier, results=results):
            barrier.wait()
            store.put_many(records(1))
            results.append(len(got(store, [b"\1"])))

        threads = [threading.Thread(target=work, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [1, 1, 1, 1]


def test_connections_are_closed_with_their_threads(tmp_path):
    store = FolderStore(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        thread = threading.Thread(target=store.put_many, args=(records(1),))
        thread.start()
        thread.join()
        del store
    assert got(FolderStore(tmp_path), [b"\1"])
