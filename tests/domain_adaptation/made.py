"""Made data: two or three classes, in a source and a shifted target."""

import functools
from types import SimpleNamespace

import numpy as np
import sklearn

routed = functools.partial(sklearn.config_context, enable_metadata_routing=True)


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


def noisy(n=60, shift=0.5):
    """Return domains whose classes overlap, so that no score is perfect."""
    made = shifted(n=n, shift=shift)
    made.X += np.random.default_rng(1).normal(0, 2, made.X.shape)
    return made
