"""Fine-tuning with labels of one domain only, scored on another one's test part.

The training part of the source with labels and that of the target without. Balanced
accuracy on the target's test part, of which nothing is read before. `--full` also runs
the losses at a depth of -2.
"""

import itertools
import statistics

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from benchmarks._harness import SEED, claim, data_folder, stopwatch
from sktransfer import FeatureCache, ImageClassifier

PAIRS = {
    "fruits": ("fruits_studio_store", [("studio", "store")]),
    "emoji": (
        "emoji_vendors",
        list(itertools.permutations(["noto", "twemoji", "fluent3d"], 2)),
    ),
}
TARGETS = {"fruits": 0.56, "emoji": 0.49}
LOSSES = ("coral", "mmd", "dann", "cdan", "mcc")
SETTINGS = {
    "source only": {},
    **{f'domain_loss="{loss}"': {"domain_loss": loss} for loss in LOSSES},
    'batch_norm="target"': {"batch_norm": "target"},
    'domain_loss="mcc", batch_norm="target"': {
        "domain_loss": "mcc",
        "batch_norm": "target",
    },
}


def run(full):
    figures = {}
    for name, (data, pairs) in PAIRS.items():
        for depth in (-2, -6) if full else (-6,):
            figures[f"{name}, freeze_depth={depth}"] = compare(data, pairs, depth)
    claims = []
    for name, target in TARGETS.items():
        scores = figures[f"{name}, freeze_depth=-6"]['domain_loss="mmd"']["scores"]
        mean = statistics.fmean(scores)
        text = f'{name}: balanced accuracy on the target with domain_loss="mmd"'
        claims.append(claim(text, round(mean, 3), f">= {target}", mean >= target))
    return {"figures": figures, "claims": claims}


def compare(data, pairs, depth):
    """Return the scores of all pairs, and the seconds, for each setting."""
    cache = FeatureCache(memory_budget=4 * 2**30)
    rows = {}
    for name, setting in SETTINGS.items():
        model = ImageClassifier(
            freeze_depth=depth, cache=cache, random_state=SEED, **setting
        )
        with stopwatch() as clock:
            scores = [score(model, data, *pair) for pair in pairs]
        rows[name] = {"scores": scores, "seconds": clock.wall_s}
        print(data, depth, name, rows[name], flush=True)
    return rows


def score(model, data, source, target):
    X, y = part(data, source, "train")
    without, _ = part(data, target, "train")
    domain = np.repeat([0, -1], [len(X), len(without)])
    model.fit([*X, *without], [*y, *[None] * len(without)], sample_domain=domain)
    X, y = part(data, target, "test")
    return balanced_accuracy_score(y, model.predict(X))


def part(data, domain, split):
    import pandas as pd

    folder = data_folder(data)
    frame = pd.read_csv(folder / "index.csv")
    frame = frame[(frame["domain"] == domain) & (frame["split"] == split)]
    return [str(folder / path) for path in frame["path"]], frame["label"].tolist()


def table(result):
    rows = [["set", "setting", "balanced accuracy", "against source only", "seconds"]]
    for name, figures in result["figures"].items():
        base = statistics.fmean(figures["source only"]["scores"])
        for setting, row in figures.items():
            mean = statistics.fmean(row["scores"])
            gain = "" if setting == "source only" else f"{100 * (mean - base):+.1f}"
            rows.append(
                [name, setting, f"{mean:.3f}", gain, f"{row['seconds']:.0f}"],
            )
            name = ""
    return rows
