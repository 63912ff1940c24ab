"""Checks of what happens before `fit`: nothing but storing parameters."""

import contextlib
import dataclasses
import itertools
import pickle
from unittest import SkipTest

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr

from ..backbones import Backbone, BackboneSpec
from ._helpers import (
    Findings,
    difference,
    fit,
    fitted,
    is_predictor,
    named,
    output,
    prepared,
    shortened,
)
from ._inputs import N_ROWS
from ._watching import watched

PICKLE_ALLOWANCE = 20_000
_seeds = itertools.count(2**30)


def check_init_only_stores_parameters(name, estimator, inputs):
    """Check that `__init__` sets its parameters, as given, and nothing else."""
    findings = Findings(
        name,
        "__init__ should store its parameters as they are, and do nothing else.",
        "Leave checks, conversions and loading to fit.",
    )
    parameters = estimator.get_params(deep=False)
    made = type(estimator)(**parameters)
    for key, value in parameters.items():
        if getattr(made, key, None) is not value:
            findings.add(f"{key} was given {value!r}, and is {getattr(made, key)!r}")
    extra = sorted(set(vars(made)) - set(parameters))
    if extra:
        findings.add(f"it sets attributes that are no parameters: {extra}")
    findings.report()


def check_looking_loads_nothing(name, estimator, inputs):
    """Check that making, cloning, printing, pickling, inspecting load no weights."""
    findings = Findings(
        name,
        "an estimator that is not fitted should load no weights and reach for nothing.",
        "Load in fit or when the first row comes; properties may not load either.",
    )
    estimator = _with_unseen_backbones(clone(estimator))
    parameters = estimator.get_params(deep=False)
    actions = {
        "making": lambda: type(estimator)(**parameters),
        "clone": lambda: clone(estimator),
        "get_params": lambda: estimator.get_params(),
        "set_params": lambda: estimator.set_params(**parameters),
        "repr": lambda: repr(estimator),
        "dir": lambda: dir(estimator),
        "the HTML repr": lambda: estimator_html_repr(estimator),
        "the tags": lambda: estimator.__sklearn_tags__(),
        "set_output": lambda: estimator.set_output(transform="default"),
        "pickling": lambda: pickle.loads(pickle.dumps(estimator)),
        "reading each attribute": lambda: _read_attributes(estimator),
    }
    for action, call in actions.items():
        with watched() as seen, contextlib.suppress(Exception):
            call()
        if seen.parameters:
            findings.add(f"{action} made networks of {seen.parameters} parameters")
        if seen.connections:
            findings.add(f"{action} tried to reach {sorted(set(seen.connections))}")
    findings.report()


def _with_unseen_backbones(estimator):
    """Ask for random weights that nobody has loaded, so that a load cannot hide."""
    for key in named(estimator, "backbone"):
        value = estimator.get_params()[key]
        if isinstance(value, Backbone):
            continue
        spec = value if isinstance(value, BackboneSpec) else BackboneSpec(str(value))
        unseen = dataclasses.replace(spec, pretrained=False, random_state=next(_seeds))
        estimator.set_params(**{key: unseen})
    return estimator


def _read_attributes(estimator):
    for attribute in dir(estimator):
        with contextlib.suppress(Exception):
            getattr(estimator, attribute)


def check_pickle_carries_no_weights(name, estimator, inputs):
    """Check that an unfitted estimator pickles to little more than its parameters."""
    estimator = clone(estimator)
    size = len(pickle.dumps(estimator))
    allowed = len(pickle.dumps(estimator.get_params())) + PICKLE_ALLOWANCE
    if size > allowed:
        raise AssertionError(
            f"{name}: the pickle of an estimator that is not fitted has {size:,} "
            f"bytes; expected at most {allowed:,}, its parameters and "
            f"{PICKLE_ALLOWANCE:,} more. Hold the name of the weights, and load them "
            "when they are needed."
        )


class _Wrong:
    """A value that is wrong for every parameter."""

    def __repr__(self):
        return "<a wrong value>"


def check_wrong_parameters_raise_at_fit(name, estimator, inputs):
    """Check that wrong values are stored, and refused by `fit` with their names."""
    parameters = estimator.get_params(deep=False)
    if any(hasattr(v, "get_params") for v in estimator.get_params().values()):
        raise SkipTest("not applicable: the parameters are those of its parts")
    findings = Findings(
        name,
        "a wrong value of a parameter should be refused by fit, with its name.",
        "__init__ and set_params only store; fit raises a ValueError or TypeError that "
        "says which parameter, what it got and what it expected.",
    )
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    for key in parameters:
        try:
            type(estimator)(**parameters | {key: _Wrong()})
        except Exception as err:
            findings.add(f"{key}: __init__ raised {shortened(err)!r}")
        model = prepared(estimator)
        try:
            model.set_params(**{key: _Wrong()})
        except Exception as err:
            findings.add(f"{key}: set_params raised {shortened(err)!r}")
            continue
        try:
            fit(model, X, y)
        except (ValueError, TypeError) as err:
            if key not in str(err):
                findings.add(f"{key}: the error does not name it: {shortened(err)!r}")
        except Exception as err:
            findings.add(f"{key}: fit raised {type(err).__name__}: {shortened(err)!r}")
        else:
            findings.add(f"{key}: fit took {_Wrong()!r}")
    findings.report()


def check_clone_of_fitted_is_unfitted(name, estimator, inputs):
    """Check that a clone of a fitted estimator knows nothing of the fit."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    model = fitted(estimator, X, y)
    copy, fresh = clone(model), prepared(estimator)
    left = sorted(set(vars(copy)) - set(vars(fresh)))
    if left:
        raise AssertionError(
            f"{name}: the clone of a fitted estimator has attributes {left} that a new "
            "estimator does not have. Set them in fit, under names that are no "
            "parameters."
        )
    unfitted = _error_without_fit(fresh, X)
    if unfitted is not _error_without_fit(copy, X):
        raise AssertionError(
            f"{name}: without fit a new estimator raises {_name(unfitted)}, and the "
            f"clone of a fitted one {_name(_error_without_fit(copy, X))}."
        )
    if unfitted is None and (gap := difference(output(copy, X), output(fresh, X))):
        raise AssertionError(
            f"{name}: the clone of a fitted estimator and a new one disagree: {gap}."
        )


def _error_without_fit(model, X):
    # Whether it is the right error is looked at in a check of its own.
    try:
        output(model, X)
    except Exception as err:
        return type(err)
    return None


def _name(error):
    return "nothing" if error is None else error.__name__


def check_unfitted_raises_or_is_stateless(name, estimator, inputs):
    """Check that without `fit` comes NotFittedError, or the output that follows it."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    try:
        got = output(prepared(estimator), X)
    except NotFittedError:
        return
    except Exception as err:
        raise AssertionError(
            f"{name}: without fit it raised {type(err).__name__}: {shortened(err)}; "
            "expected NotFittedError (sklearn.utils.validation.check_is_fitted)."
        ) from err
    if is_predictor(estimator):
        raise AssertionError(
            f"{name}: it predicts without fit; expected NotFittedError "
            "(sklearn.utils.validation.check_is_fitted)."
        )
    if gap := difference(got, output(fitted(estimator, X, y), X)):
        raise AssertionError(
            f"{name}: transform works without fit, but not as after it: {gap}. Raise "
            "NotFittedError, or learn nothing in fit."
        )


def check_fit_returns_self(name, estimator, inputs):
    """Check that `fit` returns the estimator and leaves its parameters alone."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    model = prepared(estimator)
    before = model.get_params()
    if (model.fit(X) if y is None else model.fit(X, y)) is not model:
        raise AssertionError(f"{name}: fit should return self.")
    after = model.get_params()
    changed = [
        key
        for key, value in before.items()
        # Some composites, such as Pipeline, put fitted parts where parameters stood.
        if after[key] is not value and not _has_estimators(value)
    ]
    if changed:
        raise AssertionError(
            f"{name}: fit changed the parameters {changed}. Keep what fit works out "
            "under another name, with an underscore at its end."
        )


def _has_estimators(value):
    if isinstance(value, (list, tuple)):
        return any(_has_estimators(part) for part in value)
    return hasattr(value, "get_params")
