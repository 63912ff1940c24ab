"""Base of the image encoder and the text encoder."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._cells.decoders import decodes_on
from .._extraction.estimator import ColumnEstimator
from .._extraction.runners import Request, VectorRunner
from .._utils.arithmetic import PRECISIONS, settled_precision
from .._utils.callbacks import UNWATCHED, n_parts, with_callbacks
from .._utils.choices import Choices
from .._utils.torch_output import as_output
from .._utils.types import ArrayLike, Cells
from .._utils.validation import Interval, StrOptions
from ..backbones._engines.builders import AUTO, ENGINES
from ..backbones._engines.choose import engine_device
from ..backbones._pooling import POOLING_CHOICES
from ..cache._default import resolve_cache

if TYPE_CHECKING:
    from sklearn.utils import Tags

POLICIES = {"raise", "nan", "zero", "mean"}


class BaseEncoder(TransformerMixin, ColumnEstimator):
    """A transformer from one column of cells to a float32 matrix.

    A subclass also inherits `ImageColumn` or `TextColumn`.
    """

    _parameter_constraints = {
        "backbone": "no_validation",  # load_backbone says more
        "depth": "no_validation",  # so does Backbone.resolve_depth
        "pooling": [StrOptions(POOLING_CHOICES)],
        "normalize": ["boolean"],
        "add_indicator": ["boolean"],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "cache": "no_validation",  # resolve_cache says more
        "device": "no_validation",  # so does engine_device
        "precision": [StrOptions(set(PRECISIONS))],
        "engine": [StrOptions(Choices(ENGINES, also=(AUTO,)))],
        "verbose": ["verbose"],
    }

    @with_callbacks
    def fit(self, X: Cells, y: None = None) -> Self:
        """Check the parameters and the rows; nothing is trained.

        `fit` encodes the rows only if a policy for missing or unreadable rows is other
        than "raise" and "empty": such a policy needs to know which rows are bad.

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
        runs = bool(self._policies_in_use() - {"raise", "empty"})
        n_subtasks = n_parts(len(column.cells)) if runs else 0
        with self._fit_task(X, y, n_subtasks) as task:
            request = self._resolved()
            resolve_cache(self.cache)  # a wrong one is an error here, not at transform
            if runs:
                self._fit_rows(column, request, task)
            else:
                nulls = self._nulls(column)
                self._check_nulls(column, nulls)
                self._set_fitted(column, request, nulls, set())
        return self

    @with_callbacks
    def fit_transform(self, X: Cells, y: None = None) -> np.ndarray:
        """Fit, and return one vector per row, in order.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float32
            A frame, or a tensor on the device, if ``set_output`` asks for one.
        """
        self._validate_params()
        column = self._column(X)
        with self._fit_task(X, y, n_parts(len(column.cells))) as task:
            return self._fit_rows(column, self._resolved(), task)

    def transform(self, X: Cells) -> np.ndarray:
        """Return one vector per row, in order.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells

        Returns
        -------
        ndarray of shape (n_samples, n_features_out), float32
            A frame, or a tensor on the device, if ``set_output`` asks for one.

        Raises
        ------
        MissingRowError, UnreadableRowError
            If a cell is null or unreadable and its policy is "raise".
        ValueError
            If `X` is a frame whose column has another name than in `fit`, or `backbone`
            has been set to another network since `fit`.

        Notes
        -----
        `transform` uses the depth, the pooling and the indicator column of the last
        `fit`. A later ``set_params`` changes them at the next `fit`.
        """
        check_is_fitted(self)
        self._validate_params()
        column = self._column(X)
        self._check_name(column)
        vectors, bad, nulls = self._encode(column, self._fitted_request())
        return self._finish(vectors, bad, nulls)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : array-like of one str, default=None
            Name of the input column. None uses the name that `fit` saw, else the class
            name in lower case, as in scikit-learn.

        Returns
        -------
        ndarray of str objects
            ``photo_0, photo_1, ...``; the last one is ``missingindicator_photo`` if
            `add_indicator` is set.

        Raises
        ------
        ValueError
            If `input_features` is not one name, or is not the name that `fit` saw.
        """
        check_is_fitted(self, "n_features_out_")
        stem = type(self).__name__.lower()
        if input_features is not None:
            if len(input_features) != 1:
                raise ValueError(
                    f"input_features should have length 1, got {len(input_features)}."
                )
            stem = input_features[0]
            known = getattr(self, "feature_names_in_", None)
            if known is not None and stem != known[0]:
                raise ValueError(
                    "input_features is not equal to feature_names_in_: got "
                    f"[{stem!r}], but fit saw [{known[0]!r}]."
                )
        elif self._column_name is not None:
            stem = self._column_name
        n_vector = self.n_features_out_ - self._has_indicator
        # "imageencoder0", as scikit-learn's decompositions, but "photo_0".
        link = "" if stem == type(self).__name__.lower() else "_"
        names = [f"{stem}{link}{i}" for i in range(n_vector)]
        if self._has_indicator:
            names.append(f"missingindicator_{stem}")
        return np.asarray(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `transform` can run: it needs a fit only to learn a mean."""
        return hasattr(self, "fill_values_") or "mean" not in self._policies_in_use()

    def __sklearn_tags__(self) -> Tags:
        """Describe the estimator to scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = "mean" in self._policies_in_use()
        tags.transformer_tags.preserves_dtype = []
        return tags

    # -- the work --------------------------------------------------------------------

    def _resolved(self):
        backbone = self._load_backbone()
        device = engine_device(self.engine, self.device, self.precision)
        return Request(
            backbone=backbone,
            preprocess=self._adapt(backbone),
            depth=backbone.resolve_depth(self.depth),
            pooling=backbone.resolve_pooling(self.pooling),
            batch_size=self.batch_size,
            device=device,
            precision=settled_precision(self.precision, device),
            engine=self.engine,
            decoder="device" if self._decodes_on(device) else "host",
        )

    def _decodes_on(self, device):
        """Whether JPEGs are decoded on the device: where the fastest is asked for."""
        is_fastest = self._modality == "image" and self.engine == AUTO
        return is_fastest and decodes_on(device)

    def _fitted_request(self):
        """Return what `fit` resolved; without a fit, what the parameters say now."""
        request = self._resolved()
        if not hasattr(self, "n_features_out_"):
            return request
        backbone = request.backbone
        # Encoders in older saves do not know their network.
        if backbone.fingerprint != getattr(self, "_fitted_on", backbone.fingerprint):
            raise ValueError(
                f"{type(self).__name__} was fitted with another network: the weights "
                f"of {backbone.name!r} or the parameter backbone have changed since. "
                "Fit again."
            )
        depth = backbone.resolve_depth(self.depth_, parameter="depth_")
        return request._replace(depth=depth, pooling=self.pooling_)

    @property
    def _has_indicator(self):
        return getattr(self, "_fitted_indicator", self.add_indicator)

    def _policies_in_use(self):
        return {self.missing, self._error_policy}

    def _fit_rows(self, column, request, task):
        vectors, bad, nulls = self._encode(column, request, task)
        self._set_fitted(column, request, nulls, bad)
        if "mean" in self._policies_in_use():
            good = np.ones(len(vectors), dtype=bool)
            good[list(bad)] = False
            if not good.any():
                raise ValueError(
                    f"{type(self).__name__} cannot fill bad rows with the mean of the "
                    f"others: all {len(vectors)} rows are missing or unreadable. Use "
                    "'zero' or 'nan', or add readable rows."
                )
            self.fill_values_ = vectors[good].mean(axis=0, dtype=np.float64)
        return self._finish(vectors, bad, nulls)

    def _set_fitted(self, column, request, nulls, bad):
        if hasattr(self, "fill_values_"):
            del self.fill_values_
        self.n_features_in_ = 1
        self._column_name = column.name
        self._learn_name(column)
        self._fitted_on = request.backbone.fingerprint
        self._fitted_indicator = self.add_indicator
        self.depth_ = request.backbone.block_names[request.depth - 1]
        self.pooling_ = request.pooling
        self.n_features_out_ = (
            request.backbone.widths[request.depth - 1] + self.add_indicator
        )
        self.missing_rows_ = np.asarray(nulls, dtype=np.intp)
        self.error_rows_ = np.asarray(sorted(set(bad) - set(nulls)), dtype=np.intp)

    def _encode(self, column, request, task=UNWATCHED):
        """Return vectors before any replacement, bad rows, and null rows among them."""
        runner = VectorRunner(request, resolve_cache(self.cache))

        def empty(n_cells, has_parts=False):
            return np.full((n_cells, runner.width), np.nan, dtype=np.float32)

        found, rows, bad, nulls, parts = self._run(
            column, runner, empty, warns=True, task=task
        )
        if parts is not None:
            found = parts.mean(found)
        if self.normalize:
            norms = np.linalg.norm(found, axis=1, keepdims=True)
            found /= np.maximum(norms, np.finfo(np.float32).tiny)
        if len(rows) == len(column.cells):
            return found, bad, nulls
        vectors = empty(len(column.cells))
        vectors[np.asarray(rows, dtype=np.intp)] = found
        return vectors, bad, nulls

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
        if self._has_indicator:
            flag = np.zeros((len(vectors), 1), dtype=np.float32)
            flag[sorted(bad | null_set)] = 1.0
            vectors = np.hstack([vectors, flag])
        return as_output(self, vectors, self)
