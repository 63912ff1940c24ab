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
    """A table with images and texts, as numbers with names.

    Finds out what each column holds; runs images and texts through a pretrained
    network and keeps their principal components; one-hot encodes categories, takes
    dates apart, and passes numbers on. What comes out suits gradient boosting and
    models of tables; null cells of numbers and dates are NaN.

    Parameters
    ----------
    image_encoder : transformer, default=None
        Transformer for a column of images. None is ``ImageEncoder()``. A
        `TargetAwareEncoder` will do: it gets `y`. Null cells are no error in a table:
        where the encoder, or an estimator inside it, has ``missing="raise"``, which is
        the default for images, it gets "mean" (`ImageClassifier` and `ImageRegressor`:
        "prior").
    text_encoder : transformer, default=None
        Transformer for a column of texts. None is ``TextEncoder()``, to which a null
        cell is the empty text.
    kinds : dict of str to (str or transformer), default=None
        Kinds of columns, where the guess is wrong: "image", "text", "categorical",
        "numeric", "date" or "drop". Cells that are no numbers or dates become NaN in
        columns that are named so, with a warning. A transformer is for that column of
        images or texts alone, in place of `image_encoder` or `text_encoder`.
    n_components : int, None or dict, default=30
        Principal components of each image or text column; one for four rows where
        rows are few. None keeps the vectors. A dict, such as ``{"photo": 50}``, gives a
        number or None for columns by name, and the others have 30.
    categorical : {"onehot", "ordinal", "passthrough"} or transformer, default="onehot"
        Encoder of categorical columns. "ordinal" suits trees. "passthrough" keeps it,
        as a column of pandas' category type, so that a frame comes out: for gradient
        boosting that reads categories, and for TabPFN and TabICL. A category that `fit`
        did not see is missing then.
    max_categories : int, default=30
        Columns of "onehot"; rarer categories share one.
    numeric : "passthrough" or transformer, default="passthrough"
        Transformer of numeric columns, such as ``SimpleImputer()``.
    rest : {"sklearn", "skrub"}, default="sklearn"
        "skrub" hands categorical, numeric and date columns to skrub's
        ``TableVectorizer``, but for those that `kinds` names and for strings such as
        "$5" and "n/a" that are numbers or dates; `categorical`, `max_categories` and
        `numeric` are for these alone then.
    choose : None, "auto" or Choose, default=None
        Choice of the encoder of each image and text column, by cross-validation in
        `fit`, among none, n-grams, networks of several depths and sizes, and tuned
        ones. "auto" is ``sktransfer.tables.Choose()``, which takes minutes. Columns
        with a transformer in `kinds` keep it.
    random_state : int or RandomState, default=0
        Seed of the principal components, and of skrub's encoder of strings.

    Attributes
    ----------
    choices_ : dict of str to (transformer or "drop")
        Encoder of each column: ``kinds=choices_`` does the same without a search.
    choosing_ : ColumnChoices
        Scores, intervals and seconds of all candidates, where there was a choice.
    kinds_ : dict of str to str
        Kind that each column was taken for.
    columns_ : dict of str to object
        The fitted encoder of each column. Those of images and texts have ``encoder``
        and ``pca``.
    feature_names_in_ : ndarray of shape (n_features_in,)
    n_features_in_, n_features_out_ : int

    See Also
    --------
    guess_kinds : What a table would be taken for.
    TargetAwareEncoder : Outputs of a tuned model as features.

    Notes
    -----
    In a numeric or date column that came as strings, "n/a", "?" and the like are NaN,
    formats such as "$1,200.00", "5%" (which is 5), "3,14" and "3/14/2020" are read, and
    what is neither number nor date is NaN too; one warning counts them. Where no date
    of a column tells the day from the month, the month is taken for the first, with a
    warning. Dates in other formats than ISO's need pandas.

    An image or text column with null cells in `fit` gets a further column
    ``photo_missing``. Columns of `transform` are found by name; further ones are
    ignored.

    A fit is silent. ``set_callbacks(ProgressBar(max_propagation_depth=1))`` of
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
        """Guess the kinds, and fit each column's encoder.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
        y : array-like of shape (n_samples,), default=None
            For encoders that use it, and for `choose`.
        groups : array-like of shape (n_samples,), default=None
            Rows of a group are never on both sides of a fold, of `choose` and of each
            `TargetAwareEncoder`.
        **params : dict
            Metadata for the given transformers that ask for it by
            ``set_fit_request``. Needs scikit-learn's metadata routing.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit_transform`, and if there is metadata though routing is off.
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
        """Fit, and return the numbers of the same rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
        y : array-like of shape (n_samples,), default=None
            For encoders that use it, and for `choose`.
        groups : array-like of shape (n_samples,), default=None
            As in `fit`.
        **params : dict
            Metadata for the given transformers, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            Or a frame, or a tensor on the device of the first image or text encoder,
            as ``set_output`` says; a pandas DataFrame where categories are kept.

        Raises
        ------
        TypeError
            If `X` is no frame, or a column's cells are of a type without a kind.
        ValueError
            If `kinds` names a column that is not there, or no column is left; with
            `choose`, if there is no `y`, or it does not vary.
        """
        return self._fit(X, y, groups, params, "fit_transform")

    def transform(self, X: Any, **params: Any) -> Any:
        """Return the numbers of new rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
            With the columns that `fit` saw, in any order.
        **params : dict
            Metadata for the `transform` of given transformers that ask for it.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            Or a frame, or a tensor on the device of the first image or text encoder,
            as ``set_output`` says; a pandas DataFrame where categories are kept.
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
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against ``feature_names_in_``, as scikit-learn does.

        Returns
        -------
        ndarray of str objects
            ``photo_0``, ``review_3``, ``color_red``, ``price``, ``sold_month``.
        """
        check_is_fitted(self, "columns_")
        if input_features is not None and not np.array_equal(
            np.asarray(input_features, dtype=object), self.feature_names_in_
        ):
            raise ValueError("input_features is not equal to feature_names_in_.")
        return np.asarray(self._names_out, dtype=object)

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata goes to which of the given transformers.

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
                "for those that are to stay."
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
