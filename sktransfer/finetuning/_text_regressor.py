"""TextRegressor: fine-tuning on a column of texts, for numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .._extraction.estimator import TextColumn
from .._utils.names import set_module
from .._utils.types import RandomStateLike
from .._utils.validation import StrOptions
from ._base import POLICIES
from ._base_estimators import BaseRegressor

if TYPE_CHECKING:
    from ..backbones._registry import BackboneLike
    from ..cache._default import CacheLike


@set_module("sktransfer")
class TextRegressor(TextColumn, BaseRegressor):
    """Fine-tune a pretrained network that turns texts into numbers.

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
    head : {"linear", "mlp", "cosine"}, default="linear"
        Layers on top of the pooled vector.
    head_init : {"auto", "probe", "random"}, default="auto"
        "probe" sets a linear head to a ridge regression of the frozen
        features before training [1]_; "auto" does so for a linear head.
    probe_C : float or "auto", default="auto"
        Inverse strength of that model's penalty, on standardised features. "auto" is
        0.001.
    dropout : float, default=0.0
        Share of the pooled features that is dropped in training.
    max_length : int, default=None
        Tokens kept; None is the network's own limit.
    prompt : str, default=None
        Text to put in front of each text, as it is. None takes the default prompt of
        the network's record, if it has one.
    prompt_name : str, default=None
        Name of a prompt in the network's record, to put in front instead.
    missing : {"empty", "raise", "prior"}, default="empty"
        A null cell: the empty text, an error, or `fit` leaves the row out with a
        warning and `predict` gives the mean.
    lr : float or "auto", default="auto"
        Learning rate of the head. "auto" is 0.0002, a quarter of it where no block is
        trained, and 0.003 for a head that starts at random.
    backbone_lr_scale : float or "auto", default="auto"
        The last block learns with ``lr * backbone_lr_scale``. "auto" is 1; where `lr`
        is "auto" and the head starts at random, it gives the block 0.0002.
    layer_decay : float, default=1.0
        Each block before it learns with that times the rate of the one behind.
    weight_decay : float, default=0.01
        AdamW's; not for biases and norms.
    lr_schedule : {"cosine", "one-cycle", "constant"}, default="cosine"
        Course of the learning rate; "cosine" warms up over a tenth of the steps.
    gradient_clip_value : float or None, default=1.0
        Greatest norm of the gradient.
    batch_norm : {"eval", "frozen", "train", "target"}, default="eval"
        BatchNorm in the trained blocks: "eval" uses the network's own statistics and
        trains weight and bias, "frozen" trains neither, "train" uses and updates the
        statistics of the batches. "target" normalises each domain by its own batches
        and ends with the statistics of the target rows, for predictions there [2]_.
    domain_loss : {"coral", "mmd", "dann"}, default=None
        Loss added for rows without labels (a negative `sample_domain` in `fit`).
        "coral" brings the covariances of both domains' features together, "mmd" their
        distributions, and "dann" makes them alike to a discriminator. None leaves such
        rows out.
    domain_loss_weight : float, default=1.0
        Its weight, which rises from 0 over the training.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows. "auto" is 4 and as many more as fit into 300
        rows, at most 12 more; a head that starts at random and is trained alone takes
        300 steps at least.
    batch_size : int, default=16
        Rows of a training step.
    average : bool, default=True
        End with the mean of the weights at the start of the training and at its end
        [3]_. Numbers are often hard to tell from a text or an image, and the mean
        follows the noise of the training rows less. Only where `fit` starts anew at a
        linear model: heads that start at random, `warm_start` and `partial_fit` do
        without.
    early_stopping : bool, default=False
        Set rows aside (stratified; by `groups` where `fit` gets them), stop when their
        loss no longer falls, and go back to the best epoch.
    validation_fraction : float, default=0.1
        Share of the rows that is set aside.
    n_iter_no_change : int, default=5
        Epochs without a lower loss before it stops.
    activation_dtype : {"float32", "float16"}, default="float32"
        Type of stored activations. float16 halves their size and is not exact.
    cache : "auto", str, Path, FeatureCache or None, default="auto"
        Store for activations between fits. "auto" is memory, and the folder of
        `set_cache_dir` if there is one; else a folder, or None for no store.
    callbacks : list of skorch callbacks, default=None
        Used beside the estimator's own.
    net_params : dict, default=None
        Further parameters of the skorch net: ``{"optimizer": torch.optim.SGD}``.
    warm_start : bool, default=False
        Go on from the last fit instead of starting anew.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU.
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Precision of the forward passes.
    random_state : int, RandomState or None, default=None
        Seed of the head, the order of the rows and dropout.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    feature_names_in_ : ndarray of one str object
        The name of the column, if `fit` saw a frame.
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
    .. [3] M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
       https://arxiv.org/abs/2109.01903

    Examples
    --------
    >>> from sktransfer import TextRegressor
    >>> X = ["good", "very good", "bad", "very bad"]
    >>> model = TextRegressor("tiny-bert", freeze_depth=-1, random_state=0)
    >>> model.fit(X, [4.0, 5.0, 2.0, 1.0]).predict(["good"]).shape
    (1,)
    """

    _parameter_constraints = {
        **BaseRegressor._parameter_constraints,
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
        head: Literal["linear", "mlp", "cosine"] = "linear",
        head_init: Literal["auto", "probe", "random"] = "auto",
        probe_C: float | Literal["auto"] = "auto",
        dropout: float = 0.0,
        max_length: int | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        missing: Literal["empty", "raise", "prior"] = "empty",
        lr: float | Literal["auto"] = "auto",
        backbone_lr_scale: float | Literal["auto"] = "auto",
        layer_decay: float = 1.0,
        weight_decay: float = 0.01,
        lr_schedule: Literal["cosine", "one-cycle", "constant"] = "cosine",
        gradient_clip_value: float | None = 1.0,
        batch_norm: Literal["eval", "frozen", "train", "target"] = "eval",
        domain_loss: Literal["coral", "mmd", "dann"] | None = None,
        domain_loss_weight: float = 1.0,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 16,
        average: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        activation_dtype: Literal["float32", "float16"] = "float32",
        cache: CacheLike = "auto",
        callbacks: list[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        warm_start: bool = False,
        device: str = "auto",
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        random_state: RandomStateLike = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.freeze_depth = freeze_depth
        self.pooling = pooling
        self.head = head
        self.head_init = head_init
        self.probe_C = probe_C
        self.dropout = dropout
        self.max_length = max_length
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.missing = missing
        self.lr = lr
        self.backbone_lr_scale = backbone_lr_scale
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.gradient_clip_value = gradient_clip_value
        self.batch_norm = batch_norm
        self.domain_loss = domain_loss
        self.domain_loss_weight = domain_loss_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.activation_dtype = activation_dtype
        self.cache = cache
        self.callbacks = callbacks
        self.net_params = net_params
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
