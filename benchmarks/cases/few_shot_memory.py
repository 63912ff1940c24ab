"""Peak memory of contrastive training on 100,000 texts, in a process of its own.

Rows, their activations and the head are what memory goes to; the number of pairs is
not, so that a tenth of the default is trained on.
"""

import numpy as np

from sktransfer.finetuning import ContrastiveLoss

from .._few import texts
from .._harness import SEED, claim, in_second_process, stopwatch
from .fit_memory import peak_gb

N_ROWS, N_PAIRS, LIMIT = 100_000, 100_000, 4.0  # of GB


def run(full=False):
    row = in_second_process(__name__, "", N_ROWS)
    peak = row["peak_gb"]
    text = f"peak of a fit on {N_ROWS:,} texts, GB"
    return {
        "figures": row,
        "claims": [claim(text, peak, f"< {LIMIT}", peak < LIMIT)],
    }


def second_process(n_rows):
    """Fit many different rows of banking77, and return the peak of this process."""
    from sktransfer import TextClassifier

    X, y, _, _ = texts("banking77")
    rows = [f"{X[i % len(X)]} ({i})" for i in range(n_rows)]
    labels = y[np.arange(n_rows) % len(y)].astype(str)
    model = TextClassifier(loss=ContrastiveLoss(max_pairs=N_PAIRS), random_state=SEED)
    before = peak_gb()
    with stopwatch() as clock:
        model.fit(rows, labels)
    return {
        "rows": n_rows,
        "epochs": model.n_epochs_,
        "before_gb": before,
        "peak_gb": peak_gb(),
        "fit_s": clock.wall_s,
    }


def table(result):
    row = result["figures"]
    return [
        ["rows", "epochs", "peak before the fit, GB", "peak, GB", "fit"],
        [f"{row['rows']:,}", str(row["epochs"]), str(row["before_gb"])]
        + [str(row["peak_gb"]), f"{row['fit_s']:.0f} s"],
    ]
