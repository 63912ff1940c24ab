"""TableEncoder: a table with images and texts to a table of numbers."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.callbacks import CallbackSupport, with_callbacks
from .._utils.labels import check_groups
from .._utils.names import set_module
from .._utils.options import WithOptions
from .._utils.routing import AS_TRANSFORMER, is_routing, route, router_of
from .._utils.routing import given as given_to
from .._utils.torch_output import as_output
from .._utils.types import ArrayLike, Transformer
from .._utils.validation import HasMethods, Interval, StrOptions
from ._choose import Choose, choose_of
from ._columns import (
    CATEGORICAL,
    N_COMPONENTS,
    Fit,
    NetworkColumn,
    column_encoder,
    components_of,
)
from ._frame import as_frame, check_columns, check_some
from ._kinds import FEW, resolve_kinds
from ._report import Report
from ._rest import fit_rest, parts_of, rest_of
from ._search import N_PASSES, chosen_for
from ._side_by_side import side_by_side, unique

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from sklearn.utils.metadata_routing import MetadataRouter

# The parameter with the transformer for columns of a kind.
TRANSFORMERS = {
    "image": "image_encoder",
    "text": "text_encoder",
    "categorical": "categorical",
    "numeric": "numeric",
}


@set_module("sktransfer")
class TableEncoder(CallbackSupport, TransformerMixin, WithOptions):
    """Encode a table with images, texts and other columns as named numbers.

    Each column is encoded by its kind, which is guessed. Images and texts run through a
    pretrained network and keep principal components; categories are one-hot encoded;
    dates become their parts; numbers stay. Null numbers and dates are NaN. The result
    suits gradient boosting and models of tables.

    Parameters
    ----------
    image_encoder : transformer, default=None
        Transformer of a column of images. None is ``ImageEncoder()``. A
        `TargetAwareEncoder` gets `y`. ``missing="raise"`` of the transformer, or of an
        estimator inside it, becomes "mean" ("prior" in fine-tuning estimators): null
        cells are no error in a table.
    text_encoder : transformer, default=None
        Transformer of a column of texts. None is ``TextEncoder()``, which reads a null
        cell as the empty text.
    kinds : dict of str to (str or transformer), default=None
        Kinds of columns for which the guess is wrong: "image", "text", "categorical",
        "numeric", "date" or "drop". Cells that do not fit "numeric" or "date" become
        NaN, with a warning. A transformer encodes that column of images or texts in
        place of `image_encoder` or `text_encoder`.
    n_components : int, None or dict, default=30
        Number of principal components of each image or text column, at most one per
        four rows. None keeps the vectors. A dict, such as ``{"photo": 50}``, sets a
        number or None per column; other columns have 30.
    categorical : {"onehot", "ordinal", "passthrough"} or transformer, default="onehot"
        Encoder of categorical columns. "ordinal" suits trees. "passthrough" returns a
        frame with columns of pandas' category type, for TabPFN, TabICL and gradient
        boosting that reads categories; a category that `fit` did not see becomes
        missing.
    max_categories : int, default=30
        Greatest number of columns per "onehot" column; rarer categories share one.
    numeric : "passthrough" or transformer, default="passthrough"
        Transformer of numeric columns, such as ``SimpleImputer()``.
    rest : {"sklearn", "skrub"}, default="sklearn"
        Encoder of the other columns. "skrub" passes categorical, numeric and date
        columns to skrub's ``TableVectorizer``, except those that `kinds` names and
        strings such as "$5" and "n/a" that are numbers or dates. `categorical`,
        `max_categories` and `numeric` then apply to these exceptions only.
    choose : None, "auto" or Choose, default=None
        Choice of the encoder of each image and text column by cross-validation in
        `fit`, which takes minutes. Candidates are no encoder, n-grams, networks of
        several depths and sizes, and fine-tuned networks. "auto" is
        ``sktransfer.tables.Choose()``. Columns with a transformer in `kinds` keep it.
    random_state : int or RandomState, default=0
        Seed of the principal components and of skrub's encoder of strings.

    Attributes
    ----------
    choices_ : dict of str to (transformer or "drop")
        Encoder of each column. ``kinds=choices_`` repeats the choice without a search.
    choosing_ : ColumnChoices
        Scores, intervals and seconds of all candidates, if there was a choice.
    kinds_ : dict of str to str
        Kind of each column.
    columns_ : dict of str to object
        Fitted encoder of each column; those of images and texts have ``encoder`` and
        ``pca``.
    feature_names_in_ : ndarray of shape (n_features_in,)
    n_features_in_, n_features_out_ : int

    See Also
    --------
    guess_kinds : Guesses the kinds of the columns.
    TargetAwareEncoder : Outputs of a fine-tuned model as features.

    Notes
    -----
    In a numeric or date column of strings, formats such as "$1,200.00", "5%" (which is
    5), "3,14" and "3/14/2020" are parsed. "n/a", "?" and the like become NaN, and so do
    cells that are neither number nor date; one warning counts these. If no date of a
    column tells the day from the month, the first number is read as the month, with a
    warning. Formats other than ISO dates need pandas.

    An image or text column with null cells in `fit` gets a further column, such as
    ``photo_missing``. `transform` finds columns by name and ignores further ones.

    `fit` prints nothing. ``set_callbacks(ProgressBar(max_propagation_depth=1))`` of
    scikit-learn 1.9 shows the columns, and the rows of each image and text column.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktransfer import TableEncoder, TextEncoder
    >>> table = pd.DataFrame(
    ...     {
    ...         "review": ["a good one it is", "it broke at once", None, "not so good"],
    ...         "color": ["red", "blue", "red", "green"],
    ...         "price": [1.0, 2.0, 3.0, None],
    ...     }
    ... )
    >>> encoder = TableEncoder(text_encoder=TextEncoder("tiny-bert"))
    >>> encoder.fit_transform(table).shape
    (4, 6)
    >>> encoder.kinds_
    {'review': 'text', 'color': 'categorical', 'price': 'numeric'}
    >>> list(encoder.get_feature_names_out())[:3]
    ['review_0', 'review_missing', 'color_blue']
    """

    _parameter_constraints = {
        "image_encoder": [HasMethods(["fit_transform", "transform"]), None],
        "text_encoder": [HasMethods(["fit_transform", "transform"]), None],
        "kinds": [dict, None],
        "n_components": [Interval(Integral, 1, None, closed="left"), dict, None],
        "categorical": [StrOptions(set(CATEGORICAL)), HasMethods(["fit_transform"])],
        "max_categories": [Interval(Integral, 2, None, closed="left")],
        "numeric": [StrOptions({"passthrough"}), HasMethods(["fit_transform"])],
        "rest": [StrOptions({"sklearn", "skrub"})],
        "choose": [StrOptions({"auto"}), Choose, None],
        "random_state": ["random_state"],
    }
    _shortcuts = {"choose": choose_of}
    # Groups only keep rows apart that must not be mixed, so passing them is right.
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        image_encoder: Transformer | None = None,
        text_encoder: Transformer | None = None,
        *,
        kinds: dict[str, str | Transformer] | None = None,
        n_components: int | dict[str, int | None] | None = N_COMPONENTS,
        categorical: Literal["onehot", "ordinal", "passthrough"]
        | Transformer = "onehot",
        max_categories: int = FEW,
        numeric: Literal["passthrough"] | Transformer = "passthrough",
        rest: Literal["sklearn", "skrub"] = "sklearn",
        choose: Literal["auto"] | Choose | None = None,
        random_state: int | np.random.RandomState = 0,
    ) -> None:
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.kinds = kinds
        self.n_components = n_components
        self.categorical = categorical
        self.max_categories = max_categories
        self.numeric = numeric
        self.rest = rest
        self.choose = choose
        self.random_state = random_state

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Guess the kinds of the columns, and fit an encoder for each.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
        y : array-like of shape (n_samples,), default=None
            Target, for `choose` and for encoders that use it.
        groups : array-like of shape (n_samples,), default=None
            Group of each row. Rows of a group are never on both sides of a fold, in
            `choose` and in each `TargetAwareEncoder`.
        **params : dict
            Metadata for given transformers that request it by ``set_fit_request``.
            Needs scikit-learn's metadata routing.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As in `fit_transform`, and if metadata is passed without metadata routing.
        """
        self._fit(X, y, groups, params, "fit")
        return self

    @with_callbacks
    def fit_transform(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Any:
        """Fit, and return the encoded rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
        y : array-like of shape (n_samples,), default=None
            Target, for `choose` and for encoders that use it.
        groups : array-like of shape (n_samples,), default=None
            As in `fit`.
        **params : dict
            Metadata for the given transformers, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            A frame, or a tensor on the device of the first image or text encoder, if
            ``set_output`` asks for it. A pandas DataFrame if categories are kept.

        Raises
        ------
        TypeError
            If `X` is no frame, or the cells of a column have a type without a kind.
        ValueError
            If `kinds` names an unknown column, no column is left, or `choose` is set
            and `y` is None or constant.
        """
        return self._fit(X, y, groups, params, "fit_transform")

    def transform(self, X: Any, **params: Any) -> Any:
        """Return the encoded rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
            Table with the columns that `fit` saw, in any order.
        **params : dict
            Metadata for the `transform` of given transformers that request it.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            A frame, or a tensor on the device of the first image or text encoder, if
            ``set_output`` asks for it. A pandas DataFrame if categories are kept.
        """
        check_is_fitted(self, "columns_")
        routed = route(self, "transform", params)
        X = as_frame(X)
        check_columns(X, [n for n, kind in self.kinds_.items() if kind != "drop"])
        report = Report(len(X))
        parts = [
            encoder.transform(
                X[name], name, report, self._given(routed, name, "transform")
            )
            for name, encoder in self.columns_.items()
        ]
        report.warn(with_formats=False)
        if self._vectorizer is not None:
            parts.append(rest_of(self._vectorizer, X[self._left]))
        return self._output(side_by_side(parts, self._names_out, X))

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against ``feature_names_in_``, as scikit-learn does.

        Returns
        -------
        ndarray of str objects
            Names such as ``photo_0``, ``review_3``, ``color_red``, ``price``,
            ``sold_month``.
        """
        check_is_fitted(self, "columns_")
        if input_features is not None and not np.array_equal(
            np.asarray(input_features, dtype=object), self.feature_names_in_
        ):
            raise ValueError("input_features is not equal to feature_names_in_.")
        return np.asarray(self._names_out, dtype=object)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata goes to which of the given transformers.

        Returns
        -------
        MetadataRouter
        """
        names = TRANSFORMERS.values()
        inner = {name: (getattr(self, name), AS_TRANSFORMER) for name in names}
        own = {f"kinds[{name}]": (e, AS_TRANSFORMER) for name, e in self._own().items()}
        return router_of(self, inner | own, takes_some=True)

    def __sklearn_tags__(self) -> Tags:
        """Describe the input to scikit-learn: a frame of anything."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    # -- the work --------------------------------------------------------------------

    def _given(self, routed, name, method):
        """Return the metadata for a method of a column's transformer."""
        shared = TRANSFORMERS.get(self.kinds_[name])
        return given_to(
            routed, f"kinds[{name}]" if name in self._own() else shared, method
        )

    def _own(self):
        """Return the transformers that are for one column each."""
        given = (self.kinds or {}) | getattr(self, "choices_", {})
        return {n: kind for n, kind in given.items() if not isinstance(kind, str)}

    def _fit(self, X, y, groups, params, method):
        self._validate_params()
        self.__dict__.pop("choices_", None)
        X = as_frame(X)
        groups = check_groups(groups, len(X), type(self).__name__)
        if groups is not None and is_routing():
            params = params | {"groups": groups}
        routed = route(self, method, params)
        names = check_some(X)
        self.kinds_ = resolve_kinds(X, names, self.kinds or {})
        if set(self.kinds_.values()) <= {"drop"}:
            raise ValueError(
                f"TableEncoder: no column is left to encode: {self.kinds_}. Set kinds= "
                "for the columns to keep."
            )
        sizes = components_of(self.n_components, self.kinds_)
        self.n_features_in_ = len(names)
        self.feature_names_in_ = np.asarray(names, dtype=object)
        self.columns_, self._vectorizer = {}, None
        chosen = [n for n in sizes if self.choose is not None and n not in self._own()]
        own, self._left = parts_of(X, self)
        n_tasks = N_PASSES * len(chosen) + len(own) + bool(self._left)
        with self._fit_task(X, y, n_tasks, groups=groups) as task:
            ready = {} if self.choose is None else self._choose(X, y, groups, task)
            own, _ = parts_of(X, self)
            parts, names_out, report = [], [], Report(len(X))
            for name, kind in own.items():
                own_task = task.subtask(f"column-{name}")
                if name in ready:
                    with own_task:
                        encoder, numbers = ready[name]
                else:
                    encoder = column_encoder(self, X[name], name, kind, sizes.get(name))
                    params = self._given(routed, name, "fit_transform")
                    if name in sizes and groups is not None and not is_routing():
                        params = params | encoder.asked(groups)
                    fit = Fit(y, report, own_task, params)
                    numbers = encoder.fit_transform(X[name], name, fit)
                parts.append(numbers)
                names_out += encoder.names
                self.columns_[name] = encoder
            report.warn(with_formats=True)
            if self._left:
                with task.subtask("skrub"):
                    fitted = fit_rest(X[self._left], y, self.random_state)
                self._vectorizer, numbers, names = fitted
                parts.append(numbers)
                names_out += names
            self._names_out = unique(names_out)
            out = side_by_side(parts, self._names_out, X)
            self.n_features_out_ = out.shape[1]
        return self._output(out)

    def _choose(self, X, y, groups, task):
        """Choose encoders; return columns that have been fitted, and their numbers."""
        self.choices_, self.choosing_, ready = chosen_for(self, X, y, groups, task)
        dropped = [n for n, c in self.choices_.items() if isinstance(c, str)]
        self.kinds_ |= dict.fromkeys(dropped, "drop")
        return ready

    def _output(self, out):
        networks = [c for c in self.columns_.values() if isinstance(c, NetworkColumn)]
        return as_output(self, out, *[column.encoder for column in networks])
