"""Optimizers: how a step is computed, and a training that changes its device."""

import copy

import pytest
import torch

from sktransfer.finetuning import Optimizer
from sktransfer.finetuning._optim import (
    are_finite,
    continue_from,
    moments_of,
    own_arguments,
)


def test_adamw_is_fused_on_cuda_unless_the_caller_has_chosen():
    card, cpu = torch.device("cuda", 0), torch.device("cpu")
    assert own_arguments(Optimizer(), card) == {"fused": True}
    assert own_arguments(Optimizer(params={"eps": 1e-6}), card) == {"fused": True}
    assert own_arguments(Optimizer(), cpu) == {}
    assert own_arguments(Optimizer(), torch.device("mps")) == {}
    for optimizer in (
        Optimizer(torch.optim.SGD),
        Optimizer(torch.optim.AdamW),
        Optimizer(params={"fused": False}),
        Optimizer(params={"foreach": True}),
    ):
        assert own_arguments(optimizer, card) == {}


@pytest.mark.parametrize("forms", [(True, False), (False, True)])
def test_a_training_goes_on_where_only_one_side_is_fused(forms):
    weight = torch.linspace(-1, 1, 12).view(3, 4)

    def made(is_fused):
        parameter = torch.nn.Parameter(weight.clone())
        groups = [{"params": [parameter], "name": "head", "lr": 0.1}]
        return parameter, torch.optim.AdamW(groups, fused=is_fused)

    def step(parameter, optimizer, n_steps):
        for _ in range(n_steps):
            optimizer.zero_grad()
            parameter.square().sum().backward()
            optimizer.step()

    want, whole = made(False)
    step(want, whole, 6)
    first, before = made(forms[0])
    step(first, before, 3)
    state = copy.deepcopy(moments_of(before))
    second, after = made(forms[1])
    continue_from(after, state)
    with torch.no_grad():
        second.copy_(first)
    step(second, after, 3)
    torch.testing.assert_close(second, want)
    assert after.state[second]["step"].item() == 6


def test_moments_that_are_not_finite_are_found_among_others():
    good, bad = torch.ones(3), torch.tensor([1.0, torch.nan])
    assert are_finite([good, torch.arange(3), 5, None])
    assert are_finite([])
    assert not are_finite([good, bad, good])
