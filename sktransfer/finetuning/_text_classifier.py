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
    """Fine-tune a pretrained network that turns texts into classes.

    The frozen blocks run once for each row, ever: their activations are kept across
    epochs, folds, candidates and fits, so that a grid over `freeze_depth` and `lr`
    costs little more than training what is trained.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone, default="all-MiniLM-L6-v2"
        The network.
    freeze_depth : int or str, default="auto"
        How much of the network stays as it is: "auto" trains the last 55 % of the
        blocks, ``"all"`` is a linear probe, ``-1`` freezes all but the last block,
        ``-2`` all but two, the name of a block or stage up to and including it, ``0``
        nothing. What is frozen runs once for each row.
    pooling : {"auto", "mean", "max", "cls", "last"}, default="auto"
        How activations become one vector; "auto" is the network's own.
    head : {"linear", "mlp", "cosine", "prototype"} or Head, default="linear"
        Layers on top of the pooled vector, and their start: a linear head starts at a
        logistic regression of the frozen features [1]_. A `Head` has more choices:
        ``head__init``, ``head__C``, ``head__dropout``. "prototype" is the nearest class
        mean by the cosine of centred features [3]_; with ``freeze_depth="all"``,
        `partial_fit` adds rows and classes to it.
    loss : {"log_loss", "focal", "contrastive"}, object or callable, default="log_loss"
        Loss of labelled rows. Objects are `LogLoss`, `FocalLoss` and `ContrastiveLoss`,
        whose parameters are ``loss__label_smoothing``, ``loss__gamma`` and so on.
        "contrastive" trains the blocks to bring rows of a class together [4]_, then
        fits the head. A callable, such as a torch module with ``reduction="none"``,
        takes outputs and targets and returns one loss per row.
    max_length : int, "pieces" or Pieces, default=None
        Tokens kept; None is the network's own limit. A warning counts the texts that
        are longer. "pieces" cuts those into overlapping pieces and averages their
        features; `sktransfer.encoders.Pieces` sets how, and so do nested names such as
        ``max_length__stride``.
    prompt : str, default=None
        Text to put in front of each text, as it is. None takes the default prompt of
        the network's record, if it has one.
    prompt_name : str, default=None
        Name of a prompt in the network's record, to put in front instead.
    missing : {"empty", "raise", "prior"}, default="empty"
        A null cell: the empty text, an error, or `fit` leaves the row out with a
        warning and `predict` gives the shares of the classes.
    lr : float or "auto", default="auto"
        Learning rate of the head. "auto" is 0.0002, a quarter of it for prototypes and
        where no block is trained, 0.0003 in contrastive training, and 0.003 for a head
        that starts at random.
    optimizer : "adamw", Optimizer or class, default="adamw"
        Steps of the training. An `Optimizer` has more choices, such as
        ``optimizer__weight_decay``, ``optimizer__layer_decay`` and
        ``optimizer__lr_schedule``; a class is one of torch.optim.
    batch_norm : {"eval", "frozen", "train", "target"}, default="eval"
        BatchNorm in the trained blocks: "eval" uses the network's own statistics and
        trains weight and bias, "frozen" trains neither, "train" uses and updates the
        statistics of the batches. "target" normalises each domain by its own batches
        and ends with the statistics of the target rows, for predictions there [2]_.
    domain_loss : {"coral", "mmd", "dann", "cdan", "mcc"} or DomainLoss, default=None
        Loss added for rows without labels (a negative `sample_domain` in `fit`).
        "coral" brings the covariances of both domains' features together, "mmd" their
        distributions, "dann" makes them alike to a discriminator, "cdan" together with
        the predicted classes, and "mcc" makes predictions there less ambiguous. None
        leaves such rows out. The weight of a `DomainLoss` is ``domain_loss__weight``.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows. "auto" is 4 and as many more as fit into 300
        rows, at most 12 more; none more for prototypes. Contrastive training has 4, and
        a head that starts at random and is trained alone takes 300 steps at least.
    batch_size : int, default=16
        Rows of a training step.
    early_stopping : bool or EarlyStopping, default=False
        Set a tenth of the rows aside (by class, or by `groups` where `fit` gets them),
        stop when their loss no longer falls, and go back to the best epoch; the start
        counts as one. An `EarlyStopping` watches other rows or a metric, or waits
        longer: ``early_stopping__monitor``, ``early_stopping__patience``.
    scoring : str, callable or list of them, default=None
        Metrics of scikit-learn that `history_` has for each epoch, as
        ``train_accuracy`` and, where rows are set aside or `fit` gets `X_val`,
        ``valid_accuracy``. Each row counts once, whatever its weight.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes in the loss. "balanced" weighs a class by the inverse of
        its rows, counted over all calls of `partial_fit`. For several labels per row a
        dict has the weight of the rows that have the label, and "balanced" weighs the
        rows with a label and without it alike.
    activation_dtype : {"float32", "float16"}, default="float32"
        Type of stored activations. float16 halves their size and is not exact.
    cache : "auto", str, Path, FeatureCache or None, default="auto"
        Store for activations between fits. "auto" is memory, and the folder of
        `set_cache_dir` if there is one; else a folder, or None for no store.
    callbacks : list of skorch callbacks, default=None
        Used beside the estimator's own. To skorch's scorers labels are class numbers,
        and numbers are scaled.
    warm_start : bool, default=False
        Go on from the last fit instead of starting anew.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Precision of the forward passes. "tf32" rounds the factors of products on CUDA
        cards, and is float32 elsewhere.
    random_state : int, RandomState or None, default=None
        Seed of the head, the order of the rows and dropout.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    feature_names_in_ : ndarray of one str object
        The name of the column, if `fit` saw a frame.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    net_ : skorch.NeuralNet
        The trained blocks and the head.
    backbone_ : Backbone
        The tuned network, for example for ``TextEncoder(backbone=model.backbone_)``.
    freeze_depth_ : str
        Name of the last frozen block; empty if nothing is frozen.
    settings_ : dict
        Values that the last fit used for parameters that may be "auto", and
        ``trained_share``, the share of the network's weights that was trained.
    n_epochs_ : int
        Epochs that were trained.
    history_ : list of dict
        One an epoch: ``train_loss``, ``valid_loss``, ``domain_loss`` (without its
        weight), ``dur`` in seconds and more.

    See Also
    --------
    TextEncoder : The features without training.

    Notes
    -----
    ``python -m benchmarks.run finetuning_defaults`` compares the defaults with others,
    on splits of training parts.

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
