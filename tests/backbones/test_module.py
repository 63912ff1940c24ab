"""Backbone.from_module: networks of one's own."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sktransfer import (
    Backbone,
    ImageEncoder,
    TextEncoder,
    check_backbone,
    register_backbone,
)
from sktransfer._utils.seeds import seeded
from sktransfer.backbones import ArrayPreprocess, ImagePreprocess, TextPreprocess
from sktransfer.backbones._toy import hash_words
from sktransfer.exceptions import BackboneCutError

PIXELS = ImagePreprocess(size=(24, 24), mean=(0.5,) * 3, std=(0.25,) * 3, crop_pct=1.0)
WORDS = TextPreprocess(hash_words, max_length=32, tokenizer_id="hash-words")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8))
        self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).relu()
        for layer in self.layers:
            x = x + layer(x)
        return self.fc(self.norm(x.mean((2, 3))))


class Sequential(Net):
    """The same parts, one after the other."""

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.norm(x.mean((2, 3))))


class Encoder(nn.Module):
    """torch's own transformer layers over words."""

    def __init__(self, uses_mask=True):
        super().__init__()
        self.words = nn.Embedding(1000, 16)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)
        )
        self.uses_mask = uses_mask

    def forward(self, ids, attention_mask):
        hidden, absent = self.words(ids), attention_mask == 0
        for layer in self.layers:
            hidden = layer(
                hidden, src_key_padding_mask=absent if self.uses_mask else None
            )
        return hidden


def make(cls, *args):
    with seeded(0):
        return cls(*args)


PARTS = {"blocks": ["stem", "layers.*"], "post_pool": "norm", "head": "fc"}


def test_a_module_is_described_by_the_names_of_its_parts():
    net = make(Sequential)
    backbone = Backbone.from_module(net, preprocess=PIXELS, **PARTS)
    assert backbone.block_names == ("stem", "layers.0", "layers.1", "layers.2")
    assert (backbone.name, backbone.modality) == ("Sequential", "image")
    assert backbone.widths == (8, 8, 8, 8)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8)
    got = ImageEncoder(backbone).fit_transform(pixels)
    features = []
    net.fc.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    with torch.inference_mode():
        net.eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 63.75 - 2)
    np.testing.assert_allclose(got, features[0], rtol=1e-4, atol=1e-5)


def test_the_caller_keeps_the_module_as_it_was():
    net = make(Sequential)
    Backbone.from_module(net, preprocess=PIXELS, **PARTS)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert not net.fc._forward_pre_hooks


def test_parts_that_are_not_the_network_are_refused():
    message = "differs from its reference .* skip connection"
    with pytest.raises(BackboneCutError, match=message):
        Backbone.from_module(make(Net), preprocess=PIXELS, **PARTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"post_pool": None}, "differs from its reference"),
        ({"blocks": ["stem", "layers.1", "layers.0", "layers.2"]}, "its reference"),
        (
            {"blocks": ["stem", "layer.*"]},
            "'layer' is not a part of Sequential.*'stem'",
        ),
        ({"blocks": ["stem", "conv9"]}, "'conv9' is not a part"),
        ({"head": "fc9"}, "'fc9' is not a part"),
        ({"head": None}, r"give 8 features, .* returns 5\. .* as in head='fc'"),
    ],
)
def test_wrong_descriptions_say_what_is_wrong(change, message):
    with pytest.raises(BackboneCutError, match=message):
        Backbone.from_module(make(Sequential), preprocess=PIXELS, **PARTS | change)


class Growing(nn.Module):
    """Each layer has more channels than the one before."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.layers = nn.ModuleList([nn.Conv2d(8, 16, 3), nn.Conv2d(16, 24, 3)])
        self.norm = nn.LayerNorm(24)
        self.fc = nn.Linear(24, 5)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.norm(x.mean((2, 3))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"blocks": ["stem", "layers.1", "layers.0"]},
            r"block 'layers.1' cannot run on the output of block 'stem', of shape "
            r"\(1, 8, 11, 11\).*order in which they run.*skip connection",
        ),
        ({"blocks": ["layers.*"]}, "block 'layers.0' cannot run on the input"),
        (
            {"blocks": ["stem", "layers.0"]},
            "post_pool cannot run on the output of block 'layers.0'",
        ),
        (
            {"preprocess": ArrayPreprocess(4)},
            "block 'stem' cannot run on the input, of shape .1, 4.",
        ),
    ],
)
def test_blocks_that_cannot_follow_each_other_are_named(change, message):
    with pytest.raises(BackboneCutError, match=message):
        Backbone.from_module(make(Growing), **{"preprocess": PIXELS, **PARTS, **change})


def test_a_forward_that_cannot_take_the_rows_says_so():
    class Flat(Growing):
        def forward(self, x):
            return self.fc(self.stem(x).flatten(1))

    message = r"forward of Flat cannot run on a row .*\(1, 3, 24, 24\).*its size"
    with pytest.raises(BackboneCutError, match=message):
        Backbone.from_module(make(Flat), preprocess=PIXELS, **PARTS)


def test_a_block_of_ones_own_that_fails_is_named():
    class Bare(nn.Module):
        def forward(self, state):
            return state.hidden

    class Fails(nn.Module):
        def forward(self, state):
            return state._replace(hidden=state.hidden @ torch.ones(7, 7))

    with pytest.raises(BackboneCutError, match="block 'b' returned Tensor; expected a"):
        Backbone("mine", "array", {"b": Bare()}, ArrayPreprocess(4), "mean")
    with pytest.raises(BackboneCutError, match="'mine': block 'b' cannot run on the i"):
        Backbone("mine", "array", {"b": Fails()}, ArrayPreprocess(4), "mean")
    # Where the record gives the widths, nothing runs before the check.
    given = Backbone(
        "mine", "array", {"b": Fails()}, ArrayPreprocess(4), "mean", widths=(7,)
    )
    with pytest.raises(BackboneCutError, match="block 'b' cannot run"):
        check_backbone(given)


def test_wrong_types_say_what_is_expected():
    with pytest.raises(TypeError, match="must be a torch.nn.Module; got str"):
        Backbone.from_module("resnet", preprocess=PIXELS, **PARTS)
    with pytest.raises(TypeError, match="ImagePreprocess, TextPreprocess"):
        Backbone.from_module(make(Sequential), preprocess=None, **PARTS)
    with pytest.raises(TypeError, match="must be a list of names"):
        Backbone.from_module(make(Sequential), preprocess=PIXELS, blocks="stem")


def test_a_dict_names_blocks_and_joins_parts():
    with seeded(0):
        net = nn.Sequential(
            nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Linear(6, 2)
        )
    backbone = Backbone.from_module(
        net,
        blocks={"first": ["0", "1"], "second": "2"},
        head="3",
        preprocess=ArrayPreprocess(4),
        name="mine",
    )
    assert backbone.block_names == ("first", "second")
    assert (backbone.name, backbone.modality) == ("mine", "array")


def test_layers_of_torch_get_the_mask():
    backbone = Backbone.from_module(
        make(Encoder), blocks=["words", "layers.*"], preprocess=WORDS
    )
    texts = ["one", "a much longer text than the other"]
    together = TextEncoder(backbone, cache=None).fit_transform(texts)
    alone = TextEncoder(backbone, cache=None).fit_transform(texts[:1])
    np.testing.assert_allclose(alone, together[:1], atol=1e-5)


def test_a_described_module_works_in_a_grid_by_name_and_by_itself():
    backbone = Backbone.from_module(make(Sequential), preprocess=PIXELS, **PARTS)
    register_backbone("my-net", lambda spec: backbone, modality="image")
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    X = (rng.integers(0, 99, (12, 24, 24, 3)) + 120 * y[:, None, None, None]).astype(
        np.uint8
    )
    grid = GridSearchCV(
        make_pipeline(ImageEncoder(), LogisticRegression()),
        {
            "imageencoder__backbone": ["my-net", backbone],
            "imageencoder__depth": ["all", -1, "stem"],
        },
        cv=2,
    ).fit(X, y)
    scores = grid.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(scores[:3], scores[3:])


def test_a_builder_that_returns_no_backbone_is_refused():
    register_backbone("odd", lambda spec: nn.Identity(), modality="image")
    with pytest.raises(TypeError, match="'odd' returned Identity; .*from_module"):
        ImageEncoder("odd").fit(["a.jpg"])
