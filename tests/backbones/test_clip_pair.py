"""ZeroShotClassifier on images, with both towers of a random CLIP."""

import numpy as np
import pytest
import torch
import transformers
from folders import save, tiny_clip, word_tokenizer
from PIL import Image

from sktransfer import ImageEncoder, TextEncoder, ZeroShotClassifier, load_backbone
from sktransfer.exceptions import MissingRowError


@pytest.fixture
def clip_folder(tmp_path):
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return save(tmp_path / "clip", tiny_clip(), processor, word_tokenizer())


def test_images_get_the_probabilities_of_the_whole_clip(clip_folder, pixels):
    names = ["cat", "red dog"]
    with torch.random.fork_rng():  # transformers 4 draws numbers for what it loads
        clip = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    scale = float(clip.logit_scale.detach().exp())
    model = ZeroShotClassifier(names, ImageEncoder(clip_folder), scale=scale).fit()
    got = model.predict_proba(pixels)
    assert model.prompts_ == [["a photo of a cat."], ["a photo of a red dog."]]
    tokens = transformers.AutoTokenizer.from_pretrained(clip_folder)(
        [f"a photo of a {name}." for name in names], padding=True, return_tensors="pt"
    )
    images = load_backbone(clip_folder, modality="image").preprocess
    prepared = np.stack([images.prepare(Image.fromarray(p)) for p in pixels])
    state = load_backbone(clip_folder, modality="image").batch(list(prepared))
    with torch.inference_mode():
        want = clip(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=images.to_input(state).hidden,
        ).logits_per_image.softmax(dim=1)
    np.testing.assert_allclose(got, want.numpy(), atol=1e-4)
    assert np.ptp(got[:, 0]) > 1e-4  # it depends on the picture
    sharp = ZeroShotClassifier(names, ImageEncoder(clip_folder)).fit()
    ratio = sharp.decision_function(pixels) / model.decision_function(pixels)
    np.testing.assert_allclose(ratio, 100 / scale, rtol=1e-5)


def test_towers_that_are_given_one_by_one(clip_folder, pixels):
    image, text = (load_backbone(clip_folder, modality=m) for m in ("image", "text"))
    model = ZeroShotClassifier(["cat", "dog"], ImageEncoder(image))
    with pytest.raises(ValueError, match=r"reads images only; give the text tower as"):
        model.fit()
    model.set_params(text_encoder=TextEncoder(text)).fit()
    named = ZeroShotClassifier(["cat", "dog"], ImageEncoder(clip_folder)).fit()
    np.testing.assert_allclose(
        model.predict_proba(pixels), named.predict_proba(pixels), atol=1e-6
    )
    wrong = model.set_params(text_encoder=TextEncoder("tiny-bert")).fit()
    with pytest.raises(ValueError, match="rows have 24 features and prompts 16"):
        wrong.predict(pixels)


def test_missing_images(clip_folder, image_paths):
    cells = [image_paths[0], None]
    model = ZeroShotClassifier(["cat", "dog"], ImageEncoder(clip_folder)).fit()
    with pytest.raises(MissingRowError, match="row 1"):
        model.predict(cells)
    model.set_params(encoder__missing="nan").fit()
    with pytest.raises(ValueError, match="row 1 became NaN, which has no class"):
        model.predict(cells)
    shares = model.set_params(encoder__missing="zero").fit().predict_proba(cells)
    np.testing.assert_allclose(shares[1], 0.5)
    assert abs(shares[0, 0] - 0.5) > 1e-6
