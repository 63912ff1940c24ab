"""Memory of a device: weights come in turn, and batches that do not fit are halved."""

import subprocess
import sys
import time

import pytest
import torch

from sktransfer._utils import device_memory
from sktransfer._utils.device_memory import (
    device_lock,
    give_back,
    is_out_of_memory,
    load_onto,
)

CPU = torch.device("cpu")
HOLD = """
import sys, time, torch
from sktransfer._utils.device_memory import device_lock
with device_lock(torch.device("cpu")):
    print("held", flush=True)
    {then}
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Keep the lock files of these tests apart from those in use."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(device_memory, "LOAD_PAUSE_S", 0.01)


def holder(tmp_path, then):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_processes_load_one_after_the_other(tmp_path):
    with holder(tmp_path, "sys.stdin.readline(); time.sleep(0.5)") as process:
        start = time.monotonic()
        process.stdin.write("\n")
        process.stdin.flush()
        assert load_onto(CPU, lambda: "loaded") == "loaded"
        assert time.monotonic() - start >= 0.4


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_a_killed_process_leaves_no_lock(tmp_path):
    with holder(tmp_path, "time.sleep(600)") as process:
        process.kill()
        start = time.monotonic()
        with device_lock(CPU):
            assert time.monotonic() - start < 30


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_a_lock_that_is_never_let_go_costs_a_wait_and_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(device_memory, "LOCK_PATIENCE_S", 0.2)
    with holder(tmp_path, "time.sleep(600)") as process:
        with pytest.warns(RuntimeWarning, match="without its lock: held for"):
            assert load_onto(CPU, lambda: "loaded") == "loaded"
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "sktransfer-cpu.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(RuntimeWarning, match="cannot be opened"):
        assert load_onto(CPU, lambda: "loaded") == "loaded"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_without_a_folder_of_the_session_the_lock_is_in_the_users_cache(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    with device_lock(CPU):
        (file,) = (tmp_path / "caches").rglob("*.lock")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
def test_a_process_that_finds_no_room_waits_outside_the_lock():
    tries = []

    def load():
        tries.append(1)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return len(tries)

    def pause(seconds):
        with device_lock(CPU):  # another one's, which would wait for it in vain
            tries.append("paused")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_memory.time, "sleep", pause)
        assert load_onto(CPU, load) == 3


def test_devices_have_locks_of_their_own(monkeypatch):
    name = device_memory.physical_name
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert name(torch.device("cuda:0")) == "cuda-0"
    assert name(torch.device("cuda")) == "cuda-1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-ab/c")
    # The same card, which another process sees under another number.
    assert name(torch.device("cuda:0")) == "cuda-3"
    assert name(torch.device("cuda:1")) == "cuda-GPU-ab-c"
    assert name(torch.device("mps")) == "mps"


def test_weights_wait_for_room():
    tries = []

    def load():
        tries.append(1)
        if len(tries) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "loaded"

    assert load_onto(CPU, load) == "loaded"
    assert len(tries) == 3


def test_without_room_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(device_memory, "LOAD_PATIENCE_S", 0.05)

    def load():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory.*n_jobs"):
        load_onto(CPU, load)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_each_device_has_its_own_error_for_no_room(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("out of memory")]
)
def test_other_errors_are_not_about_room(error):
    assert not is_out_of_memory(error)


def test_memory_is_given_back_to_the_device_that_had_no_room(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append("mps"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cuda"))
    for name in ("cpu", "mps", "cuda:0"):
        give_back(torch.device(name))
    assert emptied == ["mps", "cuda"]
