"""Everything that one training needs, read off an estimator and its rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._extraction.runners import Request
from ._codec import ClassCodec, NumberCodec
from ._fit_rows import Part
from ._losses import LossOptions, OwnLoss
from ._options import Augmentation, DomainLoss, EarlyStopping, Head, Optimizer
from ._scored import scorers_of
from ._settings import Settings
from ._splits import SetAside
from ._state import TrainingState


class Recipe(NamedTuple):
    """Parameters of an estimator that training reads, as objects.

    Attributes
    ----------
    caller : str
        Class name for messages.
    freeze_depth, loss_name : object
        Parameters as they were given, for messages.
    stopping, domain_loss, augmentation : object or None
        None where it is switched off.
    lr, max_epochs, batch_size : object
        Parameters, which may be "auto".
    scoring : dict of str to scorer
        Metrics by epoch.
    is_kept : bool
        True if another call may go on with the training.
    """

    caller: str
    freeze_depth: Any
    loss_name: str
    head: Head
    loss: LossOptions
    lr: Any
    optimizer: Optimizer
    max_epochs: Any
    batch_size: int
    domain_loss: DomainLoss | None
    stopping: EarlyStopping | None
    augmentation: Augmentation | None
    batch_norm: str
    scoring: dict[str, Any]
    callbacks: list[Any]
    precision: str
    verbose: Any
    is_kept: bool

    def set_aside(self, n_rows: int) -> SetAside | None:
        """Return which share of the rows takes no part in the training."""
        if self.stopping is not None:
            share = self.stopping.validation_fraction
            return SetAside(share, "early_stopping", "early_stopping=False")
        of_loss = self.loss._share_aside(n_rows)
        if of_loss is None:
            return None
        name = "loss__calibration_fraction"
        return SetAside(of_loss, name, f"{name}=None")

    def asked(self) -> dict[str, Any]:
        """Return a value for each field of `Settings`, some of them "auto"."""
        return {
            "C": self.head.C,
            "lr": self.lr,
            "backbone_lr_scale": self.optimizer.backbone_lr_scale,
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "label_smoothing": getattr(self.loss, "label_smoothing", 0.0),
            "average": self.optimizer.average,
        }


def recipe_of(estimator: Any, is_partial: bool) -> Recipe:
    """Return the parameters of an estimator that training reads, as objects."""
    caller, loss = type(estimator).__name__, estimator._options("loss")
    stopping = estimator._options("early_stopping")
    monitor = "loss" if stopping is None else stopping.monitor
    has_changes = estimator.augment is not None
    return Recipe(
        caller=caller,
        freeze_depth=estimator.freeze_depth,
        loss_name=repr(estimator.loss),
        head=estimator._options("head"),
        loss=OwnLoss(estimator.loss) if loss is None else loss,
        lr=estimator.lr,
        optimizer=estimator._options("optimizer"),
        max_epochs=1 if is_partial else estimator.max_epochs,  # a call is an epoch
        batch_size=estimator.batch_size,
        domain_loss=estimator._options("domain_loss"),
        stopping=stopping,
        augmentation=estimator._options("augment") if has_changes else None,
        batch_norm=estimator.batch_norm,
        scoring=scorers_of(estimator.scoring, monitor, caller),
        callbacks=list(estimator.callbacks or []),
        precision=estimator.precision,
        verbose=estimator.verbose,
        is_kept=estimator.warm_start or is_partial,
    )


class Plan(NamedTuple):
    """Everything that one training needs.

    Attributes
    ----------
    recipe : Recipe
    request : Request
    settings : Settings
    frozen_C : float
        `C` of the head as it would be if no block were trained.
    start : {"probe", "random", "means"}
        Start of the head.
    codec : ClassCodec or NumberCodec
    label_weights : ndarray of shape (2, n_labels) or None
    class_weights : ndarray of shape (n_classes,) or None
        Weights of the classes beside those of their rows; None for labels and numbers.
    given : ndarray
        Weights of the rows before they were multiplied by those of the classes.
    places : ndarray of int or None
        Places of the classes of `net` among all, where some were added.
    train : Part
        Rows to train on.
    valid : Part or None
        Rows to watch.
    target_rows : ndarray of int or None
        Rows of the other domain, among the views of `train`, without targets.
    seed : int
    state : TrainingState
        Changed by the training.
    net : FineTuneNet or None
        The net to go on from.
    is_partial : bool
        One call of many, whose learning rate falls over all of them.
    """

    recipe: Recipe
    request: Request
    settings: Settings
    frozen_C: float
    start: str
    codec: ClassCodec | NumberCodec
    label_weights: np.ndarray | None
    class_weights: np.ndarray | None
    given: np.ndarray
    places: np.ndarray | None
    train: Part
    valid: Part | None
    target_rows: np.ndarray | None
    seed: int
    state: TrainingState
    net: Any
    is_partial: bool
