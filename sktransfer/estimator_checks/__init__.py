"""Checks for estimators whose input is one column of images or texts.

scikit-learn's own `check_estimator` feeds numbers, so it can run next to none of its
checks on an estimator that reads images or strings. These do, in the same shape: a
function for scripts, a decorator for pytest, and a generator below both.
`as_array_estimator` is for scikit-learn's own: it turns their numbers into cells.
"""

from ._arrays import as_array_estimator
from ._run import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)

__all__ = [
    "as_array_estimator",
    "check_estimator",
    "estimator_checks_generator",
    "parametrize_with_checks",
]
