"""What the image and the text encoder share."""

import sys
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._extraction import extract
from .._pooling import POOLINGS
from .._runners import Request, VectorRunner
from .._torch import PRECISIONS, resolve_device
from .._validation import Interval, StrOptions, as_column, is_null, shorten
from ..backbones import load_backbone
from ..cache import resolve_cache
from ..exceptions import MissingRowError, UnreadableRowError

POLICIES = {"raise", "nan", "zero", "mean"}


class BaseEncoder(TransformerMixin, BaseEstimator):
    """A transformer from one column of cells to a float32 matrix.

    A subclass sets `_modality`, `_cells` and `_allow_arrays`, and gives `_reader`
    and `_adapt`.
    """

    _parameter_constraints = {
        "backbone": "no_validation",  # load_backbone says more
        "depth": "no_validation",  # so does Backbone.resolve_depth
        "pooling": [StrOptions(set(POOLINGS))],
        "normalize": ["boolean"],
        "add_indicator": ["boolean"],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "cache": "no_validation",  # resolve_cache says more
        "device": "no_validation",  # so does resolve_device
        "precision": [StrOptions(set(PRECISIONS))],
        "verbose": ["verbose"],
    }

    def fit(self, X, y=None):
        """Check the parameters and the rows; nothing is trained.

        With every bad-row policy at "raise" no row is encoded here. Otherwise the
        rows are, because the policies need to know which ones are bad.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._validate_params()
        column = self._column(X)
        request = self._request()
        resolve_cache(self.cache)  # a wrong one is an error here, not at transform
        if self._policies_in_use() - {"raise", "empty"}:
            self._fit_rows(column, request)
        else:
            nulls = self._nulls(column)
            self._check_nulls(column, nulls)
            self._set_fitted(column, request, nulls, set())
        return self

    def fit_transform(self, X, y=None):
        """Fit, and return the vectors of the same rows.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out_), float32
            Or a frame, as ``set_output`` says.
        """
        self._validate_params()
        return self._fit_rows(self._column(X), self._request())

    def transform(self, X):
        """Return one vector for each row, in order.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells

        Returns
        -------
        ndarray of shape (n_samples, n_features_out_), float32
            Or a frame, as ``set_output`` says.

        Raises
        ------
        MissingRowError, UnreadableRowError
            For a null or unreadable cell, where the policy is "raise".
        """
        check_is_fitted(self)
        self._validate_params()
        vectors, bad, nulls = self._encode(self._column(X), self._request())
        return self._finish(vectors, bad, nulls)

    def get_feature_names_out(self, input_features=None):
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of one str, default=None
            The column's name; None takes the name that `fit` saw, else the class
            name in lower case, as scikit-learn does.

        Returns
        -------
        ndarray of str objects
            ``photo_0, photo_1, ...``, and ``missingindicator_photo`` last, if asked.
        """
        check_is_fitted(self, "n_features_out_")
        stem = type(self).__name__.lower()
        if input_features is not None:
            if len(input_features) != 1:
                raise ValueError(
                    f"input_features should have length 1, got {len(input_features)}."
                )
            stem = input_features[0]
        elif self._column_name is not None:
            stem = self._column_name
        n_vector = self.n_features_out_ - self.add_indicator
        # "imageencoder0", as scikit-learn's decompositions, but "photo_0".
        link = "" if stem == type(self).__name__.lower() else "_"
        names = [f"{stem}{link}{i}" for i in range(n_vector)]
        if self.add_indicator:
            names.append(f"missingindicator_{stem}")
        return np.asarray(names, dtype=object)

    def __sklearn_is_fitted__(self):
        """Whether `transform` can run: always, but where a mean was to be learned."""
        return hasattr(self, "n_features_out_") or "mean" not in self._policies_in_use()

    def __sklearn_tags__(self):
        """Describe the input to scikit-learn: one column, no numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.requires_fit = "mean" in self._policies_in_use()
        tags.transformer_tags.preserves_dtype = []
        return tags

    # -- parts that a subclass gives -------------------------------------------------

    _error_policy = "raise"

    def _reader(self, backbone):
        raise NotImplementedError

    def _adapt(self, backbone):
        raise NotImplementedError

    # -- the work --------------------------------------------------------------------

    def _column(self, X):
        return as_column(
            X,
            caller=type(self).__name__,
            cells=self._cells,
            allow_arrays=self._allow_arrays,
        )

    def _request(self):
        backbone = load_backbone(self.backbone, modality=self._modality)
        return Request(
            backbone=backbone,
            preprocess=self._adapt(backbone),
            depth=backbone.resolve_depth(self.depth),
            pooling=backbone.resolve_pooling(self.pooling),
            batch_size=self.batch_size,
            device=resolve_device(self.device),
            precision=self.precision,
        )

    def _policies_in_use(self):
        return {self.missing, self._error_policy}

    def _fit_rows(self, column, request):
        vectors, bad, nulls = self._encode(column, request)
        self._set_fitted(column, request, nulls, bad)
        if "mean" in self._policies_in_use():
            good = np.ones(len(vectors), dtype=bool)
            good[list(bad)] = False
            if not good.any():
                raise ValueError(
                    f"{type(self).__name__} cannot fill bad rows with the mean: none "
                    f"of the {len(vectors)} rows can be used."
                )
            self.fill_values_ = vectors[good].mean(axis=0, dtype=np.float64)
        return self._finish(vectors, bad, nulls)

    def _set_fitted(self, column, request, nulls, bad):
        if hasattr(self, "fill_values_"):
            del self.fill_values_
        self.n_features_in_ = 1
        self._column_name = column.name
        self.depth_ = request.backbone.block_names[request.depth - 1]
        self.pooling_ = request.pooling
        self.n_features_out_ = (
            request.backbone.widths[request.depth - 1] + self.add_indicator
        )
        self.missing_rows_ = np.asarray(nulls, dtype=np.intp)
        self.error_rows_ = np.asarray(sorted(set(bad) - set(nulls)), dtype=np.intp)

    def _nulls(self, column):
        if isinstance(column.cells, np.ndarray) and column.cells.dtype == np.uint8:
            return []
        return [row for row, cell in enumerate(column.cells) if is_null(cell)]

    def _check_nulls(self, column, nulls):
        if nulls and self.missing == "raise":
            row = nulls[0]
            more = f", and {len(nulls) - 1} more rows are" if len(nulls) > 1 else " is"
            raise MissingRowError(
                f"{type(self).__name__}: {column.describe(row)}{more} missing "
                f"({column.cells[row]!r}). To replace missing rows, set missing= one "
                f"of {self._policies('missing')}.",
                row=row,
                label=column.label(row),
                source=shorten(column.cells[row]),
            )

    def _policies(self, parameter):
        options = self._parameter_constraints[parameter][0].options
        return sorted(set(options) - {"raise"})

    def _encode(self, column, request):
        """Return vectors before any replacement, bad rows, and null rows among them."""
        nulls = self._nulls(column)
        self._check_nulls(column, nulls)
        bad = set()
        rows, cells = range(len(column.cells)), column.cells
        if nulls:
            null_set = set(nulls)
            if self.missing == "empty":
                cells = ["" if i in null_set else cell for i, cell in enumerate(cells)]
            else:
                bad = null_set
                rows = [i for i in rows if i not in null_set]
                cells = [cells[i] for i in rows]

        def on_error(position, error):
            row = rows[position]
            if self._error_policy == "raise":
                raise self._unreadable(column, row, error) from error.__cause__
            bad.add(row)

        with _progress_bar(self, len(cells)) as bar:
            runner = VectorRunner(request, resolve_cache(self.cache))
            found = np.full((len(cells), runner.width), np.nan, dtype=np.float32)
            extract(
                cells,
                self._reader(request.backbone),
                runner,
                found,
                on_error=on_error,
                on_progress=bar.update,
            )
        if self.normalize:
            norms = np.linalg.norm(found, axis=1, keepdims=True)
            found /= np.maximum(norms, np.finfo(np.float32).tiny)
        if len(rows) == len(column.cells):
            return found, bad, nulls
        vectors = np.full((len(column.cells), found.shape[1]), np.nan, dtype=np.float32)
        vectors[np.asarray(rows, dtype=np.intp)] = found
        return vectors, bad, nulls

    def _unreadable(self, column, row, error):
        source = shorten(column.cells[row])
        advice = ""
        if "on_error" in self._parameter_constraints:
            advice = (
                " To go on without such rows, set on_error= one of "
                f"{self._policies('on_error')}."
            )
        return UnreadableRowError(
            f"{type(self).__name__}: {column.describe(row)} cannot be used: {source}: "
            f"{error}.{advice}",
            row=row,
            label=column.label(row),
            source=source,
        )

    def _finish(self, vectors, bad, nulls):
        """Replace bad rows, as their policies say, and add the indicator."""
        values = {
            "nan": np.nan,
            "zero": 0.0,
            "mean": getattr(self, "fill_values_", None),
        }
        null_set = set(nulls)
        for row in bad:
            policy = self.missing if row in null_set else self._error_policy
            vectors[row] = values[policy]
        if not self.add_indicator:
            return vectors
        flag = np.zeros((len(vectors), 1), dtype=np.float32)
        flag[sorted(bad | null_set)] = 1.0
        return np.hstack([vectors, flag])


def _progress_bar(encoder, total):
    from tqdm import tqdm

    name = encoder.backbone if isinstance(encoder.backbone, str) else "encoding"
    return tqdm(
        total=total,
        desc=name,
        unit="row",
        disable=not encoder.verbose,
        file=sys.stderr,
    )
