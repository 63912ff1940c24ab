"""A column of texts of which nine in ten repeat, against skrub: alone and in a grid."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sktransfer import TextEncoder, clear_cache

from .. import _grids as grids
from .._data_ops import cached_search
from .._harness import (
    SEED,
    alternate,
    at_least,
    banking77,
    claim,
    ratios,
    relative_difference,
    spread,
)
from .._rivals import skrub_encoder

N_ROWS, N_DISTINCT = 2000, 200
N_FOLDS, GRID = 5, {"model__C": [0.1, 1.0, 10.0, 100.0]}
REPEATS, GRID_REPEATS = 5, 3
OURS, THEIRS, CACHED = "sktransfer", "skrub", "skrub, its cache on"
IN_CACHE = f"grid, {CACHED}"
TARGETS = {"transform": 1.2, "grid": 8}


def run(full=False):
    column, y = repeating()
    ours, theirs = TextEncoder(normalize=True, cache=None), skrub_encoder()
    theirs.fit(column[:50])
    ours.transform(column[:50])
    functions = {
        OURS: lambda: ours.transform(column),
        THEIRS: lambda: theirs.transform(column).to_numpy(),
    }
    seconds, features = alternate(functions, REPEATS)
    encoders = {OURS: TextEncoder(normalize=True), THEIRS: skrub_encoder()}
    encoders[CACHED] = encoders[THEIRS]

    def searched(name):
        clear_cache()
        steps = [("encoder", encoders[name]), ("model", LogisticRegression())]
        if name == CACHED:
            return cached_search(steps, GRID, column, y, N_FOLDS)[0]
        return grids.search(steps, GRID, column, y, N_FOLDS)

    in_grid, found = alternate(
        {name: lambda name=name: searched(name) for name in encoders}, GRID_REPEATS
    )
    times = {"transform": seconds, "grid": in_grid}
    over = {what: ratios(both, OURS)[THEIRS] for what, both in times.items()}
    over[IN_CACHE] = ratios(in_grid, OURS)[CACHED]
    ours, theirs = features[OURS], features[THEIRS]
    # skrub multiplies all its features by one number.
    gap = relative_difference(theirs * (ours * theirs).sum() / (theirs**2).sum(), ours)
    return {
        "figures": {
            "rows": len(column),
            "distinct": column.nunique(),
            "seconds": {
                what: {name: spread(t)["median"] for name, t in both.items()}
                for what, both in times.items()
            },
            "rows_forwarded": {name: row["forwards"] for name, row in found.items()},
            "time_over_ours": {what: r["median"] for what, r in over.items()},
            "difference_of_features": gap,
        },
        "spread": {"time_over_ours": over},
        "claims": [
            at_least(f"time over ours: {what}", over[what]["median"], target)
            for what, target in TARGETS.items()
        ]
        + [claim("difference of features, relative", gap, "<= 1e-4", gap <= 1e-4)],
    }


def repeating():
    """Return a column of texts and its labels."""
    texts, labels = banking77("train")
    frame = texts.to_frame().assign(label=labels).drop_duplicates("text")
    common = frame["label"].value_counts().index[:10]
    frame = frame[frame["label"].isin(common)].sample(N_DISTINCT, random_state=SEED)
    rows = np.random.default_rng(SEED).permutation(np.arange(N_ROWS) % N_DISTINCT)
    frame = frame.iloc[rows].reset_index(drop=True)
    return frame["text"], frame["label"].to_numpy()


def table(result):
    figures = result["figures"]
    rows = [["", "transform, s", "over ours", "grid, s", "over ours"]]
    rows[0].append("rows forwarded in the grid")
    over = figures["time_over_ours"]
    for name, forwarded in figures["rows_forwarded"].items():
        row = [name]
        for what in TARGETS:
            seconds = figures["seconds"][what].get(name)
            ratio = over.get(IN_CACHE) if name == CACHED else over[what]
            if seconds is None:
                row += ["", ""]
            else:
                row.append(f"{seconds:.2f}")
                row.append("1.00" if name == OURS else f"{ratio:.2f}")
        rows.append([*row, f"{forwarded:,}"])
    return rows
