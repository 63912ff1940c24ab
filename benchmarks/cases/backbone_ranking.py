"""Rankings without training, against the ranking by a tuned linear probe."""

import numpy as np
from scipy.stats import weightedtau

from sktransfer import load_backbone
from sktransfer.model_selection import rank_backbones

from .._harness import SEED, banking77, claim, clothing10, data_folder, stopwatch

METHODS = ["logme", "hscore", "knn"]
AGAIN = "probe, other folds"  # what the reference itself repeats
IMAGE_NETWORKS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
IMAGE_DEPTHS = ["all", -1, -2, -4]
TEXT_NETWORK = "all-MiniLM-L6-v2"
POOLINGS = ["mean", "max"]
N_TEXTS = 2500


def run(full=False):
    rows = {}
    for name, (X, y, candidates) in data_sets().items():
        rows[name] = compared(X, y, candidates)
        print(f"{name}: done", flush=True)
    return outcome(rows)


def outcome(rows):
    """Return what the case has to say about measured data sets."""
    taus = [row["methods"]["logme"]["tau_all"] for row in rows.values()]
    whole = [row["methods"]["logme"]["tau_whole"] for row in rows.values()]
    whole = [tau for tau in whole if tau is not None]
    shares = [
        row["methods"]["logme"]["score_s"] / row["probe_s"] for row in rows.values()
    ]
    claims = [
        claim(
            "weighted tau of LogME over all candidates, mean",
            round(float(np.mean(taus)), 3),
            ">= 0.5",
            np.mean(taus) >= 0.5,
        ),
        claim(
            "scoring time of LogME over the probe's, greatest",
            round(max(shares), 3),
            "<= 0.1",
            max(shares) <= 0.1,
        ),
    ]
    if whole:
        claims.insert(
            1,
            claim(
                "weighted tau of LogME over whole networks, mean",
                round(float(np.mean(whole)), 3),
                ">= 0.5",
                np.mean(whole) >= 0.5,
            ),
        )
    spread = {"tau_all": [min(taus), max(taus)], "data_sets": len(rows)}
    return {"figures": rows, "spread": spread, "claims": claims}


def data_sets():
    """Return rows, labels and candidates of each data set."""
    import pandas as pd

    photos = [(n, d, p) for n in IMAGE_NETWORKS for d in IMAGE_DEPTHS for p in POOLINGS]
    depths = load_backbone(TEXT_NETWORK).block_names
    texts = [(TEXT_NETWORK, depth, pooling) for depth in depths for pooling in POOLINGS]
    clothes = clothing10("train")
    sets = {"clothing10": (clothes["path"], clothes["label"], photos)}
    for name, domains in (
        ("fruits_studio_store", ["store"]),
        ("emoji_vendors", ["noto", "twemoji", "fluent3d"]),
    ):
        folder = data_folder(name)
        index = pd.read_csv(folder / "index.csv")
        for domain in domains:
            part = index[(index["domain"] == domain) & (index["split"] == "train")]
            paths = [str(folder / path) for path in part["path"]]
            sets[f"{name}: {domain}"] = (paths, part["label"], photos)
    sets["banking77"] = (*banking77("train", N_TEXTS), texts)
    spam = pd.read_csv(data_folder("sms_spam") / "train.csv")
    spam = spam.sample(N_TEXTS, random_state=SEED)
    sets["sms_spam"] = (spam["text"].tolist(), spam["label"], texts)
    return sets


def compared(X, y, candidates):
    """Rank by the probe and by each method; the first one pays for the features."""
    y = np.asarray(y)
    with stopwatch() as embedding:
        rank_backbones(X, y, candidates, method="knn", n_timed=0)
    rankings, walls = {}, {}
    for method in ["probe", AGAIN, *METHODS]:
        options = {"method": method, "random_state": SEED}
        if method == AGAIN:
            options = {"method": "probe", "random_state": SEED + 1}
        with stopwatch() as clock:
            rankings[method] = rank_backbones(X, y, candidates, n_timed=0, **options)
        walls[method] = clock.wall_s
    probe = scores_of(rankings["probe"])
    depth_all = {name: load_backbone(name).block_names[-1] for name, _, _ in candidates}
    default = {name: load_backbone(name).pooling for name, _, _ in candidates}
    whole = [k for k in probe if k[1] == depth_all[k[0]] and k[2] == default[k[0]]]
    methods = {}
    for method in [*METHODS, AGAIN]:
        got = scores_of(rankings[method])
        chosen = (rankings[method].best_[k] for k in ("backbone", "depth", "pooling"))
        methods[method] = {
            "tau_all": tau(probe, got, list(probe)),
            "tau_whole": tau(probe, got, whole) if len(whole) > 2 else None,
            "score_s": sum(row["score_seconds"] for row in rankings[method]),
            "wall_s": walls[method],
            "accuracy_of_its_best": probe[tuple(chosen)],
        }
    return {
        "rows": len(y),
        "candidates": len(candidates),
        "embedding_s": embedding.wall_s,
        "probe_s": sum(row["score_seconds"] for row in rankings["probe"]),
        "best_accuracy": max(probe.values()),
        "whole_accuracies": {key[0]: probe[key] for key in whole},
        "methods": methods,
    }


def scores_of(ranking):
    return {(r["backbone"], r["depth"], r["pooling"]): r["score"] for r in ranking}


def tau(want, got, keys):
    return float(weightedtau([want[k] for k in keys], [got[k] for k in keys])[0])


def table(result):
    rows = [
        ["data", "candidates", "method", "tau, all", "tau, whole", "scoring"]
        + ["probe's scoring", "features", "probe's accuracy at its best", "best"]
    ]
    for data, row in result["figures"].items():
        for method, one in row["methods"].items():
            whole = one["tau_whole"]
            rows.append(
                [data, str(row["candidates"]), method, f"{one['tau_all']:.2f}"]
                + ["" if whole is None else f"{whole:.2f}", f"{one['score_s']:.1f} s"]
                + [f"{row['probe_s']:.1f} s", f"{row['embedding_s']:.0f} s"]
                + [f"{one['accuracy_of_its_best']:.3f}", f"{row['best_accuracy']:.3f}"]
            )
    return rows
