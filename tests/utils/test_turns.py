"""Turns on a device, and small batches on a core each."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from sktransfer import TextEncoder
from sktransfer._utils import threads, turns
from sktransfer._utils.turns import each_on_a_core
from sktransfer.exceptions import WaitError

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n_threads)


def test_many_items_run_on_a_core_each_and_come_back_in_order(two_threads):
    ready = threading.Barrier(2)

    def run(item):
        if item < 2:
            ready.wait(60)  # both are at work at once
        return item, threading.get_ident(), torch.get_num_threads()

    items, threads, cores = zip(*each_on_a_core(run, list(range(9)), CPU), strict=True)
    assert items == tuple(range(9))
    assert len(set(threads)) == 2
    assert set(cores) == {1}
    # Neither this thread nor a later one has fewer than before.
    assert torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_fewer_items_than_cores_run_here_on_all_of_them(two_threads):
    def run(item):
        return threading.get_ident(), torch.get_num_threads()

    assert list(each_on_a_core(run, [0], CPU)) == [(threading.get_ident(), 2)]


def test_an_error_on_one_core_stops_the_others_and_leaves_the_threads(two_threads):
    done = []

    def run(item):
        if item == 3:
            raise ValueError("item 3")
        time.sleep(0.001)
        done.append(item)

    with pytest.raises(ValueError, match="item 3"):
        list(each_on_a_core(run, list(range(10_000)), CPU))
    assert len(done) < 10_000
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", ["tiny-bert", "all-MiniLM-L6-v2"])
@pytest.mark.usefixtures("auto_is_cpu")
def test_a_text_is_the_same_alone_and_among_many(name, two_threads, bundled_weights):
    texts = [f"text {i} " + "with some words " * (i % 7) for i in range(150)]
    encoder = TextEncoder(name, cache=None).fit(texts)
    together = encoder.transform(texts)
    alone = [encoder.transform([text])[0] for text in texts[:12]]
    np.testing.assert_array_equal(together[:12], alone)


def test_an_error_of_a_network_leaves_its_turn_to_others(two_threads, monkeypatch):
    from sktransfer.backbones import Backbone

    texts = [f"text {i} " + "with some words " * (i % 7) for i in range(150)]
    encoder = TextEncoder("tiny-bert", cache=None).fit(texts)

    def fail(*arguments):
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "run", fail)
        with pytest.raises(RuntimeError, match="broken") as caught:
            encoder.transform(texts)
    assert caught.value.__traceback__ is not None  # it holds the frames
    result = []
    thread = threading.Thread(target=lambda: result.append(encoder.transform(texts)))
    thread.start()
    thread.join(60)
    assert len(result) == 1


def test_others_get_a_turn_between_the_items(two_threads):
    waited = []

    def ask():
        start = time.monotonic()
        with turns.turn(CPU):
            waited.append(time.monotonic() - start)

    items = list(range(10 * 2 * turns.ITEMS_A_TURN))
    results = each_on_a_core(lambda item: time.sleep(0.002), items, CPU)
    next(results)
    thread = threading.Thread(target=ask)
    thread.start()
    next(results)  # nothing is computed, and the turn is free, while we look at it
    thread.join(60)
    assert len(waited) == 1
    results.close()


def test_a_long_text_runs_on_all_cores_and_keeps_its_place(two_threads, monkeypatch):
    from sktransfer._extraction import batches

    monkeypatch.setattr(batches, "CPU_TOKENS", 16)
    texts = ["word " * 60 + str(i) for i in range(3)] + [f"word {i}" for i in range(40)]
    encoder = TextEncoder("tiny-bert", cache=None).fit(texts)
    together = encoder.transform(texts)
    alone = [encoder.transform([text])[0] for text in texts]
    np.testing.assert_array_equal(together, alone)


def test_limits_of_other_threads_stay_as_they_are(two_threads):
    from threadpoolctl import threadpool_limits

    seen = []

    def look():
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()

    look()
    with threadpool_limits(2, user_api="openmp"):
        list(each_on_a_core(lambda item: look(), list(range(9)), CPU))
    look()
    assert len(set(seen)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="forks safely on Linux only")
def test_a_forked_child_prepares_and_runs_texts():
    code = """
import os, sys, torch, warnings
warnings.simplefilter("ignore")
from sktransfer import TextEncoder, load_backbone
torch.set_num_threads(2)
backbone = load_backbone("tiny-bert")
torch.randn(800, 800) @ torch.randn(800, 800)  # the pool of threads is there
pid = os.fork()
if pid == 0:
    TextEncoder(backbone, cache=None).fit_transform([f"text {i}" for i in range(300)])
    os._exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 7


def test_a_turn_that_never_ends_is_said_and_then_an_error(monkeypatch):
    monkeypatch.setattr(threads, "SAY_S", 0.05)
    monkeypatch.setattr(threads, "PATIENCE_S", 0.1)
    done = threading.Event()

    def hang():
        with turns.turn(CPU):
            done.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        with pytest.warns(
            RuntimeWarning, match="another thread, which computes on cpu"
        ):
            with pytest.raises(WaitError, match="has not finished"):
                with turns.turn(CPU):
                    pass
    finally:
        done.set()
        thread.join()


def test_threads_that_encode_at_once_leave_later_threads_as_they_were(two_threads):
    texts = [f"text {i} " + "with some words " * (i % 7) for i in range(150)]
    encoder = TextEncoder("tiny-bert", cache=None).fit(texts)
    want = encoder.transform(texts)
    got, later = [], []
    many = [
        threading.Thread(target=lambda: got.append(encoder.transform(texts)))
        for _ in range(4)
    ]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join(120)
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2] == [torch.get_num_threads()]
    assert len(got) == 4
    for vectors in got:
        np.testing.assert_array_equal(vectors, want)


def test_a_process_that_gets_no_more_threads_fails_and_does_not_hang():
    code = """
import threading, torch
from sktransfer import TextEncoder
torch.set_num_threads(4)
texts = [" ".join(["w"] * (1 + i % 30)) + str(i) for i in range(400)]
encoder = TextEncoder("tiny-bert", cache=None).fit(texts)
start, n_started = threading.Thread.start, 0
def limited(self):
    global n_started
    n_started += 1
    if n_started > 3:
        raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = limited
try:
    encoder.transform(texts)
except RuntimeError as err:
    print(err)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "can't start new thread"
