"""The columns that skrub encodes."""

import numpy as np
from sklearn import config_context

from .._utils.optional import import_optional
from .._utils.validation import draw_seed


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
