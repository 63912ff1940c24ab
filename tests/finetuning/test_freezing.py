"""Frozen is frozen, what is trained is alive, and who learns how fast."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sktransfer import (
    BackboneSpec,
    ImageClassifier,
    TextClassifier,
    load_backbone,
)
from sktransfer._utils.seeds import seeded
from sktransfer.exceptions import DepthError
from sktransfer.finetuning import Optimizer
from sktransfer.finetuning._heads import make_head
from sktransfer.finetuning._optim import parameter_groups
from sktransfer.finetuning._trained import Trained

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2
DEPTHS = {
    "tiny-cnn": ["all", -1, "stages.0", "stages", 1, 0],
    "tiny-bert": ["all", -1, "layers.0", "embeddings", 0],
}


class Gradients(Callback):
    """Remembers which parameters ever had a gradient that is not zero."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        groups = net.optimizer_.param_groups
        self.in_optimizer_ = {id(p) for group in groups for p in group["params"]}
        self.trainable_ = {id(p) for p in net.module_.parameters() if p.requires_grad}
        self.alive_ = getattr(self, "alive_", set()) | {
            name
            for name, p in named_parameters
            if p.grad is not None and p.grad.abs().sum() > 0
        }
        self.names_ = {name for name, p in named_parameters if p.requires_grad}


def pictures(n_rows=12, size=36, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(n_rows, size, size, 3), dtype=np.uint8)


def model_for(backbone, **options):
    kind = load_backbone(backbone).modality
    cls = {"image": ImageClassifier, "text": TextClassifier}[kind]
    options = {"max_epochs": 2, "lr": 0.05, "random_state": 0} | options
    return cls(backbone, **options)


def rows_for(backbone):
    return pictures() if load_backbone(backbone).modality == "image" else TEXTS


def weights(modules):
    """Copies of all parameters and buffers."""
    return [
        {k: v.clone() for k, v in module.state_dict().items()} for module in modules
    ]


def all_equal(before, after):
    return all(
        torch.equal(a[k], b[k]) for a, b in zip(before, after, strict=True) for k in a
    )


def cases():
    return [(name, depth) for name, depths in DEPTHS.items() for depth in depths]


@pytest.mark.parametrize("batch_norm", ["eval", "train"])
@pytest.mark.parametrize(("name", "depth"), cases())
def test_the_backbone_stays_bitwise_as_it_was(name, depth, batch_norm):
    backbone = load_backbone(name)
    before = weights(backbone.modules())
    model = model_for(name, freeze_depth=depth, batch_norm=batch_norm)
    model.fit(rows_for(name), LABELS)
    assert all_equal(before, weights(backbone.modules()))
    k = backbone.resolve_depth(depth, minimum=0)
    assert len(model.net_.module_.blocks) == len(backbone.blocks) - k
    tuned = list(model.backbone_.modules())
    assert all_equal(before[:k], weights(tuned[:k]))


@pytest.mark.parametrize(("name", "depth"), cases())
@pytest.mark.usefixtures("auto_is_cpu")
def test_what_is_trained_changes(name, depth):
    backbone = load_backbone(name)
    model = model_for(name, freeze_depth=depth).fit(rows_for(name), LABELS)
    k = backbone.resolve_depth(depth, minimum=0)
    for old, new in zip(
        list(backbone.blocks.values())[k:], model.net_.module_.blocks, strict=True
    ):
        assert not all_equal(weights([old]), weights([new]))


@pytest.mark.parametrize(("name", "depth"), cases())
def test_the_optimizer_has_every_trained_parameter_and_each_gets_a_gradient(
    name, depth
):
    seen = Gradients()
    model = model_for(name, freeze_depth=depth, callbacks=[seen])
    model.fit(rows_for(name), LABELS)
    assert seen.in_optimizer_ == seen.trainable_
    dead = seen.names_ - seen.alive_
    # A key's bias adds the same to every score of a query: softmax takes it out. It is
    # a part of one bias here, whose other parts live.
    assert not dead


@pytest.mark.parametrize(
    "name",
    [
        "resnet10t",
        pytest.param("convnext_atto", marks=pytest.mark.slow),
        pytest.param("tf_efficientnetv2_b0", marks=pytest.mark.slow),
        pytest.param("mobilenetv3_small_050", marks=pytest.mark.slow),
        pytest.param("regnety_002", marks=pytest.mark.slow),
        pytest.param("torchvision/resnet18", marks=pytest.mark.slow),
        pytest.param("torchvision/mobilenet_v3_small", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("depth", [-1, "all"])
def test_no_parameter_of_a_published_architecture_is_dead(name, depth):
    seen = Gradients()
    model = model_for(
        BackboneSpec(name, pretrained=False),
        freeze_depth=depth,
        callbacks=[seen],
        max_epochs=3,  # timm starts the last norm of a residual branch at 0
        image_size=64,
        lr=0.01,
    )
    model.fit(pictures(6), LABELS[:6])
    assert seen.in_optimizer_ == seen.trainable_
    assert not seen.names_ - seen.alive_


@pytest.mark.usefixtures("auto_is_cpu")
def test_frozen_trains_neither_weight_nor_bias_of_batch_norm():
    parts = norm_parts("frozen")
    assert parts == {"weight": False, "bias": False, "running": False}


@pytest.mark.usefixtures("auto_is_cpu")
def test_eval_trains_weight_and_bias_but_no_statistics():
    assert norm_parts("eval") == {"weight": True, "bias": True, "running": False}


@pytest.mark.usefixtures("auto_is_cpu")
def test_train_updates_the_statistics_too():
    assert norm_parts("train") == {"weight": True, "bias": True, "running": True}


def norm_parts(batch_norm):
    """Say which parts of the last block's BatchNorm have changed."""
    model = model_for("tiny-cnn", freeze_depth=-1, batch_norm=batch_norm)
    model.fit(pictures(), LABELS)
    old = list(load_backbone("tiny-cnn").blocks.values())[-1]
    old, new = (
        next(m for m in block.modules() if isinstance(m, torch.nn.BatchNorm2d))
        for block in (old, model.net_.module_.blocks[-1])
    )
    return {
        "weight": not torch.equal(old.weight, new.weight),
        "bias": not torch.equal(old.bias, new.bias),
        "running": not torch.equal(old.running_mean, new.running_mean)
        or not torch.equal(old.running_var, new.running_var),
    }


@pytest.mark.parametrize("batch_norm", ["eval", "frozen", "train"])
def test_batch_norm_behind_the_pooling_is_treated_like_that_of_the_blocks(batch_norm):
    with seeded(0):
        module = Trained(
            [],
            torch.nn.BatchNorm1d(4),
            make_head("linear", 4, 2, 0.0),
            pooling="none",
            n_prefix_tokens=0,
            batch_norm=batch_norm,
        )
    norm = module.train().post_pool
    assert norm.training == (batch_norm == "train")
    assert norm.weight.requires_grad == (batch_norm != "frozen")


def groups_of(name, depth, **options):
    backbone = load_backbone(name)
    k = backbone.resolve_depth(depth, minimum=0)
    with seeded(0):
        module = Trained(
            list(backbone.blocks.values())[k:],
            backbone.post_pool,
            make_head("linear", backbone.widths[-1], 2, 0.0),
            pooling=backbone.pooling,
            n_prefix_tokens=0,
            batch_norm="eval",
        )
    options = {
        "lr": 1.0,
        "backbone_lr_scale": 0.1,
        "layer_decay": 0.5,
        "weight_decay": 0.3,
    } | options
    return module, parameter_groups(module, **options)


def test_each_block_learns_slower_than_the_one_behind_it():
    _, groups = groups_of("tiny-cnn", 0)
    rates = {group["name"].split(" ")[0]: group["lr"] for group in groups}
    assert rates == {
        "head": 1.0,
        "blocks.3": 0.1,
        "blocks.2": 0.05,
        "blocks.1": 0.025,
        "blocks.0": 0.0125,
    }


@pytest.mark.parametrize("name", ["tiny-cnn", "tiny-bert"])
def test_biases_and_norms_do_not_decay(name):
    module, groups = groups_of(name, 0)
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    norms = (torch.nn.BatchNorm2d, torch.nn.LayerNorm)
    for part in module.modules():
        for key, p in part.named_parameters(recurse=False):
            is_free = key == "bias" or isinstance(part, norms)
            assert decays[id(p)] == (0.0 if is_free else 0.3)
    assert len(decays) == sum(len(g["params"]) for g in groups)  # each once


def test_the_net_uses_the_groups():
    model = model_for(
        "tiny-bert",
        freeze_depth=1,
        optimizer=Optimizer(lr_schedule="constant"),
        lr=0.01,
    )
    model.set_params(optimizer__backbone_lr_scale=0.1, optimizer__layer_decay=0.9).fit(
        TEXTS, LABELS
    )
    rates = {g["name"]: g["lr"] for g in model.net_.optimizer_.param_groups}
    assert rates["head"] == 0.01
    assert rates["blocks.1"] == pytest.approx(0.001)
    assert rates["blocks.0"] == pytest.approx(0.0009)


@pytest.mark.parametrize("depth", ["stage", -5, 5, 1.5, None])
def test_a_depth_that_is_none_is_refused_by_name(depth):
    with pytest.raises(DepthError, match="freeze_depth"):
        model_for("tiny-cnn", freeze_depth=depth).fit(pictures(), LABELS)


@pytest.mark.parametrize(("depth", "word"), [("al", "all"), ("Auto", "auto")])
def test_a_misspelt_depth_gets_the_word(depth, word):
    with pytest.raises(DepthError, match=f"Did you mean '{word}'"):
        model_for("tiny-cnn", freeze_depth=depth).fit(pictures(), LABELS)


def test_freeze_depth_names_the_last_frozen_block():
    found = {
        depth: model_for("tiny-bert", freeze_depth=depth, max_epochs=0)
        .fit(TEXTS, LABELS)
        .freeze_depth_
        for depth in ("all", -1, "layers.0", "layers", 0)
    }
    assert found == {
        "all": "layers.1",
        -1: "layers.0",
        "layers.0": "layers.0",
        "layers": "layers.1",
        0: "",
    }
