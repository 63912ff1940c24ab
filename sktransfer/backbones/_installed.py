"""Registered networks whose weights are at hand."""

from ..exceptions import MissingDependencyError, WeightsNotFoundError
from ._registry import list_backbones, load_backbone


def installed(modality):
    """Return the names of trained networks that load without a download.

    Parameters
    ----------
    modality : {"image", "text"}

    Returns
    -------
    list of str
    """
    names = []
    for name in list_backbones(modality):
        if name.startswith("tiny-"):  # without training, for tests
            continue
        try:
            load_backbone(name, modality=modality)
        except (WeightsNotFoundError, MissingDependencyError):
            continue
        names.append(name)
    return names
