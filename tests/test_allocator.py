"""Keeping freed pages while a network runs."""

import subprocess
import sys
import threading

import pytest

from sktransfer import _allocator


class FakeLibc:
    """Remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def mallopt(self, option, value):
        self.calls.append((option, value))

    def malloc_trim(self, pad):
        self.calls.append("trim")


@pytest.fixture
def libc(monkeypatch):
    fake = FakeLibc()
    monkeypatch.setattr(_allocator, "_glibc", lambda: fake)
    return fake


HAND_BACK = [(_allocator.M_TRIM_THRESHOLD, _allocator.GLIBC_TRIM_BYTES), "trim"]


def test_pages_are_handed_back_at_the_end(libc):
    with _allocator.kept_pages():
        assert (_allocator.M_TRIM_THRESHOLD, _allocator.KEEP_BYTES) in libc.calls
        assert "trim" not in libc.calls
    assert libc.calls[-2:] == HAND_BACK


def test_pages_are_handed_back_after_an_error(libc):
    with pytest.raises(ZeroDivisionError), _allocator.kept_pages():
        _ = 1 / 0
    assert libc.calls[-2:] == HAND_BACK
    assert _allocator._n_users == 0


def test_the_last_thread_hands_back(libc):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with _allocator.kept_pages():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with _allocator.kept_pages():
        pass
    assert "trim" not in libc.calls
    leave.set()
    thread.join()
    assert libc.calls[-2:] == HAND_BACK


def test_a_switch_turns_it_off(libc, monkeypatch):
    monkeypatch.setenv("SKTRANSFER_KEEP_PAGES", "0")
    with _allocator.kept_pages():
        pass
    assert libc.calls == []


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(_allocator, "_glibc", lambda: None)
    with _allocator.kept_pages():
        pass


def test_glibc_is_looked_for_on_linux_only(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _allocator._glibc.__wrapped__() is None


@pytest.mark.slow
@pytest.mark.skipif(_allocator._glibc() is None, reason="needs glibc")
def test_it_spares_page_faults(bundled_weights, monkeypatch):
    code = (
        "import resource, numpy as np; from sktransfer import ImageEncoder\n"
        "rows = np.random.default_rng(0).integers(0, 256, (160, 64, 64, 3), 'uint8')\n"
        "encoder = ImageEncoder(cache=None)\n"
        "encoder.transform(rows[:8])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "encoder.transform(rows)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )

    def faults(switch):
        # A process each: glibc never goes back to how it was before the first call.
        monkeypatch.setenv(_allocator.SWITCH, switch)
        command = [sys.executable, "-c", code]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    kept, handed_back = faults("1"), faults("0")
    monkeypatch.delenv(_allocator.SWITCH)
    assert kept < handed_back / 2
