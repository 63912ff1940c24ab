"""Precisions: TF32 where it is asked for, and torch's settings as found."""

import pytest
import torch

from sktransfer import ImageEncoder, cache_info
from sktransfer._utils.arithmetic import (
    arithmetic_of,
    own_arithmetic,
    settled_precision,
)

CUDA = torch.device("cuda", 0)  # no number is computed on it here
CPU = torch.device("cpu")


def settings():
    backends = torch.backends
    if hasattr(backends.cudnn, "conv"):
        parts = backends.cuda.matmul, backends.cudnn.conv
        return [part.fp32_precision for part in parts]
    return [backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32]


@pytest.fixture
def allowed():
    """Let the program allow TF32 everywhere."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def test_float32_on_cuda_is_strict_whatever_the_program_has_set(allowed):
    before = settings()
    with own_arithmetic(CUDA):
        assert set(settings()) <= {"ieee", False}
    assert settings() == before
    # So the program's settings are in no key.
    assert arithmetic_of(CUDA) == ""


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precisions_do_not_allow_tf32_for_what_stays_in_float32(precision):
    with own_arithmetic(CUDA, precision):
        assert set(settings()) <= {"ieee", False}


def test_tf32_is_allowed_where_it_is_asked_for():
    before = settings()
    with own_arithmetic(CUDA, "tf32"):
        assert set(settings()) <= {"tf32", True}
    assert settings() == before


def test_settings_come_back_after_an_error():
    before = settings()
    with pytest.raises(RuntimeError, match="stop"), own_arithmetic(CUDA, "tf32"):
        raise RuntimeError("stop")
    assert settings() == before


def test_cuda_settings_are_left_alone_on_other_devices(allowed):
    before = settings()
    with own_arithmetic(CPU):
        assert settings() == before


def test_tf32_is_float32_where_there_is_none(pixels):
    assert settled_precision("tf32", CPU) == "float32"
    assert settled_precision("tf32", CUDA) == "tf32"
    assert settled_precision("bfloat16", CPU) == "bfloat16"
    encoder = ImageEncoder("tiny-cnn", device="cpu")
    want = encoder.fit_transform(pixels)
    misses = cache_info().misses
    got = encoder.set_params(precision="tf32").transform(pixels)
    assert (got == want).all()
    assert cache_info().misses == misses  # one key for both
