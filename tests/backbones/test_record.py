"""Folders: which library wrote them, what they hold, and what is wrong with them."""

import json

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import transformers
from folders import randomised, save, tiny_clip, tiny_text_options, word_tokenizer
from test_timm import network

from sktransfer import (
    BackboneSpec,
    ImageEncoder,
    check_backbone,
    load_backbone,
)
from sktransfer.exceptions import (
    UnknownBackboneError,
    WeightsMismatchError,
    WeightsNotFoundError,
)


@pytest.fixture
def timm_folder(tmp_path):
    """Return a folder of timm's with a preprocessing of its own, and its network."""
    model = network("mobilenetv4_conv_small_050", num_classes=5)
    record = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.8}
    record |= {"input_size": [3, 64, 64], "interpolation": "bilinear"}
    model.pretrained_cfg.update(record)
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
    return str(tmp_path), model


def test_a_timm_folder_can_be_cut_anywhere(timm_folder):
    folder, model = timm_folder
    backbone = load_backbone(folder, modality="image")
    assert load_backbone(folder) is not None
    assert backbone.block_names[1] == "blocks.0.0"
    assert check_backbone(backbone).largest_difference <= 1e-5
    preprocess = backbone.preprocess
    assert (preprocess.size, preprocess.crop_pct) == ((64, 64), 0.8)
    assert preprocess.mean == (0.1, 0.2, 0.3)
    assert preprocess.interpolation == "bilinear"


def test_a_timm_folder_gives_the_features_of_its_network(timm_folder, pixels):
    folder, model = timm_folder
    backbone = load_backbone(folder, modality="image")
    got = ImageEncoder(folder).fit_transform(pixels[:1])
    from PIL import Image

    row = backbone.preprocess.prepare(Image.fromarray(pixels[0]))
    state = backbone.preprocess.to_input(backbone.batch([row]))
    with torch.inference_mode():
        want = model.forward_head(model.forward_features(state.hidden), pre_logits=True)
    assert np.abs(got - want.numpy()).max() <= 1e-5 * want.abs().max()


def test_a_timm_folder_with_random_weights(timm_folder):
    folder, _ = timm_folder
    random = load_backbone(BackboneSpec(folder, pretrained=False), modality="image")
    assert random.fingerprint != load_backbone(folder, modality="image").fingerprint


def test_weights_that_do_not_fit_are_named(timm_folder, tmp_path):
    folder, model = timm_folder
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    state["extra"] = state.pop("conv_head.weight")
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(
        WeightsMismatchError, match="missing: conv_head.weight; unexpected: extra"
    ):
        load_backbone(folder, modality="image")


def test_weights_of_another_architecture_are_not_loaded(timm_folder, tmp_path):
    folder, _ = timm_folder
    config = json.loads((tmp_path / "config.json").read_text())
    config["architecture"] = "resnet10t"
    config["pretrained_cfg"] |= {"first_conv": "conv1.0", "classifier": "fc"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsMismatchError, match="missing: .* more"):
        load_backbone(folder, modality="image")


def test_a_timm_folder_without_safetensors_is_not_unpickled(timm_folder, tmp_path):
    folder, model = timm_folder
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(
        WeightsNotFoundError, match=r"pytorch_model.bin.*no \*.safetensors file"
    ):
        load_backbone(folder, modality="image")


@pytest.mark.parametrize("modality", [None, "image", "text"])
def test_a_folder_of_something_else_says_what_was_found(tmp_path, modality):
    with pytest.raises(WeightsNotFoundError, match="holds nothing; expected a folder"):
        load_backbone(tmp_path, modality=modality)
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(WeightsNotFoundError, match=r"holds \['photo.jpg'\]; expected"):
        load_backbone(tmp_path, modality=modality)
    (tmp_path / "config.json").write_text('{"lr": 1}')
    with pytest.raises(WeightsNotFoundError, match=r"config.json has only \['lr'\]"):
        load_backbone(tmp_path, modality=modality)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsNotFoundError, match="its config.json is not JSON"):
        load_backbone(tmp_path, modality=modality)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("no-such-thing", "model_type='no-such-thing'"), ("wav2vec2", "'input_values'")],
)
def test_a_network_that_reads_neither_is_refused(tmp_path, kind, message):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(UnknownBackboneError, match=message):
        load_backbone(tmp_path, modality="image")


def test_a_folder_of_the_other_modality_is_refused(timm_folder, tmp_path):
    with pytest.raises(
        ValueError, match="for timm that reads images, but the rows are texts"
    ):
        load_backbone(timm_folder[0], modality="text")
    config = transformers.BertConfig(**tiny_text_options())
    model = randomised(transformers.BertModel, config)
    folder = save(tmp_path / "bert", model, word_tokenizer())
    with pytest.raises(
        ValueError, match="for transformers that reads texts, but the rows are images"
    ):
        load_backbone(folder, modality="image")


def test_a_cached_name_of_the_hub_needs_no_network(hub_cache, timm_folder, tmp_path):
    hub_cache("someone/their-mobilenet", timm_folder[0])
    got = load_backbone("someone/their-mobilenet", modality="image")
    want = load_backbone(timm_folder[0], modality="image")
    assert got.fingerprint == want.fingerprint
    folder = save(tmp_path / "clip", tiny_clip(), word_tokenizer(), clip_processor())
    hub_cache("someone/their-clip", folder)
    for modality in ("image", "text"):
        got = load_backbone("someone/their-clip", modality=modality)
        want = load_backbone(folder, modality=modality)
        assert got.fingerprint == want.fingerprint
    config = transformers.BertConfig(**tiny_text_options())
    model = randomised(transformers.BertModel, config)
    hub_cache("someone/their-bert", save(tmp_path / "bert", model, word_tokenizer()))
    assert load_backbone("someone/their-bert").modality == "text"
    with pytest.raises(ValueError, match="reads texts, but the rows are images"):
        load_backbone("someone/their-bert", modality="image")


def clip_processor():
    size = {"shortest_edge": 32}
    return transformers.CLIPImageProcessor(size=size, crop_size=32)


def test_names_of_the_hub_are_not_found_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for modality in (None, "image", "text"):
        with pytest.raises(WeightsNotFoundError, match="out of reach"):
            load_backbone("facebook/dinov2-no-such", modality=modality)
