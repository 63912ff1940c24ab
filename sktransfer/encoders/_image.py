"""ImageEncoder: a column of images to a matrix of features."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Literal

from .._cells.images import SOURCES
from .._extraction.estimator import ImageColumn
from .._utils.names import set_module
from .._utils.validation import Interval, StrOptions
from ._base import POLICIES, BaseEncoder

if TYPE_CHECKING:
    from ..backbones._registry import BackboneLike
    from ..cache._default import CacheLike


@set_module("sktransfer")
class ImageEncoder(ImageColumn, BaseEncoder):
    """Features of images from a pretrained network.

    The network is not trained. Size, cropping and normalisation come from the record
    of its weights. Rows are remembered by their content, so that cross-validation,
    grids and refits send each distinct image through the network once. A list of images
    in a cell is one row, whose features are the mean of theirs.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone, default="efficientnet_lite0"
        The network: one of ``list_backbones("image")``, a name of timm or torchvision,
        the hub name of a transformers model, or a folder with a network.
    depth : int or str, default="all"
        How much of the network runs, as a slice of its list of blocks: "all"; ``-1``
        for all but the last block (unlike ``hidden_states[-1]``); ``6`` for the first
        six; or the name of a block or stage, which is included. The cache keeps the
        features of every depth, so that trying others costs no further pass.
    pooling : {"auto", "mean", "max", "cls", "last"}, default="auto"
        How activations become one vector; "auto" is what the weights were trained with.
    image_size : int, default=None
        Height and width that the network sees, in pixels. None: the record's.
    normalize : bool, default=False
        Scale each vector to length 1.
    source : {"path", "base64", "url", "intranet", "bytes"}, default="path"
        How to interpret strings. "url" fetches from public addresses only, "intranet"
        also from private ones; each URL has 10 s and 64 MiB, and is fetched once per
        call. "bytes" opens no string at all, which is what a service wants.
    max_pixels : int, default=None
        Most pixels that an image may have; one with more is unreadable, and is not
        decoded. None is Pillow's limit, 178 million.
    missing : {"raise", "nan", "zero", "mean"}, default="raise"
        Replacement for a null cell (None, NaN, ``pandas.NA``) or an empty list. "mean"
        is the mean vector of the rows seen by `fit`.
    on_error : {"raise", "nan", "zero", "mean"}, default="raise"
        Replacement for an unreadable cell: a missing or damaged file, no image, an
        image that is too large, or a cell of a wrong type. A row of several images is
        the mean of those that can be read.
    add_indicator : bool, default=False
        Append a column that is 1 where a row was replaced.
    batch_size : int or "auto", default="auto"
        Images per forward pass. "auto": 4 on a CPU, 256 on a GPU; 1 is faster where
        rows come one by one. A GPU without room for them takes fewer.
    cache : "auto", str, Path, FeatureCache or None, default="auto"
        Place where features are kept: "auto" is memory, up to 1 GiB for the process,
        and the folder of `set_cache_dir` or ``SKTRANSFER_CACHE`` if there is one; else
        a folder; or None for nowhere.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Precision that the network computes in. Features are float32 in any case. "tf32"
        rounds the factors of products on CUDA cards, where it is faster; other devices
        compute it in float32. "float32" never does so, whatever torch is set to.
    engine : {"auto", "torch", "compile", "onnxruntime", "openvino"}, default="torch"
        Engine that computes the features. "onnxruntime" (float32) and "openvino"
        (float32, bfloat16) run on the CPU and have to be installed:
        ``pip install "sktransfer[fast]"`` brings the latter. "compile" is
        torch.compile. "auto" is the fastest one that is installed and works, as
        measured for the modality; on a GPU, torch, where a CUDA card also decodes JPEGs
        if TorchCodec is installed (pixels differ by some levels from the CPU's, and
        keys in the cache too). An engine is built at the first
        row that the cache does not have, which takes seconds to a minute in each
        process, and is compared with torch. If it fails, or differs by more than 1e-3
        of the greatest value (5e-2 in bfloat16), torch computes, and a warning says so
        for an engine that was asked for by name. The cache keeps the features of each
        engine apart.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    feature_names_in_ : ndarray of one str object
        The name of the column, if `fit` saw a frame.
    n_features_out_ : int
        Number of output columns.
    depth_ : str
        Name of the last block that runs.
    pooling_ : str
        The pooling in use.
    missing_rows_, error_rows_ : ndarray of int
        Positions of the null and of the unreadable rows in the data given to `fit`.
    fill_values_ : ndarray of shape (n_features,)
        Mean vector, where a policy is "mean".

    See Also
    --------
    TextEncoder : The same for texts.

    Notes
    -----
    Images are turned upright by their EXIF record, the first frame of an animation
    is taken, 16-bit grey is scaled to 8 bits, transparency is laid on white, and CMYK,
    palette and grey images become RGB.

    The default network is EfficientNet-Lite0 [1]_ trained on ImageNet.

    References
    ----------
    .. [1] M. Tan, Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional
       Neural Networks", ICML 2019, https://arxiv.org/abs/1905.11946

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import ImageEncoder
    >>> images = np.zeros((3, 40, 40, 3), dtype=np.uint8)
    >>> ImageEncoder("tiny-cnn").fit_transform(images).shape
    (3, 24)
    >>> ImageEncoder("tiny-cnn", depth=-1).fit(images).depth_
    'stages.1'
    """

    _parameter_constraints = {
        **BaseEncoder._parameter_constraints,
        "image_size": "no_validation",  # ImagePreprocess.resized says more
        "source": [StrOptions(set(SOURCES))],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "missing": [StrOptions(POLICIES)],
        "on_error": [StrOptions(POLICIES)],
    }

    def __init__(
        self,
        backbone: BackboneLike = "efficientnet_lite0",
        *,
        depth: int | str = "all",
        pooling: Literal["auto", "mean", "max", "cls", "last"] = "auto",
        image_size: int | None = None,
        normalize: bool = False,
        source: Literal["path", "base64", "url", "intranet", "bytes"] = "path",
        max_pixels: int | None = None,
        missing: Literal["raise", "nan", "zero", "mean"] = "raise",
        on_error: Literal["raise", "nan", "zero", "mean"] = "raise",
        add_indicator: bool = False,
        batch_size: int | Literal["auto"] = "auto",
        cache: CacheLike = "auto",
        device: str = "auto",
        precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32",
        engine: Literal[
            "auto", "torch", "compile", "onnxruntime", "openvino"
        ] = "torch",
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.depth = depth
        self.pooling = pooling
        self.image_size = image_size
        self.normalize = normalize
        self.source = source
        self.max_pixels = max_pixels
        self.missing = missing
        self.on_error = on_error
        self.add_indicator = add_indicator
        self.batch_size = batch_size
        self.cache = cache
        self.device = device
        self.precision = precision
        self.engine = engine
        self.verbose = verbose
