"""Columns of input and output, and their names."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.multiclass import type_of_target

from .._utils.validation import is_integer


class Columns(NamedTuple):
    """Output columns.

    Attributes
    ----------
    output : {"logits", "proba", "predictions"}
    classes : ndarray or None
        All classes, where there is one per row.
    suffixes : list of str
        Ends of the names, one for each column.
    """

    output: str
    classes: Any
    suffixes: list[str]


def columns_of(estimator, output, y):
    """Say which columns come out.

    Raises
    ------
    ValueError
        If an estimator or target has no such output.
    """
    can_classify, asked = is_classifier(estimator), output
    output = resolve_output(estimator, output)
    if output != "predictions" and not can_classify:
        raise ValueError(
            f"TargetAwareEncoder: output={asked!r} needs a classifier; got "
            f"{type(estimator).__name__}. Use output='predictions'."
        )
    kind = type_of_target(y, input_name="y")
    if kind == "multiclass-multioutput" and output != "predictions":
        raise ValueError(
            f"TargetAwareEncoder: y has {y.shape[1]} columns of several classes each, "
            f"for which output={output!r} is not defined; use one encoder per column, "
            "or output='predictions'."
        )
    if not can_classify or kind not in ("binary", "multiclass"):
        names = ["prediction"] if y.ndim == 1 else map(str, range(y.shape[1]))
        return Columns(output, None, list(names))
    classes = np.unique(y)
    if output == "predictions":
        if classes.dtype.kind not in "biuf":
            raise ValueError(
                "TargetAwareEncoder: output='predictions' needs numbers, but the "
                f"classes are not ({classes[:3]}); use output='logits' or 'proba'."
            )
        return Columns(output, classes, ["prediction"])
    named = classes[1:] if len(classes) == 2 else classes
    return Columns(output, classes, [str(label) for label in named])


def resolve_output(estimator, output):
    """Return the output that "auto" stands for."""
    if output != "auto":
        return output
    return "logits" if is_classifier(estimator) else "predictions"


def name_of(X):
    """Return the name of the one column of `X`; None of several or without one."""
    names = getattr(X, "columns", None)
    if names is not None and not is_integer(names):
        return names[0] if len(names) == 1 and isinstance(names[0], str) else None
    name = getattr(X, "name", None)
    return name if isinstance(name, str) and name else None


def learn_columns(estimator, X):
    """Set how many columns an estimator saw, and their names if it saw a frame."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    estimator.n_features_in_ = shape[-1] if len(shape) == 2 else 1
    estimator.__dict__.pop("feature_names_in_", None)
    names = list(getattr(X, "columns", ()))
    if names and all(isinstance(name, str) for name in names):
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
