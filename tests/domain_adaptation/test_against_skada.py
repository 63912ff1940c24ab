"""The methods that skada has too: equal where the definition is equal."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from made import noisy, routed, shifted
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KernelDensity

from sktransfer import (
    CircularValidationScorer,
    CORALAdapter,
    DensityRatioWeights,
    DomainAdaptationClassifier,
    ImportanceWeightedScorer,
    PredictionEntropyScorer,
    SoftNeighborhoodDensityScorer,
    SubspaceAlignment,
    TransferComponentAnalysis,
)


@pytest.fixture
def skada():
    config = sklearn.get_config()
    try:
        return pytest.importorskip("skada")
    finally:
        sklearn.set_config(**config)  # importing it switches metadata routing on


@pytest.fixture
def made():
    made = shifted(n=40, n_features=8, shift=1.0)
    made.theirs = np.where(made.target, -2, 1)
    return made


def both(own, other, made):
    """Return what the two make of the rows, those of the source first."""
    got = own.fit_transform(made.X, sample_domain=made.domain)
    want = other.fit_transform(made.X, sample_domain=made.theirs)
    return got, want


def test_coral_without_shrinkage_differs_by_the_means_only(skada, made):
    got, want = both(CORALAdapter(reg=None), skada.CORALAdapter(reg=1e-9), made)
    for rows in (made.target, ~made.target):
        gap = got[rows] - want[rows]
        np.testing.assert_allclose(gap - gap.mean(axis=0), 0, atol=1e-5)


def test_subspaces_are_equal_with_the_same_principal_components(
    skada, made, monkeypatch
):
    # Left alone it takes scikit-learn's fast approximate components of wide data.
    exact = functools.partial(PCA, svd_solver="full")
    monkeypatch.setattr("skada._subspace.PCA", exact)
    other = skada.SubspaceAlignmentAdapter(n_components=3)
    got, want = both(SubspaceAlignment(3), other, made)
    np.testing.assert_allclose(got, want, atol=1e-9)


def eigenproblem(made):
    """Return both sides of the problem of transfer components, linear kernel."""
    order = np.argsort(made.target, kind="stable")  # source rows first
    X, target = made.X[order], made.target[order]
    K, n = X @ X.T, len(X)
    e = np.where(target, -1 / target.sum(), 1 / (~target).sum())
    return (
        K @ (np.eye(n) - 1 / n) @ K,
        np.eye(n) + 0.1 * K @ np.outer(e, e) @ K,
        order,
    )


def residual(left, right, vectors):
    """Return how far vectors are from solving ``left v = value * right v``."""
    upper, lower = left @ vectors, right @ vectors
    values = (lower * upper).sum(axis=0) / (lower**2).sum(axis=0)
    return np.linalg.norm(upper - values * lower, axis=0) / np.linalg.norm(
        upper, axis=0
    )


def test_skadas_transfer_components_do_not_solve_the_problem_and_ours_do(skada, made):
    # It gives a matrix that is not symmetric to an eigensolver for symmetric ones.
    left, right, order = eigenproblem(made)
    own = TransferComponentAnalysis(3, kernel="linear", mu=0.1)
    own.fit(made.X[order], sample_domain=made.domain[order])
    other = skada.TransferComponentAnalysisAdapter("linear", n_components=3)
    other.fit(made.X[order], sample_domain=made.theirs[order])
    assert residual(left, right, own.components_).max() < 1e-8
    assert residual(left, right, other.eigvects_).max() > 1e-3


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_transfer_components_are_equal_with_the_same_eigensolver(
    skada, made, monkeypatch, kernel
):
    def exact(matrix):
        values, vectors = np.linalg.eig(matrix)
        return values.real, vectors.real

    linalg = SimpleNamespace(solve=np.linalg.solve, eigh=exact)
    patched = SimpleNamespace(**vars(np) | {"linalg": linalg})
    monkeypatch.setattr("skada._subspace.np", patched)
    other = skada.TransferComponentAnalysisAdapter(kernel, n_components=3)
    own = TransferComponentAnalysis(3, kernel=kernel, gamma=None, mu=0.1)
    order = np.argsort(made.target, kind="stable")
    made.X, made.domain = made.X[order], made.domain[order]
    made.theirs = made.theirs[order]
    got, want = both(own, other, made)
    # The length of a component is nobody's definition: compare the directions.
    got, want = (Z / np.linalg.norm(Z, axis=0) for Z in (got, want))
    np.testing.assert_allclose(np.abs((got * want).sum(axis=0)), 1, atol=1e-6)


class Density(DensityRatioWeights):
    """The ratio of two kernel densities, as skada weighs."""

    def _weigh(self, source, target):
        of_source = KernelDensity().fit(source).score_samples(source)
        return np.exp(KernelDensity().fit(target).score_samples(source) - of_source)


def test_they_agree_with_skadas(skada):
    from skada import metrics

    made = noisy()
    codes = np.searchsorted(["a", "b", "c"], made.truth)
    domain = np.where(made.target, -2, 1)
    with routed():
        head = LogisticRegression().set_score_request(sample_weight=True)
        theirs = skada.make_da_pipeline(head)
        theirs.fit(made.X, np.where(made.target, -1, codes), sample_domain=domain)
        ours = LogisticRegression().fit(made.X[~made.target], codes[~made.target])

        def compare(own, other, factor=1.0):
            got = own(ours, made.X, codes, sample_domain=domain)
            want = other(theirs, made.X, codes, sample_domain=domain)
            assert got == pytest.approx(factor * want, rel=1e-6)

        # Theirs is the mean over rows and classes, ours over rows.
        compare(PredictionEntropyScorer(), metrics.PredictionEntropyScorer(), 3)
        compare(SoftNeighborhoodDensityScorer(), metrics.SoftNeighborhoodDensity())
        compare(
            ImportanceWeightedScorer(weights=Density()),
            metrics.ImportanceWeightedScorer(),
        )


def test_the_way_back_agrees_with_skadas(skada):
    from skada import metrics

    made = noisy(shift=2.0)
    codes = np.searchsorted(["a", "b", "c"], made.truth)
    y, domain = np.where(made.target, -1, codes), np.where(made.target, -2, 1)
    with routed():
        theirs = skada.make_da_pipeline(skada.CORALAdapter(), LogisticRegression())
        theirs.fit(made.X, y, sample_domain=domain)
        want = metrics.CircularValidation()(theirs, made.X, y, sample_domain=domain)
        ours = DomainAdaptationClassifier(LogisticRegression(), CORALAdapter(reg=None))
        ours.fit(made.X, y, sample_domain=domain)
        own = CircularValidationScorer(scoring="balanced_accuracy")
        got = own(ours, made.X, y, sample_domain=domain)
    assert 0.34 < got < 1
    assert got == pytest.approx(want, abs=0.02)
