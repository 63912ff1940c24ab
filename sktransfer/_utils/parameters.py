"""Objects with parameters that are no estimators: scorers, splitters, options."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import sklearn

from .validation import shorten, validate_parameter_constraints


class Parametrized:
    """An object that keeps the parameters of its `__init__`, and has no `fit`.

    scikit-learn takes whatever inherits from `BaseEstimator` for an estimator. Like its
    kernels, this has what `clone`, searches and `repr` ask of a parameter that has
    parameters itself, and nothing else.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this object.

        Parameters
        ----------
        deep : bool, default=True
            Lists the parameters of nested objects too.

        Returns
        -------
        dict
            Parameter names mapped to their values.
        """
        params: dict[str, Any] = {}
        for name in _names(type(self)):
            value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                for key, nested in value.get_params().items():
                    params[f"{name}__{key}"] = nested
            params[name] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of nested objects: ``weights__C=0.1``.

        Parameters
        ----------
        **params : dict
            Parameter names mapped to their values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        known = _names(type(self))
        unknown = [key for key in params if key.partition("__")[0] not in known]
        if unknown:
            raise ValueError(
                f"Invalid parameter {unknown[0]!r} for {type(self).__name__}. Valid "
                f"parameters are: {known}."
            )
        nested: dict[str, dict[str, Any]] = {}
        for key, value in params.items():
            name, separator, rest = key.partition("__")
            if separator:
                nested.setdefault(name, {})[rest] = value
            else:
                setattr(self, name, value)
        for name, some in nested.items():
            getattr(self, name).set_params(**some)
        return self

    def __repr__(self) -> str:
        shown = self.get_params(deep=False)
        if sklearn.get_config()["print_changed_only"]:
            signature = inspect.signature(type(self)).parameters
            shown = {
                name: value
                for name, value in shown.items()
                if repr(value) != repr(signature[name].default)
            }
        pairs = [f"{name}={shorten(value)}" for name, value in shown.items()]
        return f"{type(self).__name__}({', '.join(pairs)})"

    def _validate_params(self):
        validate_parameter_constraints(
            self._parameter_constraints,
            self.get_params(deep=False),
            caller_name=type(self).__name__,
        )


def _names(cls: type) -> list[str]:
    """Return the names of the parameters, sorted as scikit-learn sorts them."""
    return sorted(inspect.signature(cls).parameters)
