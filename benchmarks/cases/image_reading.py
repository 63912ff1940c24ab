"""Reading: from bytes to pixels of the network's size, and what that does to features.

The rival is Pillow with timm's transform, on as many threads. Phone photographs have 12
megapixels and are made here. Features by the two ways of reading are compared on real
photographs, and so are linear models of them, over splits of four sets.
"""

import functools
import io
import statistics
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageEncoder, load_backbone
from sktransfer._cells.images import decode_image
from sktransfer._extraction.readers import ImageReader
from sktransfer._utils.allocator import kept_pages
from sktransfer._utils.threads import n_cores

from .._few import images
from .._harness import SEED, alternate, at_least, claim, clothing10, ratios, spread
from .._reference import open_image

NETWORK = "efficientnet_lite0"
N_PHOTOS, N_COMPARED, N_PHONE = 300, 200, 24
REPEATS = 5
PHONE = 4000, 3000
READING, PHONES = 2.5, 3.0  # time of Pillow's way over ours, at least
COSINE, DIFFERENCE = 0.999, 0.02
SETS = "clothing10", "trash6", "emoji noto", "elpv"
ROWS, SPLITS = 600, 20
# Points of accuracy that the mean of the splits may differ by.
PROBES = {"float32": 0.3, "bfloat16": 0.5}


def run(full=False):
    paths = clothing10("train")["path"].sample(N_PHOTOS, random_state=SEED)
    photos = [open(path, "rb").read() for path in paths]
    phones = [phone_photo(seed) for seed in range(N_PHONE)]
    speeds = {
        "photographs of 400 x 533": compare(photos, READING),
        "the same on one thread": compare(photos, READING, n_threads=1),
        "phone photographs of 12 megapixels": compare(phones, PHONES),
    }
    want = encode([theirs(photo) for photo in photos[:N_COMPARED]])
    got = encode(ours(photos[:N_COMPARED]))
    norms = np.linalg.norm(want, axis=1) * np.linalg.norm(got, axis=1)
    cosine = float(((want * got).sum(1) / norms).min())
    difference = float(np.abs(want - got).max() / np.abs(want).max())
    probe = {name: probes(name) for name in SETS}
    return {
        "figures": {
            "images_per_s": {n: one["images_per_s"] for n, one in speeds.items()},
            "time_over_ours": {n: one["ratio"] for n, one in speeds.items()},
            "least_cosine": cosine,
            "greatest_difference": difference,
            "probes": probe,
        },
        "claims": [
            *(
                at_least(f"time over ours: {n}", one["ratio"], one["target"])
                for n, one in speeds.items()
            ),
            claim("least cosine of features", cosine, f">= {COSINE}", cosine >= COSINE),
            claim(
                "greatest difference of features, of the greatest value",
                round(difference, 4),
                f"<= {DIFFERENCE}",
                difference <= DIFFERENCE,
            ),
            *probe_claims(probe),
        ],
    }


def probe_claims(probe):
    found = []
    for precision, target in PROBES.items():
        gaps = {
            name: 100
            * abs(statistics.fmean(one[precision]) - statistics.fmean(one["Pillow"]))
            for name, one in probe.items()
        }
        worst = max(gaps, key=gaps.get)
        found.append(
            claim(
                f"accuracy of linear models in {precision}, points apart, worst of "
                f"{len(gaps)} sets ({worst})",
                round(gaps[worst], 2),
                f"<= {target}",
                gaps[worst] <= target,
            )
        )
    return found


def compare(contents, target, n_threads=None):
    """Return images a second of both ways, on as many threads."""
    with ThreadPoolExecutor(n_threads or n_cores()) as pool:
        functions = {
            "Pillow, timm's transform": lambda: list(pool.map(theirs, contents)),
            "sktransfer": lambda: ours(contents),
        }
        if n_threads:
            functions["sktransfer"] = lambda: alone(contents)
        for function in functions.values():
            function()
        seconds, _ = alternate(functions, REPEATS)
    over = ratios(seconds, "sktransfer")
    return {
        "images_per_s": {
            name: spread(len(contents) / s for s in times)["median"]
            for name, times in seconds.items()
        },
        "ratio": over["Pillow, timm's transform"]["median"],
        "target": target,
    }


def ours(contents):
    """Read as encoders do."""
    reader = ImageReader("bytes")
    with kept_pages():
        found = [content for _, content in reader.read(contents)]
        prepared = reader.prepare(found, record_of_network())
        return list(reader.results(prepared, torch.device("cpu")))


def alone(contents):
    """Read on this thread."""
    record, n_threads = record_of_network(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with kept_pages():
            return [
                record.prepare(decode_image(c, None, record.enough)) for c in contents
            ]
    finally:
        torch.set_num_threads(n_threads)


def theirs(content):
    image = open_image(io.BytesIO(content) if isinstance(content, bytes) else content)
    return np.moveaxis(np.asarray(timm_transform()(image)), 0, -1)


@functools.cache
def record_of_network():
    """Return what the record of the network says of preprocessing."""
    return load_backbone(NETWORK).preprocess


@functools.cache
def timm_transform():
    """Return timm's transform of the network's record."""
    from timm.data import create_transform

    record = record_of_network()
    return create_transform(
        input_size=(3, *record.size),
        interpolation=record.interpolation,
        crop_pct=record.crop_pct,
        crop_mode=record.crop_mode,
        is_training=False,
        use_prefetcher=True,
    )


def phone_photo(seed):
    """Return the bytes of a JPEG of 12 megapixels, of smooth shapes and some noise."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (PHONE[1] // 40, PHONE[0] // 40, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize(PHONE, Image.BICUBIC)
    grain = rng.normal(scale=6, size=(PHONE[1] // 4, PHONE[0] // 4, 1))
    noise = np.repeat(np.repeat(grain, 4, 0), 4, 1)
    pixels = (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def encode(pixels):
    """Return the features of prepared pixels."""
    backbone = load_backbone(NETWORK)
    found = []
    with torch.inference_mode():
        for start in range(0, len(pixels), 4):
            state = backbone.run(backbone.batch(pixels[start : start + 4]))
            depth = len(backbone.blocks)
            found.append(backbone.pool(state, backbone.pooling, depth))
    return torch.cat(found).numpy()


def probes(name):
    """Return the accuracies of a linear model on each split, for both features."""
    X, y, *_ = images(name)
    rows = np.random.default_rng(SEED).permutation(len(X))[:ROWS]
    X, y = X[rows], y[rows].astype(str)
    labels, counts = np.unique(y, return_counts=True)
    kept = np.isin(y, labels[counts > 3])
    X, y = X[kept], y[kept]
    vectors = {"Pillow": encode([theirs(cell) for cell in X])}
    for precision in PROBES:
        encoder = ImageEncoder(NETWORK, cache=None, engine="auto", precision=precision)
        vectors[precision] = encoder.transform(list(X))
    splits = StratifiedShuffleSplit(SPLITS, test_size=0.4, random_state=SEED)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    found = {
        way: cross_val_score(model, v, y, cv=splits).tolist()
        for way, v in vectors.items()
    }
    print(name, {way: statistics.fmean(f) for way, f in found.items()}, flush=True)
    return found


def table(result):
    figures = result["figures"]
    rows = [["", "Pillow, timm's transform", "sktransfer", "time over ours"]]
    for name, speeds in figures["images_per_s"].items():
        rows.append(
            [f"{name}, images/s"]
            + [f"{speed:.0f}" for speed in speeds.values()]
            + [f"{figures['time_over_ours'][name]:.2f}"]
        )
    for name, probe in figures["probes"].items():
        mean = {way: statistics.fmean(found) for way, found in probe.items()}
        line = f"{mean['float32']:.4f}, in bfloat16 {mean['bfloat16']:.4f}"
        rows.append([f"{name}, accuracy of a linear model"])
        rows[-1] += [f"{mean['Pillow']:.4f}", line, ""]
    return rows
