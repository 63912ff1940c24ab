"""ImageRegressor: fine-tuning on a column of images, for numbers."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from .._cells.images import SOURCES
from .._extraction.estimator import ImageColumn
from .._utils.names import set_module
from .._utils.types import RandomStateLike
from .._utils.validation import Interval, StrOptions
from ._augment import AUGMENTS
from ._base import POLICIES
from ._base_estimators import BaseRegressor
from ._losses import LossOptions
from ._options import Augmentation, DomainLoss, EarlyStopping, Head, Optimizer
from ._parameters import IMAGE_SHORTCUTS

if TYPE_CHECKING:
    from ..backbones._registry import BackboneLike
    from ..cache._default import CacheLike


@set_module("sktransfer")
class ImageRegressor(ImageColumn, BaseRegressor):
    """Predict numbers from images by fine-tuning a pretrained network.

    The last blocks of the network are trained together with a head; the first blocks
    are frozen. Each row runs through the frozen blocks only once, because their
    activations are cached across epochs, folds, candidates and fits. A grid search over
    `freeze_depth` and `lr` therefore costs little more than the training of the last
    blocks. A cell may hold a list of images: the head gets the mean of their features.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone, default="efficientnet_lite0"
        Network to fine-tune: one of ``list_backbones("image")``, a name in timm or
        torchvision, the Hub name of a transformers model, or a folder that holds a
        network.
    freeze_depth : int or str, default="auto"
        Blocks that stay frozen, as a slice of the network's list of blocks. "auto"
        trains the last 55 % of the blocks. "all" freezes every block, so that only the
        head is trained (a linear probe); ``-1`` trains the last block, ``-2`` the last
        two; ``0`` freezes nothing. The name of a block or stage freezes the network up
        to and including it.
    pooling : {"auto", "mean", "max", "cls", "last"}, default="auto"
        Reduction of the activations to one vector. "auto" uses the pooling that the
        weights were trained with.
    head : {"linear", "mlp", "cosine"} or Head, default="linear"
        Layers on top of the pooled vector. A linear head starts as a ridge regression
        on the frozen features [1]_. A `Head` sets more: ``head__init``, ``head__C``,
        ``head__dropout``.
    loss : {"squared_error", "huber", "quantile"} or object, default="squared_error"
        Loss of the labelled rows. `HuberLoss` and `QuantileLoss` have the parameters
        ``loss__delta`` and ``loss__quantile``; `SquaredErrorLoss` has none. A callable,
        such as a torch module with ``reduction="none"``, takes outputs and targets and
        returns one loss per row; its targets are scaled to mean 0 and standard
        deviation 1.
    image_size : int, default=None
        Height and width of the network's input, in pixels. None uses the size in the
        network's configuration.
    source : {"path", "base64", "url", "intranet", "bytes"}, default="path"
        How to interpret strings. "url" fetches from public addresses only, "intranet"
        also from private ones; a URL is fetched once per call and may take 10 s and 64
        MiB. "bytes" opens no string, which is the safe choice for a service.
    max_pixels : int, default=None
        Greatest number of pixels of an image. A larger image is not decoded and counts
        as unreadable. None uses Pillow's limit, 178 million.
    missing, on_error : {"raise", "prior"}, default="raise"
        Policies for a null cell and for an unreadable one. "raise" raises an error.
        With "prior", `fit` leaves the row out with a warning, and `predict` returns the
        mean of the training rows.
    lr : float or "auto", default="auto"
        Learning rate of the head. "auto" is 0.003 for a head that starts at random and
        0.0003 for one that starts fitted, or a quarter of 0.0003 where no block is
        trained. In `partial_fit`, a head that starts fitted gets five times its rate.
    optimizer : "adamw", Optimizer or class, default="adamw"
        Optimizer of the training. An `Optimizer` sets more, such as
        ``optimizer__weight_decay``, ``optimizer__layer_decay`` and
        ``optimizer__lr_schedule``. A class is a subclass of ``torch.optim.Optimizer``.
    batch_norm : {"eval", "frozen", "train", "target"}, default="eval"
        Treatment of BatchNorm layers in the trained blocks. "eval" keeps the network's
        own statistics and trains weight and bias; "frozen" trains neither; "train" uses
        the statistics of the batches and updates them. "target" normalises each domain
        by its own batches and keeps the statistics of the target rows for predictions
        [2]_.
    domain_loss : {"coral", "mmd", "dann"} or DomainLoss, default=None
        Loss added for rows without labels (a negative `sample_domain` in `fit`).
        "coral" aligns the covariances of both domains' features, "mmd" their
        distributions; "dann" makes the domains indistinguishable to a discriminator.
        None leaves these rows out. A `DomainLoss` also sets ``domain_loss__weight``.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training rows. "auto" is 8, and with few rows up to 12
        more: as many as fit into 600 rows. A head that starts at random and is trained
        alone gets at least 300 steps.
    batch_size : int, default=16
        Number of rows per training step.
    early_stopping : bool or EarlyStopping, default=False
        Stop early. True sets a tenth of the rows aside (stratified by class, or whole
        `groups` if `fit` gets them), stops when their loss no longer falls, and
        restores the best epoch; the start counts as an epoch. An `EarlyStopping` sets
        which rows and which metric to watch, and for how long:
        ``early_stopping__monitor``, ``early_stopping__patience``.
    scoring : str, callable or list of them, default=None
        scikit-learn metrics to record in `history_` after each epoch, as
        ``train_accuracy``, and as ``valid_accuracy`` where rows are set aside or `fit`
        gets `X_val`. Each row counts once, whatever its weight.
    augment : {"light", "standard"}, Augmentation, callable or None, default=None
        Random changes of the training images. "light" mirrors and shifts; "standard"
        also crops and changes colours; a callable is a torchvision v2 transform. By
        default images change anew in every epoch and run through the frozen blocks each
        time. With ``augment__views=4`` each image has four fixed views, whose
        activations are cached.
    activation_dtype : {"float32", "float16"}, default="float32"
        Data type of the cached activations. "float16" halves their size and loses
        precision.
    cache : "auto", str, Path, FeatureCache or None, default="auto"
        Store of the activations between fits. "auto" keeps them in memory, and also in
        the folder of `set_cache_dir` if one is set. A path names a folder. None stores
        nothing.
    callbacks : list of skorch callbacks, default=None
        Callbacks to run in addition to the estimator's own. skorch's scorers see class
        numbers instead of labels, and scaled numbers.
    warm_start : bool, default=False
        Continue from the last fit instead of starting anew.
    device : str, default="auto"
        Device to train and predict on. "auto" is CUDA if available, else MPS, else the
        CPU.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Precision of the forward passes. "tf32" rounds the factors of products on CUDA
        cards, and is float32 on other devices.
    random_state : int, RandomState or None, default=None
        Seed of the head, the order of the rows, dropout and augmentation.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    feature_names_in_ : ndarray of one str object
        Name of the column, if `fit` saw a frame.
    net_ : skorch.NeuralNet
        Net of the trained blocks and the head.
    backbone_ : Backbone
        Fine-tuned network, for example for ``ImageEncoder(backbone=model.backbone_)``.
    freeze_depth_ : str
        Name of the last frozen block; empty if nothing is frozen.
    settings_ : dict
        Values that the last fit used for parameters that may be "auto", and
        ``trained_share``, the share of the network's weights that were trained.
    n_epochs_ : int
        Number of epochs trained.
    history_ : list of dict
        One dict per epoch, with ``train_loss``, ``valid_loss``, ``domain_loss``
        (without its weight), ``dur`` (seconds) and more.

    See Also
    --------
    ImageEncoder : The features of a network, without training it.
    ImageClassifier : The same for classes.

    Notes
    -----
    ``python -m benchmarks.run finetuning_defaults`` compares the default settings with
    others, on splits of the benchmarks' training rows.

    References
    ----------
    .. [1] A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and
       Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054
    .. [2] Y. Li et al., "Adaptive Batch Normalization for practical domain adaptation",
       Pattern Recognition 80, 2018, https://arxiv.org/abs/1603.04779

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import ImageRegressor
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), dtype=np.uint8)
    >>> X[4:] //= 4
    >>> model = ImageRegressor("tiny-cnn", freeze_depth=-1, random_state=0)
    >>> model.fit(X, [9.0] * 4 + [2.0] * 4).predict(X).shape
    (8,)
    """

    _parameter_constraints = {
        **BaseRegressor._parameter_constraints,
        "image_size": "no_validation",  # ImagePreprocess.resized says more
        "source": [StrOptions(set(SOURCES))],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "missing": [StrOptions(POLICIES)],
        "on_error": [StrOptions(POLICIES)],
        "augment": [StrOptions(set(AUGMENTS)), Augmentation, callable, None],
    }

    _shortcuts = IMAGE_SHORTCUTS

    def __init__(
        self,
        backbone: BackboneLike = "efficientnet_lite0",
        *,
        freeze_depth: int | str = "auto",
        pooling: Literal["auto", "mean", "max", "cls", "last"] = "auto",
        head: Literal["linear", "mlp", "cosine"] | Head = "linear",
        loss: Literal["squared_error", "huber", "quantile"]
        | LossOptions
        | Callable[..., Any] = "squared_error",
        image_size: int | None = None,
        source: Literal["path", "base64", "url", "intranet", "bytes"] = "path",
        max_pixels: int | None = None,
        missing: Literal["raise", "prior"] = "raise",
        on_error: Literal["raise", "prior"] = "raise",
        lr: float | Literal["auto"] = "auto",
        optimizer: Literal["adamw"] | Optimizer | type = "adamw",
        batch_norm: Literal["eval", "frozen", "train", "target"] = "eval",
        domain_loss: Literal["coral", "mmd", "dann"] | DomainLoss | None = None,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 16,
        augment: Literal["light", "standard"]
        | Augmentation
        | Callable[..., Any]
        | None = None,
        early_stopping: bool | EarlyStopping = False,
        scoring: str | Callable[..., Any] | list[Any] | None = None,
        activation_dtype: Literal["float32", "float16"] = "float32",
        cache: CacheLike = "auto",
        callbacks: list[Any] | None = None,
        warm_start: bool = False,
        device: str = "auto",
        precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32",
        random_state: RandomStateLike = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.freeze_depth = freeze_depth
        self.pooling = pooling
        self.head = head
        self.loss = loss
        self.image_size = image_size
        self.source = source
        self.max_pixels = max_pixels
        self.missing = missing
        self.on_error = on_error
        self.lr = lr
        self.optimizer = optimizer
        self.batch_norm = batch_norm
        self.domain_loss = domain_loss
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.augment = augment
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.activation_dtype = activation_dtype
        self.cache = cache
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
