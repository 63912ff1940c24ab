"""Taking along, in pickles of estimators, how their registered network is built.

Without it, joblib's workers know the names that the package registers, and no others.
Saves are no pickles, and take nothing along: whoever loads one registers the name.
"""

from pathlib import Path

from .._utils.names import on_disk
from . import _registry
from ._arrived import find_arrival, pack, remember
from ._registry import BackboneSpec


def with_registration(reduced, backbone):
    """Add a registration to what ``__reduce_ex__`` of an estimator gives.

    Parameters
    ----------
    reduced : tuple
    backbone : str, Path, BackboneSpec or Backbone
        The estimator's. Objects travel by themselves.

    Returns
    -------
    tuple
        `reduced` itself, unless the name is one that a user registered.
    """
    registration = _registration_of(backbone)
    if registration is None:
        return reduced
    function, arguments, *rest = reduced
    return rebuild_with_network, (registration, function, arguments), *rest


@on_disk
def rebuild_with_network(registration, function, arguments):
    """Build an unpickled estimator, and remember how its network is built."""
    remember(*registration)
    return function(*arguments)


def registered_by_users(modality):
    """Return the names that others than this package registered, in their order."""
    return [
        name
        for name, entry in _registry._entries.items()
        if entry.modality == modality and not _is_ours(entry)
    ]


def is_registered_by_users(name):
    """Whether others than this package registered a name, here or elsewhere."""
    entry = _registry._entries.get(name)
    return find_arrival(name) is not None if entry is None else not _is_ours(entry)


def _registration_of(backbone):
    if isinstance(backbone, BackboneSpec):
        name = backbone.name
    elif isinstance(backbone, (str, Path)):
        name = str(backbone)
    else:
        return None
    entry = _registry._entries.get(name)
    if entry is None:
        arrival = find_arrival(name)
        return arrival and (name, arrival.modality, arrival.code)
    code = None if _is_ours(entry) else pack(entry.builder)
    return code and (name, entry.modality, code)


def _is_ours(entry):
    return str(getattr(entry.builder, "__module__", "")).startswith("sktransfer.")
