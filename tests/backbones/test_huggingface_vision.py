"""Image networks of transformers' in folders: recipes, preprocessing, CLIP's tower."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from folders import TINY_VISION, randomised, save, tiny_clip, word_tokenizer
from PIL import Image

from sktransfer import (
    BackboneSpec,
    ImageEncoder,
    check_backbone,
    load_backbone,
)
from sktransfer.backbones import State
from sktransfer.backbones._huggingface import vision, vision_families
from sktransfer.backbones._huggingface.processor import as_preprocess
from sktransfer.exceptions import (
    DepthError,
    UnknownBackboneError,
    WeightsMismatchError,
    WeightsNotFoundError,
)

SQUASH = {"height": 32, "width": 32}
DINO = {"size": {"shortest_edge": 36}, "crop_size": SQUASH}


def clip():
    return tiny_clip(), transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size=SQUASH
    )


def of_kind(name, processor, **options):
    config = getattr(transformers, f"{name}Config")(**TINY_VISION | options)
    return randomised(getattr(transformers, f"{name}Model"), config), processor


def vit():
    return of_kind("ViT", transformers.ViTImageProcessor(size=SQUASH))


def dinov2():
    return of_kind("Dinov2", transformers.BitImageProcessor(**DINO))


def dinov2_with_registers():
    return of_kind("Dinov2WithRegisters", transformers.BitImageProcessor(**DINO))


def clip_vision():
    return of_kind("CLIPVision", clip()[1])


FAMILIES = [clip, clip_vision, vit, dinov2, dinov2_with_registers]


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, size=(7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((70, 50), Image.Resampling.BICUBIC)


def own_features(model, pixels):
    """What the papers call the features of an image."""
    with torch.inference_mode():
        if hasattr(model, "get_image_features"):
            output = model.get_image_features(pixel_values=pixels)
            return getattr(output, "pooler_output", output)
        output = model(pixel_values=pixels)
        if isinstance(model, transformers.ViTModel):
            return output.last_hidden_state[:, 0]
        return output.pooler_output


@pytest.mark.parametrize("make", FAMILIES, ids=lambda f: f.__name__)
def test_a_folder_can_be_cut_anywhere(make, tmp_path):
    backbone = load_backbone(save(tmp_path, *make()), modality="image")
    assert len(backbone.blocks) == 4
    assert backbone.block_names[0] == "embeddings"
    assert check_backbone(backbone).largest_difference <= 1e-5


@pytest.mark.parametrize("make", FAMILIES, ids=lambda f: f.__name__)
def test_an_encoder_computes_what_transformers_computes(make, tmp_path, picture):
    model, processor = make()
    folder = save(tmp_path, model, processor)
    pixels = processor(picture, return_tensors="pt")["pixel_values"]
    want = own_features(model, pixels).numpy()
    got = ImageEncoder(folder).fit_transform([picture])
    assert got.shape == want.shape
    # The two libraries resize within one grey level of each other.
    assert np.abs(got - want).max() <= 0.03 * np.abs(want).max()
    preprocess = load_backbone(folder, modality="image").preprocess
    exact = own_features(model, model_input(preprocess, picture)).numpy()
    assert np.abs(got - exact).max() <= 1e-5 * np.abs(exact).max()


def model_input(preprocess, picture):
    """Our own pixels, normalised, as a batch of one."""
    pixels = torch.from_numpy(preprocess.prepare(picture).copy())[None]
    return preprocess.to_input(State(pixels)).hidden


PROCESSORS = {
    "shortest edge and crop": transformers.CLIPImageProcessor(
        size={"shortest_edge": 36}, crop_size={"height": 28, "width": 28}
    ),
    "squash": transformers.ViTImageProcessor(size={"height": 40, "width": 24}),
    "other rescaling": transformers.ViTImageProcessor(
        size=SQUASH, rescale_factor=1 / 128
    ),
    "no rescaling": transformers.ViTImageProcessor(
        size=SQUASH, do_rescale=False, image_mean=[127.0] * 3, image_std=[60.0] * 3
    ),
    "no normalisation": transformers.ViTImageProcessor(size=SQUASH, do_normalize=False),
    "crop_pct": transformers.ConvNextImageProcessor(
        size={"shortest_edge": 32}, crop_pct=0.8
    ),
    "crop_pct, but large": transformers.ConvNextImageProcessor(
        size={"shortest_edge": 384}, crop_pct=0.8
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_processor(name, picture):
    processor = PROCESSORS[name]
    want = processor(picture, return_tensors="pt")["pixel_values"]
    preprocess = as_preprocess(processor.to_dict(), name=name)
    got = model_input(preprocess, picture)
    assert got.shape == want.shape
    one_level = 1 / (255 * torch.tensor(preprocess.std)).view(3, 1, 1)
    assert ((got - want).abs() <= 2.001 * one_level).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_pad": True}, "has do_pad=True"),
        ({"do_resize": False}, "has do_resize=False"),
        ({"size": {"longest_edge": 99}}, "resizes to .*longest_edge"),
        ({"resample": 17}, "resizes with 17"),
    ],
)
def test_steps_that_are_not_known_are_refused(change, message):
    record = transformers.ViTImageProcessor(size=SQUASH).to_dict() | change
    with pytest.raises(UnknownBackboneError, match=message):
        as_preprocess(record, name="some")


def test_a_size_is_fixed_where_the_network_takes_no_other(tmp_path):
    fixed = {
        make.__name__: load_backbone(
            save(tmp_path / make.__name__, *make()), modality="image"
        ).preprocess.fixed_size
        for make in FAMILIES
    }
    assert fixed == {
        "clip": True,
        "clip_vision": True,
        "vit": True,
        "dinov2": False,
        "dinov2_with_registers": False,
    }


def test_a_network_without_a_recipe_runs_as_a_whole(tmp_path, picture):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    model = randomised(transformers.ResNetModel, config)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 32})
    folder = save(tmp_path, model, processor)
    backbone = load_backbone(folder, modality="image")
    assert backbone.block_names == ("model",)
    assert backbone.preprocess.fixed_size is False
    got = ImageEncoder(folder).fit_transform([picture])
    want = own_features(model, model_input(backbone.preprocess, picture))
    assert np.allclose(got, want.flatten(1), atol=1e-5)
    with pytest.raises(DepthError, match="has no recipe for ResNetModel"):
        backbone.resolve_depth(-1)


def test_two_towers_without_a_recipe_give_the_image_features(tmp_path, picture):
    text = {"vocab_size": 30, "hidden_size": 32, "intermediate_size": 64}
    text |= {"num_hidden_layers": 1, "num_attention_heads": 4}
    config = transformers.SiglipConfig(text_config=text, vision_config=TINY_VISION)
    model = randomised(transformers.SiglipModel, config)
    processor = transformers.SiglipImageProcessor(size=SQUASH)
    backbone = load_backbone(save(tmp_path, model, processor), modality="image")
    assert backbone.block_names == ("model",)
    state = backbone.batch([backbone.preprocess.prepare(picture)])
    with torch.inference_mode():
        got = backbone.run(state).hidden
    want = own_features(model, model_input(backbone.preprocess, picture))
    assert torch.allclose(got, want, atol=1e-5)


def test_a_missing_pooler_is_not_used(tmp_path):
    model, processor = vit()
    state = {k: v for k, v in model.state_dict().items() if "pooler" not in k}
    folder = save(tmp_path, model, processor, state_dict=state)
    assert len(load_backbone(folder, modality="image").blocks) == 4
    config = transformers.ViTConfig(**TINY_VISION)
    whole = vision.as_backbone(
        randomised(type("Other", (transformers.DeiTModel,), {}), as_deit(config)),
        load_backbone(folder, modality="image").preprocess,
        name="deit",
        has_pooler=False,
    )
    assert whole.block_names == ("model",)
    assert whole.widths == (32,)


def as_deit(config):
    options = {key: getattr(config, key) for key in TINY_VISION}
    return transformers.DeiTConfig(**options)


def test_missing_weights_are_named(tmp_path):
    model, processor = dinov2()
    state = {k: v for k, v in model.state_dict().items() if "layer.1.mlp" not in k}
    folder = save(tmp_path, model, processor, state_dict=state)
    with pytest.raises(WeightsMismatchError, match=r"missing: encoder\.layer\.1\.mlp"):
        load_backbone(folder, modality="image")


def test_weights_of_another_shape_are_named(tmp_path):
    model, processor = dinov2()
    folder = save(tmp_path, model, processor)
    config = json.loads((tmp_path / "config.json").read_text())
    config["mlp_ratio"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsMismatchError, match="do not fit"):
        load_backbone(folder, modality="image")


def test_half_precision_weights_run_in_float32(tmp_path):
    model, processor = dinov2()
    backbone = load_backbone(save(tmp_path, model.half(), processor), modality="image")
    tensors = [p for m in backbone.modules() for p in m.parameters()]
    assert {p.dtype for p in tensors} == {torch.float32}


def test_random_weights_need_only_the_configuration(tmp_path):
    folder = save(tmp_path, *vit())
    (tmp_path / "model.safetensors").unlink()
    spec = BackboneSpec(folder, pretrained=False)
    assert len(load_backbone(spec, modality="image").blocks) == 4


def test_only_safetensors_are_read(tmp_path):
    model, processor = vit()
    folder = save(tmp_path, model, processor)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsNotFoundError, match=r"no \*.safetensors file"):
        load_backbone(folder, modality="image")


def test_a_folder_without_preprocessing_is_refused(tmp_path):
    folder = save(tmp_path, vit()[0])
    with pytest.raises(WeightsNotFoundError, match="preprocessor_config.json"):
        load_backbone(folder, modality="image")


def test_a_folder_that_is_changed_loads_anew(tmp_path):
    model, processor = vit()
    folder = save(tmp_path, model, processor)
    first = load_backbone(folder, modality="image")
    assert load_backbone(folder, modality="image") is first
    state = {k: v + 1 for k, v in model.state_dict().items()}
    safetensors.torch.save_file(
        state, tmp_path / "model.safetensors", metadata={"format": "pt"}
    )
    again = load_backbone(folder, modality="image")
    assert again.fingerprint != first.fingerprint


def swap_two_layers(model):
    cut = vision_families.vit(model)
    names = list(cut.blocks)
    names[1], names[2] = names[2], names[1]
    swapped = (cut.blocks[name] for name in names)
    return cut._replace(blocks=dict(zip(cut.blocks, swapped, strict=True)))


def forget_the_projection(model):
    cut = vision_families.clip(model)
    return cut._replace(post_pool=cut.post_pool[0])


@pytest.mark.parametrize(
    ("make", "wrong"),
    [(vit, swap_two_layers), (clip, forget_the_projection)],
    ids=lambda value: value.__name__,
)
def test_a_wrong_recipe_is_refused(make, wrong, monkeypatch):
    model, processor = make()
    preprocess = as_preprocess(processor.to_dict(), name="some")
    right = vision.as_backbone(model, preprocess, name="some")
    assert len(right.blocks) == 4
    monkeypatch.setitem(vision.RECIPES, type(model).__name__, wrong)
    refused = vision.as_backbone(model, preprocess, name="some")
    assert refused.block_names == ("model",)
    assert "differ from the network's own" in refused.why_whole


def test_a_clip_folder_has_two_modalities(tmp_path):
    folder = save(tmp_path, *clip(), word_tokenizer())
    with pytest.raises(
        ValueError,
        match="reads images and texts .* with modality='image' or modality='text'",
    ):
        load_backbone(folder)
    image, text = (load_backbone(folder, modality=m) for m in ("image", "text"))
    assert (image.modality, text.modality) == ("image", "text")
    assert image.widths[-1] == text.widths[-1] == 24
    assert dataclasses.asdict(image.preprocess)["size"] == (32, 32)
