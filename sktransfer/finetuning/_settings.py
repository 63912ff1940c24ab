"""Values of "auto": settings by rows, network, head and loss.

``python -m benchmarks.run finetuning_defaults`` compares them with others on training
parts, and ``finetuning_gain`` with a training loop that was tuned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

AUTO = "auto"
TRAINED_SHARE = 0.55  # of the blocks of a network
# A start that separates the training rows leaves the blocks nothing to learn, so it is
# held back; where no block is trained it is the model, and has to suit new rows.
START_C = {"text": 0.001, "image": 0.001}
PROBE_C = {"text": 0.1, "image": 0.01}
RIDGE_C = {"text": 0.001, "image": 0.01}
BLOCK_LR = {"text": 2e-4, "image": 3e-4}
NEW_HEAD_LR = 3e-3  # of a head that starts at random, however the blocks learn
CONTRASTIVE_LR = 3e-4
PARTIAL_HEAD_SCALE = 5  # of a head that was fitted to the first of many chunks
# Rows that are trained against the mean of their own class soon stand on it, and a head
# that was fitted is soon past its best where nothing else trains.
SMALL_LR_SCALE = 0.25
# Passes over the rows: so many, and as many more as make so many rows, up to a limit.
EPOCHS = {"text": 4, "image": 8}
MORE_ROWS = {"text": 300, "image": 600}
MOST_MORE = 12
CONTRASTIVE_EPOCHS = 4
NEW_HEAD_STEPS = 300  # that a head needs from a random start, where nothing else trains
LABEL_SMOOTHING = 0.05


class Case(NamedTuple):
    """Facts on which the settings of a fit depend.

    Attributes
    ----------
    modality : {"image", "text"}
    task : {"classes", "labels", "numbers"}
    n_rows : int
        Rows with a label.
    n_trained : int
        Trained blocks.
    start : {"probe", "random", "means"}
        Start of the head: a model of the frozen features, random weights, or the means
        of the classes, which are not trained.
    is_contrastive : bool
    may_average : bool
        True where the mean of the weights at the start and at the end suits the loss,
        and nobody watches the epochs.
    is_partial : bool
        True for one call of many, whose head started at the first rows.
    """

    modality: str
    task: str
    n_rows: int
    n_trained: int
    start: str
    is_contrastive: bool
    may_average: bool
    is_partial: bool


class Settings(NamedTuple):
    """Parameters that a fit trains with, without any "auto"."""

    C: float
    lr: float
    backbone_lr_scale: float
    max_epochs: int
    batch_size: int
    label_smoothing: float
    average: bool


# Names of parameters of an estimator, of which some are nested.
PARAMETERS = {
    "C": "head__C",
    "backbone_lr_scale": "optimizer__backbone_lr_scale",
    "label_smoothing": "loss__label_smoothing",
    "average": "optimizer__average",
}


def settle(asked: dict[str, Any], case: Case) -> Settings:
    """Return the settings of a fit.

    Parameters
    ----------
    asked : dict
        A value for each field of `Settings`, of which "auto" is replaced.
    case : Case
    """
    found = dict(asked)
    for name, choose in CHOICES.items():
        if asked[name] == AUTO:
            found[name] = choose(case, found)
    return Settings(**found)


def auto_freeze_depth(n_blocks: int) -> int:
    """Return how many blocks of a network are frozen; at least one is trained."""
    return n_blocks - max(1, math.ceil(TRAINED_SHARE * n_blocks))


def _C(case, found):
    if case.task == "numbers":
        return RIDGE_C[case.modality]
    if case.n_trained and not case.is_contrastive:
        return START_C[case.modality]
    return PROBE_C[case.modality]


def _block_lr(case):
    if case.is_contrastive:
        return CONTRASTIVE_LR
    is_delicate = case.start == "means" or not case.n_trained
    return BLOCK_LR[case.modality] * (SMALL_LR_SCALE if is_delicate else 1)


def _lr(case, found):
    if case.start == "random" and not case.is_contrastive:
        return NEW_HEAD_LR
    return _block_lr(case) * (PARTIAL_HEAD_SCALE if case.is_partial else 1)


def _backbone_lr_scale(case, found):
    if found["lr"] == AUTO:
        return _block_lr(case) / _lr(case, found)
    return 1.0  # with a rate of the user's, the blocks learn as fast as the head


def _max_epochs(case, found):
    if case.is_contrastive:
        return CONTRASTIVE_EPOCHS
    if case.start == "means":
        return EPOCHS[case.modality]
    more = MORE_ROWS[case.modality] // max(1, case.n_rows)
    epochs = EPOCHS[case.modality] + min(MOST_MORE, more)
    if case.n_trained or case.start != "random":
        return epochs
    n_steps = math.ceil(case.n_rows / found["batch_size"])
    return max(epochs, math.ceil(NEW_HEAD_STEPS / n_steps))


def _average(case, found):
    return case.is_partial or (case.may_average and case.start == "probe")


def _label_smoothing(case, found):
    if case.task != "classes" or case.is_contrastive or case.start == "means":
        return 0.0
    return LABEL_SMOOTHING


# In this order: the scale asks whether `lr` is "auto".
CHOICES: dict[str, Callable[[Case, dict[str, Any]], Any]] = {
    "C": _C,
    "average": _average,
    "label_smoothing": _label_smoothing,
    "backbone_lr_scale": _backbone_lr_scale,
    "lr": _lr,
    "max_epochs": _max_epochs,
}
