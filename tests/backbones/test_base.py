"""Backbone: depths, batches, cuts, immutability."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sktransfer import Backbone, BackboneSpec, check_backbone, load_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.backbones._check import example_rows
from sktransfer.exceptions import DepthError, PoolingError

TOYS = ["tiny-cnn", "tiny-bert", "tiny-mlp"]


@pytest.mark.parametrize("name", TOYS)
def test_prefix_then_suffix_is_the_whole_at_every_cut(name):
    assert check_backbone(load_backbone(name)).largest_difference <= 1e-5


@pytest.mark.parametrize("name", ["efficientnet_lite0", "all-MiniLM-L6-v2"])
def test_bundled_networks_can_be_cut_anywhere(name, bundled_weights):
    assert check_backbone(load_backbone(name)).largest_difference <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_larger_bundled_networks_can_be_cut_anywhere(name, bundled_weights):
    assert check_backbone(load_backbone(name)).largest_difference <= 1e-5


@pytest.mark.parametrize(
    ("depth", "k"),
    [
        ("all", 4),
        (4, 4),
        (1, 1),
        (-1, 3),
        (-3, 1),
        (np.int64(2), 2),
        ("stem", 1),
        ("stages.0", 2),
        ("stages", 4),
    ],
)
def test_a_depth_is_a_slice_bound_or_a_name(depth, k):
    assert load_backbone("tiny-cnn").resolve_depth(depth) == k


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        ("stage9", "depth='stage9' is not a block of 'tiny-cnn'.*'stem', 'stages.0'"),
        ("stage", "is not a block"),
        ("al", "Did you mean 'all'\\?$"),
        ("Stages.1", "Did you mean 'stages.1'\\?$"),
        ("aut", "'stages.2'\\].$"),
        (0, "expected 1 to 4, or -3 to -1"),
        (-4, "keeps 0 blocks"),
        (5, "expected 1 to 4"),
        (1.0, "must be 'all', an int or the name"),
        (True, "must be 'all', an int or the name"),
        (None, "must be 'all', an int or the name"),
    ],
)
def test_a_depth_that_is_not_there_lists_the_blocks(depth, message):
    with pytest.raises(DepthError, match=message):
        load_backbone("tiny-cnn").resolve_depth(depth)


def test_freezing_nothing_is_a_depth_where_the_caller_allows_it():
    backbone = load_backbone("tiny-cnn")
    assert backbone.resolve_depth(0, minimum=0) == 0
    with pytest.raises(DepthError, match="freeze_depth=9"):
        backbone.resolve_depth(9, parameter="freeze_depth", minimum=0)


def test_unknown_poolings_are_refused():
    with pytest.raises(PoolingError, match="must be one of"):
        load_backbone("tiny-cnn").resolve_pooling("average")


def test_a_network_that_pools_for_itself_takes_no_other_pooling():
    whole = load_backbone(BackboneSpec("efficientformer_l1", pretrained=False))
    assert whole.block_names == ("model",)
    assert whole.resolve_pooling("auto") == "none"
    with pytest.raises(PoolingError, match="pools itself"):
        whole.resolve_pooling("mean")
    with pytest.raises(DepthError, match=r"\['model'\]"):
        whole.resolve_depth(-1)


@pytest.mark.parametrize("name", TOYS)
def test_copies_and_clones_are_the_backbone_itself(name):
    backbone = load_backbone(name)
    assert copy.deepcopy(backbone) is backbone
    assert clone(backbone, safe=False) is backbone


@pytest.mark.parametrize(
    "name", [*TOYS, BackboneSpec("efficientformer_l1", pretrained=False)]
)
def test_a_pickled_backbone_computes_the_same(name):
    backbone = load_backbone(name)
    loaded = pickle.loads(pickle.dumps(backbone))
    assert loaded.fingerprint == backbone.fingerprint
    rows = example_rows(backbone)
    with torch.inference_mode():
        want = backbone.run(backbone.batch(rows)).hidden
        assert torch.equal(loaded.run(loaded.batch(rows)).hidden, want)


def test_a_backbone_cannot_be_changed():
    backbone = load_backbone("tiny-cnn")
    with pytest.raises(dataclasses.FrozenInstanceError):
        backbone.pooling = "max"
    with pytest.raises(TypeError):
        backbone.blocks["stem"] = None
    for module in backbone.modules():
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())


def test_the_fingerprint_names_weights_and_structure():
    one, two = (load_backbone(BackboneSpec("tiny-cnn", random_state=i)) for i in (0, 1))
    assert one.fingerprint != two.fingerprint
    blocks = dict(reversed(one.blocks.items()))
    other = dataclasses.replace(one, blocks=blocks, fingerprint=None)
    assert other.fingerprint != one.fingerprint
    same = dataclasses.replace(one, fingerprint=None)
    assert same.fingerprint == one.fingerprint


def test_the_repr_is_one_line():
    assert repr(load_backbone("tiny-cnn")).startswith("<Backbone 'tiny-cnn': image, 4")


def test_a_backbone_needs_blocks_and_a_known_modality():
    toy = load_backbone("tiny-cnn")
    with pytest.raises(ValueError, match="has no blocks"):
        Backbone("x", "image", {}, toy.preprocess, "mean")
    with pytest.raises(ValueError, match="modality='sound' must be one of"):
        Backbone("x", "sound", toy.blocks, toy.preprocess, "mean")


def test_post_pool_runs_at_full_depth_only():
    toy = load_backbone("tiny-mlp")
    with seeded(0):
        linear = torch.nn.Linear(12, 5)
    doubled = dataclasses.replace(toy, post_pool=linear, widths=None)
    assert doubled.widths == (16, 16, 5)
    state = doubled.run(doubled.batch(example_rows(toy)), 0, 2)
    assert doubled.pool(state, "mean", 2).shape == (5, 16)


def test_what_the_pooling_leaves_out_is_part_of_the_fingerprint():
    toy = load_backbone("tiny-bert")
    whole, without = (
        Backbone("mine", "text", toy.blocks, toy.preprocess, "mean", n_prefix_tokens=n)
        for n in (0, 1)
    )
    assert whole.fingerprint != without.fingerprint
