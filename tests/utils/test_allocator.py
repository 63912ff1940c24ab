"""Keeping freed pages while a network runs."""

import gc
import os
import subprocess
import sys
import threading
import weakref
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
    for name in [n for n in os.environ if n.startswith(("MALLOC_", "GLIBC_TUN"))]:
        monkeypatch.delenv(name)
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


def block_of(array):
    """Return the block that an array lies in, or None."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    watches = [w for w in weakref.getweakrefs(array) if hasattr(w, "block")]
    return watches[0].block if watches else None


linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="maps memory"
)


@linux_only
def test_arrays_of_a_page_and_more_lie_outside_the_heap():
    rows = [np.ones(2**20), np.ones(1024, np.float32), np.ones(1023, np.float32)]
    large, page, small = allocator.apart(rows, np.dtype("float32"))
    assert isinstance(block_of(large).map, mmap)
    assert block_of(page).size == allocator.held_bytes(4096)
    assert block_of(small) is None


@linux_only
def test_an_array_gives_its_memory_back_while_its_neighbours_stay():
    rows = [np.full(50_000, i, np.float32) for i in range(40)]
    before = allocator._resident()
    copies = allocator.apart(rows * 10, np.dtype("float32"))  # 80 MB
    assert allocator._resident() - before > 70e6
    del copies[1::2]
    assert allocator._resident() - before < 50e6
    for i, copy in enumerate(copies):
        assert (copy == 2 * i % 40).all()


@linux_only
def test_memory_that_was_given_back_is_used_again():
    size = 13 * 4096  # of this test alone
    rows = [np.full(size, i, np.uint8) for i in range(200)]
    copies = allocator.apart(rows, np.dtype("uint8"))
    n_maps = len({block_of(copy) for copy in copies})
    for i in range(1000):
        copies[i * 7 % 200] = None
        (copies[i * 7 % 200],) = allocator.apart([rows[i % 200]], np.dtype("uint8"))
    assert len({block_of(copy) for copy in copies}) <= n_maps + 1
    blocks = weakref.WeakSet(map(block_of, copies))
    view = copies[3][5:]
    del copies
    gc.collect()
    assert len(blocks) == 1
    assert (view == view[0]).all()
    del view
    gc.collect()
    assert not blocks


@linux_only
def test_threads_never_get_the_same_memory():
    errors = []

    def work(value):
        kept = {}
        for i in range(600):
            (kept[i % 50],) = allocator.apart(
                [np.full(5000, value, np.float32)], np.dtype("float32")
            )
        errors.extend(a for a in kept.values() if not (a == value).all())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@linux_only
def test_rows_that_stay_leave_no_holes_in_the_heap():
    """Rows kept from among activations that pass cost their own size, no more."""
    code = (
        "import numpy as np\n"
        "from sktransfer._utils.allocator import _resident, apart, kept_pages\n"
        "rng, kept = np.random.default_rng(0), []\n"
        "def image(size):\n"
        "    layers = []\n"
        "    for n in rng.integers(2**18, 2**20, size=6):\n"
        "        layers = layers[-1:] + [np.ones(n, np.float32)]\n"
        "        if size:\n"
        "            kept.extend(apart([layers[-1][:size]], np.float32))\n"
        "with kept_pages():\n"
        "    for _ in range(5):\n"
        "        image(0)\n"
        "    before = _resident()\n"
        "    for i in range(80):\n"
        "        image((25_000, 250_000)[i % 2])\n"
        "    held = sum(row.nbytes for row in kept)\n"
        "    print((_resident() - before) / held)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=True, timeout=100)
    assert float(done.stdout) < 1.1


@pytest.mark.parametrize(
    "variable",
    [
        ("MALLOC_TRIM_THRESHOLD_", "65536"),
        ("MALLOC_ARENA_MAX", "2"),
        ("GLIBC_TUNABLES", "glibc.pthread.rseq=0:glibc.malloc.trim_threshold=128"),
    ],
)
def test_malloc_is_left_alone_where_the_user_has_set_it(libc, monkeypatch, variable):
    monkeypatch.setenv(*variable)
    with allocator.kept_pages() as tidy:
        tidy()
    assert libc.calls == []


def test_settings_of_other_things_than_malloc_do_not_count():
    environment = {"GLIBC_TUNABLES": "glibc.pthread.rseq=0", "MALLOCATE": "1"}
    assert not allocator.has_settings(environment)


def test_a_program_that_ends_with_rows_in_memory_says_nothing():
    program = (
        "from sktransfer import FeatureCache, TextClassifier\n"
        "model = TextClassifier('tiny-bert', cache=FeatureCache(), max_epochs=1)\n"
        "model.fit(['word ' * 50 + str(i) for i in range(8)], [0, 1] * 4)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
