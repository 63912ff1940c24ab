"""Peak memory of a fit on 5,000 images, in a process of its own.

The images are synthetic JPEGs of 400 x 300 pixels, made one after the other; decoded
to what the network takes they would fill 3 GB as float32, and as they are 1.8 GB.
"""

import io
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._harness import SEED, claim, in_second_process
from sktransfer.finetuning import Head

N_IMAGES = 5000
DEPTHS = (-2, -6)
LIMIT = 2.0  # GB


def run(full):
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder))
        for depth in DEPTHS:
            figures[str(depth)] = in_second_process(__name__, "", folder, depth)
            print(depth, figures[str(depth)], flush=True)
    return {
        "figures": figures,
        "claims": [
            claim(
                f"peak of a fit at freeze_depth={depth}, GB",
                row["peak_gb"],
                f"< {LIMIT}",
                row["peak_gb"] < LIMIT,
            )
            for depth, row in figures.items()
        ],
    }


def make_pictures(folder):
    from PIL import Image

    rng = np.random.default_rng(SEED)
    for i in range(N_IMAGES):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        (folder / f"{i:05}.jpg").write_bytes(buffer.getvalue())


def second_process(folder, depth):
    """Fit one epoch at one depth, and return the peak of this process."""
    from sktransfer import ImageClassifier

    paths = sorted(str(path) for path in Path(folder).glob("*.jpg"))
    y = np.arange(len(paths)) % 10
    before = peak_gb()
    model = ImageClassifier(
        freeze_depth=depth, max_epochs=1, head=Head(init="random"), random_state=SEED
    )
    model.fit(paths, y)
    return {"rows": len(paths), "before_gb": before, "peak_gb": peak_gb()}


def peak_gb():
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)


def table(result):
    rows = [["freeze_depth", "rows", "peak before the fit, GB", "peak, GB"]]
    for depth, row in result["figures"].items():
        rows.append(
            [
                depth,
                f"{row['rows']:,}",
                *(str(row[k]) for k in ("before_gb", "peak_gb")),
            ]
        )
    return rows
