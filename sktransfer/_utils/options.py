"""Parameters that belong together: one object each, with shortcuts for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator

from .parameters import Parametrized


class Options(Parametrized):
    """Parameters of one part of a training, as scikit-learn knows parameters."""


class WithOptions(BaseEstimator):
    """An estimator some of whose parameters are `Options`, or shortcuts for them.

    Nested names (``loss__gamma``) reach both: `set_params` puts the object that a
    shortcut stands for in its place, and `get_params` lists its parameters.
    """

    # Parameter -> what turns a shortcut into Options, or returns None for one that
    # stands for nothing.
    _shortcuts: ClassVar[Mapping[str, Callable[[Any], Options | None]]] = {}

    def _options(self, name: str) -> Any:
        """Return a parameter as an object; None where its part is switched off."""
        value = getattr(self, name)
        return value if isinstance(value, Options) else self._shortcuts[name](value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Lists the parameters of nested objects too, also of those that a string
            stands for.

        Returns
        -------
        dict
            Parameter names mapped to their values.
        """
        params = super().get_params(deep)
        if deep:
            for name in self._shortcuts:
                if name not in params or isinstance(params[name], Options):
                    continue
                options = self._shortcuts[name](params[name])
                if options is not None:
                    for key, value in options.get_params().items():
                        params[f"{name}__{key}"] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of nested objects: ``loss__label_smoothing=0``.

        Parameters
        ----------
        **params : dict
            A nested name also works where the parameter is a string: the object that it
            stands for takes its place.

        Returns
        -------
        self
        """
        whole = {}  # set at the end, when nothing has to be refused
        for name in self._shortcuts:
            nested = sorted(key for key in params if key.startswith(f"{name}__"))
            value = params.get(name, getattr(self, name, None))
            if not nested or isinstance(value, Options):
                continue
            options = self._shortcuts[name](value)
            if options is None:
                raise ValueError(
                    f"{type(self).__name__}: {nested[0]} cannot be set while "
                    f"{name}={value!r}. Set {name} first, or in the same call."
                )
            whole[name] = options
        plain = {name for name in self._shortcuts if name in params}
        for name in plain | whole.keys():
            setattr(self, name, whole.get(name, params.get(name)))
        return super().set_params(**{k: v for k, v in params.items() if k not in plain})

    def _validate_params(self):
        super()._validate_params()
        for name in self._shortcuts:
            value = getattr(self, name)
            if isinstance(value, Options):
                value._validate_params()
