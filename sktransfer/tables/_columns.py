"""Encoders of one column of a table each, into a few named columns of numbers."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.utils.validation import has_fit_parameter

from .._cells.guess import missing_file, sample_of
from .._cells.parts import is_missing
from .._extraction.estimator import ColumnEstimator
from .._utils.callbacks import Task
from .._utils.names import on_disk
from .._utils.pca import fit_pca
from .._utils.validation import dense, is_integer, is_null, shorten
from ..encoders import ImageEncoder, TextEncoder
from ..target_encoding import TargetAwareEncoder
from ._dates import DATE_PARTS, date_parts, find_formats, read_date
from ._numbers import as_numbers, find_decimal, is_null_word
from ._report import Report
from ._side_by_side import pandas_of
from ._ways import N_COMPONENTS, ROWS_A_COMPONENT

CATEGORICAL = ("onehot", "ordinal", "passthrough")
POLICIES = ("mean", "prior")  # for null cells, of encoders and of fine-tuners


class Fit(NamedTuple):
    """Further arguments of the fit of a column's encoder.

    Attributes
    ----------
    y : array-like or None
    report : Report
    task : Task
        The fit of this column.
    params : dict
        Metadata for a transformer that was given.
    """

    y: Any
    report: Report
    task: Task
    params: dict[str, Any]

    def transformed(self, encoder, values):
        """Fit a transformer that was given, and return its numbers."""
        with self.task.fitting(encoder):
            return _numbers(encoder.fit_transform(values, self.y, **self.params))


@on_disk
class NetworkColumn:
    """Images or texts through an encoder, then to fewer columns.

    Parameters
    ----------
    encoder : transformer
        Encoder of one column of cells. Null cells are no error: where it would raise
        one, they become what `POLICIES` says.
    n_components : int or None
        Columns to keep; None keeps all.
    random_state : int or RandomState
    """

    def __init__(self, encoder, n_components, random_state):
        self.encoder = _allow_nulls(clone(encoder))
        if isinstance(encoder, TargetAwareEncoder):
            n_components = None  # it has components of its own beside its outputs
        self.n_components, self.random_state = n_components, random_state

    def fit_transform(self, series, name, fit):
        """Fit, and return the columns."""
        cells = series.to_list()
        nulls = _nulls(cells)
        self.is_empty = bool(nulls.all())
        if self.is_empty:  # nothing to learn from, as in a fold of a rare column
            self.names = [f"{name}_missing"]
            with fit.task:
                return nulls[:, None].astype(np.float64)
        vectors = fit.transformed(self.encoder, series)
        self._check(vectors, name)
        n_rows, width = vectors.shape
        self.pca = None
        if self.n_components is not None and n_rows > 1:
            # A component that few rows speak for is noise.
            wanted = min(self.n_components, max(1, n_rows // ROWS_A_COMPONENT))
            if wanted < width:
                self.pca, vectors = fit_pca(wanted, vectors, self.random_state)
        self.has_nulls = bool(nulls.any())
        self.names = [f"{name}_{i}" for i in range(vectors.shape[1])]
        if self.has_nulls:
            self.names.append(f"{name}_missing")
        return self._beside(vectors, nulls)

    def transform(self, series, name, report, params):
        """Return the columns."""
        if self.is_empty:
            return _nulls(series.to_list())[:, None].astype(np.float64)
        vectors = _numbers(self.encoder.transform(series, **params))
        self._check(vectors, name)
        if self.pca is not None:
            vectors = self.pca.transform(vectors)
        return self._beside(vectors, _nulls(series.to_list()))

    def asked(self, groups):
        """Return the groups, by name, if the encoder's fit has a use for them."""
        return {"groups": groups} if has_fit_parameter(self.encoder, "groups") else {}

    def _beside(self, vectors, nulls):
        return np.column_stack([vectors, nulls]) if self.has_nulls else vectors

    def _check(self, vectors, name):
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise ValueError(
                f"TableEncoder: row {row} of column {name!r} became NaN, which PCA "
                "cannot use. Give the column's encoder missing='mean' and, for images, "
                "on_error='mean'."
            )


@on_disk
class CategoricalColumn:
    """Categories through an encoder of scikit-learn, or as they are.

    Parameters
    ----------
    encoder : "onehot", "ordinal", "passthrough" or transformer
    max_categories : int
        Most columns of "onehot"; rarer categories share one.
    """

    def __init__(self, encoder, max_categories):
        self.is_given = encoder not in CATEGORICAL
        if encoder == "onehot":
            encoder = OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=max_categories,
                sparse_output=False,
            )
        elif encoder == "ordinal":
            encoder = OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=np.nan
            )
        self.encoder = None if encoder == "passthrough" else clone(encoder)

    def fit_transform(self, series, name, fit):
        """Fit, and return the columns."""
        if self.encoder is None:
            strings = {_category(c) for c in series.to_list() if not is_null(c)}
            self.categories, self.names = sorted(strings), [name]
            with fit.task:
                return self.transform(series, name, fit.report, {})
        values = _as_categories(series)
        if self.is_given:
            out = fit.transformed(self.encoder, values)
        else:
            with fit.task:
                out = _numbers(self.encoder.fit_transform(values))
        self.names = list(self.encoder.get_feature_names_out([name]))
        return out

    def transform(self, series, name, report, params):
        """Return the columns; of "passthrough" a pandas Categorical.

        A category that `fit` did not see is a missing one there, so that the data type
        is always the same.
        """
        if self.encoder is None:
            number = {category: i for i, category in enumerate(self.categories)}
            codes = [
                -1 if is_null(cell) else number.get(_category(cell), -1)
                for cell in series.to_list()
            ]
            return pandas_of().Categorical.from_codes(codes, self.categories)
        with warnings.catch_warnings():
            # A category that fit did not see is zeros in all columns, and no news.
            warnings.filterwarnings("ignore", message="Found unknown categories")
            return _numbers(self.encoder.transform(_as_categories(series), **params))


@on_disk
class NumericColumn:
    """Numbers as they are, or through a transformer; null cells are NaN.

    Parameters
    ----------
    encoder : "passthrough" or transformer
    """

    decimal = "."  # before the fraction, in strings

    def __init__(self, encoder):
        self.encoder = None if encoder == "passthrough" else clone(encoder)

    def fit_transform(self, series, name, fit):
        """Fit, and return the columns."""
        cells = series.to_list()
        self.decimal = find_decimal(sample_of(cells))
        values = as_numbers(cells, name, fit.report, self.decimal)[:, None]
        _check_some_are_left(values, cells, name, "number")
        self.names = [name]
        if self.encoder is None:
            with fit.task:
                return values
        out = fit.transformed(self.encoder, values)
        self.names = list(self.encoder.get_feature_names_out([name]))
        return out

    def transform(self, series, name, report, params):
        """Return the columns."""
        values = as_numbers(series.to_list(), name, report, self.decimal)[:, None]
        if self.encoder is None:
            return values
        return _numbers(self.encoder.transform(values, **params))


@on_disk
class DateColumn:
    """Days since 1970, and year, month, day, weekday and hour where they vary."""

    formats = ()  # of strings that are no ISO dates

    def fit_transform(self, series, name, fit):
        """Fit, and return the columns."""
        cells = series.to_list()
        self.formats, is_ambiguous = find_formats(cells)
        if is_ambiguous:
            fit.report.ambiguous(name, _example(cells, self.formats))
        with fit.task:
            parts = date_parts(cells, name, fit.report, self.formats)
        _check_some_are_left(parts["days"], cells, name, "date")
        self.kept = ["days"]
        for part in DATE_PARTS[1:]:
            there = parts[part][~np.isnan(parts[part])]
            if len(there) and np.ptp(there) > 0:
                self.kept.append(part)
        self.names = [f"{name}_{part}" for part in self.kept]
        return np.column_stack([parts[part] for part in self.kept])

    def transform(self, series, name, report, params):
        """Return the columns."""
        parts = date_parts(series.to_list(), name, report, self.formats)
        return np.column_stack([parts[part] for part in self.kept])


def column_encoder(owner, series, name, kind, n_components):
    """Return the encoder of a column, as the parameters of a table encoder say."""
    if kind == "categorical":
        return CategoricalColumn(owner.categorical, owner.max_categories)
    if kind == "numeric":
        return NumericColumn(owner.numeric)
    if kind == "date":
        return DateColumn()
    encoder = owner._own().get(name, network_encoders(owner)[kind])
    if kind == "image":
        check_files(series, name, encoder)
    return NetworkColumn(encoder, n_components, owner.random_state)


def network_encoders(owner):
    """Return the encoders of columns of images, and of texts."""
    images, texts = owner.image_encoder, owner.text_encoder
    return {
        "image": ImageEncoder() if images is None else images,
        "text": TextEncoder() if texts is None else texts,
    }


# -- principal components by column ----------------------------------------------------


def components_of(n_components, kinds):
    """Return how many components each image or text column keeps.

    Parameters
    ----------
    n_components : int, None or dict of str to (int or None)
    kinds : dict of str to str

    Returns
    -------
    dict of str to (int or None)

    Raises
    ------
    ValueError
        If it names a column that has none, or a number is below 1.
    """
    networks = [name for name, kind in kinds.items() if kind in ("image", "text")]
    if not isinstance(n_components, dict):
        return dict.fromkeys(networks, n_components)
    for name, size in n_components.items():
        kind = kinds.get(name)
        if kind not in ("image", "text", "drop"):
            found = "which is no column" if kind is None else f"which is {kind}"
            raise ValueError(
                f"TableEncoder: n_components names {name!r}, {found}; the columns of "
                f"images and texts are {shorten(networks)}."
            )
        if size is not None and not (is_integer(size) and size >= 1):
            raise ValueError(
                f"TableEncoder: n_components={{{name!r}: {size!r}}} must be an int of "
                "at least 1, or None to keep the vectors."
            )
    return {name: n_components.get(name, N_COMPONENTS) for name in networks}


# -- cells -----------------------------------------------------------------------------


def _allow_nulls(encoder):
    """Let an encoder, and the estimators inside it, take null cells.

    A table has them as a matter of course, and the column ``_missing`` tells of them.
    """
    params = encoder.get_params() if hasattr(encoder, "get_params") else {}
    for part in (encoder, *params.values()):
        is_of_images = isinstance(part, ColumnEstimator) and part._modality == "image"
        if is_of_images and part.missing == "raise":  # the default
            part.missing = next(p for p in POLICIES if p in part._policies("missing"))
    return encoder


def _nulls(cells):
    return np.array([is_missing(cell) for cell in cells], dtype=bool)


def _numbers(out):
    return dense(out).astype(np.float64)


def _as_categories(series):
    """Return strings, and NaN where a cell is null, as an array of one column."""
    cells = [np.nan if is_null(cell) else _category(cell) for cell in series.to_list()]
    return np.array(cells, dtype=object)[:, None]


def _category(cell):
    # One null cell makes floats of whole numbers.
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell)


def _check_some_are_left(values, cells, name, kind):
    strings = [c for c in cells if isinstance(c, str) and not is_null_word(c)]
    if strings and np.isnan(values).all():
        raise ValueError(
            f"TableEncoder: no cell of column {name!r} is a {kind}; one is "
            f"{shorten(strings[0])}. Set another kind, such as "
            f"kinds={{{name!r}: 'categorical'}}."
        )


def _example(cells, formats):
    """Return a string that has one of the formats, and is no ISO date."""
    return next(
        cell
        for cell in cells
        if isinstance(cell, str)
        and read_date(cell) is None
        and read_date(cell, formats) is not None
    )


def check_files(series, name, encoder):
    """Refuse names of images of which no file is there.

    A table often has names without their folder; this says so for the column.

    Raises
    ------
    ValueError
        If the encoder takes strings for paths, and there is none of those looked at.
    """
    params = encoder.get_params() if hasattr(encoder, "get_params") else {}
    sources = {v for key, v in params.items() if key.split("__")[-1] == "source"}
    if sources != {"path"}:
        return
    absent = missing_file(sample_of(series.to_list()))
    if absent is not None:
        raise ValueError(
            f"TableEncoder: column {name!r} holds names of image files, but there is "
            f"no file {absent}, nor any of the others that were checked. Use full "
            "paths, give image_encoder another source=, or set "
            f"kinds={{{name!r}: 'drop'}}."
        )
