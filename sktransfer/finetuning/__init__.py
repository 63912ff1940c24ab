"""Fine-tuning: estimators that train the last blocks of a pretrained network."""

from ._image_classifier import ImageClassifier
from ._image_regressor import ImageRegressor
from ._text_classifier import TextClassifier
from ._text_regressor import TextRegressor

__all__ = ["ImageClassifier", "ImageRegressor", "TextClassifier", "TextRegressor"]
