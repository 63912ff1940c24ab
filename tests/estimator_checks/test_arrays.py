"""Estimators that get the matrices of scikit-learn's checks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from sktransfer import (
    CORALAdapter,
    DomainAdaptationClassifier,
    ImageEncoder,
    TextEncoder,
)
from sktransfer.estimator_checks import as_array_estimator
from sktransfer.estimator_checks._watching import global_state_restored

X = np.random.default_rng(0).normal(size=(9, 3))


class Keeps(TransformerMixin, BaseEstimator):
    """Remembers what it got."""

    def __init__(self, _modality=None):
        self._modality = _modality

    def fit(self, X, y=None):
        self.got_ = X
        return self

    def transform(self, X):
        return X


class KeepsDomains(Keeps):
    def fit(self, X, y=None, *, sample_domain=None):
        self.domain_ = sample_domain
        return self

    def transform(self, X, *, sample_domain=None):
        return sample_domain


def test_rows_become_texts_and_rows_with_nan_null_cells():
    holed = X.copy()
    holed[2, 1] = np.nan
    cells = as_array_estimator(Keeps(), "text").fit(holed).got_
    assert cells[2] is None
    rest = cells[:2] + cells[3:]
    assert all(isinstance(cell, str) for cell in rest)
    assert len(set(rest)) > 4
    assert as_array_estimator(Keeps(), "text").fit(X.tolist()).got_[0] == cells[0]


def test_rows_become_images_that_are_brighter_for_greater_numbers():
    dark, bright = as_array_estimator(Keeps("image")).fit([[-1.0], [2.0]]).got_
    assert dark.dtype == np.uint8
    assert dark.shape == bright.shape == (8, 8, 3)
    assert dark.max() < bright.min()


def test_a_matrix_becomes_a_frame():
    frame = as_array_estimator(Keeps(), "frame").fit(X).got_
    assert list(frame.columns) == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(frame, X)
    assert as_array_estimator(Keeps(), "frame").fit(frame).got_ is frame


@pytest.mark.parametrize("reads", ["image", "text", "frame"])
@pytest.mark.parametrize(
    "other", [X[0], csr_array(X), ["a", "b"], "a", None], ids=lambda x: type(x).__name__
)
def test_what_is_no_matrix_is_handed_on(reads, other):
    assert as_array_estimator(Keeps(), reads).fit(other).got_ is other


@pytest.mark.parametrize("other", [X + 1j, np.full((2, 2), np.inf), X[:0]])
def test_a_matrix_that_cannot_be_cells_is_handed_on(other):
    assert as_array_estimator(Keeps(), "text").fit(other).got_ is other


def test_rows_keep_their_domain_in_every_order():
    model = as_array_estimator(KeepsDomains()).fit(X)
    assert sorted(set(model.domain_)) == [-1, 0]
    order = np.array([3, 1, 0, 8])
    np.testing.assert_array_equal(model.transform(X[order]), model.domain_[order])
    np.testing.assert_array_equal(model.transform(X + 1), [-1] * len(X))
    assert (model.fit(X[order]).domain_ == 0).sum() == 2


def test_domains_that_are_given_stay():
    model = as_array_estimator(KeepsDomains()).fit(X, sample_domain="own")
    assert model.domain_ == "own"
    assert model.transform(X, sample_domain=None) is None
    assert model.fit(X[0]).domain_ is None


def test_it_is_the_estimator_otherwise():
    encoder = TextEncoder("tiny-bert", pooling="max")
    view = as_array_estimator(encoder)
    assert isinstance(view, TextEncoder)
    assert type(encoder) is TextEncoder
    assert repr(view) == repr(encoder)
    assert view.get_params() == encoder.get_params()
    vectors = view.fit_transform(X)
    assert vectors.shape == (9, 16)
    for copy in (clone(view).fit(X), pickle.loads(pickle.dumps(view))):
        np.testing.assert_array_equal(copy.transform(X), vectors)


def test_methods_that_the_estimator_hides_stay_hidden():
    view = as_array_estimator(DomainAdaptationClassifier(LinearSVC()))
    assert hasattr(view, "decision_function")
    assert not hasattr(view, "predict_proba")
    pipe = make_pipeline(ImageEncoder("tiny-cnn"), LinearRegression())
    view = as_array_estimator(pipe, "image")
    assert not hasattr(view, "predict_proba")
    assert view.fit(X, X[:, 0]).predict(X).shape == (9,)


def test_what_the_estimator_reads_has_to_be_known():
    with pytest.raises(ValueError, match=r"reads=None .* Keeps reads; pass one of"):
        as_array_estimator(Keeps())
    with pytest.raises(ValueError, match="reads='sound' does not say"):
        as_array_estimator(Keeps(), "sound")


class LooksAtTheBatch(TextEncoder):
    def transform(self, X):
        vectors = super().transform(X)
        return vectors - vectors.mean(axis=0)


class ForgetsTheDomains(CORALAdapter):
    def transform(self, X, *, sample_domain=None):
        return super().transform(X)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        (LooksAtTheBatch("tiny-bert"), "check_methods_subset_invariance"),
        (ForgetsTheDomains(), "check_transformer_general"),
    ],
)
def test_scikit_learns_checks_find_a_fault(estimator, check):
    with global_state_restored():
        results = check_estimator(
            as_array_estimator(estimator), on_skip=None, on_fail=None
        )
    assert check in {r["check_name"] for r in results if r["status"] == "failed"}


def test_a_frame_of_names_is_not_converted_for_cells():
    frame = pd.DataFrame({"text": ["a", "b"]})
    assert as_array_estimator(Keeps(), "text").fit(frame).got_ is frame
