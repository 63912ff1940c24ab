"""ZeroShotClassifier: classes by description, without labels."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ._utils.callbacks import CallbackSupport, with_callbacks
from ._utils.names import set_module
from ._utils.routing import given, is_asking, route, router_of
from ._utils.score import LabelScore
from ._utils.types import ArrayLike, Cells, Transformer
from ._utils.validation import HasMethods, Interval, StrOptions, dense, is_null, shorten
from .backbones import Backbone
from .encoders import ImageEncoder, TextEncoder

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from sklearn.utils.metadata_routing import MetadataRouter

__all__ = ["ZeroShotClassifier"]

# What the networks were trained with: CLIP's at the end of its training, and the
# default of sentence-transformers' ranking loss.
SCALES = {"image": 100.0, "text": 20.0}
TEMPLATES = {"image": "a photo of a {}.", "text": "{}"}
SHARED = ("cache", "device", "precision")


@set_module("sktransfer")
class ZeroShotClassifier(CallbackSupport, LabelScore, ClassifierMixin, BaseEstimator):
    """Classify texts or images by descriptions of the classes, without labels.

    A row is assigned to the class whose description is nearest, by the cosine of their
    vectors. Texts and descriptions run through the same network; images need a network
    that was trained with a text tower, such as CLIP [1]_. `fit` ignores labels, and
    reads rows only if the encoder learns from them.

    Parameters
    ----------
    classes : list of labels, or dict of label to str or list of str
        Classes. A dict maps each label to its prompt or prompts; several prompts are
        averaged. A list holds labels, which are put into `template`.
    encoder : ImageEncoder, TextEncoder or transformer, default=None
        Encoder of the rows. None is ``TextEncoder()``.
    text_encoder : transformer, default=None
        Encoder of the prompts. None is `encoder` itself for texts. For images it is the
        text tower of the encoder's backbone, which must then be given by name.
    template : "auto", str or list of str, default="auto"
        Prompt for the labels of a list; the label replaces ``{}``. The vectors of
        several templates are averaged. "auto" is ``"a photo of a {}."`` for an
        `ImageEncoder`, and the label itself otherwise.
    scale : "auto" or float, default="auto"
        Factor of the cosines before the softmax. It changes the probabilities, not the
        predicted class. "auto" is 100 for an `ImageEncoder`, the final value of CLIP's
        training, and 20 otherwise.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    prompts_ : list of list of str
        Prompts of each class.
    vectors_ : ndarray of shape (n_classes, n_features)
        Vector of each class, of length 1.
    encoder_ : transformer
        Fitted encoder of the rows.

    See Also
    --------
    TextClassifier, ImageClassifier : Classes learned from labels.

    Notes
    -----
    A row with a zero vector, as of an encoder with ``missing="zero"``, is equally near
    to all classes. A `TextEncoder` puts the same prompt of the network's configuration
    in front of rows and descriptions. If the network has different prompts for queries
    and passages, pass `text_encoder` too.

    References
    ----------
    .. [1] A. Radford et al., "Learning Transferable Visual Models From Natural Language
       Supervision", ICML 2021, https://arxiv.org/abs/2103.00020

    Examples
    --------
    >>> from sktransfer import TextEncoder, ZeroShotClassifier
    >>> model = ZeroShotClassifier(
    ...     {"card": ["my card", "a bank card"], "cash": "money from a machine"},
    ...     TextEncoder("tiny-bert"),
    ... ).fit()
    >>> model.predict(["my card", "money from a machine"])
    array(['card', 'cash'], dtype='<U4')
    """

    _parameter_constraints = {
        "classes": "no_validation",
        "encoder": [HasMethods(["fit", "transform"]), None],
        "text_encoder": [HasMethods(["fit", "transform"]), None],
        "template": [str, list],
        "scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        classes: Sequence[Any] | Mapping[Any, str | Sequence[str]],
        encoder: Transformer | None = None,
        *,
        text_encoder: Transformer | None = None,
        template: str | Sequence[str] = "auto",
        scale: float | Literal["auto"] = "auto",
    ) -> None:
        self.classes = classes
        self.encoder = encoder
        self.text_encoder = text_encoder
        self.template = template
        self.scale = scale

    @with_callbacks
    def fit(
        self, X: Cells | None = None, y: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Encode the prompts of the classes.

        Parameters
        ----------
        X : list, 1-D array, Series, frame or Arrow array, default=None
            Rows for an encoder that learns from them, such as one with
            ``missing="mean"``. Other encoders ignore them.
        y : array-like, default=None
            Ignored.
        **params : dict
            Metadata for an encoder that learns from rows, if it requests it. Needs
            scikit-learn's metadata routing.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are fewer than two classes, a class has no prompt, the encoder
            needs rows, or metadata is passed without metadata routing.
        """
        self._validate_params()
        of_fit = given(route(self, "fit", params), "encoder", "fit")
        encoder = TextEncoder() if self.encoder is None else self.encoder
        self._modality = getattr(encoder, "_modality", "text")
        prompts = _prompts(self.classes, self._templates())
        labels = list(prompts)
        if len({isinstance(label, str) for label in labels}) > 1:
            raise ValueError(
                f"ZeroShotClassifier: the labels {shorten(labels)} are strings and "
                "other types; expected one type, so that predictions can equal them."
            )
        self.classes_, order = np.unique(np.asarray(labels), return_index=True)
        self.prompts_ = [prompts[labels[i]] for i in order]
        if get_tags(encoder).requires_fit and X is None:
            raise ValueError(
                f"ZeroShotClassifier: {type(encoder).__name__} learns from rows before "
                "it encodes; pass X to fit, or use an encoder that does not, such as "
                "one with missing='zero'."
            )
        with self._fit_task(X, y, 2) as task:
            vectors = self._encode(encoder, X, of_fit, task)
        ends = np.cumsum([0, *map(len, self.prompts_)])
        means = [
            vectors[start:end].mean(axis=0)
            for start, end in zip(ends[:-1], ends[1:], strict=True)
        ]
        self.vectors_ = _unit(np.stack(means))
        return self

    def _encode(self, encoder, X, of_fit, task):
        """Fit the encoder; return the vectors of all prompts, of length 1."""
        flat = [prompt for some in self.prompts_ for prompt in some]
        self.encoder_ = clone(encoder)
        fitting = task.subtask("fit-encoder")
        if get_tags(encoder).requires_fit:
            with fitting.fitting(self.encoder_):
                self.encoder_.fit(X, **of_fit)
        else:
            with fitting:
                _mark_as_fitted(self.encoder_)
        of_prompts, encoding = self._of_prompts(encoder), task.subtask("encode-prompts")
        if of_prompts is encoder:
            with encoding:
                vectors = self.encoder_.transform(flat)
        else:
            of_prompts = clone(of_prompts)
            with encoding.fitting(of_prompts):
                vectors = of_prompts.fit_transform(flat)
        return _unit(dense(vectors))

    def decision_function(self, X: Cells, **params: Any) -> np.ndarray:
        """Return the scaled cosine of each row with each class.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        **params : dict
            Metadata for the encoder's `transform`, if it requests it.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Scaled cosines; for two classes, their difference.
        """
        logits = self._logits(X, "decision_function", params)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, X: Cells, **params: Any) -> np.ndarray:
        """Return the softmax of the scaled cosines.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        **params : dict
            Metadata for the encoder's `transform`, if it requests it.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, with columns in the order of `classes_`.
        """
        return softmax(self._logits(X, "predict_proba", params), axis=1)

    def predict(self, X: Cells, **params: Any) -> np.ndarray:
        """Return the nearest class of each row.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        **params : dict
            Metadata for the encoder's `transform`, if it requests it.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        nearest = self._logits(X, "predict", params).argmax(axis=1)
        return self.classes_[nearest]

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata goes to the encoder.

        Returns
        -------
        MetadataRouter

        Raises
        ------
        NotImplementedError
            If `text_encoder` requests metadata: prompts are not rows, so they have
            none.
        """
        if self.text_encoder is not None and is_asking(self.text_encoder):
            raise NotImplementedError(
                f"ZeroShotClassifier: text_encoder={shorten(self.text_encoder)} "
                "requests metadata, which prompts do not have. Remove the request, for "
                "example with set_fit_request(sample_weight=False)."
            )
        methods = ("predict", "predict_proba", "decision_function")
        mapping = {method: ["transform"] for method in methods} | {"fit": ["fit"]}
        return router_of(self, {"encoder": (self.encoder, mapping)})

    def __sklearn_tags__(self) -> Tags:
        """Take what goes in from the encoder."""
        tags = super().__sklearn_tags__()
        encoder = TextEncoder() if self.encoder is None else self.encoder
        tags.input_tags = get_tags(encoder).input_tags
        tags.target_tags.required = False
        return tags

    # -- the work --------------------------------------------------------------------

    def _logits(self, X, method, params):
        check_is_fitted(self, "vectors_")
        routed = route(self, method, params)
        of_rows = given(routed, "encoder", "transform")
        vectors = dense(self.encoder_.transform(X, **of_rows))
        if vectors.shape[1] != self.vectors_.shape[1]:
            raise ValueError(
                f"ZeroShotClassifier: rows have {vectors.shape[1]} features and "
                f"prompts {self.vectors_.shape[1]}; encoder and text_encoder must be "
                "the two towers of one network."
            )
        if np.isnan(vectors).any():
            row = int(np.flatnonzero(np.isnan(vectors).any(axis=1))[0])
            raise ValueError(
                f"ZeroShotClassifier: row {row} became NaN, which has no class. Give "
                "the encoder missing='zero' and, for images, on_error='zero'."
            )
        scale = SCALES[self._modality] if self.scale == "auto" else self.scale
        return scale * (_unit(vectors) @ self.vectors_.T)

    def _templates(self):
        templates = self.template
        if templates == "auto":
            templates = TEMPLATES[self._modality]
        templates = [templates] if isinstance(templates, str) else templates
        wrong = [t for t in templates if not isinstance(t, str) or "{}" not in t]
        if wrong or not templates:
            raise ValueError(
                f"ZeroShotClassifier: template={self.template!r} must be a string with "
                "{} where the label goes, or a list of such strings."
            )
        return templates

    def _of_prompts(self, encoder):
        """Return the encoder of the prompts."""
        if self.text_encoder is not None:
            return self.text_encoder
        if not isinstance(encoder, ImageEncoder):
            return encoder
        if isinstance(encoder.backbone, Backbone):
            raise ValueError(
                f"ZeroShotClassifier: the Backbone {encoder.backbone.name!r} reads "
                "images only; give the text tower as text_encoder=TextEncoder(...), or "
                "name the network, so that both can be loaded."
            )
        params = encoder.get_params()
        shared = {name: params[name] for name in SHARED}
        return TextEncoder(encoder.backbone, **shared)


def _prompts(classes, templates):
    """Return a list of prompts for each label."""
    if isinstance(classes, str) or not isinstance(classes, (Mapping, list, tuple)):
        if not isinstance(classes, np.ndarray):
            raise TypeError(
                "ZeroShotClassifier: classes must be a list of labels or a dict of "
                f"label to prompts; got {type(classes).__name__}: {shorten(classes)}."
            )
        classes = classes.tolist()
    odd = [c for c in classes if is_null(c) or not isinstance(c, (str, numbers.Number))]
    if odd:
        raise ValueError(
            "ZeroShotClassifier: labels in classes must be strings, numbers or bools; "
            f"got {shorten(odd)}."
        )
    if not isinstance(classes, Mapping):
        if len(set(classes)) < len(classes):
            raise ValueError(
                f"ZeroShotClassifier: a label is twice in classes={shorten(classes)}."
            )
        classes = {
            c: [text.replace("{}", str(c)) for text in templates] for c in classes
        }
    if len(classes) < 2:
        raise ValueError(
            f"ZeroShotClassifier needs at least 2 classes; got {len(classes)}."
        )
    prompts = {}
    for label, some in classes.items():
        if isinstance(some, (list, tuple)):
            some = list(some)
        else:
            some = [some]
        if not some or not all(isinstance(prompt, str) for prompt in some):
            raise ValueError(
                f"ZeroShotClassifier: class {label!r} needs a prompt or a list of "
                f"prompts, as strings; got {shorten(some)}."
            )
        prompts[label] = some
    return prompts


def _mark_as_fitted(encoder):
    """Fit an encoder that learns nothing without a row to read; `save` looks for it."""
    params = encoder.get_params(deep=False)
    given = {name: params[name] for name in ("missing", "on_error") if name in params}
    encoder.set_params(**dict.fromkeys(given, "raise"))
    encoder.fit(["any"]).set_params(**given)


def _unit(vectors):
    vectors = vectors.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float64).tiny)
