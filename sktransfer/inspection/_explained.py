"""The number of a row that is explained: a probability, a score or a prediction."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_outlier_detector, is_regressor

from .._utils.validation import dense, plain, shorten

UNITS = {
    "predict_proba": "probability",
    "decision_function": "score",
    "predict": "prediction",
}


class Explained(NamedTuple):
    """Numbers that an estimator gives each row, and the one that is explained.

    Attributes
    ----------
    estimator : estimator
    method : str
        Its method that gives the numbers.
    names : list or None
        Class of each number; None where there are no classes.
    is_exclusive : bool
        True if a row has one class.
    places : ndarray of int of shape (n_samples,)
        Place of the explained number of each row.
    scores : ndarray of shape (n_samples,)
        The explained numbers.
    n_numbers : int
    """

    estimator: Any
    method: str
    names: list[Any] | None
    is_exclusive: bool
    places: np.ndarray
    scores: np.ndarray
    n_numbers: int

    def table(self, X):
        """Return the numbers of rows, floats of shape (n_samples, n_numbers)."""
        return table_of(self.estimator, self.method, self.names, X)

    @property
    def unit(self):
        """Name of the numbers."""
        return UNITS[self.method]

    @property
    def targets(self):
        """Class or number of the output that is explained, of each row."""
        if self.names is not None:
            return [self.names[place] for place in self.places]
        return [int(i) if self.n_numbers > 1 else None for i in self.places]


def explained(estimator, X, target, caller):
    """Find out which number of each row is to be explained.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : object
        Rows, as it takes them.
    target : label, array-like of labels, or None
        As for `AttributionDisplay.from_estimator`.
    caller : str
        Name for messages.

    Returns
    -------
    Explained

    Raises
    ------
    TypeError
        If the estimator gives rows neither a class nor a number.
    ValueError
        If a target is none of the estimator's, there is not one for each row, or the
        estimator predicts several numbers and none is chosen.
    """
    method, names = _numbers_of(estimator, caller)
    predicted = dense(estimator.predict(X))
    is_exclusive = names is not None and predicted.ndim == 1
    table = table_of(estimator, method, names, X)
    n_rows, n_numbers = table.shape
    if target is None and is_exclusive:
        target = predicted
    elif target is None and names is None and n_numbers > 1:
        raise ValueError(
            f"{caller}: the estimator predicts {n_numbers} numbers per row; choose one "
            f"with target=, from 0 to {n_numbers - 1}."
        )
    if target is None:  # of several labels the most probable; of one number, that
        places = table.argmax(axis=1)
    elif names is None and n_numbers == 1:
        raise ValueError(
            f"{caller}: target={shorten(target)} was given, and the estimator predicts "
            "one number per row; leave target=None."
        )
    else:
        known = range(n_numbers) if names is None else names
        places = _places(target, known, n_rows, caller)
    scores = table[np.arange(n_rows), places]
    return Explained(estimator, method, names, is_exclusive, places, scores, n_numbers)


def table_of(estimator, method, names, X):
    """Return what a method says of rows: floats of shape (n_samples, n_numbers)."""
    found = getattr(estimator, method)(X)
    if isinstance(found, list):  # of each label, the probabilities of no and yes
        found = np.column_stack([dense(one)[:, -1] for one in found])
    table = dense(found)
    if method == "predict" and names is not None and table.ndim == 1:
        table = table[:, None] == np.asarray(names)
    table = table.astype(np.float64)
    if table.ndim > 1:
        return table
    # A score of two classes is that of the second.
    return table[:, None] if names is None else np.column_stack([-table, table])


def _numbers_of(estimator, caller):
    """Return the method that gives an estimator's numbers, and their classes."""
    name = type(estimator).__name__
    if hasattr(estimator, "classes_") and (
        is_classifier(estimator) or hasattr(estimator, "predict_proba")
    ):
        classes = estimator.classes_
        if isinstance(classes, list):  # of several outputs
            if any(len(some) != 2 for some in classes):
                raise TypeError(
                    f"{caller}: {name} predicts {len(classes)} targets of several "
                    "classes each; expected one class per row, or yes-or-no labels. "
                    "Explain a model of each target by itself."
                )
            classes = np.arange(len(classes))
        # With neither, a class is 1 where it is predicted.
        methods = [m for m in UNITS if hasattr(estimator, m)]
        return methods[0], [plain(label) for label in classes]
    if is_regressor(estimator):
        return "predict", None
    if is_outlier_detector(estimator):
        return "decision_function", None
    raise TypeError(
        f"{caller} needs a classifier, a regressor or an outlier detector; got {name}, "
        "which predicts neither classes nor numbers. For an encoder, pass the pipeline "
        "that contains it."
    )


def _places(target, known, n_rows, caller):
    """Return the place of each row's target among those that are known."""
    if isinstance(target, (str, bytes)) or not hasattr(target, "__len__"):
        labels = [target] * n_rows
    else:
        labels = target.to_list() if hasattr(target, "to_list") else list(target)
        if len(labels) != n_rows:
            raise ValueError(
                f"{caller}: target has {len(labels)} entries for {n_rows} rows; "
                "expected one class for all rows, or one per row."
            )
    by_name = {name: place for place, name in enumerate(known)}
    labels = [plain(label) for label in labels]
    for label in labels:
        if label not in by_name:
            raise ValueError(
                f"{caller}: target={label!r} is not known; expected one of "
                f"{shorten(list(known))}."
            )
    return np.array([by_name[label] for label in labels], dtype=np.intp)
