"""Class shares that moved: estimated, reported, corrected, and left alone."""

import pickle

import numpy as np
import pytest
from made import routed, shifted
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.svm import LinearSVC

from sktransfer import (
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    LabelShiftCorrection,
    PseudoLabels,
    domain_shift,
)
from sktransfer.domain_adaptation._base import effective_rows
from sktransfer.domain_adaptation._class_shares import (
    _calibrate,
    _shares_by_em,
    estimate_shares,
    told_apart_by_class,
)
from sktransfer.domain_adaptation._label_shift import corrected_answer


def drawn(shares, n=300, seed=0, source=(0.5, 0.5), offset=0.0, gap=2.0):
    """Return rows of classes that overlap; the target has other shares."""
    rng = np.random.default_rng(seed)
    k = len(shares)
    codes = np.concatenate([rng.choice(k, n, p=p) for p in (source, shares)])
    X = gap * np.eye(k, 6)[codes] + rng.normal(size=(2 * n, 6))
    domain = np.repeat([0, -1], n)
    X[n:] += offset
    truth = np.array(["no", "yes", "maybe"])[codes]
    y = truth.astype(object)
    y[n:] = None
    return X, y, domain, truth[n:]


def fitted(data, adapter="auto", estimator=None, **options):
    X, y, domain, _ = data
    model = DomainAdaptationClassifier(estimator, adapter)
    return model.fit(X, y, sample_domain=domain, **options)


def target_of(data):
    X, _, domain, truth = data
    return X[domain < 0], truth


# -- the estimate --------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        LogisticRegression(C=1e-3),  # far from sure
        LogisticRegression(class_weight="balanced"),
        LinearSVC(random_state=0),
        KNeighborsClassifier(15),
    ],
    ids=lambda e: f"{type(e).__name__}{getattr(e, 'C', '')}",
)
def test_shares_are_found_whatever_the_estimator_makes_of_sureness(estimator, share):
    X, y, domain, truth = drawn((share, 1 - share), source=(0.6, 0.4), gap=3.0)
    source = domain >= 0
    found = estimate_shares(
        estimator, X[source], y[source].astype(str), X[~source], name="x"
    )
    assert found.classes.tolist() == ["no", "yes"]
    assert found.source == pytest.approx([0.6, 0.4], abs=0.07)
    assert found.target[0] == pytest.approx(np.mean(truth == "no"), abs=0.06)
    assert found.target.sum() == pytest.approx(1)
    assert found.skill > 0.7


def test_em_ends_where_the_likelihood_and_its_prior_are_greatest():
    rng = np.random.default_rng(0)
    logs = log_softmax(rng.normal(size=(80, 2)) * 2 + [0.8, 0.0], axis=1)
    source = np.array([0.3, 0.7])
    shares = _shares_by_em(logs, source)

    def posterior(share):
        both = np.array([share, 1 - share])
        prior = 2 * source @ np.log(both)  # one row for each class
        return np.log(np.exp(logs) @ (both / source)).sum() + prior

    grid = np.linspace(0.001, 0.999, 999)
    best = grid[np.argmax([posterior(share) for share in grid])]
    assert shares[0] == pytest.approx(best, abs=0.001)


def test_calibration_undoes_a_factor_and_a_constant():
    rng = np.random.default_rng(0)
    logs = log_softmax(2 * rng.normal(size=(20_000, 3)), axis=1)
    codes = np.array([rng.choice(3, p=p) for p in np.exp(logs)])
    spoiled = log_softmax(3 * logs + [0.0, 0.3, -0.3], axis=1)
    scale, constants = _calibrate(spoiled, codes, np.ones(len(codes)))
    assert scale == pytest.approx(1 / 3, abs=0.02)
    assert constants.sum() == pytest.approx(0)
    before, after = (
        log_loss(codes, np.exp(log_softmax(one, axis=1)))
        for one in (spoiled, scale * spoiled + constants)
    )
    assert after < before - 0.1
    assert after == pytest.approx(log_loss(codes, np.exp(logs)), abs=0.005)


def test_weights_of_source_rows_count():
    X, y, domain, _ = drawn((0.5, 0.5))
    source = domain >= 0
    labels = y[source].astype(str)
    weights = np.where(labels == "no", 3.0, 1.0)
    found = estimate_shares(
        LogisticRegression(), X[source], labels, X[~source], name="x", weights=weights
    )
    share = weights[labels == "no"].sum() / weights.sum()
    assert found.source[0] == pytest.approx(share)
    assert found.target[0] == pytest.approx(0.5, abs=0.08)


def test_a_class_with_one_row_and_classes_of_one_row_each():
    X, y, domain, _ = drawn((0.4, 0.6))
    y[0] = "maybe"
    source = domain >= 0
    found = estimate_shares(
        LogisticRegression(), X[source], y[source].astype(str), X[~source], name="it"
    )
    assert found.classes.tolist() == ["maybe", "no", "yes"]
    assert found.target[0] < 0.05
    with pytest.raises(ValueError, match="it needs at least 2 source rows of a class"):
        estimate_shares(LogisticRegression(), X[:2], np.array(["a", "b"]), X, name="it")


def test_effective_rows():
    assert effective_rows(np.ones(7)) == 7
    assert effective_rows(np.array([1.0, 0, 0])) == 1
    assert effective_rows(np.array([3.0, 1.0])) == pytest.approx(16 / 10)


def test_domains_of_other_shares_are_not_told_apart_once_these_are_the_same():
    X, y, domain, _ = drawn((0.9, 0.1), n=400)
    source = domain >= 0
    parts = X[source], y[source].astype(str), X[~source]
    shares = estimate_shares(LogisticRegression(), *parts, name="x")
    accuracy, error = told_apart_by_class(*parts, shares)
    assert accuracy < 0.55
    assert domain_shift(X, sample_domain=domain).domain_accuracy > 0.62
    assert 0.5 / np.sqrt(400) / np.sqrt(2) < error < 0.05


# -- the report ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "offset", "moved"),
    [
        ((0.5, 0.5), 0.0, "nothing"),
        ((0.9, 0.1), 0.0, "class shares"),
        ((0.5, 0.5), 1.5, "features"),
        ((0.9, 0.1), 1.5, "features"),
    ],
)
def test_the_report_and_the_default_agree_on_what_moved(shares, offset, moved):
    X, y, domain, truth = data = drawn(shares, offset=offset)
    shift = domain_shift(X, y, sample_domain=domain)
    assert shift.moved == moved
    model = fitted(data)
    assert model.shift_ == moved
    assert hasattr(model, "pseudo_labels_") == (moved == "features")
    assert hasattr(model, "class_factors_") == (moved == "class shares")
    if moved != "features":
        assert [row["class"] for row in shift.class_shares] == ["no", "yes"]
        found = [row["target"] for row in shift.class_shares]
        assert found[0] == pytest.approx(np.mean(truth == "no"), abs=0.05)
        np.testing.assert_allclose(model.target_shares_, found)
        assert shift.weighted_a_distance < 0.3


def test_without_classes_the_report_is_the_one_of_the_features():
    X, y, domain, _ = drawn((0.9, 0.1))
    plain, full = (
        domain_shift(X, sample_domain=domain),
        domain_shift(X, y, sample_domain=domain),
    )
    assert plain.proxy_a_distance == full.proxy_a_distance
    assert list(plain) == list(full)
    assert plain.class_shares is plain.moved is plain.n_effective is None
    assert "class shares" not in repr(plain)
    assert "moved: class shares" in repr(full)
    assert f"{full.n_effective:.0f} effective source rows" in repr(full)
    assert full.n_effective < 0.75 * full.n_source
    assert full.shares_p_value < 1e-6


def test_shares_that_do_not_hold_are_not_listed():
    X, y, domain, _ = drawn((0.9, 0.1), offset=1.5)
    shift = domain_shift(X, y, sample_domain=domain)
    assert shift.moved == "features"
    assert len(shift.class_shares) == 2  # for who asks
    assert "moved: features\nclass shares of the target: no reliable est" in repr(shift)
    assert "source target" not in repr(shift)
    few = np.r_[:6, len(X) // 2 : len(X) // 2 + 6]
    shift = domain_shift(X[few], y[few], sample_domain=domain[few], cv=2)
    assert shift.moved == "unclear"
    assert "class shares (uncertain: too few rows)\n" in repr(shift)


def test_the_report_cuts_many_classes_and_takes_an_estimator():
    rng = np.random.default_rng(0)
    codes = np.tile(np.arange(12), 20)
    X = 6 * np.eye(12)[codes] + rng.normal(size=(240, 12))
    domain = np.repeat([0, -1], 120)
    shift = domain_shift(
        X, codes, sample_domain=domain, estimator=KNeighborsClassifier()
    )
    assert "and 2 more classes" in repr(shift)
    assert len(shift.class_shares) == 12
    assert shift.class_skill > 0.9


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 6, "at least 2 classes"),
        (np.tile([[0, 1], [1, 0]], (3, 1)), "one class per source row"),
        (np.linspace(0, 1, 6), "Unknown label type"),
        (["a", None, "b", "a", "b", "a"], "row 1"),
    ],
)
def test_targets_that_are_no_classes_are_refused(y, message):
    X = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(ValueError, match=message):
        domain_shift(X, y, sample_domain=[0, 0, 0, 0, -1, -1])


# -- what the default does -------------------------------------------------------------


def test_other_shares_alone_gain_instead_of_cost():
    gains, losses = [], []
    for seed in range(5):
        data = drawn((0.9, 0.1), seed=seed)
        X, truth = target_of(data)
        none, auto = fitted(data, None), fitted(data)
        centred = fitted(data, ["normalize", "coral", "normalize", "pseudo_labels"])
        gains.append(auto.score(X, truth) - none.score(X, truth))
        losses.append(auto.score(X, truth) - centred.score(X, truth))
        assert log_loss(truth, auto.predict_proba(X)) < log_loss(
            truth, none.predict_proba(X)
        )
        assert balanced_accuracy_score(truth, auto.predict(X)) > 0.75
    assert np.mean(gains) > 0.02
    assert np.mean(losses) > 0.1


def test_where_nothing_moved_it_is_the_plain_estimator():
    data = drawn((0.5, 0.5))
    auto, none = fitted(data), fitted(data, None)
    assert auto.shift_ == "nothing"
    assert auto.adapters_ == []
    np.testing.assert_array_equal(
        auto.predict_proba(data[0]), none.predict_proba(data[0])
    )


@pytest.mark.parametrize("n", [2, 5, 20])
def test_too_few_rows_to_tell_are_left_as_they_are(n):
    X, y, domain, _ = few = drawn((0.9, 0.1), n=n, seed=2, gap=1.0)
    y[:2] = "no", "yes"
    model, plain = fitted(few), fitted(few, None)
    assert model.shift_ == "unclear"
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    if n > 2:
        assert domain_shift(X, y, sample_domain=domain).moved == "unclear"


def test_few_rows_that_are_far_apart_are_adapted():
    few = drawn((0.5, 0.5), n=12, offset=20.0)
    assert fitted(few).shift_ == "features"
    assert hasattr(fitted(few), "pseudo_labels_")


def test_rows_that_moved_a_little_are_never_corrected_for_shares():
    found = {
        fitted(drawn((0.5, 0.5), n=40, offset=0.4, seed=seed)).shift_
        for seed in range(12)
    }
    assert found <= {"features", "unclear", "nothing"}


def test_a_weak_classifier_leaves_the_features_alone():
    weak = drawn((0.5, 0.5), gap=0.3, offset=2.0)
    model = fitted(weak)
    assert model.shift_ == "weak classifier"
    assert model.adapters_ == []
    assert not hasattr(model, "target_shares_")
    plain = fitted(weak, None)
    np.testing.assert_array_equal(model.predict(weak[0]), plain.predict(weak[0]))


def test_a_fit_forgets_what_the_last_one_found():
    moved, alike = drawn((0.9, 0.1)), drawn((0.5, 0.5))
    model = fitted(moved)
    assert model.temperature_ > 0
    X, y, domain, _ = alike
    model.fit(X, y, sample_domain=domain)
    assert not hasattr(model, "class_factors_")
    model.set_params(adapter=None).fit(X, y, sample_domain=domain)
    assert not hasattr(model, "shift_")
    assert not hasattr(model, "target_shares_")


def test_target_labels_and_weights_are_not_read():
    X, y, domain, _ = drawn((0.9, 0.1))
    results = []
    for poison, weight in ((None, 1.0), ("no", np.nan), (-1, -5.0)):
        labels = y.copy()
        labels[domain < 0] = poison
        weights = np.where(domain < 0, weight, 1.0 + np.arange(len(X)) % 3)
        model = DomainAdaptationClassifier()
        model.fit(X, labels, sample_domain=domain, sample_weight=weights)
        assert model.shift_ == "class shares"
        results.append(model.predict_proba(X))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


# -- the correction ------------------------------------------------------------------


def test_only_target_rows_are_corrected():
    data = drawn((0.9, 0.1))
    X, _, domain, _ = data
    model, plain = fitted(data, "label_shift"), fitted(data, None)
    mixed = np.where(np.arange(len(X)) % 2, 0, -1)
    for method in ("predict", "predict_proba", "decision_function"):
        as_source = getattr(plain, method)(X)
        as_target = getattr(model, method)(X)
        found = getattr(model, method)(X, sample_domain=mixed)
        np.testing.assert_array_equal(found[mixed >= 0], as_source[mixed >= 0])
        np.testing.assert_array_equal(found[mixed < 0], as_target[mixed < 0])
        all_source = getattr(model, method)(X, sample_domain=np.zeros(len(X), int))
        np.testing.assert_array_equal(all_source, as_source)
    assert (model.predict(X) != plain.predict(X)).any()


@pytest.mark.parametrize("k", [2, 3])
def test_the_methods_agree_with_the_attributes(k):
    shares = (0.8, 0.1, 0.1)[:k]
    shares = np.array(shares) / np.sum(shares)
    data = drawn(shares, source=np.full(k, 1 / k))
    model = fitted(data, "label_shift")
    X, _ = target_of(data)
    proba = model.predict_proba(X)
    raw = model.estimator_.predict_proba(X)
    expected = raw ** (1 / model.temperature_) * model.class_factors_
    np.testing.assert_allclose(proba, expected / expected.sum(axis=1, keepdims=True))
    decisions = model.decision_function(X)
    codes = decisions.argmax(axis=1) if k == 3 else (decisions > 0).astype(int)
    np.testing.assert_array_equal(model.classes_[codes], model.predict(X))
    np.testing.assert_array_equal(model.classes_[proba.argmax(1)], model.predict(X))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), proba)


def test_strength_and_alpha_do_what_they_say():
    data = drawn((0.9, 0.1))
    X, _ = target_of(data)
    rare = [
        np.mean(fitted(data, LabelShiftCorrection(s)).predict(X) == "yes")
        for s in (0.0, 0.5, 1.0)
    ]
    assert rare[0] > rare[1] > rare[2]
    alike = drawn((0.5, 0.5))
    assert not hasattr(fitted(alike, "label_shift"), "class_factors_")
    always = fitted(alike, LabelShiftCorrection(alpha=1.0))
    assert np.abs(np.log(always.class_factors_)).max() < 1
    for wrong in ({"strength": 1.5}, {"alpha": 0.0}):
        with pytest.raises(ValueError, match="parameter of LabelShiftCorrection"):
            fitted(data, LabelShiftCorrection(**wrong))


def test_it_comes_last_after_adapters_and_alone():
    data = drawn((0.9, 0.1))
    model = fitted(data, ["standardize", "label_shift"])
    assert len(model.adapters_) == 1
    for wrong in (
        ["label_shift", "standardize"],
        ["label_shift", "pseudo_labels"],
        [PseudoLabels(), LabelShiftCorrection()],
    ):
        with pytest.raises(ValueError, match="before other adapters.*Put it last"):
            fitted(data, wrong)
    X, _, domain, _ = data
    regressor = DomainAdaptationRegressor(adapter="label_shift")
    with pytest.raises(ValueError, match="got LabelShiftCorrection, which needs class"):
        regressor.fit(X, X[:, 0], sample_domain=domain)


def test_estimators_by_decisions_without_weights_or_without_both():
    data = drawn((0.9, 0.1))
    X, truth = target_of(data)
    by_decisions = LinearSVC(random_state=0)
    gain = fitted(data, "label_shift", by_decisions).score(X, truth)
    assert gain > fitted(data, None, by_decisions).score(X, truth)
    assert fitted(data, "label_shift", KNeighborsClassifier(9)).score(X, truth) > 0.85
    with pytest.raises(ValueError, match="takes no sample_weight"):
        fitted(
            data, "auto", KNeighborsClassifier(), sample_weight=np.ones(len(data[0]))
        )

    class OnlyPredicts(NearestCentroid):
        predict_proba = decision_function = property()

    for adapter, name in (
        ("label_shift", "LabelShiftCorrection"),
        ("auto", "DomainAdaptationClassifier"),
    ):
        with pytest.raises(TypeError, match=f"{name} needs an estimator with predict_"):
            fitted(data, adapter, OnlyPredicts())


def test_metadata_of_the_fit_reaches_the_copies_that_estimate():
    X, y, domain, _ = drawn((0.9, 0.1))
    seen = []

    class Marked(LogisticRegression):
        def fit(self, X, y, mark=None):
            seen.append((len(X), mark))
            return super().fit(X, y)

    mark = np.arange(len(X))
    with routed():
        estimator = Marked().set_fit_request(mark=True)
        model = DomainAdaptationClassifier(estimator, "label_shift")
        model.fit(X, y, sample_domain=domain, mark=mark)
    assert len(seen) == 1 + 5
    for n_rows, own in seen:
        assert len(own) == n_rows
        assert own.max() < 300  # source rows only


def test_probabilities_of_no_class_do_not_spoil_the_others():
    class Sure:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.column_stack([np.ones(len(X)), np.zeros(len(X))])

    answer = corrected_answer(
        "predict_proba",
        Sure(),
        np.zeros((3, 1)),
        1.0,
        np.array([1.0, 5.0]),
        name="x",
        params={},
    )
    assert np.isfinite(answer).all()
    assert answer[:, 0] == pytest.approx(1)


def test_interleaved_domains_keep_their_rows():
    made = shifted(n=80, shift=0.0)
    model = DomainAdaptationClassifier(adapter=LabelShiftCorrection(alpha=1.0))
    model.fit(made.X, made.y, sample_domain=made.domain)
    found = model.predict_proba(made.X, sample_domain=made.domain)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    rows = model.predict_proba(made.X[made.target])
    np.testing.assert_array_equal(found[made.target], rows)
