"""Helpers of the checks: copies, fits, outputs, comparisons, parameters by name."""

import warnings
from unittest import SkipTest

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning

TOLERANCE = 1e-5


# -- copies and parameters -----------------------------------------------------------


def named(estimator, parameter):
    """Full names of the parameters called `parameter`, also those of inner steps."""
    names = estimator.get_params(deep=True)
    return [name for name in names if name.rpartition("__")[2] == parameter]


def require(estimator, *parameters):
    """Skip a check that is about parameters which the estimator does not have."""
    for parameter in parameters:
        if not named(estimator, parameter):
            raise SkipTest(f"not applicable: there is no parameter {parameter!r}")


def set_named(estimator, **values):
    """Set parameters by their last names, wherever they are found."""
    for parameter, value in values.items():
        full = named(estimator, parameter)
        estimator.set_params(**dict.fromkeys(full, value))
    return estimator


def prepared(estimator, *, cache=False, **values):
    """Return a copy with fixed random states and, unless asked for, no cache.

    Parameters
    ----------
    estimator : estimator
    cache : bool, default=False
        Keep the cache that the estimator has. Without one, a check cannot pass on
        vectors that an earlier check has left there.
    **values : object
        Other parameters to set, by their last names.
    """
    copy = set_named(clone(estimator), random_state=0)
    # A parameter called "cache" means ours only beside one called "backbone".
    if not cache and named(copy, "backbone"):
        set_named(copy, cache=None)
    return set_named(copy, **values)


def fitted(estimator, X, y=None, **values):
    """Return a fitted copy."""
    return fit(prepared(estimator, **values), X, y)


def fit(estimator, X, y=None):
    """Fit in place, with `y` where there is one, and return the estimator."""
    # What fit returns is looked at in one check; the others do not depend on it.
    if y is None:
        estimator.fit(X)
    else:
        estimator.fit(X, y)
    return estimator


def output(estimator, X):
    """Return what the estimator says of each row, as an array.

    That is `transform`, else `predict_proba`, else `predict`.
    """
    for method in ("transform", "predict_proba", "predict"):
        if hasattr(estimator, method):
            return as_array(getattr(estimator, method)(X))
    raise TypeError(
        f"{type(estimator).__name__} has none of transform, predict_proba and predict."
    )


def as_array(out):
    """Turn an array, frame or sparse matrix into an array."""
    if issparse(out):
        return out.toarray()
    return out.to_numpy() if hasattr(out, "to_numpy") else np.asarray(out)


def is_predictor(estimator):
    """Whether it is a classifier or a regressor."""
    return is_classifier(estimator) or is_regressor(estimator)


def linear_model():
    """Return a small model to put behind a transformer."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def class_names(estimator):
    """Names of the class and, for a composite, of the classes of its parts."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    names = {type(part).__name__ for part in parts if hasattr(part, "get_params")}
    return sorted(names)


# -- findings ------------------------------------------------------------------------


class Findings:
    """Collects what is wrong, so that one failure names all of it.

    Parameters
    ----------
    name : str
        Name of the estimator's class.
    rule : str
        Rule that was broken.
    advice : str
        Advice on what to do.
    """

    def __init__(self, name, rule, advice):
        self.name, self.rule, self.advice = name, rule, advice
        self.found = []

    def add(self, text):
        """Note one thing."""
        self.found.append(text)

    def report(self):
        """Fail, if anything was found."""
        if self.found:
            items = "".join(f"\n  - {text}" for text in self.found)
            raise AssertionError(f"{self.name}: {self.rule}{items}\n{self.advice}")


def difference(got, want):
    """Say how two outputs differ, or return None if they agree.

    Numbers may differ by 1e-5 of the largest, because networks add up in another order
    when shapes change.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"the shape is {got.shape}, expected {want.shape}"
    if got.dtype.kind not in "fiub" or want.dtype.kind not in "fiub":
        n = int((got != want).sum())
        return f"{n} of {got.size} values differ" if n else None
    got, want = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isnan(got), np.isnan(want)):
        return "NaN stands in other places"
    scale = np.nanmax(np.abs(want), initial=0.0)
    gaps = np.abs(got - want).reshape(len(got), -1)
    gap = np.nanmax(gaps, initial=0.0)
    if gap <= TOLERANCE * scale:
        return None
    bad = int((np.nanmax(gaps, axis=1, initial=0.0) > TOLERANCE * scale).sum())
    share = gap / scale if scale else gap
    return f"{bad} of {len(got)} rows differ, by {share:.2g} of the largest value"


def unclear(call, about):
    """Say what is wrong with the error of a call, or return None if it is clear.

    Parameters
    ----------
    call : callable
        Should raise a ValueError or TypeError.
    about : list of str
        The message should have one of these.
    """
    try:
        with warnings.catch_warnings():
            # What is warned of on the way to an error is not what is looked at here.
            warnings.simplefilter("ignore", ConvergenceWarning)
            call()
    except (ValueError, TypeError) as err:
        if any(part in str(err) for part in about):
            return None
        kind, message = type(err).__name__, shortened(err)
        return f"{kind} that says none of {about}: {message}"
    except Exception as err:
        return f"{type(err).__name__}, which is no ValueError or TypeError: " + (
            shortened(err)
        )
    return "no error"


def shortened(err, width=160):
    """Return an error's message on one line, cut to `width` characters."""
    text = " ".join(str(err).split())
    return text if len(text) <= width else text[: width - 3] + "..."
