"""Metrics by epoch: their names, and outputs as the estimator that scorers ask."""

from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils.metaestimators import available_if

TAKEN = ("loss", "batch_count")


def name_of(scoring):
    """Return the name that the history has for a scorer, behind train_ and valid_."""
    if isinstance(scoring, str):
        return scoring
    return getattr(scoring, "__name__", None) or repr(scoring)


def scorers_of(scoring, monitor, caller):
    """Return the scorers of a fit by name.

    Parameters
    ----------
    scoring : str, callable, list of them, or None
        The parameter of the estimator.
    monitor : str or callable
        Score that early stopping watches; "loss" is no scorer.
    caller : str
        Class name for messages.

    Raises
    ------
    ValueError
        If scikit-learn has no scorer of such a name, if a function is a metric and no
        scorer, or if two have one name.
    """
    named = [] if scoring is None else scoring
    named = list(named) if isinstance(named, (list, tuple)) else [named]
    if monitor != "loss":
        named.append(monitor)
    asked: dict = {}
    for one in named:
        name = name_of(one)
        if name in TAKEN or asked.setdefault(name, one) != one:
            raise ValueError(
                f"{caller}: scoring has the name {name!r} twice, or it is one of "
                f"{TAKEN}, which history_ uses itself. Rename the function."
            )
    return {
        name: get_scorer(one) if isinstance(one, str) else check_scoring(Scored(), one)
        for name, one in asked.items()
    }


def _has_classes(scored):
    return scored.codec.task != "numbers"


class Scored(BaseEstimator):
    """An estimator whose predictions are there already.

    Parameters
    ----------
    codec : ClassCodec or NumberCodec
    outputs : ndarray of shape (n_samples, n_outputs)
    """

    def __init__(self, codec=None, outputs=None):
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

    @available_if(_has_classes)
    def predict_proba(self, X):
        """Return probabilities."""
        return self.codec.proba(self.outputs)

    @available_if(_has_classes)
    def decision_function(self, X):
        """Return the outputs before the softmax; one column of two classes."""
        return self.codec.decision(self.outputs)

    def __sklearn_tags__(self):
        """Say whether it is a classifier or a regressor."""
        tags = super().__sklearn_tags__()
        is_numbers = self.codec.task == "numbers"
        tags.estimator_type = "regressor" if is_numbers else "classifier"
        return tags
