"""Fine-tuning: estimators that train the last blocks of a pretrained network."""

from ._image import ImageClassifier, ImageRegressor
from ._text import TextClassifier, TextRegressor

__all__ = ["ImageClassifier", "ImageRegressor", "TextClassifier", "TextRegressor"]
