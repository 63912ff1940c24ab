"""Grid over tensors of features: scores, best candidate, and copies to the host."""

import os
from unittest import mock

import numpy as np
import torch
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sktransfer import TextEncoder

from .._copies import COEFFICIENTS, NUMBERS, ROWS, VALUES, CopiesToHost, by_kind
from .._copies import pretend_a_card as pretend_a_card
from .._harness import SEED, banking77, claim, in_second_process, stopwatch

N_TEXTS, N_FOLDS = 2500, 5
GRID = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}
TOLERANCE = 0.005
N_LARGE, WIDTH, N_CLASSES = 50_000, 1280, 10  # what a card and the cores are timed on


def run(full=False):
    texts, labels = banking77("train", N_TEXTS)
    features = TextEncoder().fit_transform(texts)
    want = searched(features, labels)
    has_card = torch.cuda.is_available()
    if has_card:
        got = on_the_device(texts, labels)
    else:  # whose numbers the CPU computes, and whose copies can be counted
        with mock.patch.dict(os.environ, SCIPY_ARRAY_API="1"):
            got = in_second_process(__name__, "")
    gap = round(float(np.abs(np.subtract(got["scores"], want["scores"])).max()), 4)
    lost = round(max(want["scores"]) - want["scores"][got["best"]], 4)
    copies = got["copies"]
    return {
        "figures": {
            "rows": len(features),
            "width": features.shape[1],
            "classes": len(set(labels)),
            "device": got["device"],
            "C": GRID["logisticregression__C"],
            "numpy": want["scores"],
            "torch": got["scores"],
            "copies": copies,
            "seconds": timed() if has_card else None,
        },
        "spread": {},
        "claims": [
            claim(
                "greatest difference of a score",
                gap,
                f"<= {TOLERANCE}",
                gap <= TOLERANCE,
            ),
            claim("lost by taking torch's best candidate", lost, "== 0", lost == 0),
            claim(
                f"copies to the host: {ROWS}", copies[ROWS], "== 0", not copies[ROWS]
            ),
        ],
    }


def second_process():
    """Search on the pretended card."""
    pretend_a_card()
    return on_the_device(*banking77("train", N_TEXTS))


def on_the_device(texts, labels):
    """Search over tensors where "auto" puts them, and count what leaves the device."""
    features = TextEncoder().set_output(transform="torch").fit_transform(texts)
    with (
        mock.patch.dict(os.environ, SCIPY_ARRAY_API="1"),
        config_context(array_api_dispatch=True),
        CopiesToHost() as copies,
    ):
        found = searched(features, labels)
    counts = by_kind(copies.shapes, n_rows=len(texts) // N_FOLDS)
    return {**found, "device": features.device.type, "copies": counts}


def searched(features, labels):
    search = GridSearchCV(
        make_pipeline(
            StandardScaler(),
            PCA(64, svd_solver="covariance_eigh"),
            LogisticRegression(max_iter=1000),
        ),
        GRID,
        cv=N_FOLDS,
        error_score="raise",
    )
    search.fit(features, labels)
    scores = search.cv_results_["mean_test_score"]
    return {"scores": scores.tolist(), "best": int(search.best_index_)}


def timed():
    """Time both on many rows: a card, and all cores of this machine."""
    rng = np.random.default_rng(SEED)
    labels = rng.integers(N_CLASSES, size=N_LARGE)
    centres = rng.normal(size=(N_CLASSES, WIDTH)) / 4
    features = rng.normal(size=(N_LARGE, WIDTH)) + centres[labels]
    features, names = features.astype(np.float32), np.array(list("abcdefghij"))
    with threadpool_limits(os.cpu_count(), user_api="blas"), stopwatch() as cores:
        searched(features, names[labels])
    with (
        mock.patch.dict(os.environ, SCIPY_ARRAY_API="1"),
        config_context(array_api_dispatch=True),
    ):
        searched(torch.from_numpy(features[:2000]).cuda(), names[labels[:2000]])
        with stopwatch() as card:
            searched(torch.from_numpy(features).cuda(), names[labels])
    return {"cores": cores.wall_s, "card": card.wall_s}


def table(result):
    figures = result["figures"]
    place = {"card": "a pretended card"}.get(figures["device"], figures["device"])
    rows = [["", "NumPy", f"torch, on {place}"]]
    scores = zip(figures["C"], figures["numpy"], figures["torch"], strict=True)
    rows += [[f"accuracy, C={C}", f"{n:.4f}", f"{t:.4f}"] for C, n, t in scores]
    kinds = (ROWS, VALUES, COEFFICIENTS, NUMBERS)
    rows += [[f"copies: {k}", "", f"{figures['copies'][k]:,}"] for k in kinds]
    if figures["seconds"] is not None:
        name = f"{N_LARGE:,} x {WIDTH:,} features, s"
        cores, card = (f"{figures['seconds'][k]:.1f}" for k in ("cores", "card"))
        rows.append([name, cores, card])
    return rows
