"""torchvision's classification networks, cut at every block."""

import hashlib
from collections import OrderedDict
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models
from torchvision.models import convnext, efficientnet, swin_transformer
from torchvision.ops.misc import Permute
from torchvision.transforms._presets import ImageClassification

from sktransfer import (
    BackboneSpec,
    ImageEncoder,
    check_backbone,
    load_backbone,
)
from sktransfer._utils.seeds import seeded
from sktransfer.backbones import _registry
from sktransfer.backbones._preprocess import ImagePreprocess
from sktransfer.backbones._torchvision import families, networks
from sktransfer.exceptions import (
    DepthError,
    UnknownBackboneError,
    WeightsMismatchError,
    WeightsNotFoundError,
)

SIDE = 64


def small_swin(**options):
    options = {"num_heads": [2, 2], "window_size": [4, 4]} | options
    return models.SwinTransformer([4, 4], 16, [2, 2], **options)


def small_efficientnet():
    v1 = efficientnet.MBConvConfig(4, 3, 2, 16, 24, 2, 1.0, 1.0)
    v2 = efficientnet.FusedMBConvConfig(4, 3, 2, 24, 32, 2)
    return models.EfficientNet([v1, v2], dropout=0.2)


def small_convnext():
    sizes = [(16, 24, 2), (24, 32, 1), (32, None, 1)]
    settings = [convnext.CNBlockConfig(*size) for size in sizes]
    return models.ConvNeXt(settings, layer_scale=0.5)


def small_maxvit():
    return models.MaxVit((SIDE, SIDE), 8, 4, [8, 16], [1, 2], 4, 0.0)


EVERYDAY = {
    "ResNet": models.resnet18,
    "ConvNeXt": small_convnext,
    "DenseNet": partial(models.DenseNet, 8, (2, 3), 16),
    "EfficientNet V1 and V2": small_efficientnet,
    "MNASNet": models.mnasnet0_5,
    "MaxVit": small_maxvit,
    "MobileNetV2": partial(models.MobileNetV2, width_mult=0.5),
    "MobileNetV3": models.mobilenet_v3_small,
    "RegNet": models.regnet_y_400mf,
    "ShuffleNetV2": models.shufflenet_v2_x0_5,
    "Swin": small_swin,
    "Swin V2": partial(
        small_swin,
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    ),
    "ViT": partial(models.VisionTransformer, SIDE, 16, 2, 2, 32, 64),
    "ViT with a representation": partial(
        models.VisionTransformer, SIDE, 16, 2, 2, 32, 64, representation_size=24
    ),
}
OTHERS = [
    "convnext_tiny",
    "efficientnet_b0",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "regnet_x_400mf",
    "resnet50",
    "resnext50_32x4d",
    "swin_t",
    "swin_v2_t",
    "vit_b_32",
]
WHOLE = ["alexnet", "googlenet", "inception_v3", "vgg11"]


def randomise_norms(model):
    """Make norms something else than the identity."""
    for module in model.modules():
        if (
            "Norm" in type(module).__name__
            and getattr(module, "weight", None) is not None
        ):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)
    return model.eval()


def network(make):
    """Random weights, with norms that are not the identity."""
    with seeded(0):
        return randomise_norms(make())


def backbone_of(model, side=SIDE):
    preprocess = ImagePreprocess((side, side), mean=(0.5,) * 3, std=(0.5,) * 3)
    return networks.as_backbone(model, preprocess, name=type(model).__name__)


@pytest.mark.parametrize("family", EVERYDAY)
def test_a_family_can_be_cut_anywhere(family):
    backbone = backbone_of(network(EVERYDAY[family]))
    assert backbone.block_names[0] == "stem"
    assert len(backbone.blocks) > 2
    assert check_backbone(backbone).largest_difference <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_published_architecture_can_be_cut_anywhere(name, monkeypatch):
    get_model = models.get_model
    monkeypatch.setattr(
        models, "get_model", lambda *a, **k: randomise_norms(get_model(*a, **k))
    )
    backbone = load_backbone(BackboneSpec(f"torchvision/{name}", pretrained=False))
    assert len(backbone.blocks) > 2
    assert check_backbone(backbone).largest_difference <= 1e-5


@pytest.mark.parametrize("family", EVERYDAY)
def test_features_are_what_enters_the_last_linear(family):
    model = network(EVERYDAY[family])
    seen = []
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    handle = last.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    backbone = backbone_of(model)
    state = backbone.batch([backbone.preprocess.example()])
    with torch.inference_mode():
        model(backbone.preprocess.to_input(state).hidden)
        got = backbone.pool(backbone.run(state), backbone.pooling, len(backbone.blocks))
    handle.remove()
    assert torch.allclose(got, seen[-1], atol=1e-5 * float(seen[-1].abs().max()))


@pytest.mark.parametrize("name", WHOLE)
def test_a_network_without_a_recipe_runs_as_a_whole_and_says_why(name):
    side = 299 if name == "inception_v3" else 224
    with seeded(0):
        model = models.get_model(name, weights=None, **networks.OPTIONS.get(name, {}))
    backbone = backbone_of(model, side)
    assert backbone.block_names == ("model",)
    assert backbone.widths[-1] in (1024, 2048, 4096)
    with pytest.raises(DepthError, match="runs as a whole.*has no recipe for"):
        backbone.resolve_depth(-1)


def test_a_network_that_does_not_end_with_a_linear_is_refused():
    with pytest.raises(UnknownBackboneError, match="'torchvision/squeezenet1_1' ends"):
        load_backbone(BackboneSpec("torchvision/squeezenet1_1", pretrained=False))


def forget_the_norm(model):
    return families.convnext(model)._replace(post_pool=None)


def forget_the_last_norm(model):
    cut = families.vit(model)
    blocks = dict(cut.blocks)
    blocks["encoder.layers.1"].module = model.encoder.layers[1]
    return cut._replace(blocks=blocks)


def leave_out_a_block(model):
    cut = families.resnet(model)
    return cut._replace(blocks={k: v for k, v in cut.blocks.items() if k != "layer3.1"})


@pytest.mark.parametrize(
    ("family", "wrong"),
    [
        ("ConvNeXt", forget_the_norm),
        ("ViT", forget_the_last_norm),
        ("ResNet", leave_out_a_block),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_wrong_recipe_is_refused(family, wrong, monkeypatch):
    model = network(EVERYDAY[family])
    assert len(backbone_of(model).blocks) > 2
    monkeypatch.setitem(networks.RECIPES, type(model).__name__, wrong)
    refused = backbone_of(model)
    assert refused.block_names == ("model",)
    with pytest.raises(DepthError, match="differ from the network's own output"):
        refused.resolve_depth("stem")


def entries():
    return [
        entry for name in networks.names() for entry in models.get_model_weights(name)
    ]


def test_every_preset_is_resized_to_its_own_size():
    assert len(entries()) > 100
    for entry in entries():
        preset = entry.transforms()
        got = networks.as_preprocess(preset)
        assert int(got.size[0] / got.crop_pct) == preset.resize_size[0], entry
        assert got.size == (preset.crop_size[0],) * 2


@pytest.mark.parametrize(
    ("crop", "resized", "interpolation"),
    [(224, 256, "bilinear"), (224, 246, "bicubic"), (240, 255, "bilinear")]
    + [(299, 342, "bilinear"), (288, 288, "bicubic"), (64, 73, "bicubic")],
)
@pytest.mark.parametrize("shape", [(311, 400), (257, 129)])
def test_pixels_are_those_of_torchvisions_preset(crop, resized, interpolation, shape):
    from torchvision.transforms import InterpolationMode

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, size=(9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC)
    preset = ImageClassification(
        crop_size=crop,
        resize_size=resized,
        interpolation=InterpolationMode(interpolation),
    )
    preprocess = networks.as_preprocess(preset)
    pixels = preprocess.prepare(image)
    want = preset(image)
    std = torch.tensor(preset.std)[:, None, None]
    mean = torch.tensor(preset.mean)[:, None, None]
    want = ((want * std + mean) * 255).numpy().transpose(1, 2, 0)
    assert pixels.shape == want.shape
    gap = np.abs(pixels - want)  # of kernels other than Pillow's
    assert gap.max() <= 3
    assert (gap > 1.01).mean() < 1e-3


def test_a_network_takes_other_sizes_unless_it_says_so():
    for family, make in EVERYDAY.items():
        model = network(make)
        is_fixed = type(model).__name__ in networks.FIXED_SIZE
        pixels = torch.zeros(1, 3, 96, 96)
        try:
            with torch.inference_mode():
                model(pixels)
        except (AssertionError, RuntimeError):
            assert is_fixed, family
        else:
            assert not is_fixed, family


def test_a_fixed_size_is_refused_with_the_size_that_works():
    vit = load_backbone(BackboneSpec("vit_b_32", pretrained=False))
    with pytest.raises(ValueError, match="takes only 224 x 224"):
        vit.preprocess.resized(96, vit.name)


def test_names_that_only_torchvision_knows_need_no_prefix():
    spec = BackboneSpec("mobilenet_v3_small", pretrained=False)
    assert load_backbone(spec, modality="image").block_names[-1] == "features.12"
    both = load_backbone(BackboneSpec("torchvision/resnet18", pretrained=False))
    assert both.block_names[1] == "layer1.0"
    assert both.preprocess.interpolation == "bilinear"


def test_an_encoder_runs_a_torchvision_network_at_a_depth(pixels):
    spec = BackboneSpec("torchvision/mobilenet_v3_small", pretrained=False)
    assert ImageEncoder(spec).fit_transform(pixels).shape == (6, 1024)
    assert ImageEncoder(spec, depth=-1).fit_transform(pixels).shape == (6, 96)


def test_unknown_weights_list_those_that_there_are():
    with pytest.raises(UnknownBackboneError, match="IMAGENET1K_V1.*IMAGENET1K_V2"):
        load_backbone("torchvision/resnet50.IMAGENET1K_V3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/resnet19", "Did you mean 'torchvision/resnet1"),
        ("mobilenet_v3_smal", "'mobilenet_v3_small'"),
        ("torchvision/fasterrcnn_resnet50_fpn", "There is no image backbone named"),
    ],
)
def test_a_typo_gets_close_matches(name, message):
    with pytest.raises(UnknownBackboneError, match=message):
        load_backbone(name, modality="image")


def test_a_text_encoder_is_told_that_it_reads_images():
    spec = BackboneSpec("torchvision/resnet18", pretrained=False)
    with pytest.raises(ValueError, match="reads images, but the rows are texts"):
        load_backbone(spec, modality="text")


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Give ``publish(name, state)``: put weights where torch.hub keeps them."""
    monkeypatch.setattr(_registry, "_loaded", OrderedDict())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def publish(name, state, digest=None):
        folder = tmp_path / "checkpoints"
        folder.mkdir(exist_ok=True)
        torch.save(state, folder / "weights")
        content = (folder / "weights").read_bytes()
        digest = digest or hashlib.sha256(content).hexdigest()[:8]
        entry = models.get_model_weights(name).DEFAULT
        url = f"https://weights.example.org/{name}-{digest}.pth"
        monkeypatch.setattr(entry.value, "url", url)
        (folder / "weights").rename(folder / f"{name}-{digest}.pth")

    return publish


def test_cached_weights_are_loaded_without_a_network(published):
    model = network(models.shufflenet_v2_x0_5)
    published("shufflenet_v2_x0_5", model.state_dict())
    backbone = load_backbone("torchvision/shufflenet_v2_x0_5")
    want = model.conv5[0].weight
    assert torch.equal(backbone.blocks["conv5"].module[0].weight, want)


def test_old_names_versions_and_auxiliary_heads_are_understood(published):
    model = network(models.mnasnet0_5)
    published("mnasnet0_5", model.state_dict())
    load_backbone("torchvision/mnasnet0_5")
    with seeded(0):
        model = models.googlenet(init_weights=False, aux_logits=True)
    published("googlenet", model.state_dict())
    load_backbone("torchvision/googlenet")
    state = network(models.densenet121).state_dict()
    old = {
        key.replace("norm1", "norm.1").replace("conv2", "conv.2")
        if "denselayer" in key
        else key: value
        for key, value in state.items()
    }
    assert old.keys() != state.keys()
    published("densenet121", old)
    load_backbone("torchvision/densenet121")


def test_weights_of_another_network_name_what_does_not_fit(published):
    state = network(models.shufflenet_v2_x0_5).state_dict()
    state["extra"] = state.pop("conv1.0.weight")
    state["fc.bias"] = torch.zeros(7)
    published("shufflenet_v2_x0_5", state)
    with pytest.raises(
        WeightsMismatchError,
        match=r"missing: conv1.0.weight; unexpected: extra; of another shape: fc.bias",
    ):
        load_backbone("torchvision/shufflenet_v2_x0_5")


def test_a_file_that_is_not_the_published_one_is_refused(published):
    model = network(models.shufflenet_v2_x0_5)
    published("shufflenet_v2_x0_5", model.state_dict(), digest="00000000")
    with pytest.raises(WeightsMismatchError, match="expected 00000000. Delete it"):
        load_backbone("torchvision/shufflenet_v2_x0_5")


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


def test_nothing_is_unpickled(published, capsys):
    published("shufflenet_v2_x0_5", {"a": Evil()})
    with pytest.raises(WeightsNotFoundError, match="(?i)weights.only"):
        load_backbone("torchvision/shufflenet_v2_x0_5")
    assert "unpickled" not in capsys.readouterr().out


def test_without_a_network_weights_are_not_found(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(WeightsNotFoundError, match="out of reach") as caught:
        load_backbone("torchvision/resnet18")
    assert "sktransfer[bundled]" in str(caught.value)
    assert str(tmp_path / "checkpoints" / "resnet18-") in str(caught.value)


def test_maps_between_blocks_have_their_channels_first():
    assert isinstance(network(small_swin).permute, Permute)
    backbone = backbone_of(network(small_swin))
    state = backbone.run(backbone.batch([backbone.preprocess.example()]), 0, 1)
    assert state.hidden.shape[1] == backbone.widths[0] == 16
