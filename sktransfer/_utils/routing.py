"""Metadata routing of estimators that hold others."""

from __future__ import annotations

import sklearn
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)

from .validation import raise_for_params, take_rows

METHODS = ("fit", "fit_transform", "transform")
# Of a transformer of which all methods of the owner that fit call `fit_transform`.
AS_TRANSFORMER = {
    "fit": ["fit_transform"],
    "fit_transform": ["fit_transform"],
    "transform": ["transform"],
}


def is_routing():
    """Whether scikit-learn's metadata routing is on."""
    return sklearn.get_config()["enable_metadata_routing"]


def router_of(owner, inner, *, takes_some=False):
    """Return a router to the estimators inside another.

    Parameters
    ----------
    owner : estimator
    inner : dict of str to (estimator, dict of str to list of str)
        By name, the estimator, and the methods of it that each method of the owner
        calls. None and strings are no estimators, and left out.
    takes_some : bool, default=False
        True if the owner has a use of its own for parameters of its methods.
    """
    router = MetadataRouter(owner=owner)
    if takes_some:
        router.add_self_request(owner)
    for name, (estimator, methods) in inner.items():
        if estimator is None or isinstance(estimator, str):
            continue
        mapping = MethodMapping()
        for caller, callees in methods.items():
            for callee in callees:
                mapping.add(caller=caller, callee=callee)
        router.add(method_mapping=mapping, **{name: estimator})
    return router


def route(owner, method, params):
    """Return what the estimators inside another get, for `given`.

    Parameters
    ----------
    owner : estimator
        Has `get_metadata_routing`.
    method : str
        Its method that was called.
    params : dict
        Metadata that it was called with.

    Raises
    ------
    ValueError
        If there is metadata, and routing is off.
    TypeError, UnsetMetadataPassedError
        If no estimator asks for some, or one says neither yes nor no.
    """
    raise_for_params(params, owner, method)
    return process_routing(owner, method, **params)


def given(routed, name, method):
    """Return the metadata for a method of an inner estimator."""
    return (routed.get(name) or {}).get(method, {})


def asks_for(estimator, method, names):
    """Return which metadata a method of an estimator asks for, where routing is on."""
    if not is_routing():
        return set()
    return get_routing_for_object(estimator).consumes(method, names)


def is_asking(estimator):
    """Whether an estimator, or one inside it, asks for any metadata."""
    return _is_asking(get_routing_for_object(estimator))


def _is_asking(routing):
    if isinstance(routing, MetadataRouter):
        return any(_is_asking(pair.router) for _, pair in routing)
    return any(
        request is True or (isinstance(request, str) and request.isidentifier())
        for method in METHODS
        for request in getattr(routing, method).requests.values()
    )


def of_rows(params, rows, n_rows):
    """Return the metadata of some rows; what has no entry per row stays whole."""
    return {
        name: take_rows(value, rows) if _length(value) == n_rows else value
        for name, value in params.items()
    }


def _length(value):
    if isinstance(value, (str, bytes, dict)):
        return None
    shape = getattr(value, "shape", None)
    if shape is not None:
        return shape[0] if len(shape) else None
    return len(value) if hasattr(value, "__len__") else None
