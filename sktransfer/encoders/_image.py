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
    """Turn images into feature vectors with a pretrained network.

    The network is not trained. Image size, cropping and normalisation come from the
    network's configuration. Features are cached by the content of an image, so
    cross-validation, grid searches and refits send each distinct image through the
    network once. A cell may hold a list of images: the row's features are the mean of
    theirs.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone, default="efficientnet_lite0"
        Network to use: one of ``list_backbones("image")``, a name in timm or
        torchvision, the Hub name of a transformers model, or a folder that holds a
        network.
    depth : int or str, default="all"
        Blocks of the network to run, as a slice of its list of blocks. "all" runs every
        block; ``-1`` leaves out the last block (unlike ``hidden_states[-1]``); ``6``
        runs the first six; the name of a block or stage runs the network up to and
        including it. The cache keeps the features of every depth, so another depth
        needs no further pass.
    pooling : {"auto", "mean", "max", "cls", "last"}, default="auto"
        Reduction of the activations to one vector. "auto" uses the pooling that the
        weights were trained with.
    image_size : int, default=None
        Height and width of the network's input, in pixels. None uses the size in the
        network's configuration.
    normalize : bool, default=False
        Scale each vector to length 1.
    source : {"path", "base64", "url", "intranet", "bytes"}, default="path"
        How to interpret strings. "url" fetches from public addresses only, "intranet"
        also from private ones; a URL is fetched once per call and may take 10 s and 64
        MiB. "bytes" opens no string, which is the safe choice for a service.
    max_pixels : int, default=None
        Greatest number of pixels of an image. A larger image is not decoded and counts
        as unreadable. None uses Pillow's limit, 178 million.
    missing : {"raise", "nan", "zero", "mean"}, default="raise"
        Policy for a null cell (None, NaN, ``pandas.NA``) or an empty list: an error, or
        a vector of NaN, of zeros, or the mean vector of the rows that `fit` saw.
    on_error : {"raise", "nan", "zero", "mean"}, default="raise"
        Policy for an unreadable cell: a missing or damaged file, content that is no
        image, an image that is too large, or a cell of a wrong type. A row of several
        images is the mean of the readable ones.
    add_indicator : bool, default=False
        Append a column that is 1 where a row was replaced and 0 elsewhere.
    batch_size : int or "auto", default="auto"
        Images per forward pass. "auto" is 4 on a CPU and 256 on a GPU, or fewer if the
        GPU lacks memory for them. 1 is faster where rows arrive one at a time.
    cache : "auto", str, Path, FeatureCache or None, default="auto"
        Store of the features. "auto" keeps them in memory, up to 1 GiB per process, and
        also in the folder of `set_cache_dir` or ``SKTRANSFER_CACHE`` if one is set. A
        path names a folder. None stores nothing.
    device : str, default="auto"
        Device to compute on. "auto" is CUDA if available, else MPS, else the CPU.
    precision : {"float32", "tf32", "bfloat16", "float16"}, default="float32"
        Precision of the network's computation; features are always float32. "tf32"
        rounds the factors of products on CUDA cards, where it is faster, and is float32
        on other devices. "float32" never rounds them, whatever torch is set to.
    engine : {"auto", "torch", "compile", "onnxruntime", "openvino"}, default="torch"
        Engine that computes the features. "onnxruntime" (float32) and "openvino"
        (float32, bfloat16) run on the CPU and have to be installed:
        ``pip install "sktransfer[fast]"`` brings the latter. "compile" is
        torch.compile. "auto" is the fastest engine that is installed and works, as
        measured for images; on a GPU it is torch. With "auto" and TorchCodec installed,
        a CUDA card also decodes JPEGs; pixels then differ by some levels from the
        CPU's, and such features are cached apart.

        An engine is built at the first row that the cache lacks, which takes seconds to
        a minute per process, and is compared with torch. If it fails, or differs by
        more than 1e-3 of the greatest value (5e-2 in bfloat16), torch computes instead,
        with a warning if the engine was named. The cache keeps the features of each
        engine apart.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    feature_names_in_ : ndarray of one str object
        Name of the column, if `fit` saw a frame.
    n_features_out_ : int
        Number of output columns.
    depth_ : str
        Name of the last block that runs.
    pooling_ : str
        Pooling in use.
    missing_rows_, error_rows_ : ndarray of int
        Positions of the null rows and of the unreadable rows in the data given to
        `fit`.
    fill_values_ : ndarray of shape (n_features,)
        Mean vector of the rows that `fit` saw, if a policy is "mean".

    See Also
    --------
    TextEncoder : The same for texts.
    ImageClassifier : Fine-tunes the network instead.
    TableEncoder : Encodes a table with images, texts and other columns.

    Notes
    -----
    Images are turned upright by their EXIF orientation. An animation is read as its
    first frame. 16-bit grey is scaled to 8 bits, transparency is laid on white, and
    CMYK, palette and grey images become RGB.

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
