"""Models and scores by which encoders are compared."""

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import get_scorer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALPHAS = np.logspace(-1, 4, 6)
LOG_LOSS = "neg_log_loss"
LEAST = 1e-3  # probability of a class, so that no single row decides


def linear(task, n_outputs=1):
    """Return a linear model."""
    model = RidgeCV(ALPHAS)
    if task != "numbers":
        model = LogisticRegression(max_iter=1000)
    if task == "labels":
        model = OneVsRestClassifier(model)
    return make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), model
    )


def boosting(task, n_outputs=1):
    """Return boosted trees."""
    if task == "numbers":
        model = HistGradientBoostingRegressor(random_state=0)
        return model if n_outputs == 1 else MultiOutputRegressor(model)
    model = HistGradientBoostingClassifier(random_state=0)
    return model if task == "classes" else OneVsRestClassifier(model)


HEADS = {"linear": linear, "boosting": boosting}


def scorer_of(scoring, target):
    """Return the score that is asked for, or the one that suits the task."""
    if callable(scoring):
        return scoring
    name = score_name(scoring, target)
    return neg_log_loss if scoring is None and name == LOG_LOSS else get_scorer(name)


def score_name(scoring, target):
    """Return the name of that score."""
    if scoring is not None:
        return scoring if isinstance(scoring, str) else str(scoring)
    return "neg_root_mean_squared_error" if target.task == "numbers" else LOG_LOSS


def neg_log_loss(estimator, X, y):
    """Return the mean logarithm of the probability of what is so, per row.

    Unlike scikit-learn's, it is defined for classes that the estimator has not seen.
    """
    proba = np.asarray(estimator.predict_proba(X))
    if y.ndim == 1:
        whole = np.zeros((len(y), int(max(y.max(), estimator.classes_.max())) + 1))
        whole[:, estimator.classes_.astype(int)] = proba
        right = whole[np.arange(len(y)), y.astype(int)]
    else:
        right = np.where(y == 1, proba, 1 - proba)
    return float(np.log(np.clip(right, LEAST, None)).mean())
