"""The cache identity: what makes the vectors, and never what a file says of itself."""

import copy
import json
import pickle
import shutil
import types

import numpy as np
import pytest
import torch
import transformers
from folders import randomised, save, tiny_text_options, word_tokenizer
from torch import nn

from sktransfer import (
    Backbone,
    FeatureCache,
    ImageEncoder,
    TextEncoder,
    load_backbone,
    register_backbone,
)
from sktransfer.backbones import ArrayPreprocess, ImagePreprocess, TextPreprocess

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 36, 3), dtype=np.uint8)
LINES = ["a photo of a cat", "the small red dog", "dog"]


def own_network(activation, *, size=32, name="mine"):
    """A network of a notebook: its forward calls a function of the notebook's."""

    class Stem(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            return activation(self.conv(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = Stem()

        def forward(self, x):
            return self.stem(x)

    preprocess = ImagePreprocess(
        size=(size, size), mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0
    )
    with torch.random.fork_rng():
        return Backbone.from_module(
            Net(), blocks=["stem"], preprocess=preprocess, name=name
        )


def bert_folder(path):
    config = transformers.BertConfig(**tiny_text_options())
    save(path, randomised(transformers.BertModel, config), word_tokenizer())
    return path


def assert_not_mixed(encoder, first, second, rows):
    """Two networks behind one cache give their own vectors each."""
    cache = FeatureCache()
    assert first.cache_identity != second.cache_identity
    for backbone in (first, second, first):
        got = encoder(backbone, cache=cache).fit_transform(rows)
        want = encoder(backbone, cache=None).fit_transform(rows)
        np.testing.assert_array_equal(got, want)
    assert cache.info().misses == 2 * len(rows)


def test_an_edited_cell_of_a_notebook_makes_another_network():
    first = own_network(torch.relu)
    again = own_network(torch.relu, name="another name")
    edited = own_network(torch.square)
    assert first.fingerprint == edited.fingerprint
    assert first.cache_identity == again.cache_identity
    assert_not_mixed(ImageEncoder, first, edited, IMAGES)


def test_an_edited_config_of_a_folder_makes_another_network(tmp_path):
    folder = bert_folder(tmp_path / "one")
    first = load_backbone(str(folder))
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert load_backbone(str(other)).cache_identity == first.cache_identity
    config = json.loads((other / "config.json").read_text())
    config["num_attention_heads"] = 8
    (other / "config.json").write_text(json.dumps(config))
    edited = load_backbone(str(other))
    assert edited.fingerprint == first.fingerprint
    assert_not_mixed(TextEncoder, first, edited, LINES)


def test_an_edited_tokenizer_of_a_folder_makes_another_network(tmp_path):
    folder = bert_folder(tmp_path / "one")
    first = load_backbone(str(folder))
    path = folder / "tokenizer.json"
    record = json.loads(path.read_text())
    record["normalizer"] = {
        "type": "Replace",
        "pattern": {"String": "dog"},
        "content": "cat",
    }
    path.write_text(json.dumps(record))
    edited = load_backbone(str(folder))
    assert_not_mixed(TextEncoder, first, edited, LINES)


def test_a_tokenizer_of_ones_own_counts_by_its_code():
    def words(step):
        def tokenize(texts, max_length):
            rows = [[len(word) * step for word in text.split()] for text in texts]
            return [row[:max_length] for row in rows]

        return tokenize

    bert = load_backbone("tiny-bert")
    first, second, again = (
        Backbone("mine", "text", bert.blocks, TextPreprocess(words(k), 16), "mean")
        for k in (1, 2, 1)
    )
    assert first.cache_identity == again.cache_identity
    assert_not_mixed(TextEncoder, first, second, LINES)


@pytest.mark.filterwarnings("ignore:.*texts have more than")
def test_what_a_call_leaves_in_a_tokenizer_is_no_part_of_it(tmp_path):
    folder = bert_folder(tmp_path / "one")
    first = load_backbone(str(folder))
    TextEncoder(first, max_length=5, cache=None).fit_transform(LINES)
    want = pickle.loads(pickle.dumps(first)).cache_identity
    assert first.cache_identity == want
    assert "_identity" not in pickle.loads(pickle.dumps(first)).__dict__


def test_buffers_that_are_not_saved_and_attributes_count():
    first = load_backbone("tiny-cnn")
    blocks = copy.deepcopy(dict(first.blocks))
    blocks["stem"].register_buffer("table", torch.ones(2), persistent=False)
    second = Backbone("two", "image", blocks, first.preprocess, "mean")
    blocks = copy.deepcopy(blocks)
    blocks["stem"].table.add_(1)
    third = Backbone("three", "image", blocks, first.preprocess, "mean")
    blocks = copy.deepcopy(blocks)
    blocks["stem"].eps = 1e-5
    fourth = Backbone("four", "image", blocks, first.preprocess, "mean")
    found = {b.cache_identity for b in (first, second, third, fourth)}
    assert len(found) == 4


def test_weights_under_a_forged_fingerprint_are_other_vectors():
    genuine = load_backbone("tiny-cnn")
    blocks = copy.deepcopy(dict(genuine.blocks))
    for parameter in blocks["stem"].parameters():
        parameter.data.mul_(2)
    forged = Backbone(
        "tiny-cnn",
        "image",
        blocks,
        genuine.preprocess,
        "mean",
        fingerprint=genuine.fingerprint,
    )
    assert_not_mixed(ImageEncoder, genuine, forged, IMAGES)


@pytest.mark.parametrize("library", ["torch", "timm", "PIL", "torchvision"])
def test_vectors_of_another_version_are_not_found(library, monkeypatch):
    cache = FeatureCache()
    encoder = ImageEncoder("tiny-cnn", cache=cache).fit(IMAGES)
    encoder.transform(IMAGES)
    module = pytest.importorskip(library)
    major, minor, *_ = module.__version__.split(".")
    monkeypatch.setattr(module, "__version__", f"{major}.{minor}.99")
    encoder.transform(IMAGES)
    assert cache.info().misses == len(IMAGES)
    monkeypatch.setattr(module, "__version__", f"{major}.{int(minor) + 1}.0")
    encoder.transform(IMAGES)
    assert cache.info().misses == 2 * len(IMAGES)


def test_versions_are_those_of_the_packages_that_take_part():
    assert set(load_backbone("tiny-bert").versions) == {"sktransfer", "torch"}
    assert set(load_backbone("tiny-cnn").versions) == {
        "Pillow",
        "sktransfer",
        "timm",
        "torch",
        "torchvision",
    }
    # Compiled code of one's own is another one in another Python.
    assert "python" in own_network(torch.square).versions


def test_a_package_without_a_version_has_none(monkeypatch):
    from sktransfer.backbones._identity import versions

    module = types.ModuleType("unpublished")
    monkeypatch.setitem(__import__("sys").modules, "unpublished", module)
    assert versions(["unpublished"]) == {"unpublished": "unknown"}


@pytest.mark.filterwarnings("ignore:.*texts have more than")
def test_numbers_of_numpy_find_the_same_rows():
    cache = FeatureCache()
    for size in (48, np.int64(48), np.uint8(48)):
        ImageEncoder("tiny-cnn", image_size=size, cache=cache).fit_transform(IMAGES)
    for length in (5, np.int32(5)):
        TextEncoder("tiny-bert", max_length=length, cache=cache).fit_transform(LINES)
    assert cache.info().misses == len(IMAGES) + len(LINES)
    plain = ImagePreprocess(size=(32, 32), mean=(0.5,) * 3, std=(1.0,) * 3)
    numpy = ImagePreprocess(
        size=np.array([32, 32]), mean=np.full(3, 0.5), std=[1, 1, 1], crop_pct=0.875
    )
    assert numpy.key == plain.key


@pytest.mark.usefixtures("auto_is_cpu")
def test_arithmetic_that_the_program_has_changed_has_rows_of_its_own():
    setting = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(setting, "fp32_precision"):
        pytest.skip("this torch has no such setting")
    cache = FeatureCache()
    encoder = TextEncoder("tiny-bert", cache=cache)
    encoder.fit_transform(LINES)
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        encoder.transform(LINES)
    finally:
        setting.fp32_precision = before
    assert cache.info().misses == 2 * len(LINES)
    encoder.transform(LINES)
    assert cache.info().misses == 2 * len(LINES)


def test_a_network_of_numbers_has_an_identity():
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    backbone = Backbone.from_module(
        net, blocks={"all": ["0", "1"]}, preprocess=ArrayPreprocess(4)
    )
    assert len(backbone.cache_identity) == 64


def test_a_registered_network_that_is_replaced_is_another_one():
    cache = FeatureCache()
    for activation in (torch.relu, torch.square):
        register_backbone(
            "identity-test",
            lambda spec, f=activation: own_network(f),
            modality="image",
            overwrite=True,
        )
        got = ImageEncoder("identity-test", cache=cache).fit_transform(IMAGES)
        want = ImageEncoder("identity-test", cache=None).fit_transform(IMAGES)
        np.testing.assert_array_equal(got, want)
