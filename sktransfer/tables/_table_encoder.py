"""TableEncoder: a table with images and texts to a table of numbers."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._cells.guess import missing_file, sample_of
from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.torch_output import as_output
from .._utils.types import ArrayLike, Transformer
from .._utils.validation import HasMethods, Interval, StrOptions, draw_seed, shorten
from ..encoders import ImageEncoder, TextEncoder
from ._columns import (
    CATEGORICAL,
    N_COMPONENTS,
    CategoricalColumn,
    DateColumn,
    NetworkColumn,
    NumericColumn,
    components_of,
    side_by_side,
)
from ._frame import as_frame
from ._kinds import FEW, KINDS, guess_kind, needs_cleaning, refuse_complex
from ._report import Report

if TYPE_CHECKING:
    from sklearn.utils import Tags


@set_module("sktransfer")
class TableEncoder(TransformerMixin, BaseEstimator):
    """A table with images and texts, as numbers with names.

    Finds out what each column holds; runs images and texts through a pretrained
    network and keeps their principal components; one-hot encodes categories, takes
    dates apart, and passes numbers on. What comes out suits gradient boosting and
    models of tables; null cells of numbers and dates are NaN.

    Parameters
    ----------
    image_encoder : transformer, default=None
        Of a column of images. None is ``ImageEncoder(missing="mean")``. A
        `TargetAwareEncoder` will do: it gets `y`.
    text_encoder : transformer, default=None
        Of a column of texts. None is ``TextEncoder()``, to which a null cell is the
        empty text.
    kinds : dict of str to str, default=None
        What columns hold, where the guess is wrong: "image", "text", "categorical",
        "numeric", "date" or "drop". Cells that are no numbers or dates become NaN in
        columns that are named so, with a warning.
    n_components : int, None or dict, default=30
        Principal components of each image or text column; one for four rows where
        rows are few. None keeps the vectors. A dict, such as ``{"photo": 50}``, gives a
        number or None for columns by name, and the others have 30.
    categorical : {"onehot", "ordinal", "passthrough"} or transformer, default="onehot"
        What becomes of a categorical column. "ordinal" suits trees. "passthrough" keeps
        it, as a column of pandas' category type, so that a frame comes out: for
        gradient boosting that reads categories, and for TabPFN and TabICL. A category
        that `fit` did not see is missing then.
    max_categories : int, default=30
        Columns of "onehot"; rarer categories share one.
    numeric : "passthrough" or transformer, default="passthrough"
        What becomes of a numeric column, such as ``SimpleImputer()``.
    rest : {"sklearn", "skrub"}, default="sklearn"
        "skrub" hands categorical, numeric and date columns to skrub's
        ``TableVectorizer``, but for those that `kinds` names and for strings such as
        "$5" and "n/a" that are numbers or dates; `categorical`, `max_categories` and
        `numeric` are for these alone then.
    random_state : int or RandomState, default=0
        Of the principal components, and of skrub's for strings.

    Attributes
    ----------
    kinds_ : dict of str to str
        What each column was taken for.
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
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        image_encoder: Transformer | None = None,
        text_encoder: Transformer | None = None,
        *,
        kinds: dict[str, str] | None = None,
        n_components: int | dict[str, int | None] | None = N_COMPONENTS,
        categorical: Literal["onehot", "ordinal", "passthrough"]
        | Transformer = "onehot",
        max_categories: int = FEW,
        numeric: Literal["passthrough"] | Transformer = "passthrough",
        rest: Literal["sklearn", "skrub"] = "sklearn",
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
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Guess the kinds, and fit each column's encoder.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
        y : array-like of shape (n_samples,), default=None
            For encoders that use it.

        Returns
        -------
        self
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: ArrayLike | None = None) -> Any:
        """Fit, and return the numbers of the same rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
        y : array-like of shape (n_samples,), default=None
            For encoders that use it.

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
            If `kinds` names a column that is not there, or no column is left.
        """
        return self._fit(X, y)

    def transform(self, X: Any) -> Any:
        """Return the numbers of new rows.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or data set of the hub, of n_samples rows
            With the columns that `fit` saw, in any order.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float64
            Or a frame, or a tensor on the device of the first image or text encoder,
            as ``set_output`` says; a pandas DataFrame where categories are kept.
        """
        check_is_fitted(self, "columns_")
        X = as_frame(X)
        there = set(X.columns)
        used = [name for name, kind in self.kinds_.items() if kind != "drop"]
        gone = [name for name in used if name not in there]
        if gone:
            raise ValueError(
                f"TableEncoder: columns that fit saw are missing: {shorten(gone)}; "
                f"got {shorten(sorted(there))}."
            )
        report = Report(len(X))
        parts = [
            encoder.transform(X[name], name, report)
            for name, encoder in self.columns_.items()
        ]
        report.warn(with_formats=False)
        if self._vectorizer is not None:
            with config_context(transform_output="default"):
                frame = self._vectorizer.transform(self._left(X))
            parts.append(_as_matrix(frame))
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

    def __sklearn_tags__(self) -> Tags:
        """Describe the input to scikit-learn: a frame of anything."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    # -- the work --------------------------------------------------------------------

    def _fit(self, X, y):
        self._validate_params()
        X = as_frame(X)
        names = list(X.columns)
        if not names:
            raise ValueError(
                f"TableEncoder: Found array with 0 feature(s) (shape={X.shape}) while "
                "a minimum of 1 is required."
            )
        if len(X) == 0:
            raise ValueError(
                "TableEncoder got an input with 0 sample(s); at least 1 is required."
            )
        self.kinds_ = self._resolve_kinds(X, names)
        if set(self.kinds_.values()) <= {"drop"}:
            raise ValueError(
                f"TableEncoder: no column is left to encode: {self.kinds_}. Set kinds= "
                "for those that are to stay."
            )
        sizes = components_of(self.n_components, self.kinds_)
        self.n_features_in_ = len(names)
        self.feature_names_in_ = np.asarray(names, dtype=object)
        self.columns_, self._vectorizer = {}, None
        parts, names_out, report = [], [], Report(len(X))
        for name, kind in self.kinds_.items():
            if kind == "drop" or self._is_left(X[name], kind):
                continue
            encoder = self._encoder(X[name], name, kind, sizes.get(name))
            parts.append(encoder.fit_transform(X[name], name, y, report))
            names_out += encoder.names
            self.columns_[name] = encoder
        report.warn(with_formats=True)
        left = self._left(X) if self.rest == "skrub" else None
        if left is not None and left.shape[1]:
            skrub = import_optional(
                "skrub", extra="tables", purpose="TableEncoder(rest='skrub')"
            )
            seed = draw_seed(self.random_state)
            strings = skrub.StringEncoder(random_state=seed)
            self._vectorizer = skrub.TableVectorizer(high_cardinality=strings)
            with config_context(transform_output="default"):
                frame = self._vectorizer.fit_transform(left, y)
            parts.append(_as_matrix(frame))
            names_out += list(frame.columns)
        self._names_out = _unique(names_out)
        out = side_by_side(parts, self._names_out, X)
        self.n_features_out_ = out.shape[1]
        return self._output(out)

    def _output(self, out):
        networks = [c for c in self.columns_.values() if isinstance(c, NetworkColumn)]
        return as_output(self, out, *[column.encoder for column in networks])

    def _resolve_kinds(self, X, names):
        given = self.kinds or {}
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(
                f"TableEncoder: kinds names columns that are not there: {unknown}; got "
                f"{shorten(names)}."
            )
        for name, kind in given.items():
            if kind not in KINDS:
                raise ValueError(
                    f"TableEncoder: kinds={{{name!r}: {kind!r}}} must be one of "
                    f"{KINDS}."
                )
            if kind != "drop":
                refuse_complex(X[name])
        return {
            name: given[name] if name in given else guess_kind(X[name])
            for name in names
        }

    def _encoder(self, series, name, kind, n_components):
        if kind == "categorical":
            return CategoricalColumn(self.categorical, self.max_categories)
        if kind == "numeric":
            return NumericColumn(self.numeric)
        if kind == "date":
            return DateColumn()
        if kind == "text":
            given = self.text_encoder
            encoder = TextEncoder() if given is None else given
        else:
            given = self.image_encoder
            encoder = ImageEncoder(missing="mean") if given is None else given
            # A table often has names without their folder; say so for the column.
            is_path = _sources(encoder) == {"path"}
            absent = missing_file(sample_of(series.to_list())) if is_path else None
            if absent is not None:
                raise ValueError(
                    f"TableEncoder: column {name!r} holds names of images, but there "
                    f"is no file {absent}, nor any other of those looked at. Make the "
                    "names full paths, give image_encoder another source=, or set "
                    f"kinds={{{name!r}: 'drop'}}."
                )
        return NetworkColumn(encoder, n_components, self.random_state)

    def _left(self, X):
        """Return the columns that are skrub's."""
        return X[
            [
                name
                for name, kind in self.kinds_.items()
                if kind != "drop" and name not in self.columns_
            ]
        ]

    def _is_left(self, series, kind):
        """Whether a column is skrub's, which makes guesses of its own."""
        if self.rest != "skrub" or series.name in (self.kinds or {}):
            return False
        return kind == "categorical" or (
            kind in ("date", "numeric") and not needs_cleaning(series)
        )


def _sources(encoder):
    """Return the values of `source` of an encoder and of what is inside it."""
    params = encoder.get_params() if hasattr(encoder, "get_params") else {}
    names = [name for name in params if name.split("__")[-1] == "source"]
    return {params[name] for name in names}


def _as_matrix(frame):
    return np.asarray(frame.to_numpy(), dtype=np.float64)


def _unique(names):
    """Put underscores behind names that were there."""
    seen = []
    for name in names:
        while name in seen:
            name += "_"
        seen.append(name)
    return seen
