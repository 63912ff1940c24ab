"""Repositories of the hub, from a server on loopback that plays it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import traceback

import numpy as np
import pytest
import transformers
from folders import TEXTS, randomised, save, tiny_text_options, word_tokenizer
from hub_server import running_hub

from sktransfer import BackboneSpec, TextEncoder, load_backbone, unload_backbones
from sktransfer.exceptions import (
    RemoteCodeError,
    UnknownBackboneError,
    WeightsNotFoundError,
)

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore:.*texts have more than"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Give two networks that differ in their weights."""
    base = tmp_path_factory.mktemp("networks")
    paths = []
    for name, spread in (("one", 0.02), ("two", 0.5)):
        options = tiny_text_options(initializer_range=spread)
        model = randomised(transformers.BertModel, transformers.BertConfig(**options))
        paths.append(save(base / name, model, word_tokenizer()))
    return paths


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants, file_download, utils

    with running_hub() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        # Before version 1 it is imported by name.
        name = "HUGGINGFACE_CO_URL_TEMPLATE"
        monkeypatch.setattr(file_download, name, template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        # Before version 1 the sessions of a thread stay offline.
        getattr(utils, "reset_sessions", lambda: None)()
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield server
    unload_backbones()


def vectors(backbone):
    return TextEncoder(backbone, cache=None).fit_transform(TEXTS)


def test_a_repository_is_downloaded_once(hub, folders):
    hub.add("someone/mine", folders[0])
    got = vectors("someone/mine")
    np.testing.assert_array_equal(got, vectors(folders[0]))
    assert load_backbone("someone/mine").name == "someone/mine"
    assert len(hub.asked_for("model.safetensors")) == 1
    unload_backbones()
    np.testing.assert_array_equal(vectors("someone/mine"), got)
    assert len(hub.asked_for("model.safetensors")) == 1


def test_weights_of_other_libraries_are_not_downloaded(hub, folders, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(folders[0], folder)
    (folder / "onnx").mkdir()
    for name in ("onnx/model.onnx", "pytorch_model.bin", "model.fp16.safetensors"):
        (folder / name).write_bytes(b"large")
    hub.add("someone/mine", folder)
    vectors("someone/mine")
    for end in ("onnx", ".bin", "fp16"):
        assert not hub.asked_for(end)


def test_without_the_hub_the_local_cache_serves(hub, folders, monkeypatch):
    from huggingface_hub import constants

    hub.add("someone/mine", folders[0])
    want = vectors("someone/mine")
    unload_backbones()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    np.testing.assert_array_equal(vectors("someone/mine"), want)
    message = r"127.0.0.1:9 is out of reach"
    with pytest.raises(WeightsNotFoundError, match=message) as caught:
        load_backbone("someone/other")
    # The hub's library would advise to change a variable that nobody has set.
    assert "HF_HUB_OFFLINE" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFoundError, match="HF_HUB_OFFLINE is set, and they"):
        load_backbone("someone/other")


def test_a_download_that_breaks_off_is_resumed(hub, folders):
    hub.add("someone/mine", folders[0])
    hub.cut_after = 10_000
    want = vectors(folders[0])
    try:
        got = vectors("someone/mine")
    except WeightsNotFoundError:  # the hub's library gives up; what came is kept
        got = vectors("someone/mine")
    np.testing.assert_array_equal(got, want)
    assert hub.cut_after is None


def test_a_gated_repository_needs_the_right_token(hub, folders, monkeypatch):
    hub.add("someone/gated", folders[0], token="hf_right")
    with pytest.raises(WeightsNotFoundError, match="is gated: ask for access at http"):
        load_backbone("someone/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(WeightsNotFoundError, match="set HF_TOKEN to a token of yours"):
        load_backbone("someone/gated")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    np.testing.assert_array_equal(vectors("someone/gated"), vectors(folders[0]))


def test_a_revision_is_another_network(hub, folders):
    hub.add("someone/mine", folders[0])
    hub.add("someone/mine", folders[1], revisions=("v2",))
    first = BackboneSpec("someone/mine")
    second = BackboneSpec("someone/mine", revision="v2")
    np.testing.assert_array_equal(vectors(first), vectors(folders[0]))
    np.testing.assert_array_equal(vectors(second), vectors(folders[1]))
    with pytest.raises(WeightsNotFoundError, match="has no revision 'v3'"):
        load_backbone(BackboneSpec("someone/mine", revision="v3"))


@pytest.mark.parametrize("name", ["tiny-bert", "resnet18", "torchvision/resnet18"])
def test_a_revision_is_for_repositories(name, folders):
    for other in (name, folders[0]):
        with pytest.raises(ValueError, match="revision='v2' is for repositories"):
            load_backbone(BackboneSpec(other, revision="v2"))


def test_a_repository_that_is_not_there_is_named(hub):
    with pytest.raises(WeightsNotFoundError, match="has no repository 'someone/none'"):
        load_backbone("someone/none")


def test_a_repository_without_weights_or_records_is_refused(hub, folders, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folders[0], bare)
    (bare / "model.safetensors").unlink()
    (bare / "pytorch_model.bin").write_bytes(b"a pickle")
    hub.add("someone/bare", bare)
    with pytest.raises(WeightsNotFoundError, match=r"no \*.safetensors"):
        load_backbone("someone/bare")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    hub.add("someone/empty", tmp_path / "empty")
    with pytest.raises(WeightsNotFoundError, match="expected a folder of timm's"):
        load_backbone("someone/empty")


def test_a_repository_with_code_is_refused_before_its_weights_come(
    hub, folders, tmp_path
):
    folder = tmp_path / "mine"
    shutil.copytree(folders[0], folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "mine.Mine"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit")
    hub.add("someone/code", folder)
    with pytest.raises(RemoteCodeError, match="auto_map"):
        load_backbone("someone/code")
    assert not hub.asked_for("safetensors")
    assert not hub.asked_for(".py")


def test_a_download_keeps_no_other_network_waiting(hub, folders):
    hub.add("someone/slow", folders[0])
    go_on = threading.Event()
    hub.before_weights = go_on.wait
    thread = threading.Thread(target=load_backbone, args=("someone/slow",))
    thread.start()
    try:
        load_backbone(folders[1])
        load_backbone("tiny-bert")
        assert thread.is_alive()
    finally:
        go_on.set()
        thread.join(60)
    assert load_backbone("someone/slow").name == "someone/slow"


@pytest.mark.parametrize("name", ["notimm", "some/thing/else", "timm/none"])
def test_what_is_no_name_of_the_hub_is_not_asked_for(hub, name):
    with pytest.raises(UnknownBackboneError):
        load_backbone(name)
    assert not hub.log


@pytest.mark.slow
def test_the_environment_says_where_the_hub_is(hub, folders, tmp_path):
    hub.add("someone/mine", folders[0], token="hf_right")
    code = (
        "from sktransfer import TextEncoder; import sys\n"
        "print(TextEncoder('someone/mine').fit_transform(['a photo']).sum())"
    )

    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    settings["HF_TOKEN"] = "hf_right"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert np.isfinite(float(done.stdout))
    assert len(hub.asked_for("model.safetensors")) == 1


def test_a_network_of_timms_comes_from_the_hub_once(hub, tmp_path):
    import safetensors.torch
    import timm

    from sktransfer._utils.seeds import seeded

    with seeded(0):
        model = timm.create_model("test_vit.r160_in1k", pretrained=False)
    (tmp_path / "vit").mkdir()
    tensors = model.state_dict()
    safetensors.torch.save_file(tensors, tmp_path / "vit" / "model.safetensors")
    hub.add("timm/test_vit.r160_in1k", tmp_path / "vit")
    got = load_backbone("test_vit.r160_in1k")
    unload_backbones()
    again = load_backbone("timm/test_vit.r160_in1k")
    assert got.cache_identity == again.cache_identity
    assert len(hub.asked_for("model.safetensors")) == 1
    found = [t for block in got.blocks.values() for t in block.state_dict().values()]
    assert any(np.array_equal(t, tensors["patch_embed.proj.weight"]) for t in found)
    with pytest.raises(WeightsNotFoundError, match="no repository 'timm/test_vit2"):
        load_backbone("test_vit2.r160_in1k")
