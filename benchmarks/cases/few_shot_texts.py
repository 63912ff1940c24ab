"""Contrastive training on few labelled texts, against SetFit on the same network.

SetFit's runs are kept in a file of their own, as those on banking77 take half an hour
each: what is there is not run again, and what is missing is run with ``--full``, or
where it is short. It needs ``pip install setfit``.
"""

import json
import os
import statistics

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import TextClassifier, TextEncoder, clear_cache, load_backbone

from .._few import draw, interval, texts
from .._harness import ROOT, claim, stopwatch
from .._rivals import minilm_folder

# Set and texts of each class -> draws.
SETS = {
    ("banking77", 8): 2,
    ("sentiment_sentences", 8): 30,
    ("sentiment_sentences", 64): 10,
}
N_ITERATIONS, BATCH = 20, 16  # SetFit's
SHORT = 1000  # pairs that SetFit may take without --full
KEPT = ROOT / "benchmarks" / "results" / "rivals" / "setfit.json"


def run(full=False):
    load_backbone(TextClassifier().backbone)  # SetFit's clock stands while it loads too
    figures = {}
    for (name, n_each), n_draws in SETS.items():
        X, y, X_test, y_test = texts(name)
        row = {kind: [] for kind in ("ours", "fine-tuned", "frozen", "setfit")}
        for seed in range(n_draws):
            rows = draw(y, n_each, seed)
            part = X[rows], y[rows], X_test, y_test
            row["ours"].append(timed(ours(seed), *part))
            row["fine-tuned"].append(timed(TextClassifier(random_state=seed), *part))
            row["frozen"].append(timed(frozen(), *part))
            row["setfit"].append(setfit(f"{name} {n_each} {seed}", seed, full, *part))
            print(name, n_each, seed, {k: v[-1] for k, v in row.items()}, flush=True)
        classes = len(np.unique(y.astype(str)))
        figures[f"{name}, {n_each} per class"] = {
            **row,
            "pairs": 2 * N_ITERATIONS * classes * n_each,
            "default_pairs": default_pairs(classes, n_each),
        }
    return outcome(figures)


def outcome(figures):
    """Return what the case has to say about measured figures."""
    claims = []
    for name, row in figures.items():
        both = [i for i, one in enumerate(row["setfit"]) if one is not None]
        if not both:
            continue
        ours_, theirs = ([row[kind][i] for i in both] for kind in ("ours", "setfit"))
        gains = [
            100 * (a["accuracy"] - b["accuracy"])
            for a, b in zip(ours_, theirs, strict=True)
        ]
        low, high = interval(gains)
        ratio = mean(theirs, "fit_s") / mean(ours_, "fit_s")
        of = f"{name}, {len(both)} seeds"
        claims += [
            claim(
                f"{of}: points over SetFit, 95 % {low:+.1f} to {high:+.1f}",
                round(statistics.fmean(gains), 2),
                "0 in the interval, or all of it above -1",
                low > -1 or low <= 0 <= high,
            ),
            claim(f"{of}: times as fast", round(ratio, 1), ">= 5", ratio >= 5),
        ]
    return {"figures": figures, "claims": claims}


def ours(seed):
    return TextClassifier(loss="contrastive", random_state=seed)


def frozen():
    return make_pipeline(TextEncoder(), LogisticRegression(C=10, max_iter=2000))


def timed(model, X, y, X_test, y_test):
    """Fit without anything in the cache, and score."""
    clear_cache()
    with stopwatch() as fit:
        model.fit(X, y.astype(str))
    return {
        "accuracy": float(np.mean(model.predict(X_test) == y_test.astype(str))),
        "fit_s": fit.wall_s,
        "fit_user_s": fit.user_s,
    }


def setfit(key, seed, full, X, y, X_test, y_test):
    """Return SetFit's accuracy and seconds: kept, run now, or None."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if key not in kept and (full or 2 * N_ITERATIONS * len(y) <= SHORT):
        kept[key] = run_setfit(seed, X, y, X_test, y_test)
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    return kept.get(key)


def run_setfit(seed, X, y, X_test, y_test):
    os.environ["HF_HUB_OFFLINE"] = "1"  # it looks for a model card there
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(minilm_folder())
    arguments = TrainingArguments(
        batch_size=BATCH,
        num_epochs=1,
        num_iterations=N_ITERATIONS,
        seed=seed,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    rows = Dataset.from_dict({"text": list(X), "label": list(y.astype(str))})
    with stopwatch() as fit:
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    found = np.asarray(model.predict(list(X_test), show_progress_bar=False))
    return {
        "accuracy": float(np.mean(found == y_test.astype(str))),
        "fit_s": fit.wall_s,
        "fit_user_s": fit.user_s,
        "load_average": os.getloadavg()[0],
    }


def default_pairs(n_classes, n_each):
    """Return how many pairs SetFit makes where it is not told how many."""
    same = n_classes * n_each * (n_each + 1) // 2  # a row with itself too
    other = n_classes * (n_classes - 1) // 2 * n_each**2
    return 2 * max(same, other)


def mean(runs, key):
    return statistics.fmean(run[key] for run in runs)


def table(result):
    rows = [["set", "model", "seeds", "accuracy", "fit", "pairs"]]
    for name, figure in result["figures"].items():
        for kind in ("frozen", "fine-tuned", "ours", "setfit"):
            runs = [one for one in figure[kind] if one is not None]
            if not runs:
                continue
            is_setfit = kind == "setfit"
            rows.append(
                [
                    name,
                    {"ours": "contrastive", "setfit": "SetFit"}.get(kind, kind),
                    str(len(runs)),
                    f"{mean(runs, 'accuracy'):.3f}",
                    f"{mean(runs, 'fit_s'):.1f} s",
                    f"{figure['pairs']:,} (default {figure['default_pairs']:,})"
                    if is_setfit
                    else "",
                ]
            )
    return rows
