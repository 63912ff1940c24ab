"""Keeping freed pages while a network runs."""

import subprocess
import sys
import threading
from mmap import mmap

import numpy as np
import pytest

from sktransfer._utils import allocator


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
    monkeypatch.setattr(allocator, "_glibc", lambda: fake)
    return fake


HAND_BACK = [(allocator.M_TRIM_THRESHOLD, allocator.GLIBC_TRIM_BYTES), "trim"]


def test_pages_are_handed_back_at_the_end(libc):
    with allocator.kept_pages():
        assert (allocator.M_TRIM_THRESHOLD, allocator.KEEP_BYTES) in libc.calls
        assert "trim" not in libc.calls
    assert libc.calls[-2:] == HAND_BACK


def test_holes_are_handed_back_when_the_process_has_grown(libc, monkeypatch):
    sizes = iter([0, 1, allocator.GROWTH_BYTES + 1, 100, 200])
    monkeypatch.setattr(allocator, "_resident", lambda: next(sizes))
    with allocator.kept_pages() as tidy:
        tidy()
        assert "trim" not in libc.calls
        tidy()
        assert libc.calls.count("trim") == 1
        tidy()
        assert libc.calls.count("trim") == 1


def test_pages_are_handed_back_after_an_error(libc):
    with pytest.raises(ZeroDivisionError), allocator.kept_pages():
        _ = 1 / 0
    assert libc.calls[-2:] == HAND_BACK
    assert allocator._n_users == 0


def test_the_last_thread_hands_back(libc):
    inside, leave = threading.Event(), threading.Event()

    def other():
        with allocator.kept_pages():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with allocator.kept_pages():
        pass
    assert "trim" not in libc.calls
    leave.set()
    thread.join()
    assert libc.calls[-2:] == HAND_BACK


def test_a_switch_turns_it_off(libc, monkeypatch):
    monkeypatch.setenv("SKTRANSFER_KEEP_PAGES", "0")
    with allocator.kept_pages():
        pass
    assert libc.calls == []


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with allocator.kept_pages():
        pass


def test_glibc_is_looked_for_on_linux_only(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator._glibc.__wrapped__() is None


@pytest.mark.skipif(allocator._glibc() is None, reason="needs glibc")
def test_it_spares_page_faults(monkeypatch):
    # Blocks of sizes that glibc hands back by its own rules; what a network allocates
    # depends on the processor, and glibc keeps it in some runs and not in others.
    code = (
        "import resource, numpy as np\n"
        "from sktransfer._utils.allocator import kept_pages\n"
        "def use():\n"
        "    blocks = [np.ones(30 * 2**17) for _ in range(4)]\n"
        "with kept_pages():\n"
        "    use()\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    use()\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )

    def faults(switch):
        # A process each: glibc never goes back to how it was before the first call.
        monkeypatch.setenv(allocator.SWITCH, switch)
        command = [sys.executable, "-c", code]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    kept, handed_back = faults("1"), faults("0")
    assert kept < 100 < handed_back


@pytest.mark.parametrize("n_values", [3, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_arrays_apart_are_equal_copies(n_values, dtype):
    wanted = [np.random.default_rng(i).random((2, n_values, i + 1)) for i in range(2)]
    wanted = [array.astype(dtype) for array in wanted]
    got = allocator.apart([array.T.copy().T for array in wanted], np.dtype(dtype))
    for copy, array in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(copy, array)
        assert copy.flags.c_contiguous
        assert not np.shares_memory(copy, array)


def test_arrays_apart_stay_in_the_heap_where_no_map_is_left(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("too many maps")

    monkeypatch.setattr(allocator.mmap, "mmap", refuse)
    (copy,) = allocator.apart([np.ones(2**20)], np.dtype("float32"))
    assert (copy == 1).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps memory")
def test_activations_that_stay_lie_outside_the_heap():
    """Between those that pass they made holes; `benchmarks.run fit_memory` measures."""
    (copy,) = allocator.apart([np.ones(2**20)], np.dtype("float32"))
    owner = copy
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner.obj, mmap)
