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
BRIER = "neg_brier_score"


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
    return neg_brier_score if scoring is None and name == BRIER else get_scorer(name)


def score_name(scoring, target):
    """Return the name of that score."""
    if scoring is not None:
        return scoring if isinstance(scoring, str) else str(scoring)
    return "neg_root_mean_squared_error" if target.task == "numbers" else BRIER


def neg_brier_score(estimator, X, y):
    """Return the mean squared error of the probabilities of all classes, negative.

    Unlike scikit-learn's, it is defined for classes that the estimator has not seen.
    Unlike the log loss, it has a bound, so that no few rows decide of which a model is
    too sure.
    """
    proba = np.asarray(estimator.predict_proba(X))
    truth = y
    if y.ndim == 1:
        seen, n_classes = estimator.classes_.astype(int), int(y.max()) + 1
        whole = np.zeros((len(y), max(n_classes, seen.max() + 1)))
        whole[:, seen] = proba
        proba, truth = whole, np.eye(whole.shape[1])[y.astype(int)]
    return -float(((proba - truth) ** 2).sum(axis=1).mean())
