"""Weights in a lower precision: as near as it gets, and autocast where they are not."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import (
    BackboneSpec,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
    load_backbone,
)
from sktransfer._utils.seeds import seeded
from sktransfer.backbones import State
from sktransfer.backbones._engines import lowered
from sktransfer.backbones._engines.lowered import Lowered, computes_in, lower
from sktransfer.backbones._engines.prepare import prepare_for_inference

CPU = torch.device("cpu")
TEXTS = ["one two three", "four", "five six", "seven"] * 4


@pytest.fixture
def has_bfloat16(monkeypatch):
    """Take it that this processor has instructions for bfloat16."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: True, raising=False)


def fresh(name):
    return dataclasses.replace(load_backbone(name))


@pytest.mark.parametrize(
    "name",
    [
        "tiny-bert",
        "tiny-cnn",
        BackboneSpec("resnet18", pretrained=False),
        BackboneSpec("timm/vit_tiny_patch16_224", pretrained=False),
    ],
    ids=str,
)
def test_weights_are_in_bfloat16_and_outputs_near(name, has_bfloat16):
    backbone = fresh(name)
    ready, tag = prepare_for_inference(backbone, CPU, precision="bfloat16")
    assert "bfloat16" in tag
    assert all(isinstance(block, Lowered) for block in ready.blocks.values())
    weights = [p for block in ready.blocks.values() for p in block.parameters()]
    assert {p.dtype for p in weights} == {torch.bfloat16}
    assert {p.dtype for b in backbone.modules() for p in b.parameters()} == {
        torch.float32
    }


def cosines(a, b):
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / norms


def test_features_are_float32_and_alike_at_every_depth(has_bfloat16):
    backbone = fresh("tiny-bert")
    for depth in range(1, len(backbone.blocks) + 1):
        want, got = (
            TextEncoder(backbone, depth=depth, precision=p).fit_transform(TEXTS)
            for p in ("float32", "bfloat16")
        )
        assert got.dtype == np.float32
        assert not np.array_equal(got, want)
        assert cosines(got, want).min() > 0.999


def test_a_row_does_not_depend_on_its_neighbours(has_bfloat16):
    encoder = TextEncoder(fresh("tiny-bert"), precision="bfloat16", cache=None)
    whole = encoder.fit_transform(TEXTS)
    np.testing.assert_array_equal(encoder.transform(TEXTS[1:2]), whole[1:2])


@pytest.mark.usefixtures("auto_is_cpu")
def test_a_frozen_prefix_is_in_bfloat16_too(has_bfloat16):
    backbone = fresh("tiny-bert")
    model = TextClassifier(
        backbone, freeze_depth=1, precision="bfloat16", max_epochs=2, random_state=0
    ).fit(TEXTS, [len(text) > 4 for text in TEXTS])
    key = next(k for k in backbone._prepared if k == ("cpu", True, "bfloat16"))
    assert "bfloat16" in backbone._prepared[key][1]
    assert {p.dtype for p in model.net_.module_.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_processor_without_instructions_leaves_it_to_autocast(precision, monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not computes_in(CPU, precision)
    ready, tag = prepare_for_inference(fresh("tiny-cnn"), CPU, precision=precision)
    assert precision not in tag
    got = ImageEncoder("tiny-cnn", precision=precision).fit_transform(
        np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), dtype=np.uint8)
    )
    assert np.isfinite(got).all()


class AddsPositions(nn.Module):
    """Needs its buffer in the precision of its weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("positions", torch.ones(4))

    def forward(self, x):
        return self.linear(x + self.positions)


class Block(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, state):
        return state._replace(hidden=self.inner(state.hidden))


@pytest.mark.parametrize("with_buffers", [False, True])
def test_buffers_follow_where_they_have_to(with_buffers):
    with seeded(0):
        inner = AddsPositions()
    block = lower(Block(inner), torch.bfloat16, with_buffers)
    is_lower = block.block.inner.positions.dtype is torch.bfloat16
    assert is_lower is with_buffers
    if with_buffers:
        assert block(State(torch.ones(2, 4))).hidden.dtype is torch.bfloat16


def test_tied_weights_stay_tied_and_batch_norm_is_whole():
    with seeded(0):
        shared = nn.Linear(4, 4)
    inner = nn.Sequential(shared, nn.BatchNorm1d(4), shared)
    block = lower(Block(inner.eval()), torch.bfloat16, False)
    first, norm, last = block.block.inner
    assert first.weight is last.weight
    assert norm.running_mean.dtype is torch.bfloat16
    assert block(State(torch.ones(2, 4))).hidden.dtype is torch.bfloat16


def test_a_network_that_is_wrong_in_bfloat16_is_left_to_autocast(
    has_bfloat16, monkeypatch
):
    def spoilt(block, dtype, with_buffers):
        block = lower(block, dtype, with_buffers)
        for weight in block.parameters():
            weight.mul_(1.5)
        return block

    monkeypatch.setattr(lowered, "lower", spoilt)
    backbone = fresh("tiny-bert")
    _, tag = prepare_for_inference(backbone, CPU, packed=False, precision="bfloat16")
    assert tag == "torch:cpu:plain"


@pytest.mark.parametrize("pooling", ["auto", "max", "cls", "last"])
@pytest.mark.usefixtures("auto_is_cpu")
def test_what_follows_the_pooling_is_in_float32(pooling, has_bfloat16):
    with seeded(0):
        tail = nn.Linear(load_backbone("tiny-bert").widths[-1], 5)
    toy = load_backbone("tiny-bert")
    backbone = dataclasses.replace(toy, post_pool=tail, fingerprint=None, widths=None)
    want, got = (
        TextEncoder(backbone, pooling=pooling, precision=p).fit_transform(TEXTS)
        for p in ("float32", "bfloat16")
    )
    assert "bfloat16" in backbone._prepared["cpu", True, "bfloat16"][1]
    assert cosines(got, want).min() > 0.999
