"""Outputs of a model, as columns."""

import numpy as np

from .._utils.validation import dense, n_rows_of

SMALLEST_SHARE = 1e-3  # a forest's 0 is no certainty, and its logarithm no number


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
