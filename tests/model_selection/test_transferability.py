"""LogME, H-score, nearest neighbours and the probe, against other formulas."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import (
    GroupKFold,
    LeaveOneOut,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import Normalizer

from sktransfer.model_selection._target import as_target
from sktransfer.model_selection._transferability import (
    PROBE_C,
    _linear,
    accuracy_of,
    h_score,
    knn,
    logme,
    probe,
)

SHAPES = [(80, 6), (40, 40), (30, 90)]


def data(n_rows, n_features, task="classes", seed=0):
    """Features of uneven scales with a target that hangs on the first ones."""
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(n_rows, n_features)) * np.logspace(0, -1.5, n_features) + 0.3
    signal = F[:, :3] + rng.normal(size=(n_rows, 3))
    y = {
        "classes": signal.argmax(axis=1),
        "labels": (signal > 0.3).astype(int),
        "numbers": 50 + 7 * signal[:, 0],
    }[task]
    return F, as_target(y, task="auto", caller="test"), y


def dense_evidence(log_alpha, log_beta, F, y):
    """The marginal density itself: y ~ N(0, F F' / alpha + I / beta)."""
    log_alpha, log_beta = np.clip([log_alpha, log_beta], -25, 25)
    cov = F @ F.T / np.exp(log_alpha) + np.eye(len(F)) / np.exp(log_beta)
    return multivariate_normal(cov=cov, allow_singular=False).logpdf(y)


def published_logme(F, columns, n_iter=20_000):
    """The fixed-point iteration of the paper, run until it stands still."""
    total = []
    for y in columns.T:
        u, s, v = np.linalg.svd(F, full_matrices=True)
        sigma = np.zeros(F.shape[1])
        sigma[: len(s)] = s**2
        alpha = beta = 1.0
        vy = v @ (F.T @ y)
        for _ in range(n_iter):
            gamma = (sigma / (sigma + alpha / beta)).sum()
            m = v.T @ (vy * beta / (alpha + beta * sigma))
            res = ((F @ m - y) ** 2).sum()
            new = gamma / (m @ m), (len(y) - gamma) / res
            if np.allclose(new, (alpha, beta), rtol=1e-14, atol=0):
                break
            alpha, beta = new
        n, d = F.shape
        m = v.T @ (vy * beta / (alpha + beta * sigma))
        res = ((F @ m - y) ** 2).sum()
        evidence = (
            d / 2 * np.log(alpha)
            + n / 2 * np.log(beta)
            - np.log(alpha + beta * sigma).sum() / 2
            - beta / 2 * res
            - alpha / 2 * (m @ m)
            - n / 2 * np.log(2 * np.pi)
        )
        total.append(evidence / n)
    return np.mean(total)


def knn_score(features, target, **options):
    return accuracy_of(knn(features, target, **options), target)


@pytest.mark.parametrize("task", ["classes", "labels", "numbers"])
@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_published_one(shape, task):
    F, target, _ = data(*shape, task)
    want = published_logme(F, target.columns())
    np.testing.assert_allclose(logme(F, target), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_greatest_density(shape):
    F, target, _ = data(*shape)
    best = []
    for y in target.columns().T:
        runs = [
            minimize(
                lambda p, y=y: -dense_evidence(*p, F, y),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 2000},
            ).fun
            for start in ([0.0, 2.0], [4.0, 1.0])
        ]
        best.append(-min(runs) / len(y))
    np.testing.assert_allclose(logme(F, target), np.mean(best), rtol=1e-6)


def test_logme_of_numbers_does_not_depend_on_their_unit():
    F, target, y = data(50, 8, "numbers")
    other = as_target(1000 - 3 * y, task="auto", caller="test")
    np.testing.assert_allclose(logme(F, target), logme(F, other), rtol=1e-9)


def test_logme_tells_features_from_noise_and_bears_zeros():
    F, target, _ = data(60, 100)
    noise = np.random.default_rng(1).normal(size=F.shape)
    assert logme(F, target) > logme(noise, target) + 0.01
    assert np.isfinite(logme(np.zeros_like(F), target))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_h_score_is_its_formula(shape):
    F, target, y = data(*shape)
    means = np.stack([F[y == k].mean(axis=0) for k in y])
    want = np.trace(
        np.linalg.pinv(np.cov(F.T, bias=True), rcond=1e-10) @ np.cov(means.T, bias=True)
    )
    np.testing.assert_allclose(h_score(F, target, shrinkage=0.0), want, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shrunk_h_score_is_its_formula(shape):
    F, target, y = data(*shape)
    covariance, share = ledoit_wolf(F)
    means = np.stack([F[y == k].mean(axis=0) for k in y])
    between = np.cov(means.T, bias=True)
    want = np.trace(np.linalg.solve(covariance, (1 - share) * between))
    assert 0 < share < 1
    np.testing.assert_allclose(h_score(F, target), want, rtol=1e-6)


def test_the_h_score_of_labels_is_the_mean_of_their_own():
    F, target, y = data(60, 20, "labels")
    own = [h_score(F, as_target(c, task="auto", caller="test")) for c in y.T]
    np.testing.assert_allclose(h_score(F, target), np.mean(own))
    with pytest.raises(ValueError, match="y is made of numbers; use method='logme'"):
        h_score(F, data(60, 20, "numbers")[1])


def test_knn_is_leave_one_out():
    F, target, y = data(60, 10)
    unit = Normalizer().fit_transform(F)
    model = KNeighborsClassifier(1)
    want = np.mean(cross_val_predict(model, unit, y, cv=LeaveOneOut()) == y)
    assert knn_score(F, target, n_neighbors=1) == pytest.approx(want)
    F, target, y = data(60, 10, "numbers")
    unit = Normalizer().fit_transform(F)
    guess = cross_val_predict(KNeighborsRegressor(5), unit, y, cv=LeaveOneOut())
    assert knn_score(F, target, n_neighbors=5) == pytest.approx(
        accuracy_of(guess, target)
    )
    assert knn_score(F, target, n_neighbors=1000) < 0.2  # all others: the mean


@pytest.mark.parametrize("shape", [(60, 10), (60, 90)])
def test_the_probe_takes_for_each_fold_the_penalty_that_its_training_part_prefers(
    shape,
):
    F, target, y = data(*shape)
    folds = list(StratifiedKFold(3).split(F, y))

    def hits(train, test, C):
        mean, scale = F[train].mean(axis=0), F[train].std()
        model = LogisticRegression(C=C, max_iter=3000, tol=1e-8)
        model.fit((F[train] - mean) / scale, y[train])
        return (model.predict((F[test] - mean) / scale) == y[test]).sum()

    total, chosen = 0, []
    for train, test in folds:
        inner = StratifiedKFold(3, shuffle=True, random_state=7)
        parts = [(train[a], train[b]) for a, b in inner.split(F[train], y[train])]
        scores = [sum(hits(*part, C) for part in parts) for C in PROBE_C]
        chosen.append(PROBE_C[int(np.argmax(scores))])
        total += hits(train, test, chosen[-1])
    got, _ = probe(F, target, folds=folds, random_state=7)
    assert got == pytest.approx(total / len(y), abs=1.5 / len(y))


def test_the_probe_of_a_shuffled_target_is_at_chance():
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(30):
        F = rng.normal(size=(80, 40))
        y = rng.permutation(np.arange(80) % 2)
        folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(F, y))
        target = as_target(y, task="auto", caller="test")
        scores.append(probe(F, target, folds=folds, random_state=seed)[0])
    assert abs(np.mean(scores) - 0.5) < 0.025


@pytest.mark.parametrize("task", ["classes", "labels", "numbers"])
def test_rows_that_belong_together_share_an_inner_fold(monkeypatch, task):
    from sktransfer.model_selection import _transferability

    F, target, _ = data(60, 10, task)
    units, parts = np.arange(60) // 3, []
    make = _transferability.make_folds

    def watched(*args, **options):
        folds = make(*args, **options)
        parts.extend((options["units"], fold) for fold in folds)
        return folds

    monkeypatch.setattr(_transferability, "make_folds", watched)
    folds = list(GroupKFold(4).split(F, groups=units))
    assert np.isfinite(probe(F, target, folds=folds, units=units)[0])
    assert len(parts) == 4 * 3
    assert all(not set(own[a]) & set(own[b]) for own, (a, b) in parts)


def test_the_probe_bears_training_parts_of_one_row_and_of_one_class():
    F, target, _ = data(6, 4)
    alone = [(np.array([i]), np.array([j])) for i, j in ((0, 1), (1, 0), (2, 3))]
    assert 0 <= probe(F, target, folds=alone)[0] <= 1
    many = as_target(np.tile(np.arange(20), 2), task="auto", caller="test")
    folds = list(StratifiedKFold(2).split(np.zeros(40), many.values))
    assert 0 <= probe(data(40, 4)[0], many, folds=folds)[0] <= 1
    y = np.array([0, 0, 0, 1, 1, 1])
    target = as_target(y, task="auto", caller="test")
    folds = [(np.arange(3), np.arange(3, 6)), (np.arange(3, 6), np.arange(3))]
    assert probe(F, target, folds=folds)[0] == 0


def test_a_row_is_no_neighbour_of_what_it_must_be_apart_from():
    rng = np.random.default_rng(0)
    F = rng.normal(size=(60, 8))
    y, groups = rng.integers(0, 3, 60), rng.integers(0, 12, 60)
    copies = np.r_[np.arange(50), np.arange(10)]
    target = as_target(y, task="auto", caller="test")
    unit = Normalizer().fit_transform(F)
    for apart in ([groups], [copies], [groups, copies]):
        hits = 0
        for row in range(60):
            others = [
                i
                for i in range(60)
                if i != row and all(codes[i] != codes[row] for codes in apart)
            ]
            model = KNeighborsClassifier(1).fit(unit[others], y[others])
            hits += model.predict(unit[[row]])[0] == y[row]
        assert knn_score(F, target, n_neighbors=1, apart=apart) == pytest.approx(
            hits / 60
        )


def test_few_possible_neighbours_are_all_that_there_are(monkeypatch):
    from sktransfer.model_selection import _neighbors

    F, target, y = data(12, 4, "numbers")
    groups = np.r_[np.zeros(9), np.ones(3)]
    others = [y[groups != g].mean() for g in groups]
    want = accuracy_of(np.array(others)[:, None], target)
    assert knn_score(F, target, n_neighbors=10, apart=[groups]) == pytest.approx(want)
    monkeypatch.setattr(_neighbors, "CHUNK", 20)
    assert knn_score(F, target, n_neighbors=10, apart=[groups]) == pytest.approx(want)
    with pytest.raises(ValueError, match="no neighbour for some rows: every other row"):
        knn(F, target, n_neighbors=2, apart=[np.zeros(12)])


@pytest.mark.parametrize("task", ["labels", "numbers"])
def test_the_probe_of_signal_beats_that_of_noise(task):
    F, target, y = data(80, 10, task)
    folds = list(StratifiedKFold(4).split(F, np.arange(80) % 2))
    noise = np.random.default_rng(3).normal(size=F.shape)
    assert probe(F, target, folds=folds)[0] > probe(noise, target, folds=folds)[0] + 0.2


def test_labels_are_scored_by_mean_average_precision():
    _, target, y = data(40, 5, "labels")
    scores = np.random.default_rng(0).normal(size=y.shape)
    want = np.mean(
        [average_precision_score(a, b) for a, b in zip(y.T, scores.T, strict=True)]
    )
    assert accuracy_of(scores, target) == pytest.approx(want)


@pytest.mark.parametrize(
    ("y", "task", "kind"),
    [
        (["b", "a", "b"], "auto", "classes"),
        ([True, False, True], "auto", "classes"),
        ([1.5, 2.0, 2.5], "auto", "numbers"),
        ([1, 2, 3], "numbers", "numbers"),
        ([[0, 1], [1, 1], [1, 0]], "auto", "labels"),
        ([[0.5, 1], [1, 1.5], [1, 0]], "auto", "numbers"),
    ],
)
def test_a_target_is_read(y, task, kind):
    assert as_target(np.array(y), task=task, caller="test").task == kind


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (["a", "a"], "auto", "at least 2 classes; got 1 class"),
        ([1.0, np.nan], "auto", "y contains NaN"),
        (["a", "b"], "numbers", "needs numbers in y"),
        ([[0, 2], [1, 3], [1, 1]], "labels", "needs 0 and 1"),
        ([[0, 2], [1, 3], [1, 1]], "auto", "y has 2 columns of several classes"),
        ([2.5, 2.5], "auto", "the same in all 2 rows"),
        ([1, 2], "ranks", "task='ranks' must be one of"),
    ],
)
def test_a_target_that_is_none_is_refused(y, task, message):
    with pytest.raises(ValueError, match=message):
        as_target(np.array(y), task=task, caller="test")


def test_labels_that_all_training_rows_have_or_lack_get_the_log_odds_of_that():
    rng = np.random.default_rng(0)
    y = np.column_stack([np.zeros(48), np.ones(48), np.arange(48) % 2]).astype(int)
    F, unseen = rng.normal(size=(48, 4)), rng.normal(size=(9, 4))
    out = _linear(F, y, unseen, "labels", 1.0)
    np.testing.assert_allclose(out[:, 0], -np.log(97))
    np.testing.assert_allclose(out[:, 1], np.log(97))
    assert (abs(out[:, 2]) < np.log(97)).all()


def test_one_class_a_row_has_one_column():
    with pytest.raises(ValueError, match=r"one class per row; got y of shape \(4, 2\)"):
        as_target(np.eye(4, 2, dtype=int), task="classes", caller="test")


def test_a_missing_class_is_refused():
    y = np.array(["u", "v", None, "u"], dtype=object)
    with pytest.raises(ValueError, match="y contains NaN, None"):
        as_target(y, task="auto", caller="test")
