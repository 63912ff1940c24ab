"""Settings of domain adaptation picked without target labels, over pairs.

`--full` repeats it on three draws of the rows.
"""

import time

import numpy as np
from sklearn.base import clone

from sktransfer import (
    CircularValidationScorer,
    EnsembleAgreementScorer,
    ImportanceWeightedScorer,
    InformationMaximizationScorer,
    PredictionEntropyScorer,
    SoftNeighborhoodDensityScorer,
    SourceTargetKFold,
)

from .._harness import claim
from . import domain_shift_uneven
from .domain_shift import (
    DEFAULT,
    OURS,
    SETS,
    SHORT,
    SOURCE_ONLY,
    balanced_accuracy,
    fitted,
    half_interval,
    load,
    mean,
)

N_SEEDS = 3  # with --full, else 1
SHARE = 0.8  # of each class of the training rows of a domain that a seed draws
CLOSE = 0.03
# Scored on the rows that a model was fitted on, of which it has seen no target labels.
ON_ALL_ROWS = {
    "circular validation": CircularValidationScorer(),
    "information": InformationMaximizationScorer(),
    "entropy": PredictionEntropyScorer(),
    "density": SoftNeighborhoodDensityScorer(),
}
# Scored on a third of the source rows, which a model has not seen.
ON_HELD_OUT_ROWS = {"importance weights": ImportanceWeightedScorer()}
ENSEMBLE = "ensemble agreement"
STREAMING = domain_shift_uneven.SHORT  # no method and no scorer was chosen on this set


def run(full=False):
    runs, n_seeds = [], N_SEEDS if full else 1
    for short, parts in every_set():
        domains = sorted({domain for domain, _ in parts})
        for a in domains:
            for b in domains:
                if a != b:
                    arguments = parts[a, "train"], parts[b, "train"], parts[b, "test"]
                    for seed in range(n_seeds):
                        one = {"set": short, "pair": f"{a} -> {b}", "seed": seed}
                        runs.append(one | on_draw(*arguments, seed))
                    print(short, a, b, runs[-1]["picked"], flush=True)
    figures = {
        way: {short: summary(way, runs, short) for short in sets_of(runs)}
        for way in ["always the default", *runs[0]["picked"], SOURCE_ONLY]
    }
    return {"figures": figures, "spread": {"runs": runs}, "claims": claims(runs)}


def every_set():
    for name in SETS:
        yield SHORT[name], load(name)
    yield STREAMING, domain_shift_uneven.load()


def sets_of(runs):
    return list(dict.fromkeys(run["set"] for run in runs))


def on_draw(source, target, test, seed):
    """Return each setting's score and each scorer's pick on a draw of the rows."""
    known = np.isin(test[1], np.unique(source[1]))
    test = test[0][known], test[1][known]
    rng = np.random.default_rng(seed)
    source, target = (
        (X[rows], labels[rows])
        for X, labels, rows in (
            (*source, drawn(source[1], rng)),
            (*target, drawn(target[1], rng)),
        )
    )
    X = np.concatenate([source[0], target[0]])
    y = np.append(source[1].astype(object), [None] * len(target[0]))
    domain = np.repeat([0, -1], [len(source[0]), len(target[0])])
    models = {name: fitted(adapter, X, y, domain) for name, adapter in OURS.items()}
    picked, seconds = pick(models, X, y, domain)
    scores = {
        name: balanced_accuracy(test[1], model.predict(test[0]))
        for name, model in models.items()
    }
    return {"scores": scores, "picked": picked, "seconds": seconds}


def drawn(labels, rng):
    """Return the rows of a share of each class, in order."""
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        chosen.append(rng.choice(rows, max(2, int(SHARE * len(rows))), replace=False))
    return np.sort(np.concatenate(chosen))


def pick(models, X, y, domain):
    """Return which model each scorer likes best, and its seconds."""
    train, held_out = next(SourceTargetKFold(3).split(X, y, sample_domain=domain))
    start = time.perf_counter()
    on_part = {
        name: clone(model).fit(X[train], y[train], sample_domain=domain[train])
        for name, model in models.items()
    }
    refits = time.perf_counter() - start
    ensemble = {ENSEMBLE: EnsembleAgreementScorer(list(models.values()))}
    every = np.arange(len(X))
    picked, seconds = {}, {}
    for scorers, candidates, rows, extra in (
        (ensemble | ON_ALL_ROWS, models, every, 0.0),
        (ON_HELD_OUT_ROWS, on_part, held_out, refits),
    ):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            scores = {
                key: scorer(model, X[rows], y[rows], sample_domain=domain[rows])
                for key, model in candidates.items()
            }
            picked[name] = max(scores, key=scores.get)
            seconds[name] = time.perf_counter() - start + extra
    return picked, seconds


def choice(way, run):
    """Return the setting that a way of choosing takes."""
    fixed = {"always the default": DEFAULT, SOURCE_ONLY: SOURCE_ONLY}
    return fixed[way] if way in fixed else run["picked"][way]


def summary(way, runs, short):
    runs = [run for run in runs if run["set"] == short]
    taken = [run["scores"][choice(way, run)] for run in runs]
    lost = [max(run["scores"].values()) - t for run, t in zip(runs, taken, strict=True)]
    gains = [
        score - run["scores"][SOURCE_ONLY]
        for run, score in zip(runs, taken, strict=True)
    ]
    pairs = [run["pair"] for run in runs]
    by_pair = [
        mean([g for g, p in zip(gains, pairs, strict=True) if p == pair])
        for pair in dict.fromkeys(pairs)
    ]
    return {
        "score": mean(taken),
        "lost": mean(lost),
        "close": mean([loss <= CLOSE for loss in lost]),
        "gain": mean(gains),
        "half_interval": half_interval(by_pair),
        "seconds": mean([run["seconds"].get(way, 0.0) for run in runs]),
    }


def claims(runs):
    three = [run for run in runs if run["set"] != STREAMING]
    found = []
    for way in (ENSEMBLE, "always the default"):
        close = mean(
            [
                max(run["scores"].values()) - run["scores"][choice(way, run)] <= CLOSE
                for run in three
            ]
        )
        text = f"{way}: share of pairs and seeds within 3 points of the best setting"
        found.append(claim(text, round(close, 3), ">= 0.7", close >= 0.7))
    for short in sets_of(runs):
        for way in ("always the default", ENSEMBLE):
            gain = summary(way, runs, short)["gain"]
            text = f"{short}, {way}: against source only, mean over pairs and seeds"
            found.append(claim(text, round(gain, 4), ">= -0.01", gain >= -0.01))
    return found


def table(result):
    head = ["setting taken"]
    figures = result["figures"]
    for short in next(iter(figures.values())):
        head += [short, "lost", "within 3 points", "gain over source only"]
    rows = [[*head, "s"]]
    for way, row in figures.items():
        cells = [way if way in (SOURCE_ONLY, "always the default") else f"by {way}"]
        for one in row.values():
            gain = f"{one['gain']:+.3f} ± {one['half_interval']:.3f}"
            lost, close = f"{one['lost']:.3f}", f"{100 * one['close']:.0f} %"
            cells += [f"{one['score']:.3f}", lost, close, gain]
        seconds = mean([one["seconds"] for one in row.values()])
        rows.append([*cells, f"{seconds:.1f}" if seconds else ""])
    return rows
