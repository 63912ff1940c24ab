"""Domains with other class shares: where adaptation hurts."""

import numpy as np

from sktransfer import TextEncoder

from .._harness import SEED, claim, data_folder
from .domain_shift import DEFAULT, SOURCE_ONLY, on_pair, summary, table

__all__ = ["run", "table"]

N_ROWS = {"train": 500, "test": 300}  # of each platform, at most
SHORT = "streaming"


def run(full=False):
    parts = load()
    platforms = sorted({platform for platform, _ in parts})
    scores, seconds, oracle = {}, {}, {}
    for a in platforms:
        for b in platforms:
            if a != b:
                source, (X_test, y_test) = parts[a, "train"], parts[b, "test"]
                known = np.isin(y_test, np.unique(source[1]))
                test = X_test[known], y_test[known]
                pair = f"{SHORT}: {a} -> {b}"
                one = on_pair(source, parts[b, "train"], test)
                scores[pair], seconds[pair], oracle[pair] = one
    rows = {
        method: summary(method, [SHORT], scores, seconds, oracle)
        for method in next(iter(scores.values()))
    }
    plain = rows[SOURCE_ONLY][SHORT]["score"]
    limits = {DEFAULT: plain, "density_ratio": plain - 0.01, "kmm": plain - 0.01}
    return {
        "figures": rows,
        "spread": {"pairs": scores},
        "claims": [
            claim(
                f"{method} against source only",
                round(rows[method][SHORT]["score"], 4),
                f">= {limit:.3f}",
                rows[method][SHORT]["score"] >= limit,
            )
            for method, limit in limits.items()
        ],
    }


def load():
    """Return features and labels of each platform and split."""
    import pandas as pd

    frame = pd.read_csv(data_folder("streaming_titles") / "data.csv")
    frame = frame.sample(frac=1, random_state=SEED)
    place = frame.groupby(["platform", "split"]).cumcount()
    frame = frame[place < frame["split"].map(N_ROWS)].reset_index(drop=True)
    features = TextEncoder().fit_transform(frame["description"])
    labels = frame["maturity"].to_numpy(dtype=str)
    groups = frame.groupby(["platform", "split"]).indices
    return {key: (features[rows], labels[rows]) for key, rows in groups.items()}
