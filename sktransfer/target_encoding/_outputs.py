"""What a model says of rows, as one row of columns for each row."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.multiclass import type_of_target

from .._utils.validation import dense, is_integer, n_rows_of

SMALLEST_SHARE = 1e-3  # a forest's 0 is no certainty, and its logarithm no number


class Columns(NamedTuple):
    """What comes out.

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
            f"TargetAwareEncoder: y has {y.shape[1]} columns of several classes "
            f"each, of which output={output!r} can say nothing; use one "
            "encoder for each, or output='predictions'."
        )
    if not can_classify or kind not in ("binary", "multiclass"):
        names = ["prediction"] if y.ndim == 1 else map(str, range(y.shape[1]))
        return Columns(output, None, list(names))
    classes = np.unique(y)
    if output == "predictions":
        if classes.dtype.kind not in "biuf":
            raise ValueError(
                "TargetAwareEncoder: output='predictions' of classes that are "
                f"no numbers ({classes[:3]}) cannot be features; use "
                "output='logits' or 'proba'."
            )
        return Columns(output, classes, ["prediction"])
    named = classes[1:] if len(classes) == 2 else classes
    return Columns(output, classes, [str(label) for label in named])


def resolve_output(estimator, output):
    """Return the output that "auto" stands for."""
    if output != "auto":
        return output
    return "logits" if is_classifier(estimator) else "predictions"


def method_for(estimator, output):
    """Return the name of the method that gives an output."""
    if output == "predictions":
        return "predict"
    if output == "logits" and hasattr(estimator, "decision_function"):
        return "decision_function"
    return "predict_proba"


def outputs_of(model, X, *, output, classes, params):
    """Return the outputs of a model in the columns of all classes.

    Parameters
    ----------
    model : estimator
        Fitted. One whose rows had a single class needs nothing but `classes_`.
    X : as the model takes it
    output : {"logits", "proba", "predictions"}
    classes : ndarray or None
        All classes, sorted; None unless `y` is one class per row. A model of a fold may
        lack some of them.
    params : dict
        Metadata of these rows, for the method.

    Returns
    -------
    float64 ndarray of shape (n_samples, n_columns)

    Raises
    ------
    TypeError
        If the model has no method that gives them.
    ValueError
        If they do not belong to classes one by one.
    """
    if classes is not None and len(model.classes_) == 1:  # all that its fold had
        n_rows = n_rows_of(X)
        if output == "predictions":
            return np.full((n_rows, 1), float(model.classes_[0]))
        return np.tile(_certain(model.classes_[0], output, classes), (n_rows, 1))
    method = method_for(model, output)
    if method == "predict":
        outputs = dense(model.predict(X, **params)).astype(np.float64)
        return outputs.reshape(len(outputs), -1)
    if method == "decision_function":
        outputs = dense(model.decision_function(X, **params)).astype(np.float64)
    elif hasattr(model, "predict_proba"):
        outputs = model.predict_proba(X, **params)
        if isinstance(outputs, list):  # one table for each label
            outputs = np.column_stack(
                [_positive(table, model, i) for i, table in enumerate(outputs)]
            )
        elif classes is not None and len(model.classes_) == 2:
            outputs = outputs[:, 1]
        outputs = dense(outputs).astype(np.float64)
        if output == "logits":
            outputs = np.clip(outputs, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
            is_odds = outputs.ndim == 1 or classes is None
            outputs = np.log(outputs / (1 - outputs) if is_odds else outputs)
    else:
        raise TypeError(
            f"TargetAwareEncoder: {type(model).__name__} has no predict_proba, "
            f"which output={output!r} needs; use another output or estimator."
        )
    if classes is None:
        return outputs
    return _all_classes(model, outputs, classes, is_share=output == "proba")


def saying_nothing(output, n_columns, classes):
    """Return the output of a row that no model may speak of.

    It must not depend on `y`: log-odds of 0, equal probabilities, and NaN where a
    prediction has the unit of the target, in which no number says nothing.
    """
    if output == "predictions":
        return np.nan
    if output == "logits":
        return 0.0
    return 0.5 if classes is None or n_columns == 1 else 1 / n_columns


def _certain(label, output, classes):
    """Return the columns of a row that is of a class for certain."""
    share = (classes == label).astype(np.float64)
    is_binary = len(share) == 2
    if output == "logits":
        share = np.clip(share, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
        share = np.log(share / (1 - share) if is_binary else share)
        if not is_binary:
            share -= share.mean()
    return share[1:] if is_binary else share


def _all_classes(model, outputs, classes, is_share):
    """Put outputs into the columns of all classes; a fold may lack some."""
    if len(classes) == 2:
        return outputs.reshape(len(outputs), 1)
    known = np.searchsorted(classes, model.classes_)
    if outputs.ndim == 1:  # this fold has two classes of several
        first = 1 - outputs if is_share else -outputs / 2
        outputs = np.column_stack([first, outputs if is_share else outputs / 2])
    if outputs.shape[1] != len(known):
        raise ValueError(
            f"TargetAwareEncoder: {type(model).__name__} gives {outputs.shape[1]} "
            f"columns for {len(known)} classes; use output='proba', or "
            "decision_function_shape='ovr' of an SVC."
        )
    table = np.zeros((len(outputs), len(classes)))
    if not is_share:
        table[:] = outputs.min(axis=1, keepdims=True)
    table[:, known] = outputs
    return table if is_share else table - table.mean(axis=1, keepdims=True)


def _positive(table, model, label):
    """Return the probability of a label, where all rows may have or lack it."""
    if table.shape[1] > 1:
        return table[:, 1]
    return np.full(len(table), float(model.classes_[label][0] > 0))


def name_of(X):
    """Return the name of the one column of `X`; None of several or without one."""
    names = getattr(X, "columns", None)
    if names is not None and not is_integer(names):
        return names[0] if len(names) == 1 and isinstance(names[0], str) else None
    name = getattr(X, "name", None)
    return name if isinstance(name, str) and name else None


def learn_columns(estimator, X):
    """Set how many columns an estimator saw, and their names if it saw a frame."""
    shape = getattr(X, "shape", ())
    estimator.n_features_in_ = shape[-1] if len(shape) == 2 else 1
    estimator.__dict__.pop("feature_names_in_", None)
    names = list(getattr(X, "columns", ()))
    if names and all(isinstance(name, str) for name in names):
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
