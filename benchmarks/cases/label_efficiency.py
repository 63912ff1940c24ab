"""Score against labels per class: pretrained, plain features, and random weights."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import (
    BackboneSpec,
    ImageClassifier,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
)
from sktransfer.finetuning import Head, Optimizer
from sktransfer.model_selection import label_efficiency_curve

from .._few import colours, images, texts
from .._harness import SEED, claim

SETS = {
    "clothing10": (2, 5, 10, 20, 40),
    "banking77": (2, 5, 10, 20, 40, 80),
    "sentiment_sentences": (2, 5, 10, 40, 160, 640),
}
N_SPLITS = 5
AT = 10  # labels per class at which the pretrained network sets the mark
# Training from random weights takes long: two draws, and not at every size.
N_SCRATCH = 2
SCRATCH_SIZES = {"clothing10": (10, 40), "sentiment_sentences": (10, 40, 160)}
EPOCHS = 30  # of random weights; they go up, not down, with more
PRETRAINED, PLAIN, SCRATCH = "pretrained", "plain features", "random weights"


def run(full=False):
    figures = {}
    for name, sizes in SETS.items():
        X, y, splits = data(name)
        parts = [(models(name), sizes, splits)]
        if name in SCRATCH_SIZES:
            scratch = {SCRATCH: scratch_model(name)}
            parts.append((scratch, SCRATCH_SIZES[name], splits[:N_SCRATCH]))
        curves = [
            label_efficiency_curve(
                some, X, y, labels_per_class=counts, cv=cv, random_state=SEED
            )
            for some, counts, cv in parts
        ]
        print(*curves, sep="\n", flush=True)
        points = [point for part in curves for point in part]
        figures[name] = {"points": points, **needs(curves)}
    return outcome(figures)


def needs(curves):
    """Return the mark, and what each model needs to reach it."""
    mark = next(
        r["score"] for r in curves[0].of(PRETRAINED) if r["labels_per_class"] == AT
    )
    found = {}
    for part in curves:
        for model, need in part.to_reach(mark).items():
            last = part.of(model)[-1]
            found[model] = {
                "labels": _finite(need["labels_per_class"]),
                "seconds": _finite(need["fit_seconds"]),
                "most_labels": last["labels_per_class"],
                "most_seconds": last["fit_seconds"],
            }
    return {"mark": mark, "needs": found}


def _finite(value):
    return float(value) if np.isfinite(value) else None


def outcome(figures):
    """Return what the case has to say about measured figures."""
    claims = []
    for name, figure in figures.items():
        for model, need in figure["needs"].items():
            if model == PRETRAINED:
                continue
            labels = need["labels"]
            value = f"over {need['most_labels']}" if labels is None else labels
            claims.append(
                claim(
                    f"{name}: labels per class of {model}",
                    value,
                    f"> {AT}",
                    labels is None or labels > AT,
                )
            )
    return {"figures": figures, "claims": claims}


def data(name):
    """Return rows, labels, and splits that all score on the test part."""
    read = images if name == "clothing10" else texts
    X, y, X_test, y_test = read(name)
    train, test = np.arange(len(X)), len(X) + np.arange(len(X_test))
    both = np.concatenate([y, y_test]).astype(str)
    return np.concatenate([X, X_test]), both, [(train, test)] * N_SPLITS


def models(name):
    linear = LogisticRegression(C=10, max_iter=2000)
    if name != "clothing10":
        return {
            PRETRAINED: make_pipeline(TextEncoder(), linear),
            PLAIN: make_pipeline(TfidfVectorizer(sublinear_tf=True), linear),
        }
    return {
        PRETRAINED: make_pipeline(
            ImageEncoder(), StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)
        ),
        PLAIN: make_pipeline(FunctionTransformer(colours), StandardScaler(), linear),
    }


def scratch_model(name):
    """Return the same architecture, to be trained from random weights."""
    options = {
        "freeze_depth": 0,
        "head": Head(init="random"),
        "lr": 1e-3,
        "optimizer": Optimizer(layer_decay=1.0),
        "max_epochs": EPOCHS,
        "random_state": SEED,
    }
    if name != "clothing10":
        spec = BackboneSpec("all-MiniLM-L6-v2", pretrained=False)
        return TextClassifier(spec, **options)
    spec = BackboneSpec("efficientnet_lite0", pretrained=False)
    # Nothing of the network is worth keeping, BatchNorm's statistics least of all.
    return ImageClassifier(spec, batch_norm="train", **options)


def table(result):
    rows = [["set", "model", "labels per class", "score", "interval", "fit"]]
    for name, figure in result["figures"].items():
        rows += [
            [
                name,
                point["estimator"],
                str(point["labels_per_class"]),
                f"{point['score']:.3f}",
                f"{max(point['low'], 0):.3f} to {min(point['high'], 1):.3f}",
                f"{point['fit_seconds']:.1f} s",
            ]
            for point in figure["points"]
        ]
        for model, need in figure["needs"].items():
            if need["labels"] is None:
                labels = f"over {need['most_labels']}"
                seconds = f"over {need['most_seconds']:.1f} s"
            else:
                labels, seconds = f"{need['labels']:.1f}", f"{need['seconds']:.1f} s"
            mark = f"{figure['mark']:.3f}"
            rows.append([name, f"{model}, to reach", labels, mark, "", seconds])
    return rows
