"""TargetAwareEncoder: out-of-fold outputs of a supervised model as features."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._utils.callbacks import CallbackSupport, with_callbacks
from .._utils.labels import check_groups, read_labels
from .._utils.names import set_module
from .._utils.routing import (
    AS_TRANSFORMER,
    given,
    is_routing,
    of_rows,
    route,
    router_of,
)
from .._utils.torch_output import as_output
from .._utils.types import (
    ArrayLike,
    Cells,
    Estimator,
    RandomStateLike,
    Splitter,
    Transformer,
)
from .._utils.validation import (
    Interval,
    StrOptions,
    check_rows,
    draw_seed,
    indexable,
    n_rows_of,
    take_rows,
)
from ._columns import columns_of, learn_columns, name_of, resolve_output
from ._folds import model_of, out_of_fold
from ._frozen import encoder_of, features_of, fit_frozen, joined
from ._outputs import method_for, outputs_of, saying_nothing

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from sklearn.utils.metadata_routing import MetadataRouter

OUTPUTS = {"auto", "logits", "proba", "predictions"}


@set_module("sktransfer")
class TargetAwareEncoder(CallbackSupport, TransformerMixin, BaseEstimator):
    """Use the outputs of a supervised model as features, out of fold for training rows.

    This is scikit-learn's ``TargetEncoder`` for images and texts. `fit_transform`
    trains the estimator on all folds but one and returns its outputs for that fold, so
    the next step of a pipeline learns from outputs as good, and as bad, as those for
    new rows. `transform` uses a model of all rows. Outputs of different folds are
    comparable; hidden features of separately fine-tuned networks are not.

    Parameters
    ----------
    estimator : classifier or regressor
        Supervised model: a fine-tuning estimator, or any estimator of such rows, for
        example a pipeline that starts with an encoder.
    cv : int, splitter or iterable, default=5
        Folds. An int makes shuffled folds, stratified for classes. Copies of a row
        (equal texts or numbers, images of equal bytes or pixels) and rows of a group
        are never on both sides: an int keeps them in one fold, and with any other `cv`
        such rows are removed from the training part. Each row must be tested once. Only
        splits that go forward in time, such as ``TimeSeriesSplit``, may leave out the
        earliest rows.
    output : {"auto", "logits", "proba", "predictions"}, default="auto"
        Output per row. "logits" are the ``decision_function``, or logarithms of
        probabilities; with three classes or more, their mean is subtracted. They have
        one column for two classes, else one per class. "proba" are probabilities, in
        the same columns. "predictions" are those of ``predict``, which must be numbers.
        "auto" is "logits" for classifiers and "predictions" for regressors.
    frozen : None, "auto" or transformer, default=None
        Transformer whose features are added to the outputs, reduced by PCA, such as
        `ImageEncoder`. "auto" is the encoder with the untrained network of a
        fine-tuning estimator. None adds none.
    n_components : int, default=30
        Number of columns of the frozen features, or fewer with few rows or features.
    random_state : int, RandomState or None, default=None
        Seed of the folds and the PCA.

    Attributes
    ----------
    estimator_ : classifier or regressor
        Model fitted on all rows.
    classes_ : ndarray of shape (n_classes,)
        Classes, if there is one class per row.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of str objects
        Names of the columns, if `X` was a frame.
    output_ : str
        Output in use.
    n_features_out_ : int
        Number of output columns.
    frozen_ : Pipeline
        Fitted transformer and its PCA, if `frozen` is set.

    See Also
    --------
    sklearn.preprocessing.TargetEncoder : The same for categories.
    TableEncoder : Encodes a whole table.

    Notes
    -----
    Rows before the first test fold of a ``TimeSeriesSplit`` get a neutral output: 0 for
    "logits", equal probabilities for "proba", and NaN for "predictions", because any
    number would claim something. These outputs do not depend on `y`: nothing leaks.

    ``fit(X, y).transform(X)`` differs from ``fit_transform(X, y)``: it returns the
    outputs of the model for its own training rows, which a next step would trust too
    much. A pipeline calls `fit_transform`, so it is right. It costs ``cv + 1`` fits;
    the frozen blocks of a fine-tuning estimator still run once per row.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import TargetAwareEncoder
    >>> model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    >>> encoder = TargetAwareEncoder(model, cv=2, random_state=0)
    >>> encoder.fit_transform(["good", "bad", "so good", "so bad"], list("+-+-")).shape
    (4, 1)
    """

    _parameter_constraints = {
        "estimator": "no_validation",
        "cv": "no_validation",  # make_folds says more
        "output": [StrOptions(OUTPUTS)],
        "frozen": "no_validation",
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    # Groups only keep rows apart that must not be mixed, so passing them is right.
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        estimator: Estimator,
        *,
        cv: int | Splitter | Iterable[Any] = 5,
        output: Literal["auto", "logits", "proba", "predictions"] = "auto",
        frozen: Literal["auto"] | Transformer | None = None,
        n_components: int = 30,
        random_state: RandomStateLike = None,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.output = output
        self.frozen = frozen
        self.n_components = n_components
        self.random_state = random_state

    @with_callbacks
    def fit(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Fit the estimator on all rows.

        Parameters
        ----------
        X : list, array, Series, frame or Arrow array of n_samples rows
            Rows, as the estimator takes them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        groups : array-like of shape (n_samples,), default=None
            Groups for the estimator's `fit`, if it takes them.
        **params : dict
            Arguments of the estimator's `fit`, such as ``sample_weight`` or
            ``sample_domain``; those with one entry per row are split with the rows.
            With scikit-learn's metadata routing, the estimator and `frozen` get what
            they request, `groups` included.

        Returns
        -------
        self
        """
        y, groups, seed, routed = self._read(X, y, groups, params, "fit")
        X = indexable(X)
        weights, n_subtasks = params.get("sample_weight"), 1 + (self.frozen is not None)
        with self._fit_task(X, y, n_subtasks, sample_weight=weights) as task:
            self._fit_all(X, y, seed, routed, task)
        return self

    @with_callbacks
    def fit_transform(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> np.ndarray:
        """Fit, and return out-of-fold outputs of each row.

        Parameters
        ----------
        X : list, array, Series, frame or Arrow array of n_samples rows
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        groups : array-like of shape (n_samples,), default=None
            Group of each row. Rows of a group are never on both sides of a fold; groups
            that share a copy of a row count as one. The estimator's `fit` gets the
            groups too, if it takes them.
        **params : dict
            As in `fit`. With metadata routing, also metadata for the estimator's method
            that makes the outputs.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            A frame, or a tensor on the estimator's device, if ``set_output`` asks for
            it.

        Raises
        ------
        ValueError
            If the folds do not test each row once, or there are fewer distinct rows (or
            groups) than folds.
        """
        y, groups, seed, routed = self._read(X, y, groups, params, "fit_transform")
        X = indexable(X)
        folds, untested = out_of_fold(
            self.cv,
            X,
            y,
            estimator=self.estimator,
            is_classes=self._is_classes,
            groups=groups,
            seed=seed,
        )
        n_subtasks = len(folds) + 1 + (self.frozen is not None)
        weights = params.get("sample_weight")
        with self._fit_task(X, y, n_subtasks, sample_weight=weights) as task:
            beside = self._fit_all(X, y, seed, routed, task)
            outputs = np.empty((len(y), len(self._suffixes)))
            classes = getattr(self, "classes_", None)
            outputs[untested] = saying_nothing(self.output_, outputs.shape[1], classes)
            of_outputs = given(routed, "estimator", self._method())
            for train, test in folds:
                model = self._model(train, X, y, routed, task.subtask("fit-fold"))
                outputs[test] = self._outputs(
                    model, take_rows(X, test), of_rows(of_outputs, test, len(y))
                )
        return as_output(self, joined(outputs, beside), self)

    def transform(self, X: Cells, **params: Any) -> np.ndarray:
        """Return the outputs of the model of all rows.

        Parameters
        ----------
        X : list, array, Series, frame or Arrow array of n_samples rows
        **params : dict
            Metadata for the estimator's method that makes the outputs, and for
            `frozen`. Needs scikit-learn's metadata routing.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            A frame, or a tensor on the estimator's device, if ``set_output`` asks for
            it.
        """
        check_is_fitted(self, "estimator_")
        routed = route(self, "transform", params)
        of_outputs = given(routed, "estimator", self._method())
        outputs, beside = self._outputs(self.estimator_, X, of_outputs), None
        if self.frozen_ is not None:
            of_frozen = given(routed, "frozen", "transform")
            beside = features_of(self.frozen_, X, of_frozen)
        return as_output(self, joined(outputs, beside), self)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : array-like of one str, default=None
            Name of the input column. None uses the name that `fit` saw, else the class
            name in lower case.

        Returns
        -------
        ndarray of str objects
            ``review_positive``, one per class or output, then ``review_pca_0, ...`` of
            `frozen`.
        """
        check_is_fitted(self, "estimator_")
        stem = self._stem
        if input_features is not None:
            if len(input_features) != self.n_features_in_:
                raise ValueError(
                    "input_features should have length equal to number of features "
                    f"({self.n_features_in_}), got {len(input_features)}."
                )
            given = np.asarray(input_features)
            if not np.array_equal(given, getattr(self, "feature_names_in_", given)):
                raise ValueError("input_features is not equal to feature_names_in_.")
            if self.n_features_in_ == 1:
                stem = input_features[0]
        names = [f"{stem}_{suffix}" for suffix in self._suffixes]
        n_beside = self.n_features_out_ - len(names)
        names += [f"{stem}_pca_{i}" for i in range(n_beside)]
        return np.asarray(names, dtype=object)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata goes to the estimator and which to `frozen`.

        Returns
        -------
        MetadataRouter
        """
        methods = {
            "fit": ["fit"],
            "fit_transform": ["fit", self._method()],
            "transform": [self._method()],
        }
        inner = {
            "estimator": (self.estimator, methods),
            "frozen": (self.frozen, AS_TRANSFORMER),
        }
        return router_of(self, inner, takes_some=True)

    def __sklearn_tags__(self) -> Tags:
        """Take what goes in from the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        tags.non_deterministic = self.random_state is None
        return tags

    # -- the work --------------------------------------------------------------------

    def _method(self):
        """Return the name of the estimator's method that makes the outputs."""
        return method_for(self.estimator, resolve_output(self.estimator, self.output))

    def _read(self, X, y, groups, params, method):
        """Check what comes in; return the target, groups, a seed and the routing."""
        self._validate_params()
        if y is None:
            raise ValueError(
                "TargetAwareEncoder requires y to be passed, but the target y is None."
            )
        name, n_rows = type(self).__name__, n_rows_of(X)
        self._stem = name_of(X) or name.lower()
        y = read_labels(y, n_rows, name)
        params = {key: value for key, value in params.items() if value is not None}
        if "sample_weight" in params:
            weights = np.asarray(params["sample_weight"])
            check_rows(weights, n_rows, "sample_weight", name)
        groups = check_groups(groups, n_rows, name)
        if is_routing():
            passed = params if groups is None else {**params, "groups": groups}
            routed = route(self, method, passed)
        else:  # with one estimator to fit, there is no doubt what they are for
            if groups is not None and has_fit_parameter(self.estimator, "groups"):
                params["groups"] = groups
            routed = {"estimator": {"fit": params}}
        self._learn_outputs(y)
        return y, groups, draw_seed(self.random_state), routed

    def _fit_all(self, X, y, seed, routed, task):
        """Fit to all rows; return what is beside the outputs."""
        rows, own_task = np.arange(len(y)), task.subtask("fit-all-rows")
        self.estimator_ = self._model(rows, X, y, routed, own_task)
        learn_columns(self, X)
        self.frozen_, beside = None, None
        if self.frozen is not None:
            self.frozen_, beside = fit_frozen(
                encoder_of(self.estimator, self.frozen),
                X,
                n_components=self.n_components,
                seed=seed,
                params=given(routed, "frozen", "fit_transform"),
                task=task.subtask("frozen-features"),
            )
        n_beside = 0 if beside is None else beside.shape[1]
        self.n_features_out_ = len(self._suffixes) + n_beside
        return beside

    classes_: np.ndarray
    _suffixes: list[str]

    def _learn_outputs(self, y):
        """Say which columns come out."""
        columns = columns_of(self.estimator, self.output, y)
        self.output_, self._suffixes = columns.output, columns.suffixes
        self.__dict__.pop("classes_", None)
        self._is_classes = columns.classes is not None
        if self._is_classes:
            self.classes_ = columns.classes

    def _model(self, rows, X, y, routed, task):
        """Return the estimator, fitted to some rows."""
        params, is_classes = given(routed, "estimator", "fit"), self._is_classes
        return model_of(
            rows, self.estimator, X, y, is_classes=is_classes, params=params, task=task
        )

    def _outputs(self, model, X, params):
        classes = getattr(self, "classes_", None)
        return outputs_of(model, X, output=self.output_, classes=classes, params=params)
