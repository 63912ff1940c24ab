"""Codecs: from the targets of a caller to those of a loss, and back."""

from numbers import Real

import numpy as np
from sklearn.utils.multiclass import type_of_target

from .._utils.labels import read_labels
from .._utils.names import on_disk
from .._utils.validation import dense, plain, shorten


@on_disk
class ClassCodec:
    """Classes of any labels, or several yes-or-no labels per row.

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
                "one class per row, or an indicator matrix of labels. For numbers "
                f"use {name.replace('Classifier', 'Regressor')}."
            )
        classes = np.unique(np.asarray(y))
        if len(classes) < 2:
            raise ValueError(
                f"{name} needs rows of at least 2 classes; got 1 class: "
                f"{plain(classes[0])!r}."
            )
        return cls(classes, False)

    def encode(self, y, names=None):
        """Return class indices, or indicators.

        Parameters
        ----------
        y : ndarray
            Labels of rows.
        names : ndarray of object, default=None
            Names of its columns.

        Raises
        ------
        ValueError
            If there is a class that was not learned, or if columns are others.
        """
        if self.is_multilabel:
            y = dense(y)
            if y.ndim != 2 or y.shape[1] != self.n_outputs:
                n_labels = y.shape[1] if y.ndim == 2 else "no"
                raise ValueError(
                    f"y has {n_labels} labels per row; the first y had "
                    f"{self.n_outputs}."
                )
            known = self.classes
            if names is not None and known.dtype == object and list(names) != [*known]:
                raise ValueError(
                    f"y has the columns {shorten(list(names))}; the first y had "
                    f"{shorten([*known])}. Bring them into that order."
                )
            if not np.isin(y, (0, 1)).all():
                raise ValueError(
                    f"a y of several columns must hold 0 and 1; got {np.unique(y)[:5]}."
                )
            return y.astype(np.float32)
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(
                f"y has the shape {y.shape}; the first y had one class per row."
            )
        unseen = np.setdiff1d(np.unique(y), self.classes)
        if len(unseen):
            raise ValueError(
                f"y has classes that the first call did not have: {unseen[:5]}; the "
                f"known classes are {self.classes}. Pass all of them as classes= to "
                "the first partial_fit, or fit again."
            )
        return np.searchsorted(self.classes, y).astype(np.int64)

    def counts_of(self, encoded):
        """Return how many rows each class has, or each label."""
        if self.is_multilabel:
            return encoded.sum(0).astype(np.int64)
        return np.bincount(encoded, minlength=self.n_outputs)

    def check_weight(self, class_weight, name):
        """Refuse a `class_weight` of classes that there are not, or of another form.

        Raises
        ------
        ValueError
        """
        if class_weight is None or isinstance(class_weight, str):
            return
        dicts = class_weight if isinstance(class_weight, list) else [class_weight]
        if isinstance(class_weight, list):
            is_for_each = self.is_multilabel and len(class_weight) == self.n_outputs
            if not is_for_each or not all(isinstance(one, dict) for one in dicts):
                raise ValueError(
                    f"{name}: class_weight is a list of {len(class_weight)}; expected "
                    "a dict of classes, or for several labels per row a list of a dict "
                    "{0: weight, 1: weight} for each label."
                )
            keys = [key for one in class_weight for key in one if key not in (0, 1)]
            known = [0, 1]
        else:
            known = [plain(label) for label in self.classes]
            keys = [key for key in class_weight if plain(key) not in known]
        if keys:
            raise ValueError(
                f"{name}: class_weight has weights for {shorten(keys)}, but y has only "
                f"{shorten(known)}. Correct these keys, or leave them out."
            )
        wrong = {
            key: value
            for one in dicts
            for key, value in one.items()
            if not isinstance(value, Real) or not 0 <= float(value) < np.inf
        }
        if wrong:
            raise ValueError(
                f"{name}: class_weight={class_weight!r} must have finite weights of at "
                f"least 0; got {wrong}."
            )

    def check_classes(self, classes, name):
        """Refuse other classes at a later call than at the first.

        Raises
        ------
        ValueError
        """
        if classes is None:
            return
        asked = [plain(label) for label in np.asarray(classes).tolist()]
        known = [plain(label) for label in self.classes.tolist()]
        if set(asked) != set(known):
            raise ValueError(
                f"{name}: classes={shorten(asked)} differs from the first call's "
                f"{shorten(known)}. Leave it out, or fit again."
            )

    def row_weights(self, encoded, counts, class_weight):
        """Return a weight for each row, by its class; labels have weights of their own.

        Parameters
        ----------
        encoded : ndarray
        counts : ndarray
            Rows of each class, also of earlier calls.
        class_weight : dict, "balanced" or None
        """
        if self.is_multilabel:
            return np.ones(len(encoded))
        return self.weights_of_classes(counts, class_weight)[encoded]

    def weights_of_classes(self, counts, class_weight):
        """Return the weight of each class; None for labels, which have two each."""
        if self.is_multilabel:
            return None
        if class_weight is None:
            return np.ones(self.n_outputs)
        if isinstance(class_weight, str):
            return counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return self._by_class(class_weight)

    def label_weights(self, counts, n_rows, class_weight):
        """Return the weights of rows without each label and with it; None for one.

        Parameters
        ----------
        counts : ndarray
            Rows of each label, also of earlier calls.
        n_rows : int
            All rows that were counted.
        class_weight : dict, list of dict, "balanced" or None

        Returns
        -------
        ndarray of shape (2, n_labels) or None
        """
        if class_weight is None or not self.is_multilabel:
            return None
        if isinstance(class_weight, str):
            both = np.stack([n_rows - counts, counts])
            has_both = (both > 0).all(0)  # a label that all rows have, or none
            return np.where(has_both, n_rows / (2 * np.maximum(both, 1)), 1.0)
        if isinstance(class_weight, list):
            pairs = [[one.get(0, 1.0), one.get(1, 1.0)] for one in class_weight]
            return np.array(pairs, np.float64).T
        return np.stack([np.ones(self.n_outputs), self._by_class(class_weight)])

    def _by_class(self, class_weight):
        weights = {plain(label): weight for label, weight in class_weight.items()}
        found = [weights.get(plain(label), 1.0) for label in self.classes]
        return np.array(found, np.float64)

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

    def decision(self, outputs):
        """Return the outputs; of two classes one number."""
        if not self.is_multilabel and outputs.shape[1] == 2:
            return outputs[:, 1] - outputs[:, 0]
        return outputs

    def choose(self, outputs):
        """Return class numbers, or indicators of labels."""
        if self.is_multilabel:
            return (outputs > 0).astype(int)
        return outputs.argmax(axis=1)

    def decode(self, outputs):
        """Return labels."""
        return self.labels_of(self.choose(outputs))

    def labels_of(self, encoded):
        """Return the labels that class numbers stand for; indicators as integers."""
        return encoded.astype(int) if self.is_multilabel else self.classes[encoded]


@on_disk
class NumberCodec:
    """One number per row or several, scaled to mean 0 and standard deviation 1.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_outputs,)
    is_flat : bool
        True if `y` had one dimension.
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

    def encode(self, y, names=None):
        """Return scaled numbers ``(n_samples, n_outputs)``."""
        y = _as_numbers(y, "A later y").reshape(len(y), -1)
        if y.shape[1] != self.n_outputs:
            raise ValueError(
                f"y has {y.shape[1]} columns; the first y had {self.n_outputs}."
            )
        return ((y - self.mean) / self.scale).astype(np.float32)

    def counts_of(self, encoded):
        """Return the number of rows: numbers have no classes."""
        return np.array([len(encoded)])

    def check_weight(self, class_weight, name):
        """Take None."""

    def check_classes(self, classes, name):
        """Take None."""

    def row_weights(self, encoded, counts, class_weight):
        """Return a weight of 1 for each row."""
        return np.ones(len(encoded))

    def weights_of_classes(self, counts, class_weight):
        """Return None: there are no classes."""

    def label_weights(self, counts, n_rows, class_weight):
        """Return None: there are no labels."""

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

    labels_of = decode

    def choose(self, outputs):
        """Return the outputs: scaled numbers."""
        return outputs

    proba = choose


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
