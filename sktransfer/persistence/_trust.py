"""The types and functions that a save may have: exact names, never a pattern.

skops trusts on its own, also one by one, scikit-learn's estimators, NumPy's number
types, and ufuncs. Below are the others that people meet. A type is here only if no
state that a file can give it runs code. Left out for that reason are those in LEFT_OUT:
the message says why, and what to do. Left out by skops because
forged indices make them read outside their arrays, and here because `check_indices`
looks at the indices: ``Tree``, ``TreePredictor`` and the trees of neighbours.
"""

import functools

import numpy as np
from sklearn.utils import check_array

from ..exceptions import DamagedSaveError, UntrustedTypeError

PARTIAL = "functools.partial"

OWN_TYPES = (
    "sktransfer.BackboneSpec",
    "sktransfer.CORALAdapter",
    "sktransfer.CircularValidationScorer",
    "sktransfer.DensityRatioWeights",
    "sktransfer.DomainAdaptationClassifier",
    "sktransfer.DomainAdaptationRegressor",
    "sktransfer.DomainNormalizer",
    "sktransfer.DomainStandardScaler",
    "sktransfer.EnsembleAgreementScorer",
    "sktransfer.ImageClassifier",
    "sktransfer.ImageEncoder",
    "sktransfer.ImageRegressor",
    "sktransfer.ImportanceWeightedScorer",
    "sktransfer.InformationMaximizationScorer",
    "sktransfer.KMMWeights",
    "sktransfer.LabelShiftCorrection",
    "sktransfer.LeaveOneDomainOut",
    "sktransfer.OptimalTransport",
    "sktransfer.PredictionEntropyScorer",
    "sktransfer.PseudoLabels",
    "sktransfer.SoftNeighborhoodDensityScorer",
    "sktransfer.SourceTargetKFold",
    "sktransfer.SubspaceAlignment",
    "sktransfer.TableEncoder",
    "sktransfer.TargetAwareEncoder",
    "sktransfer.TextClassifier",
    "sktransfer.TextEncoder",
    "sktransfer.TextRegressor",
    "sktransfer.TransferComponentAnalysis",
    "sktransfer.ZeroShotClassifier",
    "sktransfer.encoders.Pieces",
    "sktransfer.finetuning.Augmentation",
    "sktransfer.finetuning.ContrastiveLoss",
    "sktransfer.finetuning.DomainLoss",
    "sktransfer.finetuning.EarlyStopping",
    "sktransfer.finetuning.FocalLoss",
    "sktransfer.finetuning.Head",
    "sktransfer.finetuning.HuberLoss",
    "sktransfer.finetuning.LogLoss",
    "sktransfer.finetuning.Optimizer",
    "sktransfer.finetuning.QuantileLoss",
    "sktransfer.finetuning.SquaredErrorLoss",
    "sktransfer.tables.Choose",
    "sktransfer.tables.ColumnChoices",
    "sktransfer.persistence.CategoricalColumn",
    "sktransfer.persistence.ClassCodec",
    "sktransfer.persistence.DateColumn",
    "sktransfer.persistence.NetworkColumn",
    "sktransfer.persistence.NumberCodec",
    "sktransfer.persistence.NumericColumn",
    "sktransfer.persistence.Token",
    "sktransfer.persistence.TrainingState",
)

PLAIN_TYPES = (
    PARTIAL,  # of check_array only, see `check_partial`
    "numpy.dtype",
    "numpy.mean",
    "ot.backend.NumpyBackend",
    "ot.da.SinkhornTransport",
    "ot.da.distribution_estimation_uniform",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csc.csc_array",
    "scipy.sparse._csc.csc_matrix",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
)

SKLEARN_TYPES = (
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.CompoundKernel",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.GroupShuffleSplit",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.LeaveOneGroupOut",
    "sklearn.model_selection._split.LeaveOneOut",
    "sklearn.model_selection._split.LeavePGroupsOut",
    "sklearn.model_selection._split.LeavePOut",
    "sklearn.model_selection._split.PredefinedSplit",
    "sklearn.model_selection._split.RepeatedKFold",
    "sklearn.model_selection._split.RepeatedStratifiedKFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
    "sklearn.model_selection._split.TimeSeriesSplit",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)

# None of them has a `__setstate__`, and what they call is an attribute or a method of a
# column, or a function that is trusted itself. Their names are those of skrub 0.11.
SKRUB_TYPES = (
    "skrub._apply_to_cols.ApplyToCols",
    "skrub._apply_to_each_col.ApplyToEachCol",
    "skrub._check_input.CheckInputDataFrame",
    "skrub._clean_categories.CleanCategories",
    "skrub._clean_null_strings.CleanNullStrings",
    "skrub._dataframe._common.is_any_date",
    "skrub._dataframe._common.is_categorical",
    "skrub._dataframe._common.is_numeric",
    "skrub._datetime_encoder.DatetimeEncoder",
    "skrub._datetime_encoder._SplineEncoder",
    "skrub._drop_uninformative.DropUninformative",
    "skrub._duration_to_float.DurationToFloat",
    "skrub._gap_encoder.GapEncoder",
    "skrub._minhash_encoder.MinHashEncoder",
    "skrub._select_cols.DropCols",
    "skrub._select_cols.SelectCols",
    "skrub._similarity_encoder.SimilarityEncoder",
    "skrub._squashing_scaler.SquashingScaler",
    "skrub._string_encoder.StringEncoder",
    "skrub._table_vectorizer.Cleaner",
    "skrub._table_vectorizer.PassThrough",
    "skrub._table_vectorizer.ShortReprDict",
    "skrub._table_vectorizer.TableVectorizer",
    "skrub._table_vectorizer._created_by_predicate",
    "skrub._to_categorical.ToCategorical",
    "skrub._to_datetime.ToDatetime",
    "skrub._to_float.ToFloat",
    "skrub._to_str.ToStr",
    "skrub._utils.LRUDict",
    "skrub.selectors._base.All",
    "skrub.selectors._base.And",
    "skrub.selectors._base.Cols",
    "skrub.selectors._base.Filter",
    "skrub.selectors._base.Sub",
    "skrub.selectors._selectors._cardinality_below",
)

SKLEARN_FUNCTIONS = (
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.feature_selection._univariate_selection.r_regression",
    "sklearn.metrics._classification.accuracy_score",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._classification.brier_score_loss",
    "sklearn.metrics._classification.cohen_kappa_score",
    "sklearn.metrics._classification.d2_brier_score",
    "sklearn.metrics._classification.d2_log_loss_score",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._classification.fbeta_score",
    "sklearn.metrics._classification.jaccard_score",
    "sklearn.metrics._classification.log_loss",
    "sklearn.metrics._classification.matthews_corrcoef",
    "sklearn.metrics._classification.precision_score",
    "sklearn.metrics._classification.recall_score",
    "sklearn.metrics._ranking.average_precision_score",
    "sklearn.metrics._ranking.roc_auc_score",
    "sklearn.metrics._ranking.top_k_accuracy_score",
    "sklearn.metrics._regression.d2_absolute_error_score",
    "sklearn.metrics._regression.explained_variance_score",
    "sklearn.metrics._regression.max_error",
    "sklearn.metrics._regression.mean_absolute_error",
    "sklearn.metrics._regression.mean_absolute_percentage_error",
    "sklearn.metrics._regression.mean_gamma_deviance",
    "sklearn.metrics._regression.mean_pinball_loss",
    "sklearn.metrics._regression.mean_poisson_deviance",
    "sklearn.metrics._regression.mean_squared_error",
    "sklearn.metrics._regression.mean_squared_log_error",
    "sklearn.metrics._regression.median_absolute_error",
    "sklearn.metrics._regression.r2_score",
    "sklearn.metrics._regression.root_mean_squared_error",
    "sklearn.metrics._regression.root_mean_squared_log_error",
    "sklearn.metrics._scorer.negative_likelihood_ratio",
    "sklearn.metrics._scorer.positive_likelihood_ratio",
    "sklearn.utils.validation.check_array",
)

TRUSTED = tuple(
    sorted(
        {
            *OWN_TYPES,
            *PLAIN_TYPES,
            *SKLEARN_TYPES,
            *SKLEARN_FUNCTIONS,
            *SKRUB_TYPES,
        }
    )
)

# Start of a dotted name -> why it is not above, and what to do.
LEFT_OUT = {
    PARTIAL: (
        "functools.partial calls a function with arguments that the file names, and "
        "only that of scikit-learn's gradient boosting is known: use another step"
    ),
    "scipy.stats.": (
        "SciPy's distributions compile text that the file gives: save the "
        "best_estimator_ of the search"
    ),
}


def advice_on(types):
    """Say what to do about types that are not trusted.

    Parameters
    ----------
    types : list of str
        Their dotted names.

    Returns
    -------
    str
    """
    known = [
        why
        for start, why in LEFT_OUT.items()
        if any(name.startswith(start) for name in types)
    ]
    return "".join(f" {why}." for why in known)


def check_partial(obj):
    """Refuse a partial function other than that of scikit-learn's gradient boosting.

    It makes an array of a frame's columns. Any other could call what it holds with
    whatever the file gives.

    Parameters
    ----------
    obj : object
        Anything; other types than partial functions pass.

    Raises
    ------
    UntrustedTypeError
    """
    if not isinstance(obj, functools.partial):
        return
    plain = (str, bool, int, float, type(None), np.dtype)
    values: list[object] = []
    for value in obj.keywords.values():
        values += value if isinstance(value, (list, tuple)) else [value]
    is_plain = all(
        isinstance(value, plain)
        or (isinstance(value, type) and issubclass(value, np.generic))
        for value in values
    )
    if obj.func is not check_array or obj.args or not is_plain:
        name = getattr(obj.func, "__qualname__", type(obj.func).__name__)
        raise UntrustedTypeError(
            f"There is a functools.partial of {name}.{advice_on([PARTIAL])}", [PARTIAL]
        )


def check_indices(obj):
    """Refuse a tree whose indices point outside its own arrays.

    scikit-learn follows them without looking: a forged one would crash the process or
    never end.

    Parameters
    ----------
    obj : object
        Anything; other types than trees pass.

    Raises
    ------
    DamagedSaveError
        If an index is out of range, or a node is not above its children.
    """
    kind = type(obj).__name__
    if kind == "Tree" and type(obj).__module__ == "sklearn.tree._tree":
        inner = obj.children_left != -1
        _check_children(
            kind, inner, obj.children_left, obj.children_right, obj.node_count
        )
        _check_range(kind, obj.feature[inner], obj.n_features)
    elif kind == "TreePredictor":
        nodes = obj.nodes
        inner = nodes["is_leaf"] == 0
        _check_children(kind, inner, nodes["left"], nodes["right"], len(nodes))
        categories = inner & (nodes["is_categorical"] != 0)
        _check_range(
            kind,
            nodes["bitset_idx"][categories],
            min(len(obj.binned_left_cat_bitsets), len(obj.raw_left_cat_bitsets)),
        )
    elif kind in ("KDTree", "BallTree"):
        data, indices, nodes, bounds = (np.asarray(a) for a in obj.get_arrays())
        _check_range(kind, indices, len(data))
        _check_range(kind, nodes["idx_start"], len(data) + 1)
        _check_range(kind, nodes["idx_end"], len(data) + 1)
        # The children of node i are 2 i + 1 and 2 i + 2.
        inner = np.flatnonzero(nodes["is_leaf"] == 0)
        _check_range(kind, 2 * inner + 2, len(nodes))
        if len(indices) != len(data) or bounds.shape[1] != len(nodes):
            raise DamagedSaveError(f"A {kind} has arrays of lengths that do not fit.")


def check_estimator(estimator):
    """Refuse boosted trees that ask for columns that the estimator does not have.

    Raises
    ------
    DamagedSaveError
        If a tree asks for another column.
    """
    n_columns = getattr(estimator, "n_features_in_", None)
    for row in getattr(estimator, "_predictors", None) or ():
        for tree in row:
            if type(tree).__name__ == "TreePredictor":
                inner = tree.nodes["is_leaf"] == 0
                _check_range(
                    "TreePredictor", tree.nodes["feature_idx"][inner], n_columns or 0
                )


def _check_children(kind, inner, left, right, n_nodes):
    rows = np.arange(len(inner))[inner]
    for child in (np.asarray(left)[inner], np.asarray(right)[inner]):
        child = child.astype(np.int64)
        _check_range(kind, child, n_nodes)
        if (child <= rows).any():
            raise DamagedSaveError(f"A {kind} has a node that is below its own child.")


def _check_range(kind, values, limit):
    values = np.asarray(values)
    if values.size and (values.min() < 0 or values.max() >= limit):
        raise DamagedSaveError(
            f"A {kind} points outside its own arrays: expected indices from 0 to "
            f"{int(limit) - 1}, got {values.min()} to {values.max()}. The save was "
            "changed or is damaged; do not use it."
        )
