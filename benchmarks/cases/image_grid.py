"""Grid over depth and C on images: each distinct one goes through the network once."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import FunctionTransformer

from sktransfer import ImageEncoder, cache_info

from .. import _grids as grids
from .._grids import table as table
from .._harness import clothing10
from .._rivals import HandWrittenImageEncoder, timm_network

N_FOLDS = 5
DEPTHS = ["all", -1, -2, -6]
GRID = {"encoder__depth": DEPTHS, "model__C": [0.01, 0.1, 1.0]}
# What the rival runs: every depth, since they differ in cost, but one C and one fold.
PART = {"encoder__depth": DEPTHS, "model__C": [0.1]}


def run(full=False):
    frame = clothing10("train")
    paths, labels = frame["path"], frame["label"].to_numpy()
    warm = {
        "sktransfer": grids.warm_up(load_ours),
        "hand-written": grids.warm_up(timm_network),
    }
    folds = list(StratifiedKFold(N_FOLDS).split(paths, labels))
    ours, walls = grids.repeated(
        lambda: searched(ImageEncoder(), GRID, paths, labels, folds)
    )
    features = [ImageEncoder(depth=depth).fit_transform(paths) for depth in DEPTHS]
    head = head_alone(features, GRID["model__C"], labels, folds)

    encoder = HandWrittenImageEncoder()
    if full:
        rival = searched(encoder, GRID, paths, labels, folds)
    else:
        part = searched(encoder, PART, paths, labels, folds[:1])
        head_part = head_alone(features, PART["model__C"], labels, folds[:1])
        factor = N_FOLDS * len(GRID["model__C"])
        rival = grids.multiplied(part, head_part, head, factor)
    return grids.outcome(
        rows=len(paths),
        distinct=len({open(path, "rb").read() for path in paths}),
        ours=ours,
        walls=walls,
        rivals={"hand-written": rival},
        head=head,
        second=grids.with_folder(__name__),
        warm=warm,
    )


def load_ours():
    # Two rows of noise, so that the example runs that follow loading are over.
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    ImageEncoder(cache=None).fit_transform(noise)


def searched(encoder, grid, X, y, folds):
    steps = [("encoder", encoder), ("model", LogisticRegression(max_iter=1000))]
    return grids.search(steps, grid, X, y, cv=folds)


def head_alone(features, Cs, y, folds):
    """Run the grid on features that are there, depth by depth, and add up."""
    grid = {"model__C": Cs}
    rows = [searched(FunctionTransformer(), grid, X, y, folds) for X in features]
    return {key: sum(row[key] for row in rows) for key in grids.SUMS}


def second_process():
    """Search one fold with the cache folder of the environment variable."""
    frame = clothing10("train")
    paths, labels = frame["path"], frame["label"].to_numpy()
    load_ours()
    folds = list(StratifiedKFold(N_FOLDS).split(paths, labels))
    row = searched(ImageEncoder(), PART, paths, labels, folds[:1])
    return row | {"misses": cache_info().misses}
