"""Backbones by name."""

import threading
import weakref
from pathlib import Path

import pytest
import torch

from sktransfer import (
    BackboneSpec,
    ImageEncoder,
    TextEncoder,
    list_backbones,
    load_backbone,
    register_backbone,
    unload_backbones,
)
from sktransfer.backbones import _registry
from sktransfer.exceptions import UnknownBackboneError, WeightsNotFoundError


@pytest.fixture
def registered():
    """Give ``register(name, modality)``; returns the list of calls of its builder."""

    def register(name, modality="image", source="tiny-cnn"):
        calls = []

        def build(spec):
            calls.append(spec)
            return load_backbone(source)

        register_backbone(name, build, modality=modality)
        return calls

    return register


def test_registered_backbones_are_listed_by_modality():
    assert list_backbones() == sorted(list_backbones())
    assert "efficientnet_lite0" in list_backbones("image")
    assert "all-MiniLM-L6-v2" in list_backbones("text")
    assert list_backbones("array") == ["tiny-mlp"]
    with pytest.raises(ValueError, match="modality='sound'"):
        list_backbones("sound")


def test_a_backbone_is_built_once_whoever_asks(registered, pixels):
    calls = registered("mine")
    for _ in range(3):
        load_backbone("mine")
        ImageEncoder("mine").fit_transform(pixels)
    assert len(calls) == 1
    load_backbone(BackboneSpec("mine", random_state=1))
    assert len(calls) == 2


def test_threads_share_one_load(registered):
    calls = registered("mine")
    threads = [threading.Thread(target=load_backbone, args=("mine",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_the_least_recently_used_backbone_is_let_go(registered):
    calls = registered("mine")
    load_backbone("mine")
    for seed in range(_registry.MAX_LOADED):
        load_backbone(BackboneSpec("tiny-mlp", random_state=100 + seed))
    assert len(_registry._loaded) == _registry.MAX_LOADED
    load_backbone("mine")
    assert len(calls) == 2


def test_a_name_is_taken_unless_it_is_overwritten(registered):
    registered("mine")
    with pytest.raises(ValueError, match="'mine' is registered already"):
        register_backbone("mine", lambda spec: None, modality="image")
    load_backbone("mine")
    other = load_backbone(BackboneSpec("tiny-cnn", random_state=5))
    register_backbone("mine", lambda spec: other, modality="image", overwrite=True)
    assert load_backbone("mine") is other


def test_registering_checks_its_arguments():
    with pytest.raises(ValueError, match="modality='sound'"):
        register_backbone("x", lambda spec: None, modality="sound")
    with pytest.raises(TypeError, match="must be callable"):
        register_backbone("x", None, modality="image")


@pytest.mark.parametrize(
    ("name", "modality", "message"),
    [
        ("eficientnet_lite0", "image", "Did you mean 'efficientnet_lite0'"),
        ("efficientnet_lite_0", None, "Did you mean 'efficientnet_lite0'"),
        ("resnet19", "image", "Did you mean 'resnet"),
        ("all-MiniLM-L6", "text", "Did you mean 'all-MiniLM-L6-v2'"),
        ("MiniLM", None, "Did you mean 'all-MiniLM-L6-v2'"),
        ("minilm", "text", "Did you mean 'all-MiniLM-L6-v2'"),
        ("Lite0", "image", "Did you mean 'efficientnet_lite0'"),
        ("zzzz", "text", "Did you mean 'sentence-transformers/zzzz'"),
        ("zzzz", "image", "There is no image backbone named 'zzzz'. Registered:"),
    ],
)
def test_a_typo_gets_close_matches(name, modality, message):
    with pytest.raises(UnknownBackboneError, match=message):
        load_backbone(name, modality=modality)


def test_a_network_of_another_modality_is_refused():
    with pytest.raises(
        ValueError, match="'tiny-bert' reads texts, but the rows are images"
    ):
        ImageEncoder("tiny-bert").fit(["a.jpg"])
    with pytest.raises(
        ValueError, match="'tiny-cnn' reads images, but the rows are texts"
    ):
        TextEncoder("tiny-cnn").fit(["a"])


def test_a_bare_module_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match="describe it once with Backbone"):
        ImageEncoder(torch.nn.Identity()).fit(["a.jpg"])
    with pytest.raises(TypeError, match="got int"):
        ImageEncoder(3).fit(["a.jpg"])


def test_weights_that_cannot_be_had_say_what_helps(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match=r"sktransfer\[bundled\]"):
        load_backbone("resnet10t", modality="image")
    with pytest.raises(WeightsNotFoundError, match=r"sktransfer\[bundled\]"):
        load_backbone("nobody/nothing-at-all", modality="text")


def test_a_text_folder_loads_and_loads_anew_when_it_changes(bundled_weights, tmp_path):
    import shutil

    from sktransfer.backbones._bundled import _installed_file

    folder = tmp_path / "model"
    shutil.copytree(_installed_file("all-MiniLM-L6-v2").parent, folder)
    first = load_backbone(folder)
    assert load_backbone(str(folder)) is first
    config = folder / "sentence_bert_config.json"
    config.write_text(config.read_text().replace("256", "32"))
    assert load_backbone(folder).preprocess.max_length == 32
    assert load_backbone(folder, modality="text").modality == "text"


def test_random_weights_are_seeded_and_leave_the_generator_alone():
    a, b, c = (
        load_backbone(BackboneSpec("resnet10t", pretrained=False, random_state=seed))
        for seed in (0, 1, 0)
    )
    assert a.fingerprint != b.fingerprint
    assert a is c
    with pytest.raises(TypeError, match="random_state"):
        load_backbone(BackboneSpec("tiny-cnn", random_state=None))


def test_a_folder_does_not_hide_a_network_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet18").mkdir()
    for modality in (None, "image"):
        with pytest.raises(ValueError, match=r"'\./resnet18' for .* 'timm/resnet18'"):
            load_backbone(BackboneSpec("resnet18", False), modality=modality)
    assert len(load_backbone(BackboneSpec("timm/resnet18", False)).blocks) > 1
    for folder in ("./resnet18", Path("resnet18")):
        with pytest.raises(WeightsNotFoundError, match="is a folder that holds"):
            load_backbone(folder)


@pytest.mark.usefixtures("auto_is_cpu")
def test_networks_are_let_go_with_their_copies(registered):
    calls = registered("mine")
    network = load_backbone("mine")
    kept = load_backbone("tiny-bert")
    ImageEncoder("mine").fit_transform(torch.zeros(1, 8, 8, 3).byte().numpy())
    part = weakref.ref(network.blocks["stem"])
    ready = weakref.ref(network._prepared["cpu", True, "float32"][0].blocks["stem"])
    del network
    unload_backbones("mine")
    unload_backbones("tiny-cnn")  # what the builder of "mine" returns
    assert part() is ready() is None
    assert load_backbone("tiny-bert") is kept
    load_backbone("mine")
    assert len(calls) == 2


def test_a_backbone_that_is_held_loses_its_copies_only():
    network = load_backbone(BackboneSpec("tiny-bert", random_state=77))
    encoder = TextEncoder(network, cache=None)
    want = encoder.fit_transform(["some words"])
    assert network._prepared
    unload_backbones(network)
    assert not network._prepared
    assert load_backbone(BackboneSpec("tiny-bert", random_state=77)) is not network
    assert (encoder.transform(["some words"]) == want).all()
    unload_backbones()
    assert not _registry._loaded
