"""Metrics by epoch: their names, and outputs as the estimator that scorers ask."""

from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer


def name_of(scoring):
    """Return the name that the history has for a scorer, behind train_ and valid_."""
    if isinstance(scoring, str):
        return scoring
    return getattr(scoring, "__name__", None) or repr(scoring)


def scorers_of(scoring, monitor):
    """Return the scorers of a fit by name.

    Parameters
    ----------
    scoring : str, callable, list of them, or None
        The parameter of the estimator.
    monitor : str or callable
        Score that early stopping watches; "loss" is no scorer.

    Raises
    ------
    ValueError
        If scikit-learn has no scorer of such a name.
    """
    named = list(scoring) if isinstance(scoring, (list, tuple)) else [scoring]
    return {
        name_of(one): get_scorer(one)
        for one in (*named, monitor)
        if one not in (None, "loss")
    }


class Scored(BaseEstimator):
    """An estimator whose predictions are there already.

    Parameters
    ----------
    codec : ClassCodec or NumberCodec
    outputs : ndarray of shape (n_samples, n_outputs)
    """

    def __init__(self, codec, outputs):
        self.codec, self.outputs = codec, outputs

    @property
    def classes_(self):
        """Labels."""
        return self.codec.classes

    def fit(self, X, y=None):
        """Do nothing: scikit-learn takes what has no `fit` for no estimator."""
        return self

    def predict(self, X):
        """Return labels or numbers, in the units of `y`."""
        return self.codec.decode(self.outputs)

    def predict_proba(self, X):
        """Return probabilities."""
        return self.codec.proba(self.outputs)

    def decision_function(self, X):
        """Return the outputs before the softmax; one column of two classes."""
        return self.codec.decision(self.outputs)

    def __sklearn_tags__(self):
        """Say whether it is a classifier or a regressor."""
        tags = super().__sklearn_tags__()
        is_numbers = self.codec.task == "numbers"
        tags.estimator_type = "regressor" if is_numbers else "classifier"
        return tags
