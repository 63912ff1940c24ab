"""The battery: passes on ours, and catches each seeded fault by name."""

import functools
import random
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from conftest import REPOSITORY
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import EstimatorCheckFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sktransfer import BackboneSpec, ImageEncoder, TextEncoder, load_backbone
from sktransfer.estimator_checks import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)
from sktransfer.estimator_checks._run import ALL
from sktransfer.estimator_checks._watching import global_state_restored

NAMES = [check.__name__ for check in ALL]


class Probe(BaseEstimator):
    """A text predictor with the signature of those that fine-tune."""

    _modality = "text"

    def __init__(self, backbone="tiny-bert", *, batch_size="auto", cache="auto"):
        self.backbone = backbone
        self.batch_size = batch_size
        self.cache = cache

    def _features(self, X):
        encoder = TextEncoder(
            self.backbone, batch_size=self.batch_size, cache=self.cache
        )
        return encoder.fit_transform(X)

    def fit(self, X, y, sample_weight=None):
        features = self._features(X)
        check_consistent_length(features, y, sample_weight)
        self.head_ = self._head().fit(features, y, sample_weight=sample_weight)
        return self

    def predict(self, X):
        check_is_fitted(self)
        return self.head_.predict(self._features(X))


class ProbeClassifier(ClassifierMixin, Probe):
    def _head(self):
        return LogisticRegression()

    @property
    def classes_(self):
        return self.head_.classes_

    def predict_proba(self, X):
        check_is_fitted(self)
        return self.head_.predict_proba(self._features(X))


class ProbeRegressor(RegressorMixin, Probe):
    def _head(self):
        return Ridge()


# Their errors name the encoder inside, where the class should be.
INNER = {
    "check_wrong_types_are_refused": "the encoder inside is named, not the class",
    "check_two_columns_are_refused": "the encoder inside is named, not the class",
}


@parametrize_with_checks([ImageEncoder("tiny-cnn"), TextEncoder("tiny-bert")])
def test_encoders_pass(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())], modality="text"
)
def test_a_pipeline_that_classifies_texts_passes(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [make_pipeline(ImageEncoder("tiny-cnn"), Ridge())], modality="image"
)
def test_a_pipeline_that_predicts_numbers_passes(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [ProbeClassifier(), ProbeRegressor()], expected_failed_checks=INNER
)
def test_predictors_with_a_backbone_pass(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [ImageEncoder(), TextEncoder()], ids=str)
def test_encoders_with_bundled_weights_pass(encoder, bundled_weights):
    results = check_estimator(encoder)
    assert {result["status"] for result in results} == {"passed"}


# -- seeded faults -------------------------------------------------------------------


def same_parameters(init):
    """Give an `__init__` the signature of TextEncoder's."""
    return functools.wraps(TextEncoder.__init__)(init)


class DropsARow(TextEncoder):
    def transform(self, X):
        return super().transform(X)[:-1]


class DropsDuplicates(TextEncoder):
    def transform(self, X):
        return super().transform(pd.unique(np.asarray(list(X), dtype=object)))


class KeepsItsFirstBackbone(TextEncoder):
    def fit(self, X, y=None):
        if not hasattr(self, "network_"):
            self.network_ = load_backbone(self.backbone)
        return super().fit(X)

    def _resolved(self):
        request = super()._resolved()
        network = getattr(self, "network_", request.backbone)
        return request._replace(backbone=network, preprocess=self._adapt(network))


class KeepsItsFirstRows(TextEncoder):
    def _set_fitted(self, column, request, nulls, bad):
        super()._set_fitted(column, request, nulls, bad)
        if not hasattr(self, "first_"):
            self.first_ = str(column.cells[0])

    def _finish(self, vectors, bad, nulls):
        shift = len(getattr(self, "first_", ""))
        return super()._finish(vectors + np.float32(shift), bad, nulls)


class LooksAtTheBatch(TextEncoder):
    def transform(self, X):
        vectors = super().transform(X)
        return vectors - vectors.mean(axis=0)


class IsConstant(TextEncoder):
    def _finish(self, vectors, bad, nulls):
        return super()._finish(np.ones_like(vectors), bad, nulls)


class KeepsTheLengthOnly(TextEncoder):
    def _encode(self, column, *args):
        vectors, bad, nulls = super()._encode(column, *args)
        for vector, text in zip(vectors, column.cells, strict=True):
            if text is not None:
                vector[:] = len(text)
        return vectors, bad, nulls


class PredictsOneClass(ProbeClassifier):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.head_.coef_ *= 0
        return self


class PredictsTheMean(ProbeRegressor):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.head_.coef_ *= 0
        return self


class LooksAtTheBatchSize(TextEncoder):
    def transform(self, X):
        size = 32 if self.batch_size == "auto" else self.batch_size
        return super().transform(X) * np.float32(1 + size / 1000)


class ChangesItsRows(TextEncoder):
    def transform(self, X):
        out = super().transform(X)
        if isinstance(X, list):
            X[0] = X[0].upper()
        return out


class LoadsInInit(TextEncoder):
    @same_parameters
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        load_backbone(self.backbone)


class LoadsInAProperty(TextEncoder):
    @property
    def width(self):
        return load_backbone(self.backbone).widths[-1]


class HoldsWeights(TextEncoder):
    @same_parameters
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.network = [load_backbone("tiny-bert")]


class ChecksInInit(TextEncoder):
    @same_parameters
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.pooling not in ("auto", "mean", "max", "cls", "last"):
            raise ValueError(f"pooling={self.pooling!r} is wrong")


class IgnoresAParameter(TextEncoder):
    _parameter_constraints = TextEncoder._parameter_constraints | {
        "verbose": "no_validation"
    }


class GivesFloat64(TextEncoder):
    def _finish(self, vectors, bad, nulls):
        return super()._finish(vectors, bad, nulls).astype(np.float64)


class GivesNaN(TextEncoder):
    def _finish(self, vectors, bad, nulls):
        vectors[:, 0] = np.nan
        return super()._finish(vectors, bad, nulls)


class SeedsNumPy(TextEncoder):
    def transform(self, X):
        np.random.seed(0)  # noqa: NPY002
        return super().transform(X)


class SeedsTorch(TextEncoder):
    def fit(self, X, y=None):
        import torch

        torch.manual_seed(0)
        return super().fit(X)


class DrawsFromPython(TextEncoder):
    def transform(self, X):
        random.random()
        return super().transform(X)


class TurnsGradOff(TextEncoder):
    def transform(self, X):
        import torch

        torch.set_grad_enabled(False)
        return super().transform(X)


class SetsThreads(TextEncoder):
    def transform(self, X):
        import torch

        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().transform(X)


class SetsTheConfig(TextEncoder):
    def fit(self, X, y=None):
        sklearn.set_config(enable_metadata_routing=True)
        return super().fit(X)


class SilencesWarnings(TextEncoder):
    def transform(self, X):
        warnings.simplefilter("ignore")
        return super().transform(X)


class MovesAWeightByAHair(TextEncoder):
    def fit(self, X, y=None):
        backbone = load_backbone(self.backbone)
        next(backbone.modules()[-1].parameters()).data.add_(1e-7)
        return super().fit(X)


class TakesNoY(TextEncoder):
    def fit_transform(self, X):
        return self.fit(X).transform(X)


class NormalisesAtFitTransform(TextEncoder):
    def fit_transform(self, X, y=None):
        vectors = self.fit(X).transform(X)
        return vectors / np.linalg.norm(np.asarray(vectors), axis=1, keepdims=True)


class SetsAnotherAttribute(TextEncoder):
    @same_parameters
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.size = 3


class ScoresOnceOnly(TextEncoder):
    def __sklearn_clone__(self):
        copy = type(self)(**self.get_params())
        copy.used = hasattr(self, "n_features_out_") or getattr(self, "used", False)
        return copy

    def _finish(self, vectors, bad, nulls):
        zero = getattr(self, "used", False)
        return super()._finish(vectors * np.float32(not zero), bad, nulls)


class LeavesTrainMode(TextEncoder):
    def transform(self, X):
        out = super().transform(X)
        module = load_backbone(self.backbone).modules()[0]
        module.train(not module.training)
        return out


class RefusesSeries(TextEncoder):
    def fit(self, X, y=None):
        if hasattr(X, "dtype"):
            raise TypeError("RefusesSeries takes lists")
        return super().fit(X)


class ReversesSeries(TextEncoder):
    def transform(self, X):
        out = super().transform(X)
        return out[::-1] if isinstance(X, pd.Series) else out


class TakesNothing(TextEncoder):
    def transform(self, X):
        if hasattr(X, "__len__") and len(X) == 0:
            return np.empty((0, 16), dtype=np.float32)
        return super().transform(X)


class TakesOneString(TextEncoder):
    def _column(self, X):
        return super()._column([X] if isinstance(X, str) else X)


class TakesTheFirstColumn(TextEncoder):
    def _column(self, X):
        return super()._column(X.iloc[:, 0] if isinstance(X, pd.DataFrame) else X)


class NamesNoRow(TextEncoder):
    def transform(self, X):
        try:
            return super().transform(X)
        except ValueError as err:
            raise ValueError("TextEncoder: bad input") from err


class MakesTextsOfAll(TextEncoder):
    def transform(self, X):
        return super().transform([str(cell) for cell in X])


class ZeroIsOne(TextEncoder):
    def _finish(self, vectors, bad, nulls):
        out = super()._finish(vectors, bad, nulls)
        out[list(bad)] += self.missing == "zero"
        return out


class FitReturnsNothing(TextEncoder):
    def fit(self, X, y=None):
        super().fit(X)


class FitChangesAParameter(TextEncoder):
    def fit(self, X, y=None):
        super().fit(X)
        self.pooling = self.pooling_
        return self


class CopiesTheFit(TextEncoder):
    def __sklearn_clone__(self):
        copy = type(self)(**self.get_params())
        vars(copy).update(vars(self))
        return copy


class NeedsNoFitButLearns(TextEncoder):
    def transform(self, X):
        factor = 2 if hasattr(self, "n_features_out_") else 1
        return super().transform(X) * np.float32(factor)


class CannotBePickled(TextEncoder):
    def fit(self, X, y=None):
        self.open_ = lambda: None
        return super().fit(X)


class ForgetsInAPickle(TextEncoder):
    def __getstate__(self):
        return super().__getstate__() | {"normalize": True}


class AsksTheClock(TextEncoder):
    ticks = 0

    def fit(self, X, y=None):
        type(self).ticks += 1
        self.tick_ = np.float32(self.ticks)
        return super().fit(X)

    def transform(self, X):
        return super().transform(X) * getattr(self, "tick_", np.float32(1))


class CachesTheWrongVector(TextEncoder):
    def transform(self, X):
        out = super().transform(X)
        return out if self.cache is None else out[::-1]


class RunsTwice(TextEncoder):
    def transform(self, X):
        copy = type(self)(self.backbone, cache=None)
        if self.cache is not None:
            TextEncoder.transform(copy, X)
        return super().transform(X)


class OneNameTooFew(TextEncoder):
    def get_feature_names_out(self, input_features=None):
        return super().get_feature_names_out(input_features)[1:]


class GivesPandasAlways(TextEncoder):
    def transform(self, X):
        out = pd.DataFrame(np.asarray(TextEncoder.transform(self, X)))
        out.columns = self.get_feature_names_out()
        return out


class PredictsNumbers(ProbeClassifier):
    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


class DoesNotSumToOne(ProbeClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) * 2


class DisagreesWithItself(ProbeClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


class TakesOneClass(ProbeClassifier):
    def fit(self, X, y, sample_weight=None):
        if len(set(y)) == 1:
            return self
        return super().fit(X, y, sample_weight)


class CutsToTheShorter(ProbeClassifier):
    def fit(self, X, y, sample_weight=None):
        n = min(len(X), len(y))
        return super().fit(X[:n], y[:n], sample_weight)


class CutsTheWeights(ProbeClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y)


class PredictsUnfitted(ProbeRegressor):
    def predict(self, X):
        if not hasattr(self, "head_"):
            return np.zeros(len(X))
        return super().predict(X)


class PredictsAColumn(ProbeRegressor):
    def predict(self, X):
        return super().predict(X)[:, None]


class HidesNotFitted(ProbeRegressor):
    def predict(self, X):
        try:
            return super().predict(X)
        except NotFittedError:
            raise AttributeError("head_") from None


class PredictsNothing(ProbeRegressor):
    def predict(self, X):
        return np.full_like(super().predict(X), np.nan)


FAULTS = {
    DropsARow: "check_one_row_out_for_each_row_in",
    DropsDuplicates: "check_rows_do_not_depend_on_their_neighbours",
    KeepsItsFirstBackbone: "check_a_new_backbone_takes_effect",
    KeepsItsFirstRows: "check_refit_equals_a_fresh_fit",
    LooksAtTheBatch: "check_rows_do_not_depend_on_their_neighbours",
    IsConstant: "check_different_rows_differ",
    KeepsTheLengthOnly: "check_classes_can_be_told_apart",
    PredictsOneClass: "check_classes_can_be_told_apart",
    PredictsTheMean: "check_classes_can_be_told_apart",
    LooksAtTheBatchSize: "check_batch_size_does_not_matter",
    ChangesItsRows: "check_X_and_y_are_left_alone",
    LoadsInInit: "check_looking_loads_nothing",
    LoadsInAProperty: "check_looking_loads_nothing",
    HoldsWeights: "check_pickle_carries_no_weights",
    ChecksInInit: "check_wrong_parameters_raise_at_fit",
    IgnoresAParameter: "check_wrong_parameters_raise_at_fit",
    GivesFloat64: "check_output_is_finite_float32",
    GivesNaN: "check_output_is_finite_float32",
    SeedsNumPy: "check_global_state_is_left_alone",
    SeedsTorch: "check_global_state_is_left_alone",
    DrawsFromPython: "check_global_state_is_left_alone",
    TurnsGradOff: "check_global_state_is_left_alone",
    SetsThreads: "check_global_state_is_left_alone",
    SetsTheConfig: "check_global_state_is_left_alone",
    SilencesWarnings: "check_global_state_is_left_alone",
    MovesAWeightByAHair: "check_weights_are_left_alone",
    TakesNoY: "check_column_transformer",
    NormalisesAtFitTransform: "check_fit_transform_equals_fit_and_transform",
    SetsAnotherAttribute: "check_init_only_stores_parameters",
    ScoresOnceOnly: "check_cross_validation",
    LeavesTrainMode: "check_weights_are_left_alone",
    RefusesSeries: "check_input_kinds_agree",
    ReversesSeries: "check_input_kinds_agree",
    TakesNothing: "check_empty_input_is_refused",
    TakesOneString: "check_wrong_types_are_refused",
    TakesTheFirstColumn: "check_two_columns_are_refused",
    NamesNoRow: "check_a_bad_row_is_named",
    MakesTextsOfAll: "check_a_bad_row_is_named",
    ZeroIsOne: "check_missing_rows_follow_the_policy",
    FitReturnsNothing: "check_fit_returns_self",
    FitChangesAParameter: "check_fit_returns_self",
    CopiesTheFit: "check_clone_of_fitted_is_unfitted",
    NeedsNoFitButLearns: "check_unfitted_raises_or_is_stateless",
    CannotBePickled: "check_a_pickled_estimator_gives_the_same",
    ForgetsInAPickle: "check_a_pickled_estimator_gives_the_same",
    AsksTheClock: "check_fit_twice_gives_the_same",
    CachesTheWrongVector: "check_cache_changes_no_output",
    RunsTwice: "check_cache_changes_no_output",
    OneNameTooFew: "check_feature_names_out",
    GivesPandasAlways: "check_set_output",
    PredictsNumbers: "check_labels_round_trip",
    DoesNotSumToOne: "check_probabilities",
    DisagreesWithItself: "check_probabilities",
    TakesOneClass: "check_one_class_is_refused",
    CutsToTheShorter: "check_y_of_another_length_is_refused",
    CutsTheWeights: "check_sample_weight_of_another_length_is_refused",
    PredictsUnfitted: "check_unfitted_raises_or_is_stateless",
    HidesNotFitted: "check_unfitted_raises_or_is_stateless",
    PredictsAColumn: "check_regressor_predictions",
    PredictsNothing: "check_regressor_predictions",
}
# Faults that show wherever rows are compared; the others fail few other checks.
WIDE = {DropsARow: 16, AsksTheClock: 10}


def failures(estimator):
    expected = INNER if isinstance(estimator, Probe) else None
    results = check_estimator(estimator, expected_failed_checks=expected, on_fail=None)
    return {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}


@pytest.mark.parametrize("faulty", FAULTS, ids=lambda cls: cls.__name__)
def test_a_seeded_fault_fails_the_check_of_its_name(faulty):
    # Weights of their own: some faults change them.
    found = failures(faulty(BackboneSpec("tiny-bert", random_state=7)))
    assert FAULTS[faulty] in found
    assert len(found) <= WIDE.get(faulty, 5)


def test_every_check_has_a_fault_that_it_catches():
    assert set(NAMES) == set(FAULTS.values())


def test_a_failure_names_every_kind_of_input_that_is_refused():
    message = str(failures(RefusesSeries("tiny-bert"))["check_input_kinds_agree"])
    for kind in ("object array", "str array", "pandas Series", "polars Series"):
        assert f"- {kind}: refused with TypeError: RefusesSeries takes lists" in message
    assert "tuple" not in message
    assert "pandas frame" not in message


class SeriesOnly(TextEncoder):
    def _column(self, X):
        if not isinstance(X, (pd.Series, pd.DataFrame)):
            raise TypeError(f"SeriesOnly takes a Series, not {type(X).__name__}")
        return super()._column(X)


class PicturesOnly(ImageEncoder):
    def _column(self, X):
        column = super()._column(X)
        for row, cell in enumerate(column.cells):
            if not hasattr(cell, "convert"):
                raise TypeError(f"PicturesOnly takes PIL images; row {row} is none")
        return column


@pytest.mark.parametrize("encoder", [SeriesOnly("tiny-bert"), PicturesOnly("tiny-cnn")])
def test_what_takes_few_kinds_fails_one_check(encoder):
    # PicturesOnly cannot be asked for null cells.
    assert set(failures(encoder)) - {"check_missing_rows_follow_the_policy"} == {
        "check_input_kinds_agree"
    }


# -- running it ----------------------------------------------------------------------


def test_results_have_the_shape_of_scikit_learns():
    from sklearn.utils.estimator_checks import check_estimator as check_array_estimator

    with global_state_restored():  # theirs seeds NumPy
        theirs = check_array_estimator(Ridge(), on_skip=None, on_fail=None)
    encoder = TextEncoder("tiny-bert")
    ours = check_estimator(encoder)
    assert ours[0].keys() == theirs[0].keys()
    assert {type(result["check_name"]) for result in ours} == {str}
    assert all(result["estimator"] is encoder for result in ours)
    assert ours[0]["expected_to_fail"] is False
    assert ours[0]["expected_to_fail_reason"] == theirs[0]["expected_to_fail_reason"]


def test_the_first_failure_is_raised_by_default():
    with pytest.raises(
        AssertionError, match="GivesFloat64: .* dtype float64; expected"
    ):
        check_estimator(GivesFloat64("tiny-bert"))


def test_failures_are_warned_of_on_request():
    with pytest.warns(EstimatorCheckFailedWarning, match="float32") as caught:
        results = check_estimator(GivesFloat64("tiny-bert"), on_fail="warn")
    assert len(caught) == 1
    assert [r["status"] for r in results].count("failed") == 1


def test_an_expected_failure_is_no_failure():
    expected = {"check_output_is_finite_float32": "it is for statistics"}
    results = check_estimator(
        GivesFloat64("tiny-bert"), expected_failed_checks=expected
    )
    (result,) = (r for r in results if r["status"] != "passed")
    assert result["status"] == "xfail"
    assert result["expected_to_fail"] is True
    assert result["expected_to_fail_reason"] == "it is for statistics"
    assert isinstance(result["exception"], AssertionError)


def test_a_pass_that_was_to_be_a_failure_is_reported():
    encoder, expected = TextEncoder("tiny-bert"), {"check_set_output": "no frames"}
    message = r"expected to fail \['check_set_output'\], but passes; remove these"
    with pytest.raises(AssertionError, match=message):
        check_estimator(encoder, expected_failed_checks=expected)
    with pytest.warns(UserWarning, match=message):
        check_estimator(encoder, expected_failed_checks=expected, on_fail="warn")
    results = check_estimator(encoder, expected_failed_checks=expected, on_fail=None)
    (result,) = (r for r in results if r["expected_to_fail"])
    assert result["status"] == "passed"


def test_marks_for_pytest_are_strict():
    def expected(estimator):
        return {"check_set_output": f"{type(estimator).__name__} has no frames"}

    decorator = parametrize_with_checks(
        [TextEncoder("tiny-bert")], expected_failed_checks=expected
    )
    cases = decorator.mark.args[1]
    (marked,) = (case for case in cases if not isinstance(case, tuple) or case[2:])
    (mark,) = marked.marks
    assert mark.name == "xfail"
    assert mark.kwargs == {"reason": "TextEncoder has no frames", "strict": True}


def test_a_check_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="Did you mean check_set_output"):
        check_estimator(
            TextEncoder("tiny-bert"), expected_failed_checks={"check_setoutput": "typo"}
        )
    with pytest.raises(TypeError, match="must be a dict .* got list"):
        check_estimator(
            TextEncoder("tiny-bert"), expected_failed_checks=["check_set_output"]
        )


@pytest.mark.parametrize("options", [{"on_fail": "shout"}, {"modality": "sound"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options.values()))):
        check_estimator(TextEncoder("tiny-bert"), **options)


def test_the_modality_has_to_be_known():
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    with pytest.raises(ValueError, match="pass modality='image' or modality='text'"):
        check_estimator(model)


def test_a_class_is_no_instance():
    with pytest.raises(TypeError, match="TextEncoder is a class; pass an instance"):
        next(estimator_checks_generator(TextEncoder))


def test_checks_that_do_not_apply_are_skipped_with_their_reason():
    results = check_estimator(ProbeRegressor(), on_fail=None)
    skipped = {
        r["check_name"]: str(r["exception"])
        for r in results
        if r["status"] == "skipped"
    }
    assert skipped == {
        "check_missing_rows_follow_the_policy": (
            "not applicable: there is no parameter 'missing'"
        )
    }
    ran = {result["check_name"] for result in results}
    assert "check_regressor_predictions" in ran
    assert not {"check_labels_round_trip", "check_set_output"} & ran


def test_the_page_lists_every_check():
    page = (REPOSITORY / "docs" / "guide" / "checks.md").read_text()
    listed = re.findall(r"^\| `(check_\w+)` \| (.+?) \|$", page, flags=re.MULTILINE)
    said = {
        check.__name__: check.__doc__.removeprefix("Check that ").rstrip(".")
        for check in ALL
    }
    assert dict(listed) == said
