"""Preprocessing of images, from transformers' preprocessor_config.json.

Where a crop leaves an odd number of pixels, transformers puts the odd one at the end
and torchvision, whose transforms run here, at the even side: one pixel's shift.
"""

from collections.abc import Sequence

from ...exceptions import UnknownBackboneError
from .._hub import from_hub
from .._preprocess import ImagePreprocess, crop_share

# By Pillow's number.
INTERPOLATIONS = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
# Steps that ImagePreprocess does not do.
REFUSED = ("do_pad", "do_flip_channel_order", "rescale_offset")
SQUASH_FROM = 384  # ConvNeXt's processor crops below, and squashes from there on


def read_processor(name, folder):
    """Return the settings of a folder's image processor.

    Raises
    ------
    WeightsNotFoundError
        If it has none.
    """
    from transformers import AutoImageProcessor

    processor = from_hub(
        lambda: AutoImageProcessor.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        ),
        name,
        is_local=True,
    )
    return processor.to_dict()


def as_preprocess(record, *, name, fixed_size=False):
    """Turn the settings of an image processor into ImagePreprocess.

    Parameters
    ----------
    record : dict
        As in preprocessor_config.json, with the class's defaults filled in.
    name : str
        The backbone's, for messages.
    fixed_size : bool, default=False
        As in `ImagePreprocess`.

    Raises
    ------
    UnknownBackboneError
        If it asks for a step that `ImagePreprocess` does not do.
    """
    refused = [step for step in REFUSED if record.get(step)]
    if refused or not record.get("do_resize", True):
        step = f"{refused[0]}=True" if refused else "do_resize=False"
        raise UnknownBackboneError(
            f"The preprocessing of {name!r} has {step}, which sktransfer does not do; "
            "describe the network with Backbone(...) and a preprocessing of your own."
        )
    size, share, mode = _geometry(record, name)
    scale = 255 * (record["rescale_factor"] if record.get("do_rescale", True) else 1.0)
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    if record.get("do_normalize", True):
        mean, std = record["image_mean"], record["image_std"]
    # (p * r - m) / s of bytes p is (p / 255 - m / 255r) / (s / 255r).
    mean, std = ([round(v / scale, 12) for v in values] for values in (mean, std))
    return ImagePreprocess(
        size=size,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=_interpolation(record.get("resample", 2), name),
        crop_pct=share,
        crop_mode=mode,
        fixed_size=fixed_size,
    )


def _geometry(record, name):
    """Return size, crop_pct and crop_mode."""
    size = _numbers(record["size"])
    crop = None
    if record.get("do_center_crop"):
        crop = _pair(_numbers(record["crop_size"]))
    if size.get("height") and size.get("width"):
        resized = _pair(size)
        if crop in (None, resized):
            return resized, 1.0, "squash"
        shares = {crop_share(c, r) for c, r in zip(crop, resized, strict=True)}
        if len(shares) == 1:
            return crop, shares.pop(), "squash"
    elif edge := size.get("shortest_edge"):
        if crop and crop[0] == crop[1] and not size.get("longest_edge"):
            return crop, crop_share(crop[0], edge), "center"
        if record.get("crop_pct"):
            if edge >= SQUASH_FROM:
                return (edge, edge), 1.0, "squash"
            resized = int(edge / record["crop_pct"])
            return (edge, edge), crop_share(edge, resized), "center"
    raise UnknownBackboneError(
        f"The preprocessing of {name!r} resizes to {size} and crops to {crop}; "
        "sktransfer knows a height and width, or a shortest edge with a square crop."
    )


def _numbers(size):
    """Return a size as a dict; an old record has one number."""
    if isinstance(size, (int, float)):
        return {"height": int(size), "width": int(size)}
    return {key: value for key, value in dict(size).items() if value}


def _pair(size):
    if "height" not in size:
        return size["shortest_edge"], size["shortest_edge"]
    return size["height"], size["width"]


def _interpolation(resample, name):
    value = getattr(resample, "value", resample)
    value = INTERPOLATIONS.get(value, value)
    if value not in INTERPOLATIONS.values():
        raise UnknownBackboneError(
            f"The preprocessing of {name!r} resizes with {resample!r}; known are "
            f"{INTERPOLATIONS}."
        )
    return value
