"""The nearest rows of each row, among those that may be its neighbours."""

import numpy as np

CHUNK = 2**23  # cosines in memory at a time


def nearest(features, n_neighbors, apart):
    """Yield the nearest other rows by cosine, some rows at a time.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    n_neighbors : int
        At most as many as there are other rows.
    apart : sequence of ndarray of shape (n_samples,)
        Rows that agree in one of these are no neighbours of each other.

    Yields
    ------
    rows : ndarray of int, shape (n_rows,)
    near : ndarray of int, shape (n_rows, n_neighbors)
        The nearest first.
    is_there : ndarray of bool, shape (n_rows, n_neighbors)
        False where a row has fewer neighbours.

    Raises
    ------
    ValueError
        If a row has none.
    """
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norms, np.finfo(float).tiny)
    step = max(1, CHUNK // len(unit))
    for start in range(0, len(unit), step):
        rows = np.arange(start, min(start + step, len(unit)))
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        for codes in apart:
            cosines[codes[rows, None] == codes] = -np.inf
        near = np.argpartition(-cosines, n_neighbors - 1, axis=1)[:, :n_neighbors]
        closeness = np.take_along_axis(cosines, near, axis=1)
        order = np.argsort(-closeness, axis=1, kind="stable")
        is_there = np.isfinite(np.take_along_axis(closeness, order, axis=1))
        if not is_there[:, 0].all():
            raise ValueError(
                "method='knn' finds no neighbour for some rows: every other row is in "
                "the same group, or a copy. Pass rows of at least two groups, of which "
                "at least two differ."
            )
        yield rows, np.take_along_axis(near, order, axis=1), is_there
