"""Fine-tuning: estimators that train the last blocks of a pretrained network."""

from ._image_classifier import ImageClassifier
from ._image_regressor import ImageRegressor
from ._losses import (
    ContrastiveLoss,
    FocalLoss,
    HuberLoss,
    LogLoss,
    QuantileLoss,
    SquaredErrorLoss,
)
from ._options import Augmentation, DomainLoss, EarlyStopping, Head, Optimizer
from ._text_classifier import TextClassifier
from ._text_regressor import TextRegressor

__all__ = [
    "Augmentation",
    "ContrastiveLoss",
    "DomainLoss",
    "EarlyStopping",
    "FocalLoss",
    "Head",
    "HuberLoss",
    "ImageClassifier",
    "ImageRegressor",
    "LogLoss",
    "Optimizer",
    "QuantileLoss",
    "SquaredErrorLoss",
    "TextClassifier",
    "TextRegressor",
]
