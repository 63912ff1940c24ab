"""Checks for estimators whose input is one column of images or texts.

scikit-learn's own `check_estimator` passes numbers, so hardly any of its checks apply
to an estimator that reads images or strings. These checks do, in the same three forms:
a function for scripts, a decorator for pytest, and the generator that both use.
`as_array_estimator` makes scikit-learn's own checks run: it turns their numbers into
cells.
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
