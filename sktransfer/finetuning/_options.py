"""Nested options of the fine-tuning estimators: one object per topic."""

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
    """Head of a fine-tuned network: the layers on the pooled features, and their start.

    Parameters
    ----------
    kind : {"linear", "mlp", "cosine", "prototype"}, default="linear"
        Kind of the layers. "prototype" predicts the class whose mean is nearest, by the
        cosine of centred features [1]_, and by the shares of the classes where several
        are about equally near. The means are computed before and after the
        training of the blocks. It is for classes only. If no block is trained,
        `partial_fit` can add rows and classes.
    init : {"auto", "probe", "random"}, default="auto"
        Start of the head. "probe" fits it to the frozen features before training [2]_:
        a linear head as a logistic or ridge regression, a cosine head by the means of
        the classes. "random" starts with random weights. "auto" is "probe" where such a
        fit exists, else "random".
    C : float or "auto", default="auto"
        Inverse regularisation strength of that fit. "auto" depends on the task. It is
        smaller where blocks are trained, because a start that fits every row would
        leave them nothing to learn.
    dropout : float, default=0.0
        Share of the pooled features that are dropped during training.

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
    """Optimizer of a fine-tuning, and the learning rates of the parts of the network.

    The estimator's `lr` is the learning rate of the head.

    Parameters
    ----------
    kind : "adamw" or a subclass of torch.optim.Optimizer, default="adamw"
        Optimizer class.
    params : dict, default=None
        Further arguments of the class, such as ``{"momentum": 0.9}`` for
        torch.optim.SGD.
    backbone_lr_scale : float or "auto", default="auto"
        Learning rate of the last block, relative to `lr`. "auto" is 1 if `lr` is a
        number. If `lr` is "auto", blocks get the same rate however the head starts, and
        "auto" is the ratio of that rate to `lr`.
    layer_decay : float, default=1.0
        Factor of the learning rate from each block to the block before it. The default,
        1, trains all blocks at the same rate.
    weight_decay : float, default=0.01
        Weight decay. Biases and normalisation layers have none.
    lr_schedule : {"cosine", "one-cycle", "constant"}, default="cosine"
        Schedule of the learning rate. "cosine" warms up over a tenth of the steps. In
        `partial_fit`, whose last step is unknown, "cosine" and "one-cycle" are replaced
        by the inverse square root of the number of steps of all calls.
    gradient_clip_value : float or None, default=1.0
        Greatest norm of the gradient; longer gradients are scaled down. None does not
        clip.
    average : bool or "auto", default="auto"
        Average weights. In `fit`, True ends with the mean of the weights at the start
        and at the end [1]_, if the head starts fitted and no fit came before. "auto"
        does so for a squared error without early stopping, which would have watched
        other weights. In `partial_fit`, "auto" and True predict with the mean of the
        weights over about the last hundred steps [2]_.

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
    """Early stopping: the rows to watch, the score, and the patience.

    Training stops when the score has not improved for `patience` epochs, and the best
    epoch is restored. The start counts as an epoch: with a fitted head it is the linear
    model on the frozen features. With the loss as the score, a later epoch replaces the
    start only if it is better by more than one standard error of the difference over
    the rows. A metric has to improve by more than 0.01 % of its value.

    Parameters
    ----------
    validation_fraction : float or cross-validation splitter, default=0.1
        Share of the rows to set aside, stratified by class, or in whole `groups` if
        `fit` gets them. A splitter's ``split(X, y, groups)`` gives the rows to train on
        and the rows to watch; its first split is used, as of
        ``PredefinedSplit(test_fold)``. Ignored if `fit` gets `X_val`.
    monitor : str or callable, default="loss"
        Score to watch: "loss" is the training loss; a scorer of scikit-learn, such as
        "accuracy", is a name or a function, and greater is better.
    patience : int, default=5
        Number of epochs without a better score after which training stops.

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
        Changes to make. "light" mirrors and shifts; "standard" also crops and changes
        colours. A callable is a torchvision v2 transform, which takes and returns uint8
        tensors of shape ``(3, height, width)`` and does not change their size.
    views : int or None, default=None
        Number of fixed views per image. Each epoch uses one of them, and their
        activations are cached. None makes new views in every epoch, which also run
        through the frozen blocks.

    See Also
    --------
    ImageClassifier, ImageRegressor : Take it as ``augment``.

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
    """Loss added for rows without labels (a negative `sample_domain`).

    Parameters
    ----------
    kind : {"coral", "mmd", "dann", "cdan", "mcc"}, default="coral"
        Kind of the loss. "coral" aligns the covariances of both domains' features,
        "mmd" their distributions. "dann" makes the domains indistinguishable to a
        discriminator of the features, "cdan" to one that also sees the predicted
        classes. "mcc" makes predictions on unlabelled rows less ambiguous. "cdan" and
        "mcc" are for classes only.
    weight : float, default=1.0
        Weight of the loss. In `fit` it rises from 0 to this value.

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
