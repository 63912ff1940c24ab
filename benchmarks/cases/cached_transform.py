"""The second transform of the same rows, from memory and from a folder."""

import shutil
import tempfile

from sktransfer import FeatureCache, ImageEncoder, TextEncoder

from .._harness import (
    SEED,
    at_least,
    banking77,
    claim,
    clothing10,
    ratios,
    relative_difference,
    spread,
    stopwatch,
)

N_IMAGES, N_TEXTS, REPEATS = 300, 2000, 5
TARGETS = {"memory": 50, "folder": 20}
COLD, WARM = "computed", "second time"


def run(full=False):
    images = clothing10("train").sample(N_IMAGES, random_state=SEED)["path"].tolist()
    texts = banking77("train")[0].drop_duplicates()[:N_TEXTS].tolist()
    data = {"images": (ImageEncoder, images), "texts": (TextEncoder, texts)}
    seconds, gaps = {}, []
    for name, (kind, rows) in data.items():
        kind(cache=None).transform(rows[:32])
        for where in TARGETS:
            pairs = [one(kind, rows, where) for _ in range(REPEATS)]
            seconds[f"{name}, {where}"] = {
                COLD: [pair[0] for pair in pairs],
                WARM: [pair[1] for pair in pairs],
            }
            gaps += [pair[2] for pair in pairs]
    over = {name: ratios(both, WARM)[COLD] for name, both in seconds.items()}
    return {
        "figures": {
            "images": len(images),
            "texts": len(texts),
            "seconds": {
                name: {which: spread(times)["median"] for which, times in both.items()}
                for name, both in seconds.items()
            },
            "ratio": {name: ratio["median"] for name, ratio in over.items()},
        },
        "spread": {"ratio": over},
        "claims": [
            at_least(
                f"computing over the second time: {name}",
                ratio["median"],
                TARGETS[name.rpartition(", ")[2]],
                digits=1,
            )
            for name, ratio in over.items()
        ]
        + [claim("difference of features", max(gaps), "== 0", max(gaps) == 0)],
    }


def one(kind, rows, where):
    """Return seconds of two transforms, each with a fresh encoder, and their gap.

    From a folder the second one reads the files: its cache object is a new one.
    """
    folder = tempfile.mkdtemp() if where == "folder" else None
    try:
        cache = FeatureCache(folder=folder)
        with stopwatch() as first:
            want = kind(cache=cache).transform(rows)
        if folder is not None:
            cache = FeatureCache(folder=folder, memory_budget=0)
        with stopwatch() as second:
            got = kind(cache=cache).transform(rows)
    finally:
        if folder is not None:
            shutil.rmtree(folder)
    return first.wall_s, second.wall_s, relative_difference(got, want)


def table(result):
    figures = result["figures"]
    rows = [["", f"{COLD}, s", f"{WARM}, s", "ratio (median)", "least to most"]]
    for name, ratio in figures["ratio"].items():
        times, ends = figures["seconds"][name], result["spread"]["ratio"][name]
        rows.append(
            [name, f"{times[COLD]:.2f}", f"{times[WARM]:.3f}", f"{ratio:.0f}"]
            + [f"{ends['min']:.0f} to {ends['max']:.0f}"]
        )
    return rows
