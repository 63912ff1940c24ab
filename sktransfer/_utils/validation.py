"""Checks of input: null cells, labels, domains, parameter constraints.

Private names of scikit-learn are imported here and nowhere else.
"""

import math
import numbers

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import (  # noqa: F401  (re-exported)
    HasMethods,
    Hidden,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import (  # noqa: F401  (re-exported)
    ADAPTERS_MANAGER as OUTPUT_CONTAINERS,
)
from sklearn.utils._set_output import (  # noqa: F401  (re-exported)
    _get_output_config as output_config,
)
from sklearn.utils.metadata_routing import (  # noqa: F401  (re-exported)
    _raise_for_params as raise_for_params,
)
from sklearn.utils.validation import (  # noqa: F401  (re-exported)
    _check_sample_weight as check_sample_weight,
)
from sklearn.utils.validation import (  # noqa: F401  (re-exported)
    _num_samples as n_rows_of,
)

SAMPLE_DOMAIN = (
    "sample_domain is one integer per row, >= 0 for a source domain (labelled) and "
    "< 0 for a target domain"
)
NULL_TYPE_NAMES = ("NAType", "NaTType")
MAX_SEED = 2**31 - 1


def indexable(X):
    """Return `X` as something of which scikit-learn can take rows.

    It cannot of pandas' arrays, such as ``series.array``, of an Index, of sparse
    matrices in some formats, and of what only says how to become an array.
    """
    if issparse(X):
        return X.tocsr()
    if not hasattr(X, "__getitem__") and hasattr(X, "__array__"):
        return np.asarray(X)
    is_pandas_array = hasattr(X, "isna") and not hasattr(X, "iloc")
    return np.asarray(X, dtype=object) if is_pandas_array else X


def take_rows(X, rows):
    """Return some rows of whatever an estimator takes.

    Parameters
    ----------
    X : list, array, sparse matrix, Series, frame, Arrow array or pandas array
    rows : ndarray of int or bool

    Returns
    -------
    list, array, sparse matrix, Series, frame or Arrow array
        The rows, in the container that `X` is. A pandas array gives an array of
        objects.
    """
    if hasattr(X, "to_pylist"):  # pyarrow, which older scikit-learn does not know
        rows = np.asarray(rows)
        return X.take(np.flatnonzero(rows) if rows.dtype == bool else rows)
    return _safe_indexing(indexable(X), rows)


def draw_seed(random_state):
    """Return the seed that a `random_state` parameter stands for.

    Parameters
    ----------
    random_state : int, RandomState or None

    Returns
    -------
    int
        At least 0 and below 2**31 - 1.
    """
    return int(check_random_state(random_state).randint(MAX_SEED))


def seed_of(random_state):
    """Return an int as it is, and draw one from any other `random_state`."""
    return random_state if is_integer(random_state) else draw_seed(random_state)


def check_rows(values, n_rows, name, caller):
    """Refuse what has not one entry per row of X.

    Parameters
    ----------
    values : ndarray or sparse matrix
    n_rows : int
    name, caller : str
        Name of the argument, and class or function name, for the message.

    Returns
    -------
    ndarray or sparse matrix
        `values`.

    Raises
    ------
    ValueError
        If it has another number of entries.
    """
    if values.shape[:1] != (n_rows,):
        raise ValueError(
            f"{caller}: Found input variables with inconsistent numbers of samples: X "
            f"has {n_rows} rows and {name} has the shape {values.shape}; expected one "
            "entry per row."
        )
    return values


def is_null(cell):
    """Whether a cell is null: None, NaN, ``pandas.NA``, ``NaT``."""
    if cell is None:
        return True
    if isinstance(cell, (float, np.floating)):
        return math.isnan(cell)
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return type(cell).__name__ in NULL_TYPE_NAMES


def check_sample_domain(sample_domain, n_rows, name):
    """Return the domains as an integer array of its own.

    Parameters
    ----------
    sample_domain : array-like of int of shape (n_rows,)
    n_rows : int
    name : str
        Class name for messages.

    Returns
    -------
    ndarray of shape (n_rows,), int64

    Raises
    ------
    ValueError
        If there is not one integer for each row.
    """
    domain = np.asarray(sample_domain)
    if domain.ndim != 1 or len(domain) != n_rows:
        raise ValueError(
            f"{name} got sample_domain of shape {domain.shape} for {n_rows} rows of X: "
            f"{SAMPLE_DOMAIN}; expected the shape ({n_rows},)."
        )
    if domain.dtype.kind == "O" and not any(is_null(value) for value in domain):
        domain = np.array(domain.tolist())
    is_whole = domain.dtype.kind in "iu" or (
        domain.dtype.kind == "f"
        and bool(np.isfinite(domain).all() and (domain == np.floor(domain)).all())
    )
    if not is_whole:
        raise ValueError(
            f"{name} got sample_domain with values {shorten(domain[:3].tolist())} of "
            f"dtype {domain.dtype}: {SAMPLE_DOMAIN}. Map names to numbers first, for "
            "example np.where(shop == 'ours', 0, -1)."
        )
    return domain.astype(np.int64)


def plain(value):
    """Return a NumPy scalar as Python's own, for messages; others as they are."""
    return value.item() if isinstance(value, np.generic) else value


def on_host(values):
    """Return a tensor, wherever it is, as an ndarray, and anything else as it is."""
    return values.detach().cpu().numpy() if is_tensor(values) else values


def dense(values):
    """Return an ndarray, also of a sparse matrix or a tensor."""
    values = on_host(values)
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def is_tensor(value):
    """Whether this is a tensor of torch, or of torchvision; imports neither."""
    classes = type(value).__mro__
    return any(c.__module__ == "torch" for c in classes) and hasattr(value, "cpu")


def shorten(value, width=80):
    """Return the repr of a value, without the middle of a long one."""
    if is_tensor(value):
        return f"<tensor of shape {tuple(value.shape)}, dtype {value.dtype}>"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, np.ndarray):
        return f"<array of shape {value.shape}, dtype {value.dtype}>"
    if isinstance(value, str) and len(value) > width:
        end = (width - 3) // 2  # of a path, the name of the file
        value = f"{value[:end]}...{value[-end:]}"
    text = repr(value)
    return text if len(text) <= width + 20 else text[: width - 3] + "..."


def is_integer(value):
    """Whether a value is an integer and not a bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
