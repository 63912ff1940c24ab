"""Predictions of a classifier as probabilities of its classes."""

import numpy as np

TINY = 1e-12  # below it the logarithm of a belief is not looked at


def class_beliefs(estimator, X, name="PseudoLabels", params=None):
    """Return probabilities, or what they would be if decisions were log-odds.

    Parameters
    ----------
    estimator : classifier
        Fitted.
    X : ndarray of shape (n_samples, n_features)
    name : str, default="PseudoLabels"
        Asks for them, for messages.
    params : dict, default=None
        Metadata for the method that is called.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Raises
    ------
    TypeError
        If the estimator has neither.
    ValueError
        If its decisions are not one value for each class.
    """
    params = params or {}
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X, **params), dtype=float)
    if not hasattr(estimator, "decision_function"):
        raise TypeError(
            f"{name} needs an estimator with predict_proba or decision_function; got "
            f"{type(estimator).__name__}. Use another estimator, or an adapter that "
            'needs neither, such as adapter=["normalize", "coral"].'
        )
    decisions = np.asarray(estimator.decision_function(X, **params), dtype=float)
    if decisions.ndim == 1:
        decisions = np.column_stack([-decisions / 2, decisions / 2])
    elif not _is_by_class(estimator, decisions, X):
        raise ValueError(
            f"{name} needs one decision value for each of the "
            f"{len(estimator.classes_)} classes, the greatest for the predicted class. "
            f"{type(estimator).__name__} gives other values, such as one for each pair "
            'of classes. Use decision_function_shape="ovr" or an estimator with '
            "predict_proba."
        )
    decisions = np.exp(decisions - decisions.max(axis=1, keepdims=True))
    return decisions / decisions.sum(axis=1, keepdims=True)


def log_beliefs(estimator, X, name, params=None):
    """Return the logarithms of `class_beliefs`, none of them infinite."""
    return np.log(np.maximum(class_beliefs(estimator, X, name, params), TINY))


def _is_by_class(estimator, decisions, X):
    """Whether there is one decision for each class."""
    if decisions.shape[1] != len(estimator.classes_):
        return False
    if decisions.shape[1] != 3:
        return True
    # Three classes have three pairs. The greatest is the prediction, but for ties.
    named = estimator.classes_[decisions.argmax(axis=1)]
    return np.mean(named == estimator.predict(X)) > 0.8
