"""Rows and loads of a grid over texts, counted and not timed; skrub with its cache."""

from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from sktransfer import TextEncoder, clear_cache

from .. import _grids as grids
from .._data_ops import cached_search, data_ops_search
from .._harness import SEED, claim
from .._rivals import SKRUB_ENCODER, HandWrittenTextEncoder, skrub_encoder
from . import text_grid

N_ROWS, N_FOLDS = 60, 3
GRID = {"pca__n_components": [4, 8], "model__C": [0.1, 1.0, 10.0]}
OURS, HAND = "sktransfer", "hand-written"
SKRUB = f"skrub {SKRUB_ENCODER}"
DATA_OPS = f"{SKRUB}, DataOps"
CACHED = f"{SKRUB}, DataOps, its cache on"
COUNTED = ("forwards", "previewed", "loads", "fits")


def run(full=False):
    # Loading compares the network's parts over examples, which are no rows of the data.
    warm = grids.warm_up(text_grid.load_ours)
    small, large = on_made_texts(), on_banking77()
    small[OURS]["loads"] += warm["loads"]
    ratios = {
        size: found[CACHED]["forwards"] / found[OURS]["forwards"]
        for size, found in (("small", small), ("large", large))
    }
    again = small[f"{OURS}, again"]["forwards"]
    return {
        "figures": {"small": small, "large": large, "warm_up": warm},
        "spread": {},
        "claims": [
            claim(
                "rows, sktransfer, small grid",
                small[OURS]["forwards"],
                f"= {N_ROWS}",
                small[OURS]["forwards"] == N_ROWS,
            ),
            claim("rows, sktransfer, again", again, "= 0", again == 0),
            *(
                claim(
                    f"rows of skrub with its cache over ours, {size} grid",
                    round(ratio, 1),
                    ">= 4",
                    ratio >= 4,
                )
                for size, ratio in ratios.items()
            ),
        ],
    }


def on_made_texts():
    """Count everybody on 60 texts, 3 folds and 6 candidates."""
    X, y = made_texts()
    cv = KFold(N_FOLDS, shuffle=True, random_state=SEED)

    def plain(encoder):
        return grids.search(steps(encoder), GRID, X, y, cv)

    clear_cache()
    found = {OURS: plain(TextEncoder()), f"{OURS}, again": plain(TextEncoder())}
    found[HAND] = plain(HandWrittenTextEncoder())
    found[SKRUB] = plain(skrub_encoder())
    theirs = steps(skrub_encoder()), GRID, X, y, cv
    found[DATA_OPS] = data_ops_search(*theirs)
    found[CACHED], found[f"{CACHED}, again"] = cached_search(*theirs, repeats=2)
    return counts(found)


def on_banking77():
    """Count the two with a cache on the grid of `text_grid`."""
    texts, labels = text_grid.banking77("train", text_grid.N_ROWS)
    clear_cache()
    ours = text_grid.searched(text_grid.our_encoder(), text_grid.GRID, texts, labels)
    [theirs] = text_grid.searched_by_skrub(texts, labels)
    return counts({OURS: ours, CACHED: theirs})


def counts(found):
    return {
        name: {key: row[key] for key in COUNTED if key in row}
        for name, row in found.items()
    }


def made_texts():
    """Return distinct texts of two classes."""
    import numpy as np
    import pandas as pd

    pairs = (("lost", "card"), ("found", "cash"))
    texts = [
        f"{verb} my {noun} {i}" for i in range(N_ROWS // 2) for verb, noun in pairs
    ]
    return pd.Series(texts, name="text"), np.arange(N_ROWS) % 2


def steps(encoder):
    return [
        ("encoder", encoder),
        ("pca", PCA(random_state=SEED)),
        ("model", LogisticRegression(max_iter=1000)),
    ]


def table(result):
    rows = [["grid", "", "rows forwarded", "of them a preview", "loads", "fits"]]
    sizes = {
        "small": f"{N_ROWS} texts x {N_FOLDS} folds x {grids.n_candidates(GRID)}",
        "large": "that of text_grid",
    }
    for size, label in sizes.items():
        for name, row in result["figures"][size].items():
            previewed = f"{row['previewed']:,}" if "previewed" in row else ""
            rows.append([label, name, f"{row['forwards']:,}", previewed])
            rows[-1] += [f"{row['loads']:,}", f"{row['fits']:,}"]
    return rows
