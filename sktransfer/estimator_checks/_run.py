"""The checks that apply to an estimator, and three ways to run them."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal
from unittest import SkipTest

from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import EstimatorCheckFailedWarning

from .._utils.names import set_module
from .._utils.types import Estimator
from . import (
    _checks_construction,
    _checks_input,
    _checks_output,
    _checks_prediction,
    _checks_rows,
    _checks_state,
)
from ._inputs import MODALITIES, Inputs
from ._watching import global_state_restored

if TYPE_CHECKING:
    import pytest

NOT_EXPECTED = "Check is not expected to fail"  # scikit-learn's words

_ALWAYS = (
    _checks_construction.check_init_only_stores_parameters,
    _checks_construction.check_looking_loads_nothing,
    _checks_construction.check_pickle_carries_no_weights,
    _checks_construction.check_wrong_parameters_raise_at_fit,
    _checks_construction.check_fit_returns_self,
    _checks_construction.check_unfitted_raises_or_is_stateless,
    _checks_construction.check_clone_of_fitted_is_unfitted,
    _checks_input.check_input_kinds_agree,
    _checks_input.check_empty_input_is_refused,
    _checks_input.check_wrong_types_are_refused,
    _checks_input.check_two_columns_are_refused,
    _checks_input.check_a_bad_row_is_named,
    _checks_input.check_missing_rows_follow_the_policy,
    _checks_rows.check_one_row_out_for_each_row_in,
    _checks_rows.check_rows_do_not_depend_on_their_neighbours,
    _checks_rows.check_different_rows_differ,
    _checks_rows.check_classes_can_be_told_apart,
    _checks_rows.check_batch_size_does_not_matter,
    _checks_rows.check_refit_equals_a_fresh_fit,
    _checks_rows.check_fit_twice_gives_the_same,
    _checks_rows.check_a_new_backbone_takes_effect,
    _checks_state.check_X_and_y_are_left_alone,
    _checks_state.check_weights_are_left_alone,
    _checks_state.check_global_state_is_left_alone,
    _checks_state.check_cache_changes_no_output,
    _checks_output.check_cross_validation,
    _checks_output.check_a_pickled_estimator_gives_the_same,
)
_TRANSFORMERS = (
    _checks_output.check_output_is_finite_float32,
    _checks_output.check_fit_transform_equals_fit_and_transform,
    _checks_output.check_feature_names_out,
    _checks_output.check_set_output,
    _checks_output.check_column_transformer,
)
_CLASSIFIERS = (
    _checks_prediction.check_labels_round_trip,
    _checks_prediction.check_probabilities,
    _checks_prediction.check_one_class_is_refused,
)
_PREDICTORS = (
    _checks_prediction.check_y_of_another_length_is_refused,
    _checks_prediction.check_sample_weight_of_another_length_is_refused,
)
_REGRESSORS = (_checks_prediction.check_regressor_predictions,)
ALL = (*_ALWAYS, *_TRANSFORMERS, *_CLASSIFIERS, *_PREDICTORS, *_REGRESSORS)


@set_module("sktransfer.estimator_checks")
def estimator_checks_generator(
    estimator: Estimator,
    *,
    modality: Literal["image", "text"] | None = None,
    expected_failed_checks: dict[str, str] | None = None,
    mark: Literal["xfail"] | None = None,
) -> Iterator[Any]:
    """Yield each check that applies to an estimator.

    Parameters
    ----------
    estimator : estimator
        Instance to check. The checks work on copies.
    modality : {"image", "text"}, default=None
        Kind of its cells. None uses the estimator's ``_modality``.
    expected_failed_checks : dict of str to str, default=None
        Names of checks that are expected to fail, with the reason.
    mark : {"xfail"}, default=None
        "xfail" marks expected failures for pytest, strictly: such a check fails if it
        passes.

    Yields
    ------
    (estimator, check) : tuple
        ``check(estimator)`` returns if the check passes. Otherwise it raises
        AssertionError or the error of the estimator, or ``unittest.SkipTest`` if the
        check does not apply.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.estimator_checks import estimator_checks_generator
    >>> for encoder, check in estimator_checks_generator(TextEncoder("tiny-bert")):
    ...     check(encoder)
    ...     break
    """
    modality = _resolve_modality(estimator, modality)
    expected = _resolve_expected(expected_failed_checks)
    if mark not in (None, "xfail"):
        raise ValueError(f"mark={mark!r} must be 'xfail' or None.")
    name, inputs = type(estimator).__name__, Inputs(modality, estimator)
    for function in _applicable(estimator):
        check = partial(_contained(function), name, inputs=inputs)
        reason = expected.get(function.__name__)
        if mark == "xfail" and reason is not None:
            import pytest

            marks = pytest.mark.xfail(reason=reason, strict=True)
            yield pytest.param(estimator, check, marks=marks)
        else:
            yield estimator, check


@set_module("sktransfer.estimator_checks")
def check_estimator(
    estimator: Estimator,
    *,
    modality: Literal["image", "text"] | None = None,
    expected_failed_checks: dict[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
) -> list[dict[str, Any]]:
    """Run every check that applies to an estimator of images or texts.

    Parameters
    ----------
    estimator : estimator
        Transformer, classifier or regressor; an instance. The checks work on copies.
        Give it a small network: it is fitted about a hundred times on 12 rows.
    modality : {"image", "text"}, default=None
        Kind of its cells. None uses the estimator's ``_modality``.
    expected_failed_checks : dict of str to str, default=None
        Names of checks that are expected to fail, with the reason. If one of them
        passes, this is reported as `on_fail` says, after all checks.
    on_fail : {"raise", "warn"} or None, default="raise"
        Action at a failure. "raise" stops at the first one; "warn" continues with an
        `EstimatorCheckFailedWarning`; None continues silently.

    Returns
    -------
    list of dict
        One dict per check, as in scikit-learn's `check_estimator`: ``estimator``,
        ``check_name``, ``exception``, ``status`` ("passed", "failed", "xfail" or
        "skipped"), ``expected_to_fail``, ``expected_to_fail_reason``. A check is
        skipped if the estimator lacks the parameter that it tests; the exception names
        it.

    Raises
    ------
    AssertionError
        With ``on_fail="raise"``, if a check fails, or an expected failure passes.
        Errors of the estimator itself are raised unchanged.

    See Also
    --------
    parametrize_with_checks : The same for pytest.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.estimator_checks import check_estimator
    >>> results = check_estimator(TextEncoder("tiny-bert"))
    >>> {result["status"] for result in results}
    {'passed'}
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f"on_fail={on_fail!r} must be 'raise', 'warn' or None.")
    expected = _resolve_expected(expected_failed_checks)
    results = []
    for _, check in estimator_checks_generator(estimator, modality=modality):
        check_name = check.func.__name__
        result = {
            "estimator": estimator,
            "check_name": check_name,
            "exception": None,
            "status": "passed",
            "expected_to_fail": check_name in expected,
            "expected_to_fail_reason": expected.get(check_name, NOT_EXPECTED),
        }
        try:
            check(estimator)
        except SkipTest as err:
            result |= {"exception": err, "status": "skipped"}
        except Exception as err:
            if on_fail == "raise" and check_name not in expected:
                raise
            status = "xfail" if check_name in expected else "failed"
            result |= {"exception": err, "status": status}
            if on_fail == "warn":
                warnings.warn(EstimatorCheckFailedWarning(**result), stacklevel=2)
        results.append(result)
    _report_unexpected_passes(results, on_fail)
    return results


def _report_unexpected_passes(results, on_fail):
    passed = [
        result["check_name"]
        for result in results
        if result["expected_to_fail"] and result["status"] == "passed"
    ]
    if not passed or on_fail is None:
        return
    text = (
        f"{type(results[0]['estimator']).__name__} was expected to fail {passed}, but "
        "passes; remove these from expected_failed_checks."
    )
    if on_fail == "raise":
        raise AssertionError(text)
    warnings.warn(text, stacklevel=3)


@set_module("sktransfer.estimator_checks")
def parametrize_with_checks(
    estimators: Sequence[Estimator],
    *,
    modality: Literal["image", "text"] | None = None,
    expected_failed_checks: Callable[..., Any] | dict[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Decorate a pytest function that runs ``check(estimator)``.

    Parameters
    ----------
    estimators : list of estimators
        Instances to check.
    modality : {"image", "text"}, default=None
        Kind of their cells. None uses each estimator's ``_modality``.
    expected_failed_checks : callable or dict, default=None
        Function of the estimator that returns a dict of the names of checks that are
        expected to fail, with the reasons; or one such dict for all. These checks are
        marked xfail, strictly.

    Returns
    -------
    pytest.MarkDecorator
        Decorator over the arguments ``estimator, check``.

    See Also
    --------
    check_estimator : The same without pytest.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.estimator_checks import parametrize_with_checks
    >>> @parametrize_with_checks([TextEncoder("tiny-bert")])
    ... def test_my_encoder(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases: list[Any] = []
    for estimator in estimators:
        expected = expected_failed_checks
        if callable(expected):
            expected = expected(estimator)
        cases += estimator_checks_generator(
            estimator,
            modality=modality,
            expected_failed_checks=expected,
            mark="xfail",
        )
    return pytest.mark.parametrize(("estimator", "check"), cases, ids=_test_id)


def _contained(function):
    """Leave the process as it was, whatever the estimator under test did to it."""

    @wraps(function)
    def check(name, estimator, inputs):
        with global_state_restored():
            function(name, estimator, inputs)

    return check


def _test_id(value):
    if isinstance(value, partial):
        return value.func.__name__
    return " ".join(repr(value).split())


def _applicable(estimator):
    yield from _ALWAYS
    if hasattr(estimator, "transform"):
        yield from _TRANSFORMERS
    if is_classifier(estimator):
        yield from _CLASSIFIERS
    if is_regressor(estimator):
        yield from _REGRESSORS
    if is_classifier(estimator) or is_regressor(estimator):
        yield from _PREDICTORS


def _resolve_modality(estimator, modality):
    if isinstance(estimator, type):
        raise TypeError(
            f"{estimator.__name__} is a class; pass an instance, with a small network."
        )
    found = getattr(estimator, "_modality", None) if modality is None else modality
    if found not in MODALITIES:
        got = f"modality={modality!r}"
        raise ValueError(
            f"{got} does not say what {type(estimator).__name__} reads; pass "
            "modality='image' or modality='text'."
        )
    return found


def _resolve_expected(expected):
    if expected is None:
        return {}
    if not isinstance(expected, dict):
        raise TypeError(
            "expected_failed_checks must be a dict of names of checks and reasons; got "
            f"{type(expected).__name__}."
        )
    known = [check.__name__ for check in ALL]
    for name in expected:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ValueError(
                f"expected_failed_checks has {name!r}, and there is no such check."
                f"{hint} The checks are {known}."
            )
    return expected
