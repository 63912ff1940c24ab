"""The columns that skrub encodes."""

import numpy as np
from sklearn import config_context

from .._utils.optional import import_optional
from .._utils.validation import draw_seed
from ._kinds import needs_cleaning


def parts_of(X, owner):
    """Return the columns that are encoded here and their kinds, and skrub's.

    skrub makes guesses of its own, so it has no column that was named.
    """
    kept = {name: kind for name, kind in owner.kinds_.items() if kind != "drop"}
    left = [
        name
        for name, kind in kept.items()
        if owner.rest == "skrub" and name not in (owner.kinds or {})
        if kind == "categorical"
        or (kind in ("date", "numeric") and not needs_cleaning(X[name]))
    ]
    return {name: kind for name, kind in kept.items() if name not in left}, left


def fit_rest(X, y, random_state):
    """Fit skrub's vectorizer.

    Returns
    -------
    vectorizer : skrub.TableVectorizer
    numbers : ndarray of shape (n_samples, n_columns)
    names : list of str
    """
    skrub = import_optional(
        "skrub", extra="tables", purpose="TableEncoder(rest='skrub')"
    )
    strings = skrub.StringEncoder(random_state=draw_seed(random_state))
    vectorizer = skrub.TableVectorizer(high_cardinality=strings)
    with config_context(transform_output="default"):
        frame = vectorizer.fit_transform(X, y)
    return vectorizer, _as_matrix(frame), list(frame.columns)


def rest_of(vectorizer, X):
    """Return what a fitted vectorizer makes of new rows."""
    with config_context(transform_output="default"):
        return _as_matrix(vectorizer.transform(X))


def _as_matrix(frame):
    return np.asarray(frame.to_numpy(), dtype=np.float64)
