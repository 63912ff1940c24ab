"""Digests of files that were read before: remembered, and never stale."""

import os
import threading

import pytest

from sktransfer._cells import digests


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(digests, "_known", type(digests._known)())


@pytest.fixture
def settled(monkeypatch):
    """Let files that were just written count as old."""
    monkeypatch.setattr(digests, "COARSEST_CLOCK_NS", -(10**9))


def read(path, digest=b"digest", max_pixels=None):
    digests.before_reading(path, max_pixels)(digest)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    return str(path)


def test_a_file_is_known_after_it_was_read(path, settled):
    assert digests.recall(path, None) is None
    read(path)
    assert digests.recall(path, None) == b"digest"
    assert digests.recall(path, 100) is None  # of no limit nothing is known yet


def test_a_file_that_changed_is_not_known(path, settled):
    read(path)
    times = os.stat(path)
    with open(path, "wb") as file:
        file.write(b"two")
    # As a program does that hides the change: same size, same inode, same time.
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == times.st_mtime_ns
    assert digests.recall(path, None) is None


def test_a_file_in_its_place_is_not_known(path, settled, tmp_path):
    read(path)
    other = tmp_path / "other"
    other.write_bytes(b"two")
    other.replace(path)
    assert digests.recall(path, None) is None
    os.remove(path)
    assert digests.recall(path, None) is None


def test_a_file_that_changes_while_it_is_read_is_not_remembered(path, settled):
    remember = digests.before_reading(path, None)
    with open(path, "ab") as file:
        file.write(b"more")
    remember(b"digest")
    assert digests.recall(path, None) is None


def test_a_file_of_a_moment_ago_is_not_remembered(path):
    read(path)  # the clock of its file system may be too coarse to see the next change
    assert digests.recall(path, None) is None


@pytest.mark.parametrize("cell", [b"bytes", 3, None, "no\0name", "no file"])
def test_what_is_no_file_is_not_known(cell, settled):
    read(cell)
    assert digests.recall(cell, None) is None


def test_the_oldest_are_forgotten(tmp_path, settled, monkeypatch):
    monkeypatch.setattr(digests, "MAX_FILES", 2)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"x")
        read(path)
    assert [digests.recall(path, None) for path in paths] == [None, *2 * [b"digest"]]


def test_threads_remember_at_once(tmp_path, settled):
    path = tmp_path / "a"
    path.write_bytes(b"x")

    def work():
        for _ in range(200):
            read(path)
            assert digests.recall(path, None) == b"digest"

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(digests._known) == 1
