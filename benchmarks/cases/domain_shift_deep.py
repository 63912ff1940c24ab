"""Fine-tuning with labels of one domain only, scored on another one's test part.

The training part of the source with labels and that of the target without. Balanced
accuracy on the target's test part, of which nothing is read before. `--full` runs all
losses, also at a depth of -2; without it only those that were best in earlier runs.
"""

import itertools
import statistics

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from benchmarks._harness import SEED, claim, data_folder, stopwatch
from benchmarks.cases.domain_shift import half_interval
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
SHORT = ("source only", 'domain_loss="mmd"', 'domain_loss="mcc"')


def run(full=False):
    figures = {}
    for name, (data, pairs) in PAIRS.items():
        for depth in (-2, -6) if full else (-6,):
            settings = SETTINGS if full else SHORT
            row = compare(data, pairs, depth, settings)
            figures[f"{name}, freeze_depth={depth}"] = row
    claims = []
    for name, target in TARGETS.items():
        scores = figures[f"{name}, freeze_depth=-6"]['domain_loss="mmd"']["scores"]
        mean = statistics.fmean(scores)
        text = f'{name}: balanced accuracy on the target with domain_loss="mmd"'
        claims.append(claim(text, round(mean, 3), f">= {target}", mean >= target))
    return {"figures": figures, "claims": claims}


def compare(data, pairs, depth, settings):
    """Return the scores of all pairs, and the seconds, for each setting."""
    cache = FeatureCache(memory_budget=4 * 2**30)
    rows = {}
    for name in settings:
        model = ImageClassifier(
            freeze_depth=depth, cache=cache, random_state=SEED, **SETTINGS[name]
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
    rows = [
        ["set", "setting", "balanced accuracy", "points over source only"]
        + ["worst pair", "seconds a fit"]
    ]
    for name, figures in result["figures"].items():
        base = figures["source only"]["scores"]
        for setting, row in figures.items():
            mean = statistics.fmean(row["scores"])
            gains = [100 * (a - b) for a, b in zip(row["scores"], base, strict=True)]
            gain = worst = ""
            if setting != "source only":
                gain, worst = over_pairs(gains), f"{min(gains):+.1f}"
            seconds = row["seconds"] / len(gains)
            rows.append([name, setting, f"{mean:.3f}", gain, worst, f"{seconds:.0f}"])
            name = ""
    return rows


def over_pairs(gains):
    """Return the mean, with a 95 % interval (Student's t) where there are pairs."""
    mean = f"{statistics.fmean(gains):+.1f}"
    if len(gains) == 1:
        return mean
    return f"{mean} ± {half_interval(gains):.1f}"
