"""Made data: two or three classes, in a source and a shifted target."""

from types import SimpleNamespace

import numpy as np


def shifted(n=40, n_features=5, shift=6.0, seed=0, labels=("a", "b", "c")):
    """Return rows of both domains, interleaved, and `y` known and poisoned."""
    rng = np.random.default_rng(seed)
    codes = np.arange(2 * n) % len(labels)
    centres = 3 * np.eye(len(labels), n_features)
    X = centres[codes] + 0.7 * rng.normal(size=(2 * n, n_features))
    domain = np.where(rng.permutation(2 * n) < n, 0, -1)
    signs = (-1) ** np.arange(n_features)
    X[domain < 0] = X[domain < 0] * np.linspace(1, 3, n_features) + shift * signs
    truth = np.asarray(labels)[codes]
    y = truth.astype(object)
    y[domain < 0] = None
    return SimpleNamespace(X=X, y=y, truth=truth, domain=domain, target=domain < 0)
