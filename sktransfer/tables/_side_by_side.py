"""Columns of numbers and categories, side by side, and their names."""

import numpy as np

from .._utils.optional import import_optional


def side_by_side(parts, names, X):
    """Return the columns of all parts together.

    Parameters
    ----------
    parts : list of ndarray or pandas.Categorical
    names : sequence of str
    X : pandas or polars DataFrame
        Its index, where it has one, is that of a frame.

    Returns
    -------
    ndarray or pandas DataFrame
        A frame where a part is a column of categories.
    """
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.column_stack(parts)
    pandas = pandas_of()
    frame = pandas.concat([pandas.DataFrame(part) for part in parts], axis=1)
    frame.columns, frame.index = list(names), getattr(X, "index", frame.index)
    return frame


def unique(names):
    """Put underscores behind names that were there."""
    seen = []
    for name in names:
        while name in seen:
            name += "_"
        seen.append(name)
    return seen


def pandas_of():
    """Return pandas, for frames with columns of categories."""
    return import_optional("pandas", purpose="categorical='passthrough'")
