"""Save a fitted estimator to a folder and load it elsewhere, without pickle."""

from . import _names
from ._card import model_card
from ._save_load import load, save

__all__ = [
    "load",
    "model_card",
    "save",
]


def __getattr__(name):
    """Give classes that pickles and saves name, wherever they stand."""
    return _names.find(name)
