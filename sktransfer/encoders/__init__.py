"""Encoders: pretrained networks as scikit-learn transformers."""

from .._extraction.pieces import Pieces
from ._image import ImageEncoder
from ._text import TextEncoder

__all__ = ["ImageEncoder", "Pieces", "TextEncoder"]
