"""Target: what is to be predicted, as scores of features take it."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.multiclass import type_of_target

from .._utils.labels import read_labels
from .._utils.validation import plain

TASKS = ("auto", "classes", "labels", "numbers")


class Target(NamedTuple):
    """Target of a prediction.

    Attributes
    ----------
    task : {"classes", "labels", "numbers"}
    values : ndarray
        Class indices ``(n,)``; indicators or numbers ``(n, n_outputs)``.
    """

    task: str
    values: np.ndarray

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.values)

    def of(self, rows):
        """Return the target of some rows, whose classes are numbered anew."""
        part = self.part(rows)
        if self.task == "classes":
            return Target(self.task, np.unique(part.values, return_inverse=True)[1])
        return part

    def part(self, rows):
        """Return the target of some rows, as it is."""
        return Target(self.task, self.values[rows])

    def varies(self):
        """Whether there is something to tell apart."""
        return bool((np.ptp(self.values, axis=0) > 0).any())

    def columns(self):
        """Return what LogME explains: a column for each class, label or number.

        Numbers are standardised, because the evidence depends on their unit.
        """
        if self.task == "classes":
            return np.eye(self.values.max() + 1)[self.values]
        values = self.values.astype(np.float64)
        values = values[:, np.ptp(values, axis=0) > 0]
        if self.task == "numbers":
            values = (values - values.mean(axis=0)) / values.std(axis=0)
        return values


def as_target(y, *, task, caller):
    """Read a target.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    task : {"auto", "classes", "labels", "numbers"}
        "auto" goes by scikit-learn's ``type_of_target``.
    caller : str
        For messages.

    Returns
    -------
    Target

    Raises
    ------
    ValueError
        If `y` is no target of that task, or does not vary.
    """
    if task not in TASKS:
        raise ValueError(f"{caller}: task={task!r} must be one of {TASKS}.")
    y = read_labels(y, np.shape(y)[0], caller)
    if task == "auto":
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"{caller}: y has {y.shape[1]} columns of several classes each; "
                "expected one class per row, an indicator matrix of labels, or numbers "
                "(task='numbers')."
            )
        names = {"multilabel-indicator": "labels"}
        task = "numbers" if kind.startswith("continuous") else names.get(kind)
        task = task or "classes"
    if task == "classes":
        if y.ndim > 1 and y.shape[1] > 1:
            raise ValueError(
                f"{caller}: task='classes' needs one class per row; got y of shape "
                f"{y.shape}. Use task='labels' for an indicator matrix."
            )
        classes, values = np.unique(y.ravel(), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"{caller} needs rows of at least 2 classes; got 1 class: "
                f"{plain(classes[0])!r}."
            )
        return Target(task, values)
    try:
        numbers = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    except (TypeError, ValueError) as err:
        raise ValueError(
            f"{caller}: task={task!r} needs numbers in y ({err})."
        ) from err
    if task == "labels" and not np.isin(numbers, (0, 1)).all():
        raise ValueError(f"{caller}: task='labels' needs 0 and 1 in y.")
    if not (np.ptp(numbers, axis=0) > 0).any():
        raise ValueError(f"{caller}: y is the same in all {len(y)} rows.")
    return Target(task, numbers.astype(int) if task == "labels" else numbers)
