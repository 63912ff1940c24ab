"""What the two grid cases share: searches that count and time themselves."""

import tempfile
from math import prod

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sktransfer import cache_info, clear_cache

from ._harness import claim, counting, in_second_process, spread, stopwatch

REPEATS = 3  # of our own search; the rivals take too long
SUMS = ("wall_s", "user_s", "forwards", "loads", "fits")


def search(steps, grid, X, y, cv):
    """Run one grid search and return its wall and CPU time, counts and scores.

    It does not refit at the end, so that the work is candidates x folds exactly, and
    a measurement of some of them can be multiplied.
    """
    gridded = GridSearchCV(
        Pipeline(steps), grid, cv=cv, refit=False, error_score="raise"
    )
    with counting() as count, stopwatch() as clock:
        gridded.fit(X, y)
    folds = range(gridded.n_splits_)
    scores = [gridded.cv_results_[f"split{fold}_test_score"] for fold in folds]
    return {
        "wall_s": clock.wall_s,
        "user_s": clock.user_s,
        "forwards": count.rows,
        "loads": count.loads,
        "fits": n_candidates(grid) * len(folds),
        "params": gridded.cv_results_["params"],
        "scores": np.round(scores, 4).T.tolist(),
    }


def n_candidates(grid):
    return prod(len(values) for values in grid.values())


def warm_up(load):
    """Load a network that is kept for the process, and return what that took.

    It happens before the clock starts. A library may run examples of its own then;
    they are no rows of the data and are counted apart.
    """
    with counting() as count, stopwatch() as clock:
        load()
    return {"loads": count.loads, "examples": count.rows, "wall_s": clock.wall_s}


def repeated(run):
    """Run our own search some times, each from an empty cache.

    Returns
    -------
    row : dict
        The run of median wall time, with the cache's misses.
    walls : dict
        Median, least and greatest wall time.
    """
    rows = []
    for _ in range(REPEATS):
        clear_cache()
        rows.append(run() | {"misses": cache_info().misses})
    rows.sort(key=lambda row: row["wall_s"])
    return rows[REPEATS // 2], spread(row["wall_s"] for row in rows)


def multiplied(part, head_part, head, factor):
    """Tell what the whole grid takes a rival, from a part of it.

    The encoder's share of the part is multiplied; to it comes the head's time, which
    is the same for everybody, as measured on the whole grid.
    """
    row = {"measured": part, "multiplied_by": factor}
    for key in SUMS:
        row[key] = part[key] * factor
    for key in ("wall_s", "user_s"):
        row[key] = (part[key] - head_part[key]) * factor + head[key]
    return row


def with_folder(module):
    """Run a case's `second_process` twice on one cache folder."""
    with tempfile.TemporaryDirectory() as folder:
        return [in_second_process(module, folder) for _ in range(2)]


def outcome(*, rows, distinct, ours, walls, rivals, head, second, warm):
    """Return figures, spread and claims of a grid case."""
    for name, row in {"sktransfer": ours, **rivals}.items():
        row["loads"] += warm.get(name, {"loads": 0})["loads"]
    theirs = rivals["hand-written"]
    ratio = theirs["wall_s"] / ours["wall_s"]
    again = second[1]["forwards"] + second[1]["misses"]
    gap = score_gap(ours, theirs.get("measured", theirs))
    return {
        "figures": {
            "rows": rows,
            "distinct_rows": distinct,
            "encoders": {"sktransfer": ours, **rivals},
            "head": head,
            "warm_up": warm,
            "cache_folder": second,
        },
        "spread": {"sktransfer_wall_s": walls},
        "claims": [
            claim(
                "rows forwarded",
                ours["forwards"],
                f"= {distinct}",
                ours["forwards"] == distinct,
            ),
            claim(
                "cache misses",
                ours["misses"],
                f"= {distinct}",
                ours["misses"] == distinct,
            ),
            claim("wall, hand-written over ours", round(ratio, 2), ">= 8", ratio >= 8),
            claim("rows forwarded by a second process", again, "= 0", again == 0),
            claim(
                "mean difference of accuracy to hand-written",
                gap,
                "<= 0.005",
                gap <= 0.005,
            ),
        ],
    }


def score_gap(ours, theirs):
    """Return the mean difference of accuracy where both measured."""
    gaps = []
    for params, scores in zip(theirs["params"], theirs["scores"], strict=True):
        mine = ours["scores"][ours["params"].index(params)]
        gaps += np.abs(np.subtract(mine[: len(scores)], scores)).tolist()
    return round(float(np.mean(gaps)), 4)


def table(result):
    """Return the table of a grid case, headings first."""
    figures = result["figures"]
    head, ours = figures["head"], figures["encoders"]["sktransfer"]
    rows = [["", "rows forwarded", "loads", "wall, s", "user CPU, s", "wall over ours"]]
    for name, row in figures["encoders"].items():
        rows.append(
            [name + (" (multiplied)" if "multiplied_by" in row else "")]
            + [f"{row['forwards']:,}", f"{row['loads']:,}", f"{row['wall_s']:.1f}"]
            + [f"{row['user_s']:.1f}", f"{row['wall_s'] / ours['wall_s']:.1f}"]
        )
    rows.append(
        ["head alone, in each of the above", "0", "0", f"{head['wall_s']:.1f}"]
        + [f"{head['user_s']:.1f}", ""]
    )
    for i, row in enumerate(figures["cache_folder"]):
        rows.append(
            [f"sktransfer, cache folder, process {i + 1}, {row['fits']} fits"]
            + [f"{row['forwards']:,}", f"{row['loads']:,}", f"{row['wall_s']:.1f}"]
            + [f"{row['user_s']:.1f}", ""]
        )
    return rows
