"""What belongs together in fine-tuning: an object for each part of it."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal

from .._utils.choices import Choices
from .._utils.names import set_module
from .._utils.options import Options
from .._utils.validation import HasMethods, Interval, StrOptions
from ._domain_losses import DOMAIN_LOSSES
from ._heads import HEADS
from ._settings import AUTO

AUTOMATIC = StrOptions({AUTO})
FRACTION = Interval(Real, 0, 1, closed="neither")
POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")


@set_module("sktransfer.finetuning")
class Head(Options):
    """The layers on top of the pooled features, and how they start.

    Parameters
    ----------
    kind : {"linear", "mlp", "cosine", "prototype"}, default="linear"
        Layers. "prototype" is the nearest class mean by the cosine of centred features
        [1]_, set before the blocks are trained and after; it is for classes. Where no
        block is trained, `partial_fit` adds rows and classes.
    init : {"auto", "probe", "random"}, default="auto"
        "probe" fits the head to the frozen features before training [2]_: a linear
        head as a logistic or ridge regression, a cosine head by the means of the
        classes. "auto" does so where there is such a fit.
    C : float or "auto", default="auto"
        Inverse strength of the penalty of that fit. "auto" depends on the task, and is
        smaller where blocks are trained: a start that fits every row would leave them
        nothing to learn.
    dropout : float, default=0.0
        Share of the pooled features that is dropped in training.

    References
    ----------
    .. [1] Y. Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for
       Few-Shot Learning", 2019, https://arxiv.org/abs/1911.04623
    .. [2] A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and
       Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import Head
    >>> TextClassifier(head=Head("mlp", dropout=0.1)).get_params()["head__dropout"]
    0.1
    """

    _parameter_constraints = {
        "kind": [StrOptions(Choices(HEADS))],
        "init": [StrOptions({"auto", "probe", "random"})],
        "C": [POSITIVE, AUTOMATIC],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        kind: Literal["linear", "mlp", "cosine", "prototype"] = "linear",
        *,
        init: Literal["auto", "probe", "random"] = "auto",
        C: float | Literal["auto"] = "auto",
        dropout: float = 0.0,
    ) -> None:
        self.kind = kind
        self.init = init
        self.C = C
        self.dropout = dropout


@set_module("sktransfer.finetuning")
class Optimizer(Options):
    """The steps of a training: the optimizer, and the rates of its parts.

    The learning rate of the head is the estimator's `lr`.

    Parameters
    ----------
    kind : "adamw" or a subclass of torch.optim.Optimizer, default="adamw"
        Class that makes the steps.
    params : dict, default=None
        Further arguments of that class: ``{"momentum": 0.9}`` for torch.optim.SGD.
    backbone_lr_scale : float or "auto", default="auto"
        The last block learns with ``lr * backbone_lr_scale``. "auto" is 1; where `lr`
        is "auto" and the head starts at random, it gives the blocks the rate that they
        have with a fitted head.
    layer_decay : float, default=1.0
        Each block before it learns with that times the rate of the one behind.
    weight_decay : float, default=0.01
        Decay of weights; not of biases and norms.
    lr_schedule : {"cosine", "one-cycle", "constant"}, default="cosine"
        Course of the learning rate; "cosine" warms up over a tenth of the steps. In
        `partial_fit`, which has no end, both fall with the inverse square root of the
        steps of all calls.
    gradient_clip_value : float or None, default=1.0
        Greatest norm of the gradient.
    average : bool or "auto", default="auto"
        Ends a fit with the mean of its weights at the start and at the end [1]_, where
        the head starts fitted and no fit came before. "auto" does so for numbers under
        a squared error, and not with early stopping, which has watched other weights.
        In `partial_fit`, "auto" predicts with the mean of the weights after each of
        about the last hundred steps [2]_.

    References
    ----------
    .. [1] M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
       https://arxiv.org/abs/2109.01903
    .. [2] B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by
       Averaging", SIAM Journal on Control and Optimization 30, 1992,
       https://doi.org/10.1137/0330046

    Examples
    --------
    >>> import torch
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import Optimizer
    >>> sgd = Optimizer(torch.optim.SGD, params={"momentum": 0.9}, layer_decay=0.8)
    >>> model = TextClassifier(lr=0.01, optimizer=sgd)
    """

    _parameter_constraints = {
        "kind": [StrOptions({"adamw"}), callable],
        "params": [dict, None],
        "backbone_lr_scale": [NOT_NEGATIVE, AUTOMATIC],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [NOT_NEGATIVE],
        "lr_schedule": [StrOptions({"constant", "cosine", "one-cycle"})],
        "gradient_clip_value": [POSITIVE, None],
        "average": ["boolean", AUTOMATIC],
    }

    def __init__(
        self,
        kind: Any = "adamw",
        *,
        params: dict[str, Any] | None = None,
        backbone_lr_scale: float | Literal["auto"] = "auto",
        layer_decay: float = 1.0,
        weight_decay: float = 0.01,
        lr_schedule: Literal["cosine", "one-cycle", "constant"] = "cosine",
        gradient_clip_value: float | None = 1.0,
        average: bool | Literal["auto"] = "auto",
    ) -> None:
        self.kind = kind
        self.params = params
        self.backbone_lr_scale = backbone_lr_scale
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.gradient_clip_value = gradient_clip_value
        self.average = average


@set_module("sktransfer.finetuning")
class EarlyStopping(Options):
    """Early stopping: rows to watch, the score, and how long to wait.

    A training ends when the score has not become better for some epochs, and goes back
    to the best epoch. The start counts as an epoch: where the head starts fitted, it is
    the linear model of the frozen features. By its loss, an epoch is better than the
    start only by more than one standard error of the difference of the rows. By a
    metric, it has to be better by more than 1 in 10,000.

    Parameters
    ----------
    validation_fraction : float or cross-validation splitter, default=0.1
        Share of the rows that is set aside, drawn by class for classes and by `groups`
        where `fit` gets them; or an object whose ``split(X, y, groups)`` gives rows to
        train on and rows to watch, of which the first split is used, such as
        ``PredefinedSplit(test_fold)``. Ignored where `fit` gets `X_val`.
    monitor : str or callable, default="loss"
        "loss" is the loss that is trained, or a name or function of scikit-learn's
        scorers such as "accuracy", of which more is better.
    patience : int, default=5
        Epochs without a better score before the training ends.

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import EarlyStopping
    >>> watched = EarlyStopping(monitor="balanced_accuracy", patience=3)
    >>> model = TextClassifier(early_stopping=watched)
    """

    _parameter_constraints = {
        "validation_fraction": [FRACTION, HasMethods("split")],
        "monitor": [str, callable],
        "patience": [COUNT],
    }

    def __init__(
        self,
        validation_fraction: Any = 0.1,
        *,
        monitor: str | Callable[..., float] = "loss",
        patience: int = 5,
    ) -> None:
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.patience = patience


@set_module("sktransfer.finetuning")
class Augmentation(Options):
    """Random changes of training images.

    Parameters
    ----------
    kind : {"light", "standard"} or callable, default="light"
        "light" mirrors and shifts, "standard" also crops and changes colours; or a
        torchvision v2 transform, which takes and returns uint8 tensors
        ``(3, height, width)`` of one size.
    views : int or None, default=None
        So many fixed views of each image, of which each epoch takes one and whose
        activations are kept. None makes new views at each epoch, which have to go
        through the frozen blocks too.

    Examples
    --------
    >>> from sktransfer import ImageClassifier
    >>> from sktransfer.finetuning import Augmentation
    >>> model = ImageClassifier(augment=Augmentation("standard", views=4))
    """

    _parameter_constraints = {
        "kind": [StrOptions({"light", "standard"}), callable],
        "views": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(self, kind: Any = "light", *, views: int | None = None) -> None:
        self.kind = kind
        self.views = views


@set_module("sktransfer.finetuning")
class DomainLoss(Options):
    """The loss that is added for rows without labels (a negative `sample_domain`).

    Parameters
    ----------
    kind : {"coral", "mmd", "dann", "cdan", "mcc"}, default="coral"
        "coral" brings the covariances of both domains' features together, "mmd" their
        distributions, "dann" makes them alike to a discriminator, "cdan" together with
        the predicted classes, and "mcc" makes predictions there less ambiguous. "cdan"
        and "mcc" are for classes.
    weight : float, default=1.0
        Weight of the loss, which rises from 0 over a `fit`.

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> from sktransfer.finetuning import DomainLoss
    >>> model = TextClassifier(domain_loss=DomainLoss("mmd", weight=0.3))
    """

    _parameter_constraints = {
        "kind": [StrOptions(Choices(DOMAIN_LOSSES))],
        "weight": [NOT_NEGATIVE],
    }

    def __init__(
        self,
        kind: Literal["coral", "mmd", "dann", "cdan", "mcc"] = "coral",
        *,
        weight: float = 1.0,
    ) -> None:
        self.kind = kind
        self.weight = weight
