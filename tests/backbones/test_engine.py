"""Networks made ready to run."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import BackboneSpec, load_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.backbones._blocks import Apply
from sktransfer.backbones._engines.packed import PackedLinear, pack_children
from sktransfer.backbones._engines.prepare import TOLERANCE, prepare_for_inference

CPU = torch.device("cpu")


def norms(backbone):
    modules = [m for block in backbone.modules() for m in block.modules()]
    return [m for m in modules if isinstance(m, nn.BatchNorm2d)]


def outputs(backbone, n_rows=3):
    size = (n_rows, *backbone.preprocess.size, 3)
    rows = list(np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8))
    with torch.inference_mode():
        return backbone.run(backbone.batch(rows)).hidden


@pytest.mark.parametrize("name", ["tiny-cnn", "efficientnet_lite0"])
def test_folding_removes_every_norm_and_keeps_the_output(name, bundled_weights):
    backbone = load_backbone(name)
    n_norms = len(norms(backbone))
    ready, tag = prepare_for_inference(backbone, CPU)
    assert n_norms > 0
    assert not norms(ready)
    assert len(norms(backbone)) == n_norms
    assert tag == "torch:cpu:folded"
    want, got = outputs(backbone), outputs(ready)
    assert (want - got).abs().max() <= TOLERANCE * want.abs().max()


def test_a_network_whose_folding_would_be_wrong_runs_as_it_is():
    class OtherOrder(nn.Module):
        """Declares the norm after the convolution and runs it before."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)
            self.norm = nn.BatchNorm2d(3)
            nn.init.uniform_(self.norm.bias, 1, 2)

        def forward(self, x):
            return self.conv(self.norm(x).relu())

    toy = load_backbone("tiny-cnn")
    with seeded(0):
        blocks = {"odd": Apply(OtherOrder())}
    odd = dataclasses.replace(toy, blocks=blocks, fingerprint=None, widths=None)
    ready, tag = prepare_for_inference(odd, CPU)
    assert tag == "torch:cpu:plain"
    torch.testing.assert_close(outputs(ready), outputs(odd))


def test_a_backbone_is_made_ready_once():
    backbone = load_backbone("tiny-cnn")
    first, _ = prepare_for_inference(backbone, CPU)
    assert prepare_for_inference(backbone, CPU)[0] is first


def linears(backbone, kind=nn.Linear):
    modules = [m for block in backbone.modules() for m in block.modules()]
    return [m for m in modules if isinstance(m, kind)]


def token_vectors(backbone):
    texts = ["a text of some more words", "one"]
    state = backbone.batch(backbone.preprocess.prepare(texts))
    with torch.inference_mode():
        return backbone.run(state).hidden


@pytest.mark.parametrize("name", ["tiny-bert", "all-MiniLM-L6-v2"])
def test_linear_layers_are_packed_and_keep_the_output(name, bundled_weights):
    backbone = load_backbone(name)
    n_linears = len(linears(backbone))
    ready, tag = prepare_for_inference(backbone, CPU)
    assert len(linears(ready, PackedLinear)) == n_linears > 0
    assert not linears(ready)
    assert len(linears(backbone)) == n_linears
    assert tag == "torch:cpu:plain:packed"
    want, got = token_vectors(backbone), token_vectors(ready)
    assert (want - got).abs().max() <= 1e-5 * want.abs().max()


def test_a_gelu_behind_a_linear_layer_is_taken_into_it(bundled_weights):
    ready, _ = prepare_for_inference(load_backbone("all-MiniLM-L6-v2"), CPU)
    layers = linears(ready, PackedLinear)
    assert sum(layer.activation == "gelu" for layer in layers) == 6


def test_packing_copies_no_weights_of_the_network():
    backbone = load_backbone("tiny-bert")
    ready, _ = prepare_for_inference(backbone, CPU)
    before = {id(p) for block in backbone.modules() for p in block.parameters()}
    after = {id(p) for block in ready.modules() for p in block.parameters()}
    assert after == before


def test_convolutions_are_all_that_is_copied():
    name = BackboneSpec("timm/vit_tiny_patch16_224", pretrained=False)
    backbone = load_backbone(name)
    ready, _ = prepare_for_inference(backbone, CPU, packed=False)
    before = {id(p) for block in backbone.modules() for p in block.parameters()}
    new = [p for m in ready.modules() for p in m.parameters() if id(p) not in before]
    assert {p.ndim for p in new} == {4}
    stem = next(p for p in new if p.shape[1:] == (3, 16, 16))
    assert stem.is_contiguous(memory_format=torch.channels_last)
    for block in backbone.modules():
        assert all(p.is_contiguous() for p in block.parameters())


def test_compilers_get_the_network_without_packed_layers():
    backbone = load_backbone("tiny-bert")
    ready, tag = prepare_for_inference(backbone, CPU, packed=False)
    assert (ready, tag) == (backbone, "torch:cpu:plain")


def test_packed_layers_are_ordinary_ones_for_other_types_and_under_autocast():
    with seeded(0):
        linear, x = nn.Linear(16, 8), torch.randn(3, 16)
    packed = PackedLinear(linear)
    packed.activation = "gelu"
    want = nn.functional.gelu(linear(x))
    with torch.no_grad():
        torch.testing.assert_close(packed(x), want)
        with torch.autocast("cpu", torch.bfloat16):
            half = packed(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), want, rtol=0.05, atol=0.05)


class OtherOrder(nn.Module):
    """Declares a GELU behind its layer and runs it before."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(16, 16)
        self.act = nn.GELU()

    def forward(self, x):
        return self.dense(self.act(x))


def test_a_gelu_that_does_not_run_behind_its_layer_is_not_taken():
    toy = load_backbone("tiny-bert")
    with seeded(0):
        blocks = {**toy.blocks, "odd": Apply(OtherOrder())}
    odd = dataclasses.replace(toy, blocks=blocks, fingerprint=None, widths=None)
    ready, tag = prepare_for_inference(odd, CPU)
    assert tag == "torch:cpu:plain:packed"
    torch.testing.assert_close(token_vectors(ready), token_vectors(odd))


class Stubborn(OtherOrder):
    """Cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Curious(nn.Module):
    """Asks its layer how wide it is, and has a bias with gaps."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(16, 16)
        self.dense.bias = nn.Parameter(torch.arange(32.0)[::2])

    def forward(self, x):
        return self.dense(x[..., : self.dense.in_features])


@pytest.mark.parametrize("tail", [OtherOrder, Stubborn, Curious])
def test_a_tail_keeps_its_output(tail):
    toy = load_backbone("tiny-bert")
    with seeded(0):
        tail = tail().eval().requires_grad_(False)
    odd = dataclasses.replace(toy, post_pool=tail, fingerprint=None, widths=None)
    ready, _ = prepare_for_inference(odd, CPU)

    def vectors(backbone):
        state = backbone.batch(backbone.preprocess.prepare(["some words", "one"]))
        with torch.inference_mode():
            n_blocks = len(backbone.blocks)
            return backbone.pool(backbone.run(state), "mean", n_blocks)

    torch.testing.assert_close(vectors(ready), vectors(odd), rtol=1e-4, atol=1e-4)


def test_a_layer_with_hooks_stays_as_it_is():
    toy = load_backbone("tiny-bert")
    with seeded(0):
        tail = nn.Sequential(nn.Linear(16, 16)).eval().requires_grad_(False)
    tail[0].register_forward_hook(lambda module, args, output: output * 2)
    hooked = dataclasses.replace(toy, post_pool=tail, fingerprint=None, widths=None)
    ready, tag = prepare_for_inference(hooked, CPU)
    assert tag == "torch:cpu:plain:packed"
    assert type(ready.post_pool[0]) is nn.Linear


def test_a_layer_that_several_blocks_share_is_packed_once():
    with seeded(0):
        shared = nn.Linear(8, 8)
    weights = {}
    for _ in range(3):
        pack_children(nn.Sequential(shared), weights=weights)
    assert len(weights) == 1


def test_without_onednn_layers_stay_as_they_are():
    from sktransfer.backbones._engines import packed

    toy = load_backbone("tiny-bert")
    backbone = dataclasses.replace(toy, name="unpacked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "is_available", lambda: False)
        assert prepare_for_inference(backbone, CPU) == (backbone, "torch:cpu:plain")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["tiny-cnn", "tiny-bert"])
def test_the_gpu_computes_what_the_cpu_computes(name):
    from sktransfer import ImageEncoder, TextEncoder

    if name == "tiny-cnn":
        X = np.random.default_rng(0).integers(0, 256, (70, 40, 40, 3), dtype=np.uint8)
        encoder = ImageEncoder
    else:
        X, encoder = [f"text number {i} " * (i % 9) for i in range(300)], TextEncoder
    want = encoder(name, device="cpu").fit_transform(X)
    got = encoder(name, device="cuda").fit_transform(X)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
    half = encoder(name, device="cuda", precision="bfloat16").fit_transform(X)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, want, atol=0.1)
