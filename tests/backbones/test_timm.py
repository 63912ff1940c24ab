"""timm's families, cut at every block."""

import numpy as np
import pytest
import timm
import torch

from sktransfer import check_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.backbones._recipe import with_last
from sktransfer.backbones._timm import convnets, networks, transformers

EVERYDAY = {
    "resnet10t": {},
    "convnext_atto": {},
    "tf_efficientnetv2_b0": {},
    "mobilenetv4_conv_small_050": {},
    "regnety_002": {},
    "deit_tiny_distilled_patch16_224": {"img_size": 64},
    "vit_small_patch14_reg4_dinov2": {"img_size": 56, "depth": 3},
    "vit_small_patch16_dinov3": {"img_size": 64, "depth": 3},
    "beit_base_patch16_224": {"img_size": 64, "depth": 2},
}
OTHERS = {
    "resnet26d": {},
    "convnextv2_atto": {},
    "efficientnet_b0": {},
    "mobilenetv3_small_050": {},
    "regnetx_002": {},
    "densenet121": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "vit_medium_patch16_gap_256": {"img_size": 64, "depth": 2},
    "vit_base_patch32_clip_224": {"depth": 2},
    "vit_base_patch16_siglip_224": {"img_size": 64, "depth": 2},
    "vit_small_patch16_rope_mixed_224": {"depth": 2},
    "vit_pe_core_base_patch16_224": {"img_size": 64, "depth": 2},
    "aimv2_large_patch14_224": {"img_size": 56, "depth": 2},
    "eva02_tiny_patch14_224": {"img_size": 56, "depth": 3},
    "beitv2_base_patch16_224": {"img_size": 64, "depth": 2},
    "swin_tiny_patch4_window7_224": {},
    "swinv2_tiny_window8_256": {},
    "maxvit_rmlp_pico_rw_256": {},
    "coatnet_pico_rw_224": {},
}
BY_MATCHER = ["repvgg_a0", "mobilevit_xxs", "mixer_s32_224", "tiny_vit_5m_224"]


def network(name, **options):
    """Random weights, with norms that are not the identity."""
    with seeded(0):
        model = timm.create_model(name, pretrained=False, **options)
        for module in model.modules():
            if (
                "Norm" in type(module).__name__
                and getattr(module, "weight", None) is not None
            ):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                if getattr(module, "bias", None) is not None:
                    torch.nn.init.uniform_(module.bias, -0.3, 0.3)
                if getattr(module, "running_mean", None) is not None:
                    module.running_mean.uniform_(-0.1, 0.1)
                    module.running_var.uniform_(0.8, 1.2)
    return model.eval()


def check(name, options):
    model = network(name, **options)
    backbone = networks.as_backbone(model, name=name)

    def own_vectors(rows):
        pixels = backbone.preprocess.to_input(backbone.batch(rows)).hidden
        features = model.forward_features(pixels)
        return model.forward_head(features, pre_logits=True)

    report = check_backbone(backbone, reference=own_vectors)
    assert report.n_cuts >= 2
    assert np.isfinite(report.reference_difference)


@pytest.mark.parametrize(("name", "options"), EVERYDAY.items(), ids=str)
def test_a_family_can_be_cut_anywhere(name, options):
    check(name, options)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), OTHERS.items(), ids=str)
def test_another_family_can_be_cut_anywhere(name, options):
    check(name, options)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_MATCHER)
def test_the_group_matcher_cuts_what_has_no_recipe(name):
    check(name, {})


def test_what_cannot_be_cut_runs_as_a_whole():
    for name in ("poolformer_s12", "efficientformer_l1"):
        backbone = networks.as_backbone(network(name), name=name)
        assert backbone.block_names == ("model",)
    with pytest.warns(
        RuntimeWarning, match="XCiT is not cut into blocks|Xcit is not cut"
    ):
        backbone = networks.as_backbone(network("xcit_nano_12_p16_224"), name="xcit")
    assert backbone.block_names == ("model",)


def forget_the_norm(model):
    return convnets.convnext(model)._replace(post_pool=None)


def swap_two_blocks(model):
    cut = transformers.vit(model)
    names = list(cut.blocks)
    names[1], names[2] = names[2], names[1]
    return cut._replace(
        blocks=dict(zip(cut.blocks, (cut.blocks[n] for n in names), strict=True))
    )


def run_the_last_norm_twice(model):
    cut = transformers.vit(model)
    blocks = dict(cut.blocks)
    from sktransfer.backbones._blocks import Apply

    return cut._replace(blocks=with_last(blocks, Apply(model.norm)))


@pytest.mark.parametrize(
    ("name", "options", "wrong"),
    [
        ("convnext_atto", {}, forget_the_norm),
        ("vit_tiny_patch16_224", {"img_size": 64}, swap_two_blocks),
        ("vit_tiny_patch16_224", {"img_size": 64}, run_the_last_norm_twice),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_recipe_is_refused(name, options, wrong, monkeypatch):
    model = network(name, **options)
    assert len(networks.as_backbone(model, name=name).blocks) > 2
    monkeypatch.setitem(networks.RECIPES, type(model).__name__, wrong)
    assert networks.as_backbone(model, name=name).block_names == ("model",)


def test_a_grid_over_networks_and_depths_loads_each_once(monkeypatch):
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from sktransfer import BackboneSpec, ImageEncoder

    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    noise = rng.integers(0, 100, size=(12, 40, 40, 3))
    X = (noise + 120 * y[:, None, None, None]).astype(np.uint8)
    created = []
    create_model = timm.create_model

    def counting_create(name, **options):
        created.append(name)
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", counting_create)
    specs = [
        BackboneSpec(name, pretrained=False, random_state=77)
        for name in ("vit_tiny_patch16_224", "resnet10t", "efficientnet_lite0")
    ]
    grid = GridSearchCV(
        make_pipeline(ImageEncoder(), LogisticRegression()),
        {"imageencoder__backbone": specs, "imageencoder__depth": ["all", -1, -2]},
        cv=2,
    ).fit(X, y)
    assert len(grid.cv_results_["params"]) == 9
    assert sorted(created) == ["resnet10t", "tf_efficientnet_lite0.in1k", specs[0].name]
