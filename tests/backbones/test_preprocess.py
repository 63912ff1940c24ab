"""Images are resized and cropped as timm says, by other kernels than Pillow's."""

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform

from sktransfer._cells.images import crop_to_aspect
from sktransfer.backbones import ImagePreprocess

SIZES = [(300, 400), (50, 60), (61, 480), (500, 33), (1, 1)]
COLOUR = (0.4, 0.5, 0.6)


def noise(height, width):
    rng = np.random.default_rng(height)
    small = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def timms(preprocess):
    return create_transform(
        input_size=(3, *preprocess.size),
        mean=preprocess.mean,
        interpolation=preprocess.interpolation,
        crop_pct=preprocess.crop_pct,
        crop_mode=preprocess.crop_mode,
        is_training=False,
        use_prefetcher=True,
    )


def by_timm(pixels, preprocess):
    transform = timms(preprocess)
    image = Image.fromarray(crop_to_aspect(pixels))
    return np.moveaxis(np.asarray(transform(image)), 0, -1)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    "interpolation", ["bicubic", "bilinear", "lanczos", "nearest", "box"]
)
@pytest.mark.parametrize(("size", "crop_pct"), [((224, 224), 0.875), ((64, 96), 1.0)])
def test_pixels_are_those_of_timm(mode, interpolation, size, crop_pct):
    preprocess = ImagePreprocess(
        size, COLOUR, (0.5,) * 3, interpolation, crop_pct, mode
    )
    # Older timm takes "bilinear" whatever was asked for, where the size is no square.
    steps = [
        getattr(step, "interpolation", None) for step in timms(preprocess).transforms
    ]
    is_smooth = {"bicubic", "bilinear"} & {str(getattr(s, "value", s)) for s in steps}
    for shape in SIZES:
        pixels = noise(*shape)
        got, want = preprocess.prepare(pixels), by_timm(pixels, preprocess)
        assert got.shape == want.shape == (*size, 3)
        assert got.dtype == np.uint8
        gap = np.abs(got.astype(int) - want)
        if is_smooth:
            assert gap.max() <= 3
            assert (gap > 1).mean() < 1e-3
        else:
            assert gap.max() == 0


@pytest.mark.filterwarnings("error")
def test_pixels_come_as_an_image_or_an_array_of_any_layout():
    preprocess = ImagePreprocess((32, 32), COLOUR, (0.5,) * 3)
    pixels = noise(60, 80)
    want = preprocess.prepare(Image.fromarray(pixels))
    frozen = pixels.copy()
    frozen.flags.writeable = False
    for same in (pixels, frozen, np.asfortranarray(pixels), pixels[:, ::-1][:, ::-1]):
        before = same.copy()
        np.testing.assert_array_equal(preprocess.prepare(same), want)
        np.testing.assert_array_equal(same, before)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_enough_is_twice_of_what_images_are_resized_to(crop_mode):
    preprocess = ImagePreprocess(
        (224, 192), COLOUR, (0.5,) * 3, crop_pct=0.875, crop_mode=crop_mode
    )
    assert preprocess.enough == 512


def test_features_of_a_large_jpeg_are_those_of_the_whole_one(tmp_path, bundled_weights):
    from sktransfer import ImageEncoder

    paths = []
    for i in range(3):
        small = np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((2400, 1800), Image.BICUBIC)
        paths.append(tmp_path / f"{i}.jpg")
        image.save(paths[-1], quality=90)
    whole = [np.asarray(Image.open(path)) for path in paths]
    encoder = ImageEncoder(cache=None)
    got, want = encoder.fit_transform(paths), encoder.fit_transform(whole)
    assert not np.array_equal(got, want)
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    assert ((got * want).sum(1) / norms).min() > 0.999
