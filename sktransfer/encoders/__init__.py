"""Encoders: pretrained networks as scikit-learn transformers."""

from ._image import ImageEncoder
from ._text import TextEncoder

__all__ = ["ImageEncoder", "TextEncoder"]
