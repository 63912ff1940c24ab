"""Resizing: timm's transforms of images, on 8-bit tensors."""

import functools
from collections.abc import Callable


@functools.lru_cache
def image_steps(size, mean, interpolation, crop_pct, crop_mode):
    """Return what is done to an image, one function after the other.

    timm says what, and torchvision resizes.
    """
    from timm.data import create_transform

    transform = create_transform(
        input_size=(3, *size),
        mean=mean,
        interpolation=interpolation,
        crop_pct=crop_pct,
        crop_mode=crop_mode,
        is_training=False,
        use_prefetcher=True,  # uint8 out: normalisation is done on the device
    )
    resize, *others = transform.transforms
    steps: list[Callable] = [functools.partial(_resize, resize)]
    if crop_mode == "border":  # timm pads with a colour, which needs a PIL image
        steps.append(_to_image)
    return [*steps, *others]


def _resize(step, pixels):
    """Do what a step of timm's or torchvision's says to uint8 pixels (3, h, w)."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    size = step.size
    if hasattr(step, "get_params"):  # timm's, which keeps the ratio
        size = step.get_params(pixels, step.size, step.longest)
    # The others are Pillow's alone, or are other in Pillow.
    if step.interpolation not in (
        InterpolationMode.BICUBIC,
        InterpolationMode.BILINEAR,
    ):
        resized = functional.resize(_to_image(pixels), size, step.interpolation)
        return functional.pil_to_tensor(resized)
    return functional.resize_image(pixels, size, step.interpolation, antialias=True)


def _to_image(pixels):
    from torchvision.transforms.v2.functional import to_pil_image

    return to_pil_image(pixels)
