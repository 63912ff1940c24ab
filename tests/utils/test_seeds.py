"""Seeding torch inside a block, and leaving its generators as found."""

import contextlib

import numpy as np
import pytest
import torch

from sktransfer import TextClassifier
from sktransfer._utils.seeds import seeded
from sktransfer.finetuning import Head

CPU = torch.device("cpu")


class FakeGpu:
    """A device module whose generator is a number."""

    state = 5

    def get_rng_state(self, device):
        return self.state

    def set_rng_state(self, state, device):
        self.state = state

    def manual_seed(self, seed):
        self.state = seed

    def device(self, device):
        return contextlib.nullcontext()


def test_the_generator_of_a_gpu_is_seeded_and_left_as_found(monkeypatch):
    fake = FakeGpu()
    monkeypatch.setattr(torch, "get_device_module", lambda device: fake)
    with pytest.raises(RuntimeError, match="stop"):  # noqa: PT012
        with seeded(7, torch.device("cuda", 0)):
            assert fake.state == 7
            raise RuntimeError("stop")
    assert fake.state == 5
    with seeded(7, CPU):
        assert fake.state == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_training_on_a_gpu_repeats_and_leaves_its_generator_as_found():
    texts = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
    model = TextClassifier(
        "tiny-bert",
        freeze_depth=0,
        head=Head(dropout=0.5),
        device="cuda",
        random_state=0,
    )
    before = torch.cuda.get_rng_state()
    outputs = [model.fit(texts, np.arange(12) % 2).predict_proba(texts) for _ in "ab"]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)
    assert torch.equal(torch.cuda.get_rng_state(), before)
