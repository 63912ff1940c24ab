"""Devices: pinned copies, loading in turn, small batches on a core each."""

import contextlib
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from sktransfer import TextClassifier, TextEncoder
from sktransfer._extraction.batches import padded_length
from sktransfer._utils import devices
from sktransfer._utils.devices import device_lock, load_onto, resolve_device
from sktransfer.backbones._state import State
from sktransfer.finetuning import Head

CPU = torch.device("cpu")
HOLD = """
import sys, time, torch
from sktransfer._utils.devices import device_lock
with device_lock(torch.device("cpu")):
    print("held", flush=True)
    {then}
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Keep the lock files of these tests apart from those in use."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(devices, "LOAD_PAUSE_S", 0.01)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


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
    monkeypatch.setattr(devices, "LOCK_PATIENCE_S", 0.2)
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
        patch.setattr(devices.time, "sleep", pause)
        assert load_onto(CPU, load) == 3


def test_devices_have_locks_of_their_own(monkeypatch):
    name = devices._physical_name
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
    monkeypatch.setattr(devices, "LOAD_PATIENCE_S", 0.05)

    def load():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory.*n_jobs"):
        load_onto(CPU, load)


class FakeTensor:
    """Remembers how it was moved."""

    is_cuda = False

    def __init__(self):
        self.calls = []

    def pin_memory(self):
        self.calls.append("pinned")
        return self

    def to(self, device, **options):
        self.calls.append((device.type, options))
        return self


def test_batches_go_to_cuda_from_pinned_memory_without_waiting():
    hidden, lengths = FakeTensor(), FakeTensor()
    moved = State(hidden, None, lengths).to(torch.device("cuda"))
    assert moved == State(hidden, None, lengths)
    assert hidden.calls == lengths.calls
    assert hidden.calls == ["pinned", ("cuda", {"non_blocking": True})]
    plain = FakeTensor()
    State(plain).to(CPU)
    assert plain.calls == [("cpu", {})]


def test_a_padded_length_depends_on_the_length_alone_and_wastes_little():
    for length in range(1, 600):
        padded = padded_length(length)
        assert length <= padded < length + (4 if length <= 32 else 8)
        assert padded_length(padded) == padded


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_batches_arrive_whole():
    texts = [f"text number {i} " * (i % 9) for i in range(2000)]
    want = TextEncoder("tiny-bert", device="cpu", cache=None).fit_transform(texts)
    gpu = TextEncoder("tiny-bert", device="cuda", cache=None, batch_size=7)
    np.testing.assert_allclose(gpu.fit_transform(texts), want, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_workers_on_one_card_compute_the_same():
    import joblib

    texts = [f"text number {i}" for i in range(200)]
    encoder = TextEncoder("tiny-bert", device="cuda", cache=None)
    want = encoder.fit_transform(texts)
    for got in joblib.Parallel(3)(
        joblib.delayed(encoder.transform)(texts) for _ in range(3)
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.slow
def test_compile_computes_the_same_on_a_card():
    texts = [f"text number {i} " * (i % 9) for i in range(50)]
    encoder = TextEncoder("tiny-bert", device="cuda", cache=None)
    want = encoder.fit_transform(texts)
    got = encoder.set_params(engine="compile").transform(texts)
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max())


@pytest.mark.parametrize(
    ("process", "n_cuda", "expected"),
    [
        ("MainProcess", 2, "cuda:0"),
        ("LokyProcess-1", 2, "cuda:0"),
        ("LokyProcess-2", 2, "cuda:1"),
        ("LokyProcess-3", 2, "cuda:0"),
        ("LokyProcess-3", 1, "cuda:0"),
    ],
)
def test_workers_take_the_devices_in_turn(monkeypatch, process, n_cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cuda)
    monkeypatch.setattr("multiprocessing.current_process", lambda: Named(process))
    for device in ("auto", "cuda"):
        assert resolve_device(device) == torch.device(expected)
    assert resolve_device("cuda:0") == torch.device("cuda:0")


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


class Named:
    def __init__(self, name):
        self.name = name


def test_the_workers_of_joblib_are_numbered():
    names = Parallel(n_jobs=2)(delayed(process_name)() for _ in range(2))
    assert all(name.rpartition("-")[2].isdigit() for name in names)


def process_name():
    import multiprocessing

    return multiprocessing.current_process().name


class FakeGpu:
    """A device module whose generator is a number."""

    state = 5

    def get_rng_state(self, device):
        return self.state

    def set_rng_state(self, state, device):
        self.state = state

    def manual_seed(self, seed):
        self.state = seed

    def device(self, device):
        return contextlib.nullcontext()


def test_the_generator_of_a_gpu_is_seeded_and_left_as_found(monkeypatch):
    fake = FakeGpu()
    monkeypatch.setattr(torch, "get_device_module", lambda device: fake)
    with pytest.raises(RuntimeError, match="stop"):  # noqa: PT012
        with devices.seeded(7, torch.device("cuda", 0)):
            assert fake.state == 7
            raise RuntimeError("stop")
    assert fake.state == 5
    with devices.seeded(7, CPU):
        assert fake.state == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_training_on_a_gpu_repeats_and_leaves_its_generator_as_found():
    texts = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
    model = TextClassifier(
        "tiny-bert",
        freeze_depth=0,
        head=Head(dropout=0.5),
        device="cuda",
        random_state=0,
    )
    before = torch.cuda.get_rng_state()
    outputs = [model.fit(texts, np.arange(12) % 2).predict_proba(texts) for _ in "ab"]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)
    assert torch.equal(torch.cuda.get_rng_state(), before)
