"""LabelScore: `score` of scikit-learn, for labels in any form."""

from __future__ import annotations

from typing import Any

from .labels import read_labels
from .types import ArrayLike
from .validation import n_rows_of


class LabelScore:
    """Stand before `ClassifierMixin` or `RegressorMixin`.

    Their metrics stop at whole numbers in a column of objects and at decimals, which
    `fit` takes.
    """

    def score(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy of a classifier, or the R2 of a regressor.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            As in `predict`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True labels or numbers, in any form that `fit` takes.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            With several labels per row, a row counts as right only if all of them are.

        Raises
        ------
        ValueError
            If a label is missing.
        """
        y = read_labels(y, n_rows_of(X), type(self).__name__)
        return super().score(X, y, sample_weight=sample_weight)  # type: ignore[misc]
