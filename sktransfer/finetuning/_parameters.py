"""Constraints of the parameters of the fine-tuning estimators, and their shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from .._extraction.estimator import TextColumn
from .._utils.arithmetic import PRECISIONS
from .._utils.choices import Choices
from .._utils.options import Options
from .._utils.validation import Interval, StrOptions
from ..backbones._pooling import POOLING_CHOICES
from ._augment import AUGMENTS
from ._domain_losses import DOMAIN_LOSSES
from ._heads import HEADS
from ._losses import LOSSES
from ._options import (
    AUTOMATIC,
    COUNT,
    POSITIVE,
    Augmentation,
    DomainLoss,
    EarlyStopping,
    Head,
    Optimizer,
)


def is_name(value: Any, table: Any) -> bool:
    """Return True if a value is the name of an entry."""
    return isinstance(value, str) and value in table


CONSTRAINTS: dict[str, Any] = {
    "backbone": "no_validation",  # load_backbone says more
    "freeze_depth": "no_validation",  # so does Backbone.resolve_depth
    "pooling": [StrOptions(POOLING_CHOICES)],
    "head": [StrOptions(Choices(HEADS, lambda head: not head.needs_classes)), Head],
    "loss": [
        StrOptions(Choices(LOSSES, lambda loss: "numbers" in loss.tasks)),
        *LOSSES.values(),
        callable,
    ],
    "lr": [POSITIVE, AUTOMATIC],
    "optimizer": [StrOptions({"adamw"}), Optimizer, callable],
    "batch_norm": [StrOptions({"frozen", "eval", "train", "target"})],
    "domain_loss": [
        StrOptions(Choices(DOMAIN_LOSSES, lambda loss: not loss.needs_classes)),
        DomainLoss,
        None,
    ],
    "max_epochs": [Interval(Integral, 0, None, closed="left"), AUTOMATIC],
    "batch_size": [COUNT],
    "early_stopping": ["boolean", EarlyStopping],
    "scoring": [str, callable, list, tuple, None],
    "activation_dtype": [StrOptions({"float32", "float16"})],
    "cache": "no_validation",  # resolve_cache says more
    "callbacks": [list, None],
    "warm_start": ["boolean"],
    "device": "no_validation",  # resolve_device says more
    "precision": [StrOptions(set(PRECISIONS))],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
# What turns a string or another shortcut into an object; None stands for nothing.
SHORTCUTS: dict[str, Callable[[Any], Options | None]] = {
    "head": lambda kind: Head(kind) if is_name(kind, HEADS) else None,
    "loss": lambda kind: LOSSES[kind]() if is_name(kind, LOSSES) else None,
    "optimizer": lambda kind: (
        Optimizer(kind) if is_name(kind, ("adamw",)) or callable(kind) else None
    ),
    "domain_loss": lambda kind: (
        DomainLoss(kind) if is_name(kind, DOMAIN_LOSSES) else None
    ),
    "early_stopping": lambda is_on: (
        EarlyStopping() if isinstance(is_on, (bool, np.bool_)) and is_on else None
    ),
}
TEXT_SHORTCUTS = SHORTCUTS | TextColumn._shortcuts
IMAGE_SHORTCUTS = SHORTCUTS | {
    "augment": lambda kind: (
        Augmentation(kind) if is_name(kind, AUGMENTS) or callable(kind) else None
    ),
}
