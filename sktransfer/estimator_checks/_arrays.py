"""scikit-learn's own checks, for estimators whose input is no matrix of numbers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if

from .._utils.names import set_module
from .._utils.types import Estimator

READS = ("image", "text", "frame", "domains")
# Methods whose first argument is X.
METHODS = (
    "fit",
    "partial_fit",
    "fit_transform",
    "transform",
    "predict",
    "predict_proba",
    "decision_function",
    "score",
)
LEARNING = ("fit", "partial_fit", "fit_transform")
TILE = 8  # pixels along the side of the square that a number becomes
THRESHOLDS = (-1.5, -0.5, 0.5, 1.5)  # a number becomes a word for each that it exceeds


@set_module("sktransfer.estimator_checks")
def as_array_estimator(
    estimator: Estimator,
    reads: Literal["image", "text", "frame", "domains"] | None = None,
) -> Any:
    """Return an estimator on which scikit-learn's own checks can run.

    Its class is a subclass with the same name and parameters. Its methods convert a
    matrix of numbers to the rows that the estimator reads. Other input, such as a 1-D
    array, is passed on unchanged.

    Parameters
    ----------
    estimator : estimator
        Instance to check; it is cloned.
    reads : {"image", "text", "frame", "domains"}, default=None
        Form to which a matrix is converted. "image" and "text" make one cell per row; a
        row with NaN becomes a null cell. "frame" makes a pandas DataFrame. "domains"
        does not change the matrix, but adds a ``sample_domain`` that marks half of the
        distinct rows of `fit` as target rows, and every row that `fit` did not see.
        None uses the estimator's ``_modality``, or "domains" if its `fit` takes
        ``sample_domain``.

    Returns
    -------
    estimator
        Estimator that is not fitted.

    Raises
    ------
    ValueError
        If `reads` is unknown, or is None and cannot be inferred from the estimator.

    See Also
    --------
    check_estimator : Checks of the cells, which scikit-learn's checks cannot make.

    Notes
    -----
    With "image" and "text" the tag ``no_validation`` is set, because the estimator gets
    no matrix: scikit-learn then skips its checks of the validation of a matrix. The tag
    ``poor_score`` is set for regressors, because a small network cannot reproduce the
    numbers from the cells.

    Examples
    --------
    >>> from sklearn.utils.estimator_checks import parametrize_with_checks
    >>> from sktransfer import CORALAdapter, TextEncoder
    >>> from sktransfer.estimator_checks import as_array_estimator
    >>> encoder = as_array_estimator(TextEncoder("tiny-bert"))
    >>> encoder.fit_transform([[0.0, 1.0], [2.0, -1.0]]).shape
    (2, 16)
    >>> @parametrize_with_checks([encoder, as_array_estimator(CORALAdapter())])
    ... def test_it_is_an_estimator(estimator, check):
    ...     check(estimator)
    """
    view: Any = clone(estimator)
    cls: Any = type(view)
    view.__class__ = _view(cls, _resolve_reads(estimator, reads))
    return view


def _resolve_reads(estimator: Any, reads: str | None) -> str:
    if reads is None:
        reads = getattr(estimator, "_modality", None)
        if reads is None and _takes_domains(estimator.fit):
            reads = "domains"
    if reads not in READS:
        raise ValueError(
            f"reads={reads!r} does not say what {type(estimator).__name__} reads; pass "
            f"one of {READS}."
        )
    return reads


@functools.cache
def _view(cls: Any, reads: str) -> type:
    """Return the subclass whose methods take matrices."""
    body: dict[str, Any] = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    for name in METHODS:
        if hasattr(cls, name):
            body[name] = _taking_matrices(cls, name, reads)

    def __reduce_ex__(self, protocol):
        # A pickle finds classes by name, and by that name it finds the other one.
        plain: Any = object.__new__(cls)
        plain.__dict__.update(self.__dict__)
        return _to_view, (plain, reads)

    def __sklearn_tags__(self):
        tags = cls.__sklearn_tags__(self)
        if reads in CELLS:
            tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
            tags.no_validation = True
            if tags.regressor_tags is not None:
                tags.regressor_tags.poor_score = True
        return tags

    body |= {"__reduce_ex__": __reduce_ex__, "__sklearn_tags__": __sklearn_tags__}
    return type(cls.__name__, (cls,), body)


def _to_view(plain, reads):
    plain.__class__ = _view(plain.__class__, reads)
    return plain


def _taking_matrices(cls, name, reads):
    """Return a method, present where the class has it, that converts its `X`."""
    inherited = getattr(cls, name)

    def own(self):
        # Of the instance: scikit-learn hides some methods by `available_if`.
        return getattr(super(_view(cls, reads), self), name)

    @functools.wraps(inherited)
    def method(self, X, *args, **kwargs):
        if reads == "domains":
            if _takes_domains(inherited) and "sample_domain" not in kwargs:
                kwargs["sample_domain"] = _domains(self, X, learn=name in LEARNING)
        else:
            X = CONVERTERS[reads](X)
        return own(self)(X, *args, **kwargs)

    return available_if(lambda self: own(self) is not None)(method)


def _takes_domains(method):
    return "sample_domain" in inspect.signature(method).parameters


def _numbers(X, *, allow_nan=False):
    """Return a matrix of finite numbers as float64, and None for anything else."""
    if isinstance(X, (str, bytes)) or hasattr(X, "toarray"):
        return None
    try:
        matrix = np.asarray(X)
        if matrix.ndim != 2 or matrix.size == 0 or matrix.dtype.kind not in "fiubO":
            return None
        matrix = matrix.astype(np.float64)
    except (TypeError, ValueError):
        return None
    is_wrong = np.isinf(matrix) if allow_nan else ~np.isfinite(matrix)
    return None if is_wrong.any() else matrix


def _as_cells(X, cell):
    """Return a list with a cell for each row, None where it has NaN."""
    matrix = _numbers(X, allow_nan=True)
    if matrix is None:
        return X
    return [None if np.isnan(row).any() else cell(row) for row in matrix]


def _image(row):
    """Return squares of grey, the brighter the greater a number is."""
    side = int(np.ceil(np.sqrt(len(row))))
    grid = np.zeros(side * side)
    grid[: len(row)] = 255 / (1 + np.exp(-np.clip(row, -30, 30)))
    pixels = grid.round().astype(np.uint8).reshape(side, side, 1).repeat(3, axis=2)
    return pixels.repeat(TILE, axis=0).repeat(TILE, axis=1)


def _text(row):
    """Return words, the more the greater a number is."""
    words = (
        f"x{i}above{threshold}"
        for i, value in enumerate(row)
        for threshold in range(sum(value > t for t in THRESHOLDS))
    )
    return " ".join(["row", *words])


def _frame(X):
    if hasattr(X, "columns") or hasattr(X, "toarray"):
        return X
    matrix = np.asarray(X)
    if matrix.ndim != 2:
        return X
    import pandas as pd

    return pd.DataFrame(matrix, columns=[f"x{i}" for i in range(matrix.shape[1])])


CELLS = {"image": _image, "text": _text}
CONVERTERS: dict[str, Callable[[Any], Any]] = {
    **{reads: functools.partial(_as_cells, cell=cell) for reads, cell in CELLS.items()},
    "frame": _frame,
}


def _domains(estimator, X, *, learn):
    """Return the domain of each row, by what is in it; None for what is no matrix."""
    matrix = _numbers(X)
    if matrix is None:
        return None
    if learn:
        # By rank, and two of four: neither the order of rows nor, among few, their
        # class goes with the domain.
        rows = np.unique(matrix, axis=0)
        estimator._source_rows = {
            row.tobytes() for i, row in enumerate(rows) if i % 4 in (0, 3)
        }
    known = getattr(estimator, "_source_rows", ())
    return np.array([0 if row.tobytes() in known else -1 for row in matrix])
