"""From what the caller calls a target to what a loss takes, and back."""

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target

from .._utils.labels import read_labels
from .._utils.names import on_disk
from .._utils.validation import dense, plain


@on_disk
class ClassCodec:
    """Classes of any labels, or several yes-or-no labels a row.

    Parameters
    ----------
    classes : ndarray
        Sorted; for several labels the numbers of the columns.
    is_multilabel : bool
    """

    def __init__(self, classes, is_multilabel):
        self.classes, self.is_multilabel = classes, is_multilabel
        self.task = "labels" if is_multilabel else "classes"
        self.n_outputs = len(classes)

    @classmethod
    def learn(cls, y, name):
        """Learn the classes.

        Raises
        ------
        ValueError
            If `y` is no classification target, or has one class only.
        """
        y = read_labels(y, len(y), name)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind == "multilabel-indicator":
            if not np.isin(y, (0, 1)).all():
                raise ValueError(
                    f"{name}: a y of several columns must hold 0 and 1; got "
                    f"{np.unique(y)[:5]}."
                )
            return cls(np.arange(np.shape(y)[1]), True)
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                f"Unknown label type: {name} got a target of kind {kind!r}; expected "
                "one class a row, or an indicator matrix of labels. For numbers "
                f"use {name.replace('Classifier', 'Regressor')}."
            )
        classes = np.unique(np.asarray(y))
        if len(classes) < 2:
            raise ValueError(
                f"{name} needs rows of at least 2 classes; got 1 class: "
                f"{plain(classes[0])!r}."
            )
        return cls(classes, False)

    def encode(self, y):
        """Return class indices, or indicators.

        Raises
        ------
        ValueError
            If there is a class that was not learned.
        """
        if self.is_multilabel:
            y = dense(y)
            if y.shape[1] != self.n_outputs:
                raise ValueError(
                    f"y has {y.shape[1]} labels; fit saw {self.n_outputs}."
                )
            return y.astype(np.float32)
        y = np.asarray(y)
        unseen = np.setdiff1d(np.unique(y), self.classes)
        if len(unseen):
            raise ValueError(
                f"y has classes that were not there at the first call: {unseen[:5]}; "
                f"known are {self.classes}. Pass all of them as classes= to the first "
                "partial_fit, or fit again."
            )
        return np.searchsorted(self.classes, y).astype(np.int64)

    def weights(self, y, class_weight):
        """Return a weight for each row."""
        y = dense(y)
        if class_weight is None:
            return np.ones(len(y))
        if isinstance(class_weight, dict):
            if self.is_multilabel:
                raise ValueError(
                    f"class_weight={class_weight!r} is of classes, and y has several "
                    "labels per row; use class_weight='balanced' or None, or weigh "
                    "rows with sample_weight."
                )
            wrong = {k: v for k, v in class_weight.items() if not 0 <= v < np.inf}
            if wrong:
                raise ValueError(
                    f"class_weight={class_weight!r} must have finite weights of at "
                    f"least 0; got {wrong}."
                )
        return compute_sample_weight(class_weight, y)

    def proba(self, outputs):
        """Return probabilities."""
        from scipy.special import expit, softmax

        if self.is_multilabel:
            return expit(outputs)
        return softmax(outputs.astype(np.float64), axis=1)

    def mean_of(self, encoded, weights):
        """Return the share of rows that each class or label has."""
        if self.is_multilabel:
            return np.average(encoded, axis=0, weights=weights)
        counts = np.bincount(encoded, weights, minlength=self.n_outputs)
        return counts / counts.sum()

    def outputs_of(self, mean):
        """Return the outputs of a row of which nothing but these shares is known."""
        if self.is_multilabel:
            share = mean.clip(1e-6, 1 - 1e-6)
            return np.log(share / (1 - share)).astype(np.float32)
        return np.log(np.maximum(mean, 1e-12)).astype(np.float32)

    def decode(self, outputs):
        """Return labels."""
        if self.is_multilabel:
            return (outputs > 0).astype(int)
        return self.classes[outputs.argmax(axis=1)]


@on_disk
class NumberCodec:
    """One number a row or several, scaled to mean 0 and standard deviation 1.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_outputs,)
    is_flat : bool
        Whether `y` had one dimension.
    """

    task = "numbers"

    def __init__(self, mean, scale, is_flat):
        self.mean, self.scale, self.is_flat = mean, scale, is_flat
        self.n_outputs = len(mean)

    @classmethod
    def learn(cls, y, weight, name):
        """Learn the scale, of rows with weights.

        Raises
        ------
        ValueError
            If `y` is not made of finite numbers.
        """
        y = _as_numbers(y, name)
        table = y.reshape(len(y), -1)
        mean = np.average(table, axis=0, weights=weight)
        scale = np.sqrt(np.average((table - mean) ** 2, axis=0, weights=weight))
        scale[scale == 0] = 1.0
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError(
                f"{name}: the numbers in y are too large to be scaled, up to "
                f"{np.abs(y).max():.2g}. Divide them first."
            )
        return cls(mean, scale, y.ndim == 1)

    def encode(self, y):
        """Return scaled numbers ``(n_samples, n_outputs)``."""
        y = _as_numbers(y, "partial_fit").reshape(len(y), -1)
        if y.shape[1] != self.n_outputs:
            raise ValueError(f"y has {y.shape[1]} columns; fit saw {self.n_outputs}.")
        return ((y - self.mean) / self.scale).astype(np.float32)

    def weights(self, y, class_weight):
        """Return a weight of 1 for each row."""
        return np.ones(len(y))

    def mean_of(self, encoded, weights):
        """Return the mean of the rows."""
        return np.average(encoded, axis=0, weights=weights)

    def outputs_of(self, mean):
        """Return the outputs of a row of which nothing but this mean is known."""
        return mean.astype(np.float32)

    def decode(self, outputs):
        """Return numbers in the units of `y`."""
        numbers = outputs.astype(np.float64) * self.scale + self.mean
        return numbers[:, 0] if self.is_flat else numbers


def _as_numbers(y, name):
    try:
        y = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValueError(f"{name}: y must be numbers ({err}).") from err
    if y.ndim not in (1, 2):
        raise ValueError(f"{name}: y must have 1 or 2 dimensions; got {y.ndim}.")
    if not np.isfinite(y).all():
        raise ValueError(f"{name}: Input y contains NaN or infinity.")
    return y
