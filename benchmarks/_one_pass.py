"""Sets whose rows are encoded once, whatever is asked of their features afterwards."""

import functools
import operator

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split

from sktransfer import FeatureCache, ImageEncoder, TextEncoder
from sktransfer.datasets import load_elpv

from ._few import draw_rows, images, interval, texts
from ._harness import SEED, claim

N_DRAWS = 10
IMAGES = "clothing10", "trash6"
TEXTS = "banking77", "subjectivity"
N_ROWS = {"banking77": 2310, "subjectivity": 1000, "elpv": 720}  # of larger sets
SETS = (*IMAGES, *TEXTS)


class OnePass:
    """A set of rows, an encoder, and a cache that counts the rows that run.

    Attributes
    ----------
    X, y : ndarray of object, ndarray of int
        All rows of the set, or a part of them, and their class numbers.
    names : ndarray of str
        The classes.
    """

    def __init__(self, name):
        self.cache, self.name = FeatureCache(), name
        self.is_images = name not in TEXTS
        if name == "elpv":  # as files, of which copies can be made
            table = load_elpv()
            X, y = table["photo"].to_numpy(object), table["probability"] > 0.5
        else:
            X, y, X_test, y_test = (images if self.is_images else texts)(name)
            X, y = np.concatenate([X, X_test]), np.concatenate([y, y_test])
        y = np.asarray(y).astype(str)
        rows = draw_rows(y, N_ROWS.get(name, len(y)), SEED)
        self.X = X[rows]
        self.names, self.y = np.unique(y[rows], return_inverse=True)

    def features(self, rows=None, extra=(), **params):
        """Return the features of some rows, and of rows that are not in the set."""
        kind = ImageEncoder if self.is_images else TextEncoder
        rows = np.arange(len(self.X)) if rows is None else rows
        encoder = kind(cache=self.cache, **params)
        return encoder.fit_transform([*self.X[rows], *extra])

    def split(self, seed, share=0.5):
        """Return two parts of the rows, by class."""
        return train_test_split(
            np.arange(len(self.y)),
            train_size=share,
            random_state=seed,
            stratify=self.y,
        )

    def claim(self, n_more=0):
        """Return the claim that each row ran once."""
        n_rows = len(set(self.X.tolist())) + n_more
        n_runs = self.cache.info().misses
        return claim(
            f"{self.name}: rows that went through the network",
            n_runs,
            f"{n_rows}, each once",
            n_runs == n_rows,
        )


def head():
    """Return the classifier of features that all parts of a case use."""
    return LogisticRegression(C=0.1, max_iter=1000)


def folds(seed):
    """Return the splitter that all parts of a case use."""
    return StratifiedKFold(5, shuffle=True, random_state=seed)


def line(figures, text, part, *keys, digits=3):
    """Return a row of a table: mean and interval of each set that has the part."""
    cells = []
    for row in figures.values():
        if part not in row:
            cells.append("")
            continue
        values = [functools.reduce(operator.getitem, keys, one) for one in row[part]]
        low, high = interval(values)
        middle = f"{np.mean(values):.{digits}f}"
        cells.append(f"{middle} ({low:.{digits}f} to {high:.{digits}f})")
    return [text, *cells]


def not_below(text, gains, unit="points"):
    """Return the claim that a mean over draws is not below 0."""
    low, high = interval(gains)
    value = round(float(np.mean(gains)), 2)
    text = f"{text}, {unit}, 95 % {low:+.1f} to {high:+.1f}"
    return claim(text, value, ">= 0", value >= 0)
