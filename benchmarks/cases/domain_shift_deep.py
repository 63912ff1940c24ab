"""Fine-tuning with labels of one domain only, scored on another one's test part.

The training part of the source with labels and that of the target without. Balanced
accuracy on the target's test part, of which nothing is read before. `--full` runs all
losses, also at a depth of -2; without it only those that were best in earlier runs.
"""

import itertools
import statistics

import numpy as np
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score

from benchmarks._harness import SEED, claim, data_folder, stopwatch
from benchmarks.cases.domain_shift import half_interval
from sktransfer import FeatureCache, ImageClassifier, TextClassifier

SETS = {
    "fruits": ("fruits_studio_store", [("studio", "store")]),
    "emoji": (
        "emoji_vendors",
        list(itertools.permutations(["noto", "twemoji", "fluent3d"], 2)),
    ),
    "sentiment": (
        "sentiment_sentences",
        list(itertools.permutations(["amazon", "imdb", "yelp"], 2)),
    ),
}
MODELS = {
    "fruits": ImageClassifier,
    "emoji": ImageClassifier,
    "sentiment": TextClassifier,
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
MMD = 'domain_loss="mmd"'
SHORT = ("source only", MMD, 'domain_loss="mcc"')


def run(full=False):
    figures, means = {}, {}
    for name, (data, pairs) in SETS.items():
        default = MODELS[name]().freeze_depth
        for depth in (-2, default) if full else (default,):
            model = MODELS[name](freeze_depth=depth, random_state=SEED)
            row = compare(model, data, pairs, SETTINGS if full else SHORT)
            figures[f"{name}, freeze_depth={depth}"] = row
        means[name] = {
            setting: statistics.fmean(one["scores"]) for setting, one in row.items()
        }
    claims = []
    for name, target in TARGETS.items():
        mean = means[name][MMD]
        text = f"{name}: balanced accuracy on the target with {MMD}"
        claims.append(claim(text, round(mean, 3), f">= {target}", mean >= target))
    gain = 100 * (means["sentiment"][MMD] - means["sentiment"]["source only"])
    text = f"sentiment: points over source only with {MMD}"
    claims.append(claim(text, round(gain, 2), ">= 0", gain >= 0))
    return {"figures": figures, "claims": claims}


def compare(model, data, pairs, settings):
    """Return the scores of all pairs, and the seconds, for each setting."""
    model.set_params(cache=FeatureCache(memory_budget=4 * 2**30))
    rows = {}
    for name in settings:
        one = clone(model).set_params(**SETTINGS[name])
        with stopwatch() as clock:
            scores = [score(one, data, *pair) for pair in pairs]
        rows[name] = {"scores": scores, "seconds": clock.wall_s}
        print(data, model.freeze_depth, name, rows[name], flush=True)
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
    texts = folder / "data.csv"
    frame = pd.read_csv(texts if texts.exists() else folder / "index.csv")
    frame = frame[(frame["domain"] == domain) & (frame["split"] == split)]
    if texts.exists():
        return frame["text"].tolist(), frame["label"].tolist()
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
