"""An estimator that is fitted once to the same rows."""

import joblib
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import has_fit_parameter


def _has(name):
    return lambda self: hasattr(self.estimator, name)


class Once(BaseEstimator):
    """An estimator whose copies share what they have fitted.

    Cross-validation of a model that reads out-of-fold outputs asks for each model of
    all folds but two twice, and for each of all folds but one again at the end.

    Parameters
    ----------
    estimator : classifier or regressor
    kept : dict
        Fitted estimators by the content of their rows, shared by clones.
    """

    __metadata_request__fit = {"groups": True}

    def __init__(self, estimator, kept):
        self.estimator, self.kept = estimator, kept

    def __sklearn_clone__(self):
        return Once(self.estimator, self.kept)

    def fit(self, X, y, groups=None, **params):
        """Fit, or take the one that has been fitted."""
        if groups is not None and has_fit_parameter(self.estimator, "groups"):
            params["groups"] = groups
        key = joblib.hash((list(X), y, params))
        if key not in self.kept:
            self.kept[key] = clone(self.estimator).fit(X, y, **params)
        self.fitted_ = self.kept[key]
        return self

    @property
    def classes_(self):
        """Classes that the fitted one knows."""
        return self.fitted_.classes_

    @available_if(_has("decision_function"))
    def decision_function(self, X):
        """Return its decision function."""
        return self.fitted_.decision_function(X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X):
        """Return its probabilities."""
        return self.fitted_.predict_proba(X)

    def predict(self, X):
        """Return its predictions."""
        return self.fitted_.predict(X)

    def __sklearn_tags__(self):
        return get_tags(self.estimator)
