"""Which device computes: names, workers of a pool, processes that were forked."""

import subprocess
import sys

import pytest
import torch
from conftest import not_on_a_pretended_card
from joblib import Parallel, delayed

from sktransfer._utils import devices
from sktransfer._utils.devices import resolve_device
from sktransfer.exceptions import ForkedDeviceError

CPU = torch.device("cpu")


@not_on_a_pretended_card  # where "auto" is no CUDA device
def test_a_device_has_one_name(monkeypatch):
    assert resolve_device("cpu:0") == resolve_device(CPU) == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert str(resolve_device("cuda")) == str(resolve_device("cuda:0")) == "cuda:0"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert str(resolve_device("cuda")) == str(resolve_device("auto")) == "cuda:2"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert str(resolve_device("mps:0")) == "mps"


@pytest.mark.parametrize(
    "device", ["mps", "xpu", "meta", "hip", "vulkan", "cpu:1", "cuda:1"]
)
def test_what_cannot_compute_here_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    with pytest.raises(ValueError, match=rf"'{device}' .* \['cpu', 'cuda:0'\]"):
        resolve_device(device)


@pytest.fixture
def cards(monkeypatch, tmp_path):
    """Give ``cards(n)``, so many CUDA devices by name."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    devices._place_among.cache_clear()

    def add(n_cards):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cards)

    yield add
    devices._place_among.cache_clear()


def card_of_worker(barrier=None):
    """Return the card that a worker takes, of two."""
    import torch

    torch.cuda.is_available, torch.cuda.device_count = (lambda: True), (lambda: 2)
    found = {str(resolve_device(name)) for name in ("auto", "cuda")}
    if barrier is not None:
        barrier.wait(60)  # so that each worker has one task
    return found


@not_on_a_pretended_card
@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_any_pool_take_the_cards_in_turn(cards, method):
    import multiprocessing

    context = multiprocessing.get_context(method)
    with context.Manager() as manager, context.Pool(2) as pool:
        barrier = manager.Barrier(2)
        found = pool.map(card_of_worker, [barrier] * 2, chunksize=1)
    assert sorted(found, key=min) == [{"cuda:0"}, {"cuda:1"}]


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_joblibs_workers_are_workers(cards):
    cards_of_jobs = Parallel(n_jobs=2)(delayed(is_worker)() for _ in range(2))
    assert cards_of_jobs == [True, True]


def is_worker():
    return devices._worker_number() is not None


@not_on_a_pretended_card  # where "auto" is no CUDA device
def test_a_main_process_keeps_the_current_card(cards):
    cards(2)
    assert resolve_device("auto") == torch.device("cuda:0")
    assert resolve_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_the_place_of_a_worker_that_has_ended_is_free(cards, tmp_path):
    def place(pid):
        devices._place_among.cache_clear()
        return devices._place_among(1, pid)

    sleepers = [
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        for _ in range(3)
    ]
    try:
        assert [place(sleeper.pid) for sleeper in sleepers] == [0, 1, 2]
        sleepers[1].communicate(b"\n")
        assert place(sleepers[2].pid) == 2
        assert place(1) == 1
        (tmp_path / "sktransfer-workers.json").write_text("{")  # a full disk
        assert place(sleepers[2].pid) == 0
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.communicate()


@not_on_a_pretended_card  # where "auto" is no CUDA device
def test_a_forked_process_is_told_that_the_card_is_lost(cards, monkeypatch):
    cards(1)
    monkeypatch.setattr(devices, "_lost", {"cuda"})
    for name in ("auto", "cuda", "cuda:0"):
        with pytest.raises(ForkedDeviceError, match=r"'cuda' before .*\('spawn'\)"):
            resolve_device(name)
    assert resolve_device("cpu") == CPU


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="no fork")
@pytest.mark.parametrize("is_started", [True, False])
def test_a_fork_remembers_what_its_parent_had_started(is_started):
    code = f"""
import os, torch
from sktransfer._utils import devices
torch.cuda.is_initialized = lambda: {is_started}
if os.fork() == 0:
    os._exit(17 if "cuda" in devices._lost else 18)
print(os.waitstatus_to_exitcode(os.wait()[1]), devices._lost)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.split() == ["17" if is_started else "18", "set()"], done.stderr
