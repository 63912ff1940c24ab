"""What every adapter does, and what each does to the features."""

import pickle
import sys

import numpy as np
import pytest
import sklearn
from made import shifted
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    CORALAdapter,
    DensityRatioWeights,
    DomainNormalizer,
    DomainStandardScaler,
    KMMWeights,
    OptimalTransport,
    SubspaceAlignment,
    TransferComponentAnalysis,
)
from sktransfer.domain_adaptation._subspace import pairwise_kernels
from sktransfer.domain_adaptation._weights import _project
from sktransfer.exceptions import MissingDependencyError

pytestmark = [
    pytest.mark.filterwarnings("ignore:KMMWeights:UserWarning"),
    pytest.mark.filterwarnings("ignore:DensityRatioWeights. with these:UserWarning"),
]
ADAPTERS = [
    CORALAdapter(),
    DensityRatioWeights(),
    DomainNormalizer(),
    DomainStandardScaler(),
    KMMWeights(),
    OptimalTransport(),
    SubspaceAlignment(n_components=2),
    TransferComponentAnalysis(n_components=2),
    SubspaceAlignment(),
    TransferComponentAnalysis(),
]
by_name = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: type(a).__name__)


@by_name
def test_fit_transform_equals_transform_with_the_domains(adapter):
    made = shifted()
    together = clone(adapter).fit_transform(made.X, made.y, sample_domain=made.domain)
    fitted = clone(adapter).fit(made.X, made.y, sample_domain=made.domain)
    apart = fitted.transform(made.X, sample_domain=made.domain)
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)
    assert np.isfinite(together).all()


@by_name
def test_rows_without_a_domain_are_mapped_as_target_rows(adapter):
    made = shifted()
    fitted = clone(adapter).fit(made.X, made.y, sample_domain=made.domain)
    rows = made.X[made.target][:7]
    np.testing.assert_array_equal(
        fitted.transform(rows), fitted.transform(rows, sample_domain=[-1] * 7)
    )


@by_name
def test_labels_of_target_rows_are_not_read(adapter):
    made, results = shifted(), []
    for poison in (None, np.nan, -1, "never a class"):
        y = made.y.copy()
        y[made.target] = poison
        fitted = clone(adapter).fit(made.X, y, sample_domain=made.domain)
        results.append(fitted.transform(made.X, sample_domain=made.domain))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@by_name
def test_the_callers_arrays_are_left_alone(adapter):
    made = shifted()
    before = made.X.copy(), made.y.copy(), made.domain.copy()
    fitted = clone(adapter).fit(made.X, made.y, sample_domain=made.domain)
    out = fitted.transform(made.X, sample_domain=made.domain)
    out += 1
    for array, copy in zip((made.X, made.y, made.domain), before, strict=True):
        assert (array == copy).all()
    made.X[:] = 0  # what was fitted does not hang on the caller's array either
    again = fitted.transform(before[0], sample_domain=made.domain)
    np.testing.assert_allclose(again, out - 1, rtol=1e-5, atol=1e-6)


@by_name
def test_it_clones_pickles_and_names_its_columns(adapter):
    made = shifted()
    fitted = clone(adapter).fit(made.X, made.y, sample_domain=made.domain)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(fitted.transform(made.X), copy.transform(made.X))
    n_columns = fitted.transform(made.X).shape[1]
    assert len(fitted.get_feature_names_out()) == n_columns
    frame = clone(adapter).set_output(transform="pandas")
    frame = frame.fit_transform(made.X, made.y, sample_domain=made.domain)
    assert list(frame.columns) == list(fitted.get_feature_names_out())


@by_name
def test_bad_input_is_refused(adapter):
    made = shifted(n=10)
    holed = made.X.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        clone(adapter).fit(holed, made.y, sample_domain=made.domain)
    with pytest.raises(ValueError, match="got only source rows"):
        clone(adapter).fit(made.X, made.y, sample_domain=np.zeros(20, int))
    with pytest.raises(ValueError, match="needs sample_domain"):
        clone(adapter).fit(made.X, made.y)
    with pytest.raises(ValueError, match=r"shape \(19,\) for 20 rows"):
        clone(adapter).fit(made.X, made.y, sample_domain=made.domain[1:])
    fitted = clone(adapter).fit(made.X, made.y, sample_domain=made.domain)
    with pytest.raises(ValueError, match="features"):
        fitted.transform(made.X[:, 1:])


@by_name
def test_one_target_row_gives_finite_features_or_a_clear_error(adapter):
    made = shifted(n=10)
    rows = np.flatnonzero(~made.target).tolist() + [np.flatnonzero(made.target)[0]]
    X, domain = made.X[rows], made.domain[rows]
    if isinstance(adapter, (CORALAdapter, SubspaceAlignment)):
        with pytest.raises(ValueError, match="at least 2 rows of each kind"):
            clone(adapter).fit(X, sample_domain=domain)
        return
    out = clone(adapter).fit_transform(X, sample_domain=domain)
    assert np.isfinite(out).all()


def test_a_column_that_is_constant_in_one_domain_gets_no_variance():
    made = shifted(n=60)
    made.X[made.target, 1:3] = 0.3
    adapted = CORALAdapter().fit_transform(made.X, sample_domain=made.domain)
    source = adapted[~made.target]
    assert (source[:, 1:3].std(axis=0) < 1e-8).all()
    assert (source[:, [0, 3, 4]].std(axis=0) > 0.1).all()
    scaled = CORALAdapter().fit_transform(1000 * made.X, sample_domain=made.domain)
    np.testing.assert_allclose(scaled / 1000, adapted, atol=1e-8)


def test_the_direction_of_a_single_number_is_refused():
    with pytest.raises(ValueError, match="n_features=1.*standardize"):
        DomainNormalizer().fit(np.ones((4, 1)), sample_domain=[0, 0, -1, -1])


def test_a_kernel_that_sees_nothing_warns_and_scale_mends_it():
    rng = np.random.default_rng(0)
    X, domain = 100 * rng.normal(size=(80, 3)), np.repeat([0, -1], 40)
    X[40:, 0] += 50
    with pytest.warns(UserWarning, match='no source row is near.*gamma="scale"'):
        KMMWeights(gamma=None).fit(X, sample_domain=domain)
    scaled = KMMWeights().fit(X, sample_domain=domain).weights_
    assert scaled[:40].std() > 0.3
    again = KMMWeights(gamma="scale").fit(X / 100, sample_domain=domain).weights_
    np.testing.assert_allclose(scaled, again, rtol=1e-6)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        KMMWeights(gamma="scale", max_iter=2).fit(X, sample_domain=domain)


@by_name
def test_more_features_than_rows_and_constant_columns(adapter):
    made = shifted(n=10, n_features=60)
    made.X[:, 3] = 1.0
    out = clone(adapter).fit_transform(made.X, made.y, sample_domain=made.domain)
    assert np.isfinite(out).all()


@by_name
@pytest.mark.parametrize("routing", [False, True])
def test_it_gets_its_domains_in_a_pipeline(adapter, routing):
    made = shifted()
    pipe = make_pipeline(clone(adapter), LogisticRegression(max_iter=5000))
    name = pipe.steps[0][0]
    with sklearn.config_context(enable_metadata_routing=routing):
        key = "sample_domain" if routing else f"{name}__sample_domain"
        pipe.fit(made.X, made.truth, **{key: made.domain})
    alone = clone(adapter).fit(made.X, made.truth, sample_domain=made.domain)
    np.testing.assert_allclose(pipe[0].transform(made.X), alone.transform(made.X))


# -- each of them --------------------------------------------------------------------


def test_each_domain_is_standardised_by_itself():
    made = shifted()
    domain = made.domain * 2 + (np.arange(80) % 2)  # 0, 1 and -2, -1
    out = DomainStandardScaler().fit_transform(made.X, sample_domain=domain)
    for value in (0, 1, -1, -2):
        np.testing.assert_allclose(out[domain == value].mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(out[domain == value].std(axis=0), 1)


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("with_std", [True, False])
def test_standardising_does_what_its_options_say(with_mean, with_std):
    made = shifted()
    scaler = DomainStandardScaler(with_mean=with_mean, with_std=with_std)
    out = scaler.fit_transform(made.X, sample_domain=made.domain)[made.target]
    rows = made.X[made.target]
    mean = rows.mean(axis=0) if with_mean else 0
    np.testing.assert_allclose(out, (rows - mean) / (rows.std(0) if with_std else 1))


@pytest.mark.parametrize("adapter", [DomainStandardScaler(), DomainNormalizer()])
def test_a_domain_of_its_own_counts_also_when_it_is_minus_one(adapter):
    made = shifted()
    domain = made.domain * (1 + np.arange(80) % 2)  # 0, -1, -2
    made.X[domain == -2] += 50
    fitted = clone(adapter).fit(made.X, sample_domain=domain)
    rows = made.X[domain == -1]
    own = fitted.transform(rows, sample_domain=[-1] * len(rows))
    pooled = fitted.transform(rows)
    unseen = fitted.transform(rows, sample_domain=[-7] * len(rows))
    assert np.abs(own - pooled).max() > 0.5
    np.testing.assert_array_equal(pooled, unseen)


def test_normalised_rows_have_one_length_and_forget_the_scale_of_a_domain():
    made = shifted()
    out = DomainNormalizer(length=2.0).fit_transform(made.X, sample_domain=made.domain)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 2.0)
    scaled = made.X * np.where(made.target, 100.0, 1.0)[:, None]
    again = DomainNormalizer(length=2.0).fit_transform(
        scaled, sample_domain=made.domain
    )
    np.testing.assert_allclose(out, again)


@pytest.mark.parametrize("reg", [None, 0.0, 0.3, "auto"])
def test_coral_gives_the_source_the_moments_of_the_target(reg):
    made = shifted(n=300)
    out = CORALAdapter(reg).fit_transform(made.X, sample_domain=made.domain)
    source, target = out[~made.target], out[made.target]
    np.testing.assert_array_equal(target, made.X[made.target])
    np.testing.assert_allclose(source.mean(axis=0), target.mean(axis=0))
    gap = np.abs(np.cov(source.T) - np.cov(target.T)).max()
    limits = {None: 1e-9, 0.0: 1e-9, 0.3: 5.0, "auto": 1.0}
    assert gap < limits[reg] * np.abs(np.cov(target.T)).max()
    assert (gap > 1e-6) == (reg in (0.3, "auto"))


@pytest.mark.parametrize("reg", [-0.1, 1.5, "oas"])
def test_coral_refuses_other_regularisations(reg):
    made = shifted(n=10)
    with pytest.raises(ValueError, match="'reg' parameter of CORALAdapter"):
        CORALAdapter(reg).fit(made.X, sample_domain=made.domain)


def test_subspaces_are_aligned():
    rng = np.random.default_rng(0)
    made = shifted(n=200)
    source = rng.normal(size=(200, 4)) * [5, 3, 0.1, 0.1]
    made.X = np.empty((400, 4))
    made.X[~made.target] = source
    made.X[made.target] = source[:, [2, 0, 3, 1]]  # the axes change places
    adapter = SubspaceAlignment(n_components=2)
    out = adapter.fit_transform(made.X, sample_domain=made.domain)
    assert out[made.target].std(axis=0) == pytest.approx([5, 3], rel=0.2)
    aligned = adapter.pca_source_.components_.T @ adapter.alignment_
    nearest = adapter.pca_source_.components_.T @ (
        adapter.pca_source_.components_ @ adapter.pca_target_.components_.T
    )
    np.testing.assert_allclose(aligned, nearest)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "cosine"])
def test_transfer_components_shrink_the_gap_of_the_means(kernel):
    made = shifted(n=60, shift=2.0)
    gaps = []
    for mu in (0.0, 100.0):
        adapter = TransferComponentAnalysis(2, kernel=kernel, mu=mu)
        out = adapter.fit_transform(made.X, sample_domain=made.domain)
        gap = out[made.target].mean(axis=0) - out[~made.target].mean(axis=0)
        gaps.append(np.linalg.norm(gap) / out.std())
    assert gaps[1] < 0.2 * gaps[0] or gaps[0] < 0.05


def test_transfer_components_solve_the_eigenproblem():
    made = shifted(n=15)
    adapter = TransferComponentAnalysis(3, gamma=0.1, mu=0.5)
    adapter.fit(made.X, sample_domain=made.domain)
    K = pairwise_kernels(made.X, metric="rbf", gamma=0.1)
    e = np.where(made.target, -1 / made.target.sum(), 1 / (~made.target).sum())
    H = np.eye(30) - 1 / 30
    left = K @ H @ K
    right = np.eye(30) + 0.5 * K @ np.outer(e, e) @ K
    W = adapter.components_
    values = np.diag(W.T @ left @ W) / np.diag(W.T @ right @ W)
    np.testing.assert_allclose(left @ W, right @ W * values, atol=1e-8)
    every = np.linalg.eigvals(np.linalg.solve(right, left)).real
    np.testing.assert_allclose(values, np.sort(every)[::-1][:3])


@pytest.mark.parametrize("adapter", [SubspaceAlignment, TransferComponentAnalysis])
def test_too_many_components_are_refused(adapter):
    made = shifted(n=10)
    with pytest.raises(ValueError, match="n_components=9, but .* at most 5"):
        adapter(n_components=9).fit(made.X, sample_domain=made.domain)
    fitted = adapter().fit(made.X, sample_domain=made.domain)
    assert fitted.transform(made.X).shape == (20, 5)


@pytest.mark.parametrize("options", [{"reg": 0}, {"reg": 0.01}])
def test_transport_moves_the_source_into_the_target(options):
    made = shifted()
    adapter = OptimalTransport(**options)
    out = adapter.fit_transform(made.X, made.y, sample_domain=made.domain)
    target = made.X[made.target]
    np.testing.assert_array_equal(out[made.target], target)
    source = out[~made.target]
    assert (source >= target.min(axis=0) - 1e-9).all()
    assert (source <= target.max(axis=0) + 1e-9).all()
    np.testing.assert_allclose(source.mean(axis=0), target.mean(axis=0), atol=0.5)


def test_transport_without_pot_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    made = shifted(n=10)
    with pytest.raises(MissingDependencyError, match=r'pip install "sktransfer\[ot\]"'):
        OptimalTransport().fit(made.X, sample_domain=made.domain)


@pytest.mark.parametrize("weigher", [DensityRatioWeights(), KMMWeights(gamma=0.5)])
def test_weights_turn_the_source_into_the_target(weigher):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (200, 1)), rng.normal(1, 0.7, (200, 1))])
    domain = np.repeat([0, -1], 200)
    fitted = clone(weigher).fit(X, sample_domain=domain)
    weights = fitted.weights_
    assert (weights[200:] == 0).all()
    assert weights[:200].mean() == pytest.approx(1)
    assert (weights >= 0).all()
    weighted = np.average(X[:200, 0], weights=weights[:200])
    assert abs(weighted - X[200:].mean()) < 0.3 * abs(X[:200].mean() - X[200:].mean())
    in_all = weights.sum() ** 2 / (weights**2).sum()
    assert fitted.n_effective_ == pytest.approx(in_all)
    assert 1 < fitted.n_effective_ < 200
    np.testing.assert_array_equal(fitted.transform(X), X)


def test_density_ratios_are_capped():
    X = np.concatenate([np.zeros((50, 1)), np.ones((1, 1)), np.ones((50, 1))])
    domain = np.repeat([0, -1], [51, 50])
    capped = DensityRatioWeights(C=100, max_weight=2).fit(X, sample_domain=domain)
    free = DensityRatioWeights(C=100, max_weight=1e6).fit(X, sample_domain=domain)
    ratio = [w.weights_[50] / w.weights_[0] for w in (capped, free)]
    assert ratio[1] > 10 * ratio[0]


def test_kernel_mean_matching_keeps_its_bounds_and_its_steps():
    made = shifted(n=60, shift=1.0)
    options = {"gamma": 0.1, "eps": 0.1, "max_weight": 3.0}
    exact = KMMWeights(**options, tol=0, max_iter=2000)
    exact = exact.fit(made.X, sample_domain=made.domain)
    short = KMMWeights(**options, max_iter=2).fit(made.X, sample_domain=made.domain)
    assert (exact.n_iter_, short.n_iter_) == (2000, 2)
    source = made.X[~made.target]
    K = pairwise_kernels(source, metric="rbf", gamma=0.1)
    kappa = pairwise_kernels(source, made.X[made.target], metric="rbf", gamma=0.1)

    def loss(w):
        return w @ K @ w / 2 - len(w) * kappa.mean(axis=1) @ w

    def raw(fitted):
        return fitted._weigh(source, made.X[made.target])

    best = raw(exact)
    assert best.max() <= 3 + 1e-9
    assert 0.9 - 1e-9 <= best.mean() <= 1.1 + 1e-9
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = _project(best + rng.normal(0, 0.3, 60), 3.0, 54, 66)
        assert loss(best) <= loss(other) + 1e-9
    assert loss(best) < loss(raw(short))


@pytest.mark.parametrize("band", [(2, 3), (8, 9), (0, 30)])
def test_projection_is_the_nearest_point(band):
    rng = np.random.default_rng(0)
    point = rng.normal(0.5, 1, 10)
    near = _project(point, 1.0, *band)
    assert band[0] - 1e-9 <= near.sum() <= band[1] + 1e-9
    assert ((near >= 0) & (near <= 1)).all()
    for _ in range(300):
        other = np.clip(near + rng.normal(0, 0.1, 10), 0, 1)
        if band[0] <= other.sum() <= band[1]:
            assert np.linalg.norm(near - point) <= np.linalg.norm(other - point) + 1e-9


# -- what the defaults do on many columns --------------------------------------------


def alike(n=150, n_features=200, seed=0):
    """Return rows of one distribution, half of them called target."""
    X = np.random.default_rng(seed).normal(size=(2 * n, n_features))
    return X, np.repeat([0, -1], n)


def test_density_ratios_of_one_domain_are_hardly_weights():
    X, domain = alike(n=300)
    own = DensityRatioWeights().fit(X, sample_domain=domain)
    every_column = DensityRatioWeights(n_components=None).fit(X, sample_domain=domain)
    assert own.n_effective_ > 0.7 * 300
    assert every_column.n_effective_ < 0.4 * 300


def test_weights_that_leave_few_rows_are_warned_of():
    X, domain = alike(n_features=3)
    X[domain < 0] += 2
    for weigher in (
        DensityRatioWeights(C=100, max_weight=1e6),
        KMMWeights(max_weight=1000),
    ):
        name = type(weigher).__name__
        with pytest.warns(UserWarning, match=f"{name}: with these weights 150 source"):
            weigher.fit(X, sample_domain=domain)
        assert weigher.n_effective_ < 15
    capped = KMMWeights().fit(X, sample_domain=domain)
    assert capped.n_effective_ > 15


@pytest.mark.parametrize(
    ("adapter", "few", "every"),
    [(SubspaceAlignment, 100, 149), (TransferComponentAnalysis, 50, 200)],
)
def test_few_components_are_the_default_of_wide_data(adapter, few, every):
    X, domain = alike()
    assert adapter().fit_transform(X, sample_domain=domain).shape[1] == few
    narrow = adapter().fit_transform(X[:, :7], sample_domain=domain)
    assert narrow.shape[1] == 7
    assert adapter(None).fit_transform(X, sample_domain=domain).shape[1] == every


def test_the_kernel_of_transfer_components_goes_by_the_scale():
    X, domain = alike(n_features=4)
    one, other = (
        TransferComponentAnalysis(n_components=2).fit(k * X, sample_domain=domain)
        for k in (1, 1000)
    )
    assert one.gamma_ == pytest.approx(1 / (4 * X.var()))
    assert other.gamma_ == pytest.approx(one.gamma_ / 1e6)
    np.testing.assert_allclose(one.transform(X), other.transform(1000 * X), atol=1e-6)
    fixed = TransferComponentAnalysis(n_components=2, gamma=None)
    assert fixed.fit(X, sample_domain=domain).gamma_ == 1 / 4
