"""TextClassifier: fine-tuning on a column of texts, for classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from .._extraction.estimator import TextColumn
from .._extraction.pieces import Pieces
from .._utils.names import set_module
from .._utils.types import RandomStateLike
from .._utils.validation import StrOptions
from ._base import POLICIES
from ._base_estimators import BaseClassifier
from ._losses import LossOptions
from ._options import DomainLoss, EarlyStopping, Head, Optimizer
from ._parameters import TEXT_SHORTCUTS

if TYPE_CHECKING:
    from ..backbones._registry import BackboneLike
    from ..cache._default import CacheLike


@set_module("sktransfer")
class TextClassifier(TextColumn, BaseClassifier):
    """Classify texts by fine-tuning a pretrained network.

    The last blocks of the network are trained together with a head; the first blocks
    are frozen. Each row runs through the frozen blocks only once, because their
    activations are cached across epochs, folds, candidates and fits. A grid search over
    `freeze_depth` and `lr` therefore costs little more than the training of the last
    blocks.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone, default="all-MiniLM-L6-v2"
        Network to fine-tune: one of ``list_backbones("text")``, the Hub name of a
        sentence-transformers or transformers model, or a folder that holds one.
    freeze_depth : int or str, default="auto"
        Blocks that stay frozen, as a slice of the network's list of blocks. "auto"
        trains the last 55 % of the blocks. "all" freezes every block, so that only the
        head is trained (a linear probe); ``-1`` trains the last block, ``-2`` the last
        two; ``0`` freezes nothing. The name of a block or stage freezes the network up
        to and including it.
    pooling : {"auto", "mean", "max", "cls", "last"}, default="auto"
        Reduction of the activations to one vector. "auto" uses the pooling that the
        weights were trained with.
    head : {"linear", "mlp", "cosine", "prototype"} or Head, default="linear"
        Layers on top of the pooled vector. A linear head starts as a logistic
        regression on the frozen features [1]_. "prototype" predicts the class whose
        mean is nearest, by the cosine of centred features [3]_; with
        ``freeze_depth="all"``, `partial_fit` can add rows and classes to it. A `Head`
        sets more: ``head__init``, ``head__C``, ``head__dropout``.
    loss : {"log_loss", "focal", "contrastive"}, object or callable, default="log_loss"
        Loss of the labelled rows. `LogLoss`, `FocalLoss` and `ContrastiveLoss` have
        parameters such as ``loss__label_smoothing`` and ``loss__gamma``. "contrastive"
        trains the blocks to bring rows of the same class together [4]_, and fits the
        head afterwards. A callable, such as a torch module with ``reduction="none"``,
        takes outputs and targets and returns one loss per row.
    max_length : int, "pieces" or Pieces, default=None
        Greatest number of tokens per text. None uses the limit in the network's
        configuration. Longer texts are cut, and a warning counts them. "pieces" splits
        them into overlapping pieces instead and averages the pieces' features;
        `sktransfer.encoders.Pieces` sets how, also by nested names such as
        ``max_length__stride``.
    prompt : str, default=None
        Text to put in front of each text, unchanged. None uses the default prompt of
        the network's configuration, if it has one.
    prompt_name : str, default=None
        Name of a prompt in the network's configuration, to put in front instead.
    missing : {"empty", "raise", "prior"}, default="empty"
        Policy for a null cell. "empty" reads it as the empty text, "raise" raises an
        error. With "prior", `fit` leaves the row out with a warning, and `predict` uses
        the class shares of the training rows.
    lr : float or "auto", default="auto"
        Learning rate of the head. "auto" is 0.003 for a head that starts at random and
        0.0002 for one that starts fitted; a quarter of 0.0002 for prototypes and where
        no block is trained; and 0.0003 in contrastive training. In `partial_fit`, a
        head that starts fitted gets five times its rate.
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
    domain_loss : {"coral", "mmd", "dann", "cdan", "mcc"} or DomainLoss, default=None
        Loss added for rows without labels (a negative `sample_domain` in `fit`).
        "coral" aligns the covariances of both domains' features, "mmd" their
        distributions. "dann" makes the domains indistinguishable to a discriminator of
        the features, "cdan" to one that also sees the predicted classes. "mcc" makes
        predictions on unlabelled rows less ambiguous. None leaves these rows out. A
        `DomainLoss` also sets ``domain_loss__weight``.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training rows. "auto" is 4, and with few rows up to 12
        more: as many as fit into 300 rows. Prototypes get 4, contrastive training 4. A
        head that starts at random and is trained alone gets at least 300 steps.
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
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes in the loss. "balanced" weights a class by the inverse of
        its number of rows, counted over all calls of `partial_fit`. With several labels
        per row, a dict holds the weight of the rows that have a label, and "balanced"
        gives the rows with a label and those without it the same total weight.
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
        Seed of the head, the order of the rows and dropout.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    feature_names_in_ : ndarray of one str object
        Name of the column, if `fit` saw a frame.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : skorch.NeuralNet
        Net of the trained blocks and the head.
    backbone_ : Backbone
        Fine-tuned network, for example for ``TextEncoder(backbone=model.backbone_)``.
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
    TextEncoder : The features of a network, without training it.
    TextRegressor : The same for numbers.
    ZeroShotClassifier : Classes by description, without labels.

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
    .. [3] Y. Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for
       Few-Shot Learning", 2019, https://arxiv.org/abs/1911.04623
    .. [4] P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020,
       https://arxiv.org/abs/2004.11362

    Examples
    --------
    >>> from sktransfer import TextClassifier
    >>> X = ["good", "very good", "bad", "very bad"]
    >>> model = TextClassifier("tiny-bert", freeze_depth=-1, random_state=0)
    >>> model.fit(X, ["+", "+", "-", "-"]).predict(["good"])
    array(['+'], dtype='<U1')
    """

    _shortcuts = TEXT_SHORTCUTS
    _parameter_constraints = {
        **BaseClassifier._parameter_constraints,
        "max_length": "no_validation",  # TextPreprocess.shortened says more
        "prompt": [str, None],
        "prompt_name": [str, None],
        "missing": [StrOptions(POLICIES | {"empty"})],
    }

    def __init__(
        self,
        backbone: BackboneLike = "all-MiniLM-L6-v2",
        *,
        freeze_depth: int | str = "auto",
        pooling: Literal["auto", "mean", "max", "cls", "last"] = "auto",
        head: Literal["linear", "mlp", "cosine", "prototype"] | Head = "linear",
        loss: Literal["log_loss", "focal", "contrastive"]
        | LossOptions
        | Callable[..., Any] = "log_loss",
        max_length: int | Literal["pieces"] | Pieces | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        missing: Literal["empty", "raise", "prior"] = "empty",
        lr: float | Literal["auto"] = "auto",
        optimizer: Literal["adamw"] | Optimizer | type = "adamw",
        batch_norm: Literal["eval", "frozen", "train", "target"] = "eval",
        domain_loss: Literal["coral", "mmd", "dann", "cdan", "mcc"]
        | DomainLoss
        | None = None,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 16,
        class_weight: dict[Any, float]
        | list[dict[int, float]]
        | Literal["balanced"]
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
        self.max_length = max_length
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.missing = missing
        self.lr = lr
        self.optimizer = optimizer
        self.batch_norm = batch_norm
        self.domain_loss = domain_loss
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.class_weight = class_weight
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
