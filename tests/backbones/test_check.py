"""check_backbone: what it accepts and what it refuses."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import check_backbone, load_backbone
from sktransfer.backbones._blocks import Apply
from sktransfer.exceptions import BackboneCutError


def vectors_of(backbone):
    def reference(rows):
        vectors = []
        for row in rows:
            state = backbone.run(backbone.batch([row]))
            vectors.append(backbone.pool(state, "mean", len(backbone.blocks)).numpy())
        return np.concatenate(vectors)

    return reference


def altered(backbone, change):
    """Return a copy whose blocks `change` has replaced."""
    blocks = change(dict(backbone.blocks))
    return dataclasses.replace(backbone, blocks=blocks, fingerprint=None, widths=None)


def swap_two_blocks(blocks):
    blocks["layers.0"], blocks["layers.1"] = blocks["layers.1"], blocks["layers.0"]
    return blocks


class DropsTheMask(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.layer = block.layer

    def forward(self, state):
        return state._replace(hidden=self.layer(state.hidden, attention_mask=None))


def drop_the_mask(blocks):
    return {
        name: DropsTheMask(block) if name.startswith("layers") else block
        for name, block in blocks.items()
    }


class LooksAtTheBatch(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, state):
        state = self.block(state)
        return state._replace(hidden=state.hidden - state.hidden.mean(0))


class DropsATokenBlock(nn.Module):
    def forward(self, state):
        return state._replace(
            hidden=state.hidden[:, 1:],
            mask=state.mask[:, 1:],
            lengths=(state.lengths - 1).clamp(min=0),
        )


@pytest.mark.parametrize("name", ["tiny-cnn", "tiny-bert", "tiny-mlp"])
def test_a_sound_backbone_passes_and_is_measured(name):
    backbone = load_backbone(name)
    report = check_backbone(backbone, reference=vectors_of(backbone))
    assert report.n_cuts == len(backbone.blocks) - 1
    assert report.largest_difference <= 1e-5
    assert report.reference_difference <= 1e-5
    assert check_backbone(backbone).reference_difference is None


def test_two_blocks_swapped_are_refused():
    backbone = load_backbone("tiny-bert")
    wrong = altered(backbone, swap_two_blocks)
    with pytest.raises(BackboneCutError, match="differs from its reference"):
        check_backbone(wrong, reference=vectors_of(backbone))


def test_a_forgotten_norm_is_refused():
    backbone = load_backbone("tiny-cnn")

    def forget(blocks):
        conv, _, act = blocks["stages.2"].module
        return blocks | {"stages.2": Apply(nn.Sequential(conv, act))}

    with pytest.raises(BackboneCutError, match="differs from its reference"):
        check_backbone(altered(backbone, forget), reference=vectors_of(backbone))


def test_a_dropped_mask_is_refused_even_without_a_reference():
    with pytest.raises(BackboneCutError, match="differs from its own whole run"):
        check_backbone(altered(load_backbone("tiny-bert"), drop_the_mask))


def test_a_block_that_looks_at_other_rows_is_refused():
    def change(blocks):
        return blocks | {"layers.1": LooksAtTheBatch(blocks["layers.1"])}

    with pytest.raises(BackboneCutError, match="after block 'layers.0'"):
        check_backbone(altered(load_backbone("tiny-mlp"), change))


def test_a_block_that_changes_the_number_of_tokens_is_refused():
    backbone = load_backbone("tiny-bert")
    wrong = altered(
        backbone,
        lambda b: {"a": b["embeddings"], "b": DropsATokenBlock(), "c": b["layers.0"]},
    )
    with pytest.raises(BackboneCutError, match="one for each token"):
        check_backbone(wrong)


def test_wrong_widths_and_shapes_are_refused():
    backbone = load_backbone("tiny-mlp")
    wrong = dataclasses.replace(backbone, widths=(16, 15, 12))
    with pytest.raises(BackboneCutError, match="'layers.1' gives 16 features"):
        check_backbone(wrong)
    with pytest.raises(BackboneCutError, match=r"shape \(5, 12\); .* gives \(5, 3\)"):
        check_backbone(backbone, reference=lambda rows: np.zeros((len(rows), 3)))


def test_a_network_that_gives_nan_is_refused():
    def change(blocks):
        return blocks | {"layers.2": Apply(nn.Threshold(1e9, float("nan")))}

    with pytest.raises(BackboneCutError, match="by nan"):
        check_backbone(altered(load_backbone("tiny-mlp"), change))


def test_the_check_leaves_the_grad_mode():
    check_backbone(load_backbone("tiny-mlp"))
    assert torch.is_grad_enabled()
