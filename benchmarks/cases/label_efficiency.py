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
from sktransfer.model_selection import label_efficiency_curve

from .._few import colours, pictures, texts
from .._harness import SEED, claim

SETS = {"clothing10": (2, 5, 10, 20, 40), "banking77": (2, 5, 10, 20, 40, 80)}
N_SPLITS = 5
AT = 10  # labels per class at which the pretrained network sets the mark
EPOCHS = 30  # of random weights; they go up, not down, with more
PRETRAINED, PLAIN, SCRATCH = "pretrained", "plain features", "random weights"


def run(full=False):
    figures = {}
    for name, sizes in SETS.items():
        X, y, splits = data(name)
        curves = label_efficiency_curve(
            models(name), X, y, labels_per_class=sizes, cv=splits, random_state=SEED
        )
        print(curves, flush=True)
        figures[name] = {"points": list(curves), "needs": needs(curves)}
    return outcome(figures)


def needs(curves):
    """Return the mark, and what each model needs to reach it."""
    mark = next(
        r["score"] for r in curves.of(PRETRAINED) if r["labels_per_class"] == AT
    )
    last = curves[-1]["labels_per_class"]
    found = {
        model: {
            key: value if np.isfinite(value) else None for key, value in need.items()
        }
        for model, need in curves.to_reach(mark).items()
    }
    seconds = {
        model: curves.of(model)[-1]["fit_seconds"] for model in (PRETRAINED, SCRATCH)
    }
    return {"score": mark, "most_labels": last, "reached": found, "seconds": seconds}


def outcome(figures):
    """Return what the case has to say about measured figures."""
    claims = []
    for name, figure in figures.items():
        for other in (PLAIN, SCRATCH):
            labels = figure["needs"]["reached"][other]["labels_per_class"]
            value = (
                f"over {figure['needs']['most_labels']}" if labels is None else labels
            )
            claims.append(
                claim(
                    f"{name}: labels per class of {other}",
                    value,
                    f"> {AT}",
                    labels is None or labels > AT,
                )
            )
    return {"figures": figures, "claims": claims}


def data(name):
    """Return rows, labels, and splits that all score on the test part."""
    is_text = name == "banking77"
    X, y, X_test, y_test = texts(name) if is_text else pictures(name)
    train, test = np.arange(len(X)), len(X) + np.arange(len(X_test))
    both = np.concatenate([y, y_test]).astype(str)
    return np.concatenate([X, X_test]), both, [(train, test)] * N_SPLITS


def models(name):
    linear = LogisticRegression(C=10, max_iter=2000)
    if name == "banking77":
        spec = BackboneSpec("all-MiniLM-L6-v2", pretrained=False)
        return {
            PRETRAINED: make_pipeline(TextEncoder(), linear),
            PLAIN: make_pipeline(TfidfVectorizer(sublinear_tf=True), linear),
            SCRATCH: scratch(TextClassifier, spec),
        }
    spec = BackboneSpec("efficientnet_lite0", pretrained=False)
    # Nothing of the network is worth keeping, BatchNorm's statistics least of all.
    return {
        PRETRAINED: make_pipeline(
            ImageEncoder(), StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)
        ),
        PLAIN: make_pipeline(FunctionTransformer(colours), StandardScaler(), linear),
        SCRATCH: scratch(ImageClassifier, spec, batch_norm="train"),
    }


def scratch(kind, spec, **options):
    return kind(
        spec,
        freeze_depth=0,
        head_init="random",
        lr=1e-3,
        layer_decay=1.0,
        max_epochs=EPOCHS,
        random_state=SEED,
        **options,
    )


def table(result):
    rows = [["set", "model", "labels per class", "score", "interval", "fit"]]
    for name, figure in result["figures"].items():
        rows += [
            [
                name,
                point["estimator"],
                str(point["labels_per_class"]),
                f"{point['score']:.3f}",
                f"{point['low']:.3f} to {point['high']:.3f}",
                f"{point['fit_seconds']:.1f} s",
            ]
            for point in figure["points"]
        ]
        for model, need in figure["needs"]["reached"].items():
            if need["labels_per_class"] is None:
                labels = f"over {figure['needs']['most_labels']}"
                seconds = f"over {figure['needs']['seconds'].get(model, 0):.1f} s"
            else:
                labels = f"{need['labels_per_class']:.1f}"
                seconds = f"{need['fit_seconds']:.1f} s"
            mark = f"{figure['needs']['score']:.3f}"
            rows.append([name, f"{model}, to reach", labels, mark, "", seconds])
    return rows
