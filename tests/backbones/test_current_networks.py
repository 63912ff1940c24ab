"""Networks that people take today, by their configuration, with random weights.

Whether a family is cut or runs as a whole, its vectors must be those of its own
library, with the record's pooling and prompts. docs/guide/backbones.md has the table.
"""

import json

import numpy as np
import pytest
import torch
import transformers
from conftest import not_on_a_pretended_card
from folders import TEXTS, TINY_VISION, save, tiny_text_options, word_tokenizer
from sentence_transformers import SentenceTransformer
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from sktransfer import ImageEncoder, TextEncoder, check_backbone, load_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.backbones._huggingface.load import quiet
from sktransfer.backbones._huggingface.texts import _module_classes
from sktransfer.exceptions import UnknownBackboneError

models = _module_classes()
pytestmark = pytest.mark.filterwarnings("ignore:.*texts have more than")

GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
PROMPTS = {"query": "query : ", "document": "passage : "}

# kind of network and options, pooling, dense layers, prompts, blocks
TEXT_NETWORKS = {
    "e5": ("bert", {}, "mean", 0, {"query": "query : ", "passage": "passage : "}, 3),
    "multilingual-e5": (
        "xlm-roberta",
        {"max_position_embeddings": 20},
        "mean",
        0,
        {},
        3,
    ),
    "bge": ("bert", {}, "cls", 0, {"query": "a photo of : "}, 3),
    "gte-modernbert": ("modernbert", {"local_attention": 8}, "cls", 0, {}, 3),
    "Qwen3-Embedding": ("qwen3", GROUPED, "lasttoken", 0, PROMPTS, 1),
    "EmbeddingGemma": (
        "gemma3_text",
        GROUPED | {"use_bidirectional_attention": True},
        "mean",
        2,
        PROMPTS,
        1,
    ),
    "ModernBERT": ("modernbert", {"local_attention": 8}, "mean", 0, {}, 3),
    "EuroBERT": ("eurobert", {"num_key_value_heads": 4}, "mean", 0, {}, 1),
}
VISION_NETWORKS = {
    "DINOv2": ("dinov2", {}, 4),
    "DINOv2 with registers": ("dinov2_with_registers", {}, 4),
    "DINOv3": ("dinov3_vit", {"num_register_tokens": 2}, 1),
    "DINOv3 ConvNeXt": (
        "dinov3_convnext",
        {"hidden_sizes": [8, 8, 16, 32], "depths": [1, 1, 1, 1]},
        1,
    ),
    "SigLIP 2 (fixed size)": ("siglip_vision_model", {}, 1),
    "AIMv2": ("aimv2_vision_model", {}, 1),
}


def random_model(kind, options):
    if kind not in CONFIG_MAPPING:
        pytest.skip(f"transformers {transformers.__version__} does not have {kind}")
    with quiet(), seeded(0):
        return AutoModel.from_config(AutoConfig.for_model(kind, **options)).eval()


@pytest.mark.filterwarnings("ignore:.*token_id must be")
@pytest.mark.parametrize("name", TEXT_NETWORKS)
@not_on_a_pretended_card  # which has no vmap
def test_texts_are_pooled_and_prompted_as_the_record_says(name, tmp_path):
    kind, options, pooling, n_dense, prompts, n_blocks = TEXT_NETWORKS[name]
    options = tiny_text_options(initializer_range=0.3) | options
    side = "left" if pooling == "lasttoken" else "right"
    source = save(
        tmp_path / "network", random_model(kind, options), word_tokenizer(side)
    )
    with quiet(), seeded(0):
        modules = [models.Transformer(source), models.Pooling(32, pooling_mode=pooling)]
        modules += [models.Dense(32, 32) for _ in range(n_dense)]
        theirs = SentenceTransformer(
            modules=[*modules, models.Normalize()], device="cpu", prompts=prompts
        )
        theirs.save(str(tmp_path / "saved"), create_model_card=False)
    folder = str(tmp_path / "saved")
    backbone = load_backbone(folder)
    assert len(backbone.blocks) == n_blocks
    assert (n_blocks == 1) == (backbone.why_whole is not None)
    assert check_backbone(backbone).largest_difference <= 1e-5
    for prompt in (None, *prompts):
        with quiet():
            want = theirs.encode(TEXTS, prompt_name=prompt, show_progress_bar=False)
        got = TextEncoder(folder, prompt_name=prompt, normalize=True).fit_transform(
            TEXTS
        )
        np.testing.assert_allclose(got, want, atol=2e-5)


def vision_folder(path, kind, options):
    model = random_model(kind, TINY_VISION | options)
    save(path, model)
    record = {"image_processor_type": "ViTImageProcessor", "do_resize": True}
    record |= {"size": {"height": 32, "width": 32}, "resample": 3}
    record |= {"do_rescale": True, "do_normalize": True}
    record |= {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (path / "preprocessor_config.json").write_text(json.dumps(record))
    return model


@pytest.mark.parametrize("name", VISION_NETWORKS)
def test_images_have_the_networks_own_features(name, tmp_path):
    kind, options, n_blocks = VISION_NETWORKS[name]
    model = vision_folder(tmp_path, kind, options)
    backbone = load_backbone(str(tmp_path))
    assert len(backbone.blocks) == n_blocks
    assert check_backbone(backbone).largest_difference <= 1e-5
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    got = ImageEncoder(backbone).fit_transform(pixels)
    floats = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    with torch.inference_mode():
        want = model(pixel_values=floats).pooler_output.flatten(1)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_network_that_wants_more_than_pixels_is_refused(tmp_path):
    vision_folder(tmp_path, "siglip2_vision_model", {"num_patches": 16})
    with pytest.raises(UnknownBackboneError, match="spatial_shapes.*vit_base_patch16"):
        load_backbone(str(tmp_path))


def test_a_plain_network_of_transformers_is_pooled_by_the_mean(tmp_path):
    options = tiny_text_options(num_key_value_heads=4)
    save(tmp_path, random_model("eurobert", options), word_tokenizer())
    backbone = load_backbone(str(tmp_path))
    assert backbone.pooling == "mean"
    assert "no recipe for EuroBertModel" in backbone.why_whole
