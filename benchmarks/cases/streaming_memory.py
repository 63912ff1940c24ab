"""100,000 images through transform, chunk by chunk: resident memory stays."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

from sktransfer import FeatureCache, ImageEncoder

from .._harness import ROOT, SEED, MissingDataError, claim, stopwatch

N_IMAGES, A_CHUNK = 100_000, 1_000
PIXELS, IMAGE_SIZE = 48, 32
BACKBONE = "tiny-cnn"
SMALL_BUDGET = 2**22  # bytes: full before the first tenth is over
LARGEST_GROWTH = 0.05
CACHES = {
    "cache=None": lambda: None,
    "a full cache of 4 MiB": lambda: FeatureCache(memory_budget=SMALL_BUDGET),
}


def run(full=False):
    if not Path("/proc/self/statm").exists():
        raise MissingDataError("resident memory is read from /proc, which is not here")
    outcomes = {name: in_process(name) for name in CACHES}
    growths = {name: growth(outcome["rss"]) for name, outcome in outcomes.items()}
    return {
        "figures": {
            "images": N_IMAGES,
            "chunk": A_CHUNK,
            "growth": growths,
            "first_tenth_mib": {n: first(o["rss"]) for n, o in outcomes.items()},
            "rest_mib": {n: rest(o["rss"]) for n, o in outcomes.items()},
            "wall_s": {n: o["wall_s"] for n, o in outcomes.items()},
        },
        "spread": {"rss_mib": {n: o["rss"] for n, o in outcomes.items()}},
        "claims": [
            claim(
                f"growth of resident memory after the first tenth, {name}",
                round(value, 4),
                f"< {LARGEST_GROWTH}",
                value < LARGEST_GROWTH,
            )
            for name, value in growths.items()
        ],
    }


def in_process(name, n_images=N_IMAGES):
    """Stream in a new Python, whose memory nothing else has touched."""
    code = (
        f"import json, {__name__} as case; print(json.dumps(case.stream({name!r}, "
        f"{n_images})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def stream(name, n_images=N_IMAGES, chunk=A_CHUNK):
    """Return MiB of resident memory after each chunk, and the seconds of it all."""
    encoder = ImageEncoder(BACKBONE, image_size=IMAGE_SIZE, cache=CACHES[name]())
    rng = np.random.default_rng(SEED)
    rss = []
    with warnings.catch_warnings(), stopwatch() as clock:
        warnings.filterwarnings("ignore", message=".*cache is full")
        for _ in range(0, n_images, chunk):
            shape = (chunk, PIXELS, PIXELS, 3)
            vectors = encoder.transform(rng.integers(0, 256, shape, dtype=np.uint8))
            if not np.isfinite(vectors).all():
                raise AssertionError("a vector is not finite")
            rss.append(resident_mib())
    return {"rss": rss, "wall_s": clock.wall_s}


def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def first(rss):
    return max(rss[: max(1, len(rss) // 10)])


def rest(rss):
    return max(rss[max(1, len(rss) // 10) :])


def growth(rss):
    return rest(rss) / first(rss) - 1


def table(result):
    figures = result["figures"]
    rows = [["", "images", "MiB, first tenth", "MiB, the rest", "growth", "wall, s"]]
    for name, value in figures["growth"].items():
        rows.append(
            [name, f"{figures['images']:,}"]
            + [f"{figures[key][name]:.0f}" for key in ("first_tenth_mib", "rest_mib")]
            + [f"{100 * value:.1f} %", f"{figures['wall_s'][name]:.0f}"]
        )
    return rows
