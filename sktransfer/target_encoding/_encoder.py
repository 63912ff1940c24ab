"""TargetAwareEncoder: what a supervised model says of rows that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._utils.labels import check_groups, read_labels
from .._utils.names import set_module
from .._utils.pca import fit_pca
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
    dense,
    draw_seed,
    indexable,
    n_rows_of,
    take_rows,
)
from ._folds import out_of_fold
from ._frozen import encoder_of
from ._outputs import joined, name_of, outputs_of, saying_nothing

if TYPE_CHECKING:
    from sklearn.utils import Tags

OUTPUTS = {"auto", "logits", "proba", "predictions"}


@set_module("sktransfer")
class TargetAwareEncoder(TransformerMixin, BaseEstimator):
    """Outputs of a model of the target, out of fold where it was trained.

    scikit-learn's ``TargetEncoder``, for images and texts: `fit_transform` trains the
    estimator on all folds but one and returns what it says of that one, so that the
    next step of a pipeline sees outputs as good, and as bad, as those it will get for
    new rows. `transform` uses a model of all rows. Outputs of different folds are
    comparable, which hidden features of separately tuned networks are not.

    Parameters
    ----------
    estimator : classifier or regressor
        Takes what `fit` is given: one of the fine-tuning estimators, or any
        scikit-learn estimator, such as a pipeline that starts with an encoder.
    cv : int, splitter or iterable, default=5
        Folds. An int makes shuffled ones, stratified for classes. Copies of a row
        (equal texts or numbers, images of equal bytes or pixels) are never on both
        sides, nor are rows of a group: an int keeps them in one fold, and with any
        other `cv` training rows that belong to a test row are left out. Each row must
        be tested once. Only splits that go forward in time, such as
        ``TimeSeriesSplit``, may leave out the earliest rows.
    output : {"auto", "logits", "proba", "predictions"}, default="auto"
        Output for each row. "logits" are the ``decision_function``, or logarithms of
        probabilities, and for three classes or more their mean is subtracted: one
        column for two classes, else one for each. "proba" are probabilities, in the
        same columns; "predictions" what ``predict`` gives, which must be numbers.
        "auto" is "logits" for classifiers and "predictions" for regressors.
    frozen : None, "auto" or transformer, default=None
        Features to stand beside, by PCA: those of a transformer of the same rows, such
        as `ImageEncoder`. "auto" makes the encoder that goes with a fine-tuning
        estimator's untrained network.
    n_components : int, default=30
        Columns of the frozen features; fewer where there are fewer rows or features.
    random_state : int, RandomState or None, default=None
        Seed of the folds and the PCA.

    Attributes
    ----------
    estimator_ : classifier or regressor
        Fitted to all rows.
    classes_ : ndarray of shape (n_classes,)
        Classes, where there is one class per row.
    n_features_in_ : int
        Number of columns of `X`.
    feature_names_in_ : ndarray of str objects
        Names of the columns, where `X` was a frame.
    output_ : str
        The output in use.
    n_features_out_ : int
        Number of output columns.
    frozen_ : Pipeline
        The transformer and its PCA, where there is one.

    See Also
    --------
    sklearn.preprocessing.TargetEncoder : The same for categories.
    TableEncoder : Encodes a whole table.

    Notes
    -----
    Rows before the first test fold of a ``TimeSeriesSplit`` get an output that says
    nothing: 0 for "logits", equal probabilities for "proba", and NaN for "predictions",
    because any number would be a claim about the target there. They cannot leak: none
    of these depends on `y`.

    ``fit(X, y).transform(X)`` is not ``fit_transform(X, y)``: the former is what the
    model says of its own training rows, and a next step that learns from it trusts it
    too much. A pipeline calls `fit_transform`, so it is right by itself. It costs
    ``cv + 1`` fits; the frozen blocks of our estimators run once for each row all the
    same.

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

    def fit(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit the estimator to all rows.

        Parameters
        ----------
        X : list, array, Series, frame or Arrow array of n_samples rows
            As the estimator takes it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            For the estimator's `fit`.
        groups : array-like of shape (n_samples,), default=None
            For the estimator's `fit`, if it takes them.

        Returns
        -------
        self
        """
        y, sample_weight, groups, seed = self._read(X, y, sample_weight, groups)
        X = indexable(X)
        self._fit_all(X, y, sample_weight, groups, seed)
        return self

    def fit_transform(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> np.ndarray:
        """Fit, and return what models of the other folds say of each row.

        Parameters
        ----------
        X : list, array, Series, frame or Arrow array of n_samples rows
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            Rows of a group are never on both sides of a fold, and groups that share a
            copy of a row count as one. The estimator's `fit` gets the groups too, if it
            takes them.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Or a frame, or a tensor on the estimator's device, as ``set_output`` says.

        Raises
        ------
        ValueError
            If the folds do not test each row once, or if there are fewer rows that
            differ (or groups) than folds.
        """
        y, sample_weight, groups, seed = self._read(X, y, sample_weight, groups)
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
        beside = self._fit_all(X, y, sample_weight, groups, seed)
        outputs = np.empty((len(y), len(self._suffixes)))
        classes = getattr(self, "classes_", None)
        outputs[untested] = saying_nothing(self.output_, outputs.shape[1], classes)
        for train, test in folds:
            model = self._fitted(X, y, sample_weight, groups, train)
            outputs[test] = self._outputs(model, take_rows(X, test))
        return as_output(self, joined(outputs, beside), self)

    def transform(self, X: Cells) -> np.ndarray:
        """Return what the model of all rows says.

        Parameters
        ----------
        X : list, array, Series, frame or Arrow array of n_samples rows

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Or a frame, or a tensor on the estimator's device, as ``set_output`` says.
        """
        check_is_fitted(self, "estimator_")
        outputs, beside = self._outputs(self.estimator_, X), None
        if self.frozen_ is not None:
            features, pca = (step for _, step in self.frozen_.steps)
            # The transformer may give a tensor, on a device that PCA does not know.
            beside = pca.transform(dense(features.transform(X)))
        return as_output(self, joined(outputs, beside), self)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of one str, default=None
            The column's name; None takes the one that `fit` saw, else the class name
            in lower case.

        Returns
        -------
        ndarray of str objects
            ``review_positive``, a name for each class or output, and
            ``review_pca_0, ...`` for the frozen features.
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

    def __sklearn_tags__(self) -> Tags:
        """Take what goes in from the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        tags.non_deterministic = self.random_state is None
        return tags

    # -- the work --------------------------------------------------------------------

    def _read(self, X, y, sample_weight, groups):
        """Check what comes in; return the target, weights, groups and a seed."""
        self._validate_params()
        if y is None:
            raise ValueError(
                "TargetAwareEncoder requires y to be passed, but the target y is None."
            )
        name, n_rows = type(self).__name__, n_rows_of(X)
        self._stem = name_of(X) or name.lower()
        y = read_labels(y, n_rows, name)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)
            check_rows(sample_weight, n_rows, "sample_weight", name)
        groups = check_groups(groups, n_rows, name)
        self._learn_outputs(y)
        return y, sample_weight, groups, draw_seed(self.random_state)

    def _fit_all(self, X, y, sample_weight, groups, seed):
        """Fit to all rows; return what is beside the outputs."""
        n_rows = len(y)
        rows = np.arange(n_rows)
        self.estimator_ = self._fitted(X, y, sample_weight, groups, rows)
        shape = getattr(X, "shape", (n_rows,))
        self.n_features_in_ = shape[-1] if len(shape) == 2 else 1
        self.__dict__.pop("feature_names_in_", None)
        names = list(getattr(X, "columns", ()))
        if names and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.asarray(names, dtype=object)
        beside = self._fit_frozen(X, n_rows, seed)
        self.n_features_out_ = len(self._suffixes)
        if beside is not None:
            self.n_features_out_ += beside.shape[1]
        return beside

    classes_: np.ndarray
    _suffixes: list[str]

    def _learn_outputs(self, y):
        """Say which columns come out."""
        can_classify = is_classifier(self.estimator)
        self.output_ = self.output
        if self.output == "auto":
            self.output_ = "logits" if can_classify else "predictions"
        if self.output_ != "predictions" and not can_classify:
            raise ValueError(
                f"TargetAwareEncoder: output={self.output!r} needs a classifier; got "
                f"{type(self.estimator).__name__}. Use output='predictions'."
            )
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput" and self.output_ != "predictions":
            raise ValueError(
                f"TargetAwareEncoder: y has {y.shape[1]} columns of several classes "
                f"each, of which output={self.output_!r} can say nothing; use one "
                "encoder for each, or output='predictions'."
            )
        self._is_classes = can_classify and kind in ("binary", "multiclass")
        if hasattr(self, "classes_"):
            del self.classes_
        if self._is_classes:
            self.classes_ = np.unique(y)
            if self.output_ == "predictions":
                if self.classes_.dtype.kind not in "biuf":
                    raise ValueError(
                        "TargetAwareEncoder: output='predictions' of classes that are "
                        f"no numbers ({self.classes_[:3]}) cannot be features; use "
                        "output='logits' or 'proba'."
                    )
                self._suffixes = ["prediction"]
            elif len(self.classes_) == 2:
                self._suffixes = [str(self.classes_[1])]
            else:
                self._suffixes = [str(label) for label in self.classes_]
        elif y.ndim == 1:
            self._suffixes = ["prediction"]
        else:
            self._suffixes = [str(i) for i in range(y.shape[1])]

    def _fitted(self, X, y, sample_weight, groups, rows):
        """Return a model of some rows."""
        there = np.unique(y[rows]) if self._is_classes else ()
        if len(there) == 1 < len(self.classes_):  # what most classifiers refuse
            return SimpleNamespace(classes_=there)
        given = {}
        if sample_weight is not None:
            given["sample_weight"] = sample_weight[rows]
        if groups is not None and has_fit_parameter(self.estimator, "groups"):
            given["groups"] = groups[rows]
        return clone(self.estimator).fit(take_rows(X, rows), y[rows], **given)

    def _outputs(self, model, X):
        classes = getattr(self, "classes_", None)
        return outputs_of(model, X, output=self.output_, classes=classes)

    def _fit_frozen(self, X, n_rows, seed):
        """Fit what stands beside the outputs, and return it; None for nothing."""
        self.frozen_ = None
        if self.frozen is None:
            return None
        first = self.frozen
        if isinstance(first, str):
            first = encoder_of(self.estimator, first)
        features = clone(first)
        vectors = dense(features.fit_transform(X))
        n_components = min(self.n_components, len(vectors), vectors.shape[1])
        pca, beside = fit_pca(n_components, vectors, seed)
        self.frozen_ = Pipeline([("features", features), ("pca", pca)])
        return beside
