"""From activations to one vector per row."""

import pytest
import torch

from sktransfer.backbones._pooling import pool
from sktransfer.exceptions import PoolingError

TOKENS = torch.tensor([[[9.0], [1.0], [5.0], [-7.0]], [[2.0], [4.0], [-7.0], [-7.0]]])
MASK = torch.tensor([[True, True, True, False], [True, True, False, False]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [5.0, 3.0]),
        ("max", [9.0, 4.0]),
        ("cls", [9.0, 2.0]),
        ("last", [5.0, 4.0]),
    ],
)
def test_padding_has_no_part_in_a_vector(pooling, expected):
    assert pool(TOKENS, MASK, pooling)[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [3.0, 4.0]), ("max", [5, 4])]
)
def test_prefix_tokens_are_left_out(pooling, expected):
    assert pool(TOKENS, MASK, pooling, n_prefix_tokens=1)[:, 0].tolist() == expected


def test_tokens_without_a_mask_are_all_real():
    assert pool(TOKENS, None, "mean")[:, 0].tolist() == [2.0, -2.0]
    assert pool(TOKENS, None, "last")[:, 0].tolist() == [-7.0, -7.0]
    assert pool(TOKENS, None, "cls")[:, 0].tolist() == [9.0, 2.0]
    assert pool(TOKENS, None, "max", n_prefix_tokens=1)[:, 0].tolist() == [5.0, 4.0]


def test_feature_maps_are_pooled_over_positions():
    maps = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert pool(maps, None, "mean").tolist() == [[1.5, 5.5]]
    assert pool(maps, None, "max").tolist() == [[3.0, 7.0]]


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_feature_maps_have_no_tokens(pooling):
    with pytest.raises(PoolingError, match="use 'mean', 'max' or 'auto'"):
        pool(torch.zeros(1, 2, 2, 2), None, pooling)


def test_vectors_stay_as_they_are():
    vectors = torch.ones(2, 3)
    assert pool(vectors, None, "none") is vectors


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_in_half_precision_neither_overflow_nor_lose_digits(dtype):
    hidden = torch.full((1, 400, 2), 1000.0, dtype=dtype)
    hidden[0, :, 1] = 1.0
    mask = torch.ones(1, 400, dtype=torch.bool)
    for vectors in (
        pool(hidden, mask, "mean"),
        pool(hidden, None, "mean"),
        pool(hidden, None, "prefix", n_prefix_tokens=400),
        pool(hidden.mT[..., None], None, "mean"),
    ):
        assert vectors.dtype == torch.float32
        assert vectors.tolist() == [[1000.0, 1.0]]


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_row_of_prefix_tokens_alone_is_zeros(pooling):
    mask = torch.tensor([[True, False, False, False], [True, True, False, False]])
    got = pool(TOKENS, mask, pooling, n_prefix_tokens=1)
    assert got[:, 0].tolist() == [0.0, 4.0]
