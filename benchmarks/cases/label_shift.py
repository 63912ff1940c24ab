"""The same classes in other shares: what the default makes of it, in ten draws.

Source and target are rows of one site, drawn apart: 120 of each class, and 300 in the
target's shares. Every draw takes its features from the same pass.
"""

import statistics

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss

from sktransfer import (
    DomainAdaptationClassifier,
    FeatureCache,
    LabelShiftCorrection,
    TextEncoder,
    domain_shift,
)

from .._few import interval
from .._harness import claim, data_folder

SITES = "imdb", "yelp"
POSITIVE = (0.9, 0.7, 0.5, 0.1)  # share of the target rows
N_DRAWS = 10
N_SOURCE, N_TARGET = 240, 300
NONE, DEFAULT, CENTRED = "no adaptation", "auto, the default", "centred as for features"
ADAPTERS = {
    NONE: None,
    CENTRED: ["normalize", "coral", "normalize", "pseudo_labels"],
    "label_shift, strength=1": LabelShiftCorrection(strength=1.0),
    DEFAULT: "auto",
}
TRUE = "true shares, strength=1"
SCORES = "accuracy", "balanced accuracy", "log loss"


def run(full=False):
    draws, sites = {}, features()
    for share in POSITIVE:
        for site, (X, y) in sites.items():
            for draw in range(N_DRAWS):
                name = f"{site} {100 * share:.0f}"
                draws.setdefault(name, []).append(on_draw(X, y, share, draw))
            print(name, draws[name][-1][DEFAULT], flush=True)
    figures = {}
    for share in POSITIVE:
        both = [one for s in SITES for one in draws[f"{s} {100 * share:.0f}"]]
        figures[f"{100 * share:.0f}:{100 - 100 * share:.0f}"] = {
            method: {key: statistics.fmean(d[method][key] for d in both) for key in row}
            for method, row in both[0].items()
        }
    return {
        "figures": figures,
        "spread": {"draws": draws},
        "claims": claims(figures, draws),
    }


def features():
    """Return features and labels of each site, 1 for praise."""
    import pandas as pd

    frame = pd.read_csv(data_folder("sentiment_sentences") / "data.csv")
    frame = frame[frame["domain"].isin(SITES)].drop_duplicates("text")
    cache = FeatureCache()
    X = TextEncoder(cache=cache).fit_transform(frame["text"])
    if cache.info().misses != len(frame):
        raise AssertionError(f"{cache.info().misses} of {len(frame)} rows were run")
    y = (frame["label"] == "positive").to_numpy(int)
    groups = frame.reset_index(drop=True).groupby("domain").indices
    return {site: (X[rows], y[rows]) for site, rows in groups.items()}


def on_draw(X, y, share, draw):
    """Return the scores of every method on one draw, and the default's shares."""
    order = np.random.default_rng(draw).permutation(len(y))
    parts = [order[y[order] == label] for label in (0, 1)]
    n_each, n_positive = N_SOURCE // 2, round(N_TARGET * share)
    counts = N_TARGET - n_positive, n_positive
    source = np.concatenate([rows[:n_each] for rows in parts])
    target = np.concatenate(
        [rows[n_each:][:n] for rows, n in zip(parts, counts, strict=True)]
    )
    rows = np.concatenate([source, target])
    domain = np.repeat([0, -1], [len(source), len(target)])
    labels = np.where(domain < 0, -1, y[rows])
    result = {}
    for method, adapter in ADAPTERS.items():
        model = DomainAdaptationClassifier(LogisticRegression(max_iter=3000), adapter)
        model.fit(X[rows], labels, sample_domain=domain)
        proba = model.predict_proba(X[target])
        result[method] = scores(y[target], proba)
        if method == NONE:
            exact = proba * [1 - share, share]
            result[TRUE] = scores(y[target], exact / exact.sum(axis=1, keepdims=True))
    shift = domain_shift(
        X[rows],
        labels,
        sample_domain=domain,
        estimator=LogisticRegression(max_iter=3000),
    )
    result[DEFAULT] |= {
        "share error": abs(shift.class_shares[1]["target"] - share),
        "right about what moved": model.shift_
        == ("nothing" if share == 0.5 else "class shares"),
    }
    return result


def scores(y, proba):
    predicted = proba.argmax(axis=1)
    found = (
        np.mean(predicted == y),
        balanced_accuracy_score(y, predicted),
        log_loss(y, proba, labels=[0, 1]),
    )
    return {key: float(value) for key, value in zip(SCORES, found, strict=True)}


def claims(figures, draws):
    found = []
    for key, sign in (("accuracy", 1), ("log loss", -1)):
        gains = paired(draws, POSITIVE, key, sign)
        low, high = interval(gains)
        found.append(
            claim(
                f"{key} against no adaptation, all targets, better by, "
                f"95 % {low:+.3f} to {high:+.3f}",
                round(statistics.fmean(gains), 4),
                "> 0",
                low > 0,
            )
        )
    for share in POSITIVE:
        if share == 0.5:
            continue
        name = f"{100 * share:.0f}:{100 - 100 * share:.0f}"
        for key, sign in (("accuracy", 1), ("log loss", -1)):
            gain = statistics.fmean(paired(draws, [share], key, sign))
            text = f"{name}, {key} against no adaptation, better by"
            found.append(claim(text, round(gain, 4), "> 0", gain > 0))
    gains = paired(draws, [0.5], "accuracy", 1)
    low, high = interval(gains)
    found.append(
        claim(
            f"50:50, accuracy against no adaptation, 95 % {low:+.4f} to {high:+.4f}",
            round(statistics.fmean(gains), 4),
            ">= -0.005",
            statistics.fmean(gains) >= -0.005,
        )
    )
    for site in SITES:
        for key, least in (("accuracy", 0.9), ("balanced accuracy", 0.75)):
            values = [one[DEFAULT][key] for one in draws[f"{site} 90"]]
            low, high = interval(values)
            found.append(
                claim(
                    f"{site}, 90:10, {key}, 95 % {low:.3f} to {high:.3f}",
                    round(statistics.fmean(values), 4),
                    f">= {least}",
                    statistics.fmean(values) >= least,
                )
            )
    for name, row in figures.items():
        error = row[DEFAULT]["share error"]
        text = f"{name}, estimated share against the true one, mean distance"
        found.append(claim(text, round(error, 4), "<= 0.05", error <= 0.05))
    return found


def paired(draws, shares, key, sign):
    """Return what the default gains, a mean of the sites and targets per draw."""
    names = [f"{site} {100 * share:.0f}" for site in SITES for share in shares]
    return [
        statistics.fmean(
            sign * (draws[name][i][DEFAULT][key] - draws[name][i][NONE][key])
            for name in names
        )
        for i in range(N_DRAWS)
    ]


def table(result):
    rows = [["target", "method", *SCORES, "share error", "right about what moved"]]
    for name, methods in result["figures"].items():
        for method, row in methods.items():
            cells = [f"{row[key]:.3f}" for key in SCORES]
            cells.append(f"{row['share error']:.3f}" if "share error" in row else "")
            right = row.get("right about what moved")
            cells.append("" if right is None else f"{100 * right:.0f} %")
            rows.append([name, method, *cells])
    return rows
