"""The meta-estimators: scikit-learn's rules, labels, domains, bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from made import shifted
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktransfer import (
    CORALAdapter,
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    PseudoLabels,
)
from sktransfer.domain_adaptation._base_estimator import ADAPTERS
from sktransfer.estimator_checks._watching import global_state_restored

pytestmark = [
    pytest.mark.filterwarnings("ignore:KMMWeights:UserWarning"),
    pytest.mark.filterwarnings("ignore:DensityRatioWeights. with these:UserWarning"),
]
CHEAP = [None, "auto", *sorted(ADAPTERS)]


@parametrize_with_checks([DomainAdaptationClassifier(), DomainAdaptationRegressor()])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_sklearns_checks_pass(estimator, check):
    with global_state_restored():
        check(estimator)


def fit(made, adapter="auto", estimator=None, **options):
    model = DomainAdaptationClassifier(estimator, adapter)
    return model.fit(made.X, made.y, sample_domain=made.domain, **options)


def score(model, made):
    return model.score(made.X[made.target], made.truth[made.target])


@pytest.mark.parametrize("adapter", ["auto", "standardize", ["standardize", "coral"]])
def test_adapting_repairs_a_shift(adapter):
    made = shifted()
    assert score(fit(made, None), made) < 0.75
    assert score(fit(made, adapter), made) > 0.9


@pytest.mark.parametrize("adapter", CHEAP)
def test_every_name_works_and_target_labels_are_never_read(adapter):
    made, results = shifted(), []
    for poison in (None, np.nan, -1, "never a class"):
        y = made.y.copy()
        y[made.target] = poison
        model = DomainAdaptationClassifier(adapter=adapter)
        model.fit(made.X, y, sample_domain=made.domain)
        assert model.classes_.tolist() == ["a", "b", "c"]
        results.append(model.predict_proba(made.X))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_the_target_weights_are_never_read():
    made, results = shifted(), []
    weights = np.random.default_rng(0).uniform(0.1, 3, len(made.X))
    for poison in (1.0, np.nan, -5.0):
        poisoned = np.where(made.target, poison, weights)
        results.append(fit(made, sample_weight=poisoned).predict_proba(made.X))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_the_callers_arrays_are_left_alone():
    made = shifted()
    before = made.X.copy(), made.y.copy(), made.domain.copy()
    fit(made).predict(made.X)
    for array, copy in zip((made.X, made.y, made.domain), before, strict=True):
        assert (array == copy).all()


@pytest.mark.parametrize(
    "labels",
    [("ham", "spam"), (True, False), (3, 7), (1.0, 2.0), ("a", "b", "c")],
)
def test_labels_come_back_as_they_were(labels):
    made = shifted(labels=labels)
    model = fit(made)
    predicted = model.predict(made.X[made.target])
    assert predicted.dtype.kind == np.asarray(labels).dtype.kind
    assert set(predicted.tolist()) == set(labels) == set(model.classes_.tolist())
    assert model.predict_proba(made.X).shape == (80, len(labels))
    best = model.predict_proba(made.X).argmax(axis=1)
    np.testing.assert_array_equal(model.classes_[best], model.predict(made.X))


def test_frames_and_series_go_in():
    made = shifted()
    frame = pd.DataFrame(made.X, columns=list("vwxyz"), index=range(100, 180))
    y = pd.Series(made.y, index=frame.index, dtype="category")
    domain = pd.Series(made.domain, index=frame.index)
    model = DomainAdaptationClassifier().fit(frame, y, sample_domain=domain)
    assert model.feature_names_in_.tolist() == list("vwxyz")
    np.testing.assert_array_equal(model.predict(frame), fit(made).predict(made.X))


def test_the_domain_of_new_rows_may_be_given_or_left_out():
    made = shifted()
    model = fit(made)
    rows = made.X[made.target]
    unnamed = model.predict_proba(rows)
    np.testing.assert_array_equal(
        unnamed, model.predict_proba(rows, sample_domain=np.full(len(rows), -1))
    )
    source, truth = made.X[~made.target], made.truth[~made.target]
    as_source = model.predict(source, sample_domain=np.zeros(len(source), int))
    assert np.mean(as_source == truth) > 0.9
    assert np.mean(model.predict(source) == truth) < 0.75  # taken for target rows
    decisions = model.decision_function(rows, sample_domain=[-1] * len(rows))
    np.testing.assert_array_equal(decisions, model.decision_function(rows))
    with pytest.raises(ValueError, match=r"shape \(3,\) for 40 rows"):
        model.predict(rows, sample_domain=[-1] * 3)


def test_several_domains_of_each_kind():
    made = shifted(n=90)
    domain = np.where(made.target, -1, 0)
    domain = np.where(made.target, -1 - np.arange(180) % 2, np.arange(180) // 90)
    made.X[domain == -2] += 30
    made.domain = domain
    model = fit(made)
    rows = made.X[made.target]
    predicted = model.predict(rows, sample_domain=domain[made.target])
    assert np.mean(predicted == made.truth[made.target]) > 0.9


def test_without_domains_it_is_the_plain_estimator():
    made = shifted()
    plain = LogisticRegression(max_iter=1000).fit(made.X, made.truth)
    model = DomainAdaptationClassifier().fit(made.X, made.truth)
    np.testing.assert_array_equal(
        plain.predict_proba(made.X), model.predict_proba(made.X)
    )
    assert model.adapters_ == []


def test_without_an_adapter_only_source_rows_are_learned_from():
    made = shifted()
    source = ~made.target
    plain = LogisticRegression(max_iter=1000).fit(made.X[source], made.truth[source])
    np.testing.assert_array_equal(
        plain.predict_proba(made.X), fit(made, None).predict_proba(made.X)
    )


# -- the adapter parameter -----------------------------------------------------------


def test_adapters_are_applied_in_order_and_not_changed():
    made = shifted()
    given = [PCA(3), CORALAdapter(reg=0.1), PseudoLabels(n_rounds=2)]
    model = fit(made, given)
    assert [type(a) for a in model.adapters_] == [PCA, CORALAdapter]
    assert not hasattr(given[0], "components_")
    step = PCA(3).fit(made.X)
    coral = CORALAdapter(reg=0.1).fit(step.transform(made.X), sample_domain=made.domain)
    np.testing.assert_allclose(model.adapters_[1].mapping_, coral.mapping_)
    assert len(fit(made, tuple(given)).adapters_) == 2


class MedianShift(TransformerMixin, BaseEstimator):
    """An adapter that somebody else wrote: each kind of domain less its median."""

    def fit(self, X, y=None, *, sample_domain=None):
        self.targets_ = y
        self.medians_ = [
            np.median(X[sample_domain < 0], axis=0),
            np.median(X[sample_domain >= 0], axis=0),
        ]
        return self

    def transform(self, X, *, sample_domain=None):
        return X - np.asarray(self.medians_)[(sample_domain >= 0).astype(int)]


def test_an_adapter_of_somebody_elses_gets_the_domains():
    made = shifted()
    model = fit(made, [MedianShift(), "coral"])
    step = model.adapters_[0]
    assert model.score(made.X[made.target], made.truth[made.target]) > 0.9
    np.testing.assert_allclose(step.medians_[0], np.median(made.X[made.target], axis=0))
    known = np.asarray(step.targets_)[~made.target]
    np.testing.assert_array_equal(known, made.truth[~made.target])


def test_the_name_coral_is_coral_and_nothing_else():
    made = shifted()
    model = fit(made, "coral")
    assert [type(a) for a in model.adapters_] == [CORALAdapter]
    assert not hasattr(model, "pseudo_labels_")


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("corall", "got adapter='corall'; expected 'auto', None, one of"),
        (["coral", None], "got adapter=None"),
        (CORALAdapter, "got adapter=<class"),
        (5, "got adapter=5"),
        (["pseudo_labels", "coral"], "Put it last"),
    ],
)
def test_another_adapter_is_refused(adapter, message):
    with pytest.raises(ValueError, match=message):
        fit(shifted(n=10), adapter)


def test_a_grid_over_adapters():
    made = shifted()
    known = np.flatnonzero(made.target)[:20]  # a few target rows with labels
    train = np.setdiff1d(np.arange(80), known)
    y = made.y.copy()
    y[known] = made.truth[known]
    grid = {"adapter": [None, "coral", ["standardize", "coral"], CORALAdapter(0.1)]}
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            search = GridSearchCV(
                DomainAdaptationClassifier(), grid, cv=[(train, known)], refit=False
            ).fit(made.X, y, sample_domain=made.domain)
        assert search.best_params_["adapter"] is not None
        assert search.best_score_ > search.cv_results_["mean_test_score"][0] + 0.2


@pytest.mark.parametrize("routing", [False, True])
def test_it_gets_its_domains_in_a_pipeline(routing):
    made = shifted()
    pipe = make_pipeline(StandardScaler(), DomainAdaptationClassifier())
    step = "domainadaptationclassifier"
    with sklearn.config_context(enable_metadata_routing=routing):
        key = "sample_domain" if routing else f"{step}__sample_domain"
        pipe.fit(made.X, made.y, **{key: made.domain})
        assert pipe[-1].adapters_
        if routing:
            pipe.predict(made.X, sample_domain=made.domain)
    assert score(pipe, made) > 0.9


def test_it_clones_pickles_and_sets_nested_parameters():
    made = shifted()
    model = DomainAdaptationClassifier(LinearSVC(random_state=0), CORALAdapter())
    model.set_params(estimator__C=0.5, adapter__reg=0.2)
    assert clone(model).get_params()["adapter__reg"] == 0.2
    model.fit(made.X, made.y, sample_domain=made.domain)
    assert model.estimator_.C == 0.5
    assert model.adapters_[0].reg == 0.2
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(made.X), model.predict(made.X))


def test_methods_are_those_of_the_estimator():
    assert hasattr(DomainAdaptationClassifier(), "predict_proba")
    assert not hasattr(DomainAdaptationClassifier(LinearSVC()), "predict_proba")
    assert not hasattr(
        DomainAdaptationClassifier(KNeighborsClassifier()), "decision_function"
    )
    with pytest.raises(NotFittedError):
        DomainAdaptationClassifier().predict([[1.0]])


# -- weights -------------------------------------------------------------------------


def test_weights_reach_the_estimator():
    made = shifted()
    weights = np.where(made.truth == "a", 50.0, 1.0)
    source = ~made.target
    plain = LogisticRegression(max_iter=1000)
    plain.fit(made.X[source], made.truth[source], sample_weight=weights[source])
    weighted = fit(made, None, sample_weight=weights)
    np.testing.assert_allclose(plain.coef_, weighted.estimator_.coef_)
    own = fit(made, "density_ratio")
    factors = own.adapters_[0].weights_[source]
    plain.fit(made.X[source], made.truth[source], sample_weight=factors)
    np.testing.assert_allclose(plain.coef_, own.estimator_.coef_)
    both = fit(made, "density_ratio", sample_weight=weights)
    product = factors * weights[source]
    plain.fit(made.X[source], made.truth[source], sample_weight=product)
    np.testing.assert_allclose(plain.coef_, both.estimator_.coef_)


@pytest.mark.parametrize("adapter", ["kmm", "density_ratio"])
def test_weights_need_an_estimator_that_takes_them(adapter):
    with pytest.raises(ValueError, match="KNeighborsClassifier.fit takes no"):
        fit(shifted(n=10), adapter, KNeighborsClassifier())
    with pytest.raises(ValueError, match="KNeighborsClassifier.fit takes no"):
        fit(shifted(n=10), None, KNeighborsClassifier(), sample_weight=np.ones(20))


def test_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match="sample_weight"):
        fit(shifted(n=10), sample_weight=np.ones(3))


# -- bad input -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1])
def test_domains_of_one_kind_are_refused(value):
    made = shifted(n=10)
    made.domain[:] = value
    made.y = made.truth
    with pytest.raises(ValueError, match="got only .* rows.*>= 0 for a source"):
        fit(made)


def test_a_class_that_the_source_lacks_is_never_predicted():
    made = shifted()
    keep = made.target | (made.truth != "c")
    made.X, made.y, made.domain = made.X[keep], made.y[keep], made.domain[keep]
    model = fit(made)
    assert model.classes_.tolist() == ["a", "b"]
    assert set(model.predict(made.X)) <= {"a", "b"}


def test_one_class_in_the_source_is_refused():
    made = shifted()
    made.y[~made.target] = "a"
    with pytest.raises(ValueError, match=r"1 sample\(s\).* minimum of 2 is required"):
        DomainAdaptationClassifier().fit([[1.0]], [0], sample_domain=[0])
    with pytest.raises(ValueError, match="at least 2 classes; got 1 class: .*'a'"):
        fit(made)


def test_holes_are_refused():
    made = shifted(n=10)
    made.X[made.target.argmax(), 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit(made)
    made = shifted(n=10)
    made.y[(~made.target).argmax()] = None
    with pytest.raises(ValueError, match="contains NaN, None or infinity at row"):
        fit(made)


def test_one_target_row():
    made = shifted(n=20)
    rows = np.append(np.flatnonzero(~made.target), made.target.argmax())
    made.X, made.y, made.domain = made.X[rows], made.y[rows], made.domain[rows]
    with pytest.raises(ValueError, match="at least 2 rows of each kind"):
        fit(made, "coral")
    assert fit(made).shift_ == "unclear"
    for adapter in ("standardize", ["standardize", "pseudo_labels"], "kmm"):
        assert fit(made, adapter).predict(made.X[-1:])[0] in ("a", "b", "c")


def test_two_target_rows_and_far_more_features_than_rows():
    made = shifted(n=20, n_features=200)
    two = np.flatnonzero(made.target)[:2]
    rows = np.append(np.flatnonzero(~made.target), two)
    model = DomainAdaptationClassifier()
    model.fit(made.X[rows], made.y[rows], sample_domain=made.domain[rows])
    assert np.isfinite(model.predict_proba(made.X)).all()


def test_wrong_lengths_are_refused():
    made = shifted(n=10)
    with pytest.raises(ValueError, match=r"20 rows and y has the shape \(19,\)"):
        DomainAdaptationClassifier().fit(made.X, made.y[1:], sample_domain=made.domain)
    made.domain = made.domain[1:]
    with pytest.raises(ValueError, match=r"shape \(19,\) for 20 rows"):
        fit(made)


# -- regression ----------------------------------------------------------------------


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_regressor_adapts_too(n_outputs):
    made = shifted(n=200)
    truth = np.empty((400, 2))
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(400, 5))
    truth = latent @ rng.normal(size=(5, n_outputs))
    X = np.where(made.target[:, None], 4 * latent + 7, latent)
    y = np.where(made.target[:, None], np.nan, truth)
    if n_outputs == 1:
        truth, y = truth.ravel(), y.ravel()
    scores = {}
    for adapter in (None, "auto", "standardize", "kmm"):
        model = DomainAdaptationRegressor(adapter=adapter)
        model.fit(X, y, sample_domain=made.domain)
        assert model.predict(X).shape == truth.shape
        scores[adapter] = model.score(X[made.target], truth[made.target])
    assert scores["auto"] > 0.9 > 0 > scores[None]
    assert scores["auto"] == scores["standardize"]


def test_pseudo_labels_take_one_class_a_row():
    made = shifted()
    y = np.column_stack([made.truth == "a", made.truth == "b"]).astype(int)
    model = DomainAdaptationClassifier(KNeighborsClassifier())
    with pytest.raises(ValueError, match="one class per row; got y of shape"):
        model.fit(made.X, y, sample_domain=made.domain)
    model.set_params(adapter="standardize").fit(made.X, y, sample_domain=made.domain)
    assert model.predict(made.X).shape == y.shape


def test_labels_of_several_types_are_refused():
    made = shifted(labels=(1, "b"))
    y = [label if label == "b" else 1 for label in made.truth]
    with pytest.raises(ValueError, match=r"mixes values of the types \['int', 'str'\]"):
        DomainAdaptationClassifier().fit(made.X, y, sample_domain=made.domain)


def test_what_adapt_returns_is_an_array_of_its_own():
    made = shifted()
    before = made.X.copy()
    model = DomainAdaptationClassifier(adapter=None)
    model.fit(made.X, made.y, sample_domain=made.domain).adapt(made.X)[:] = 0
    model.set_params(adapter=[StandardScaler(copy=False)])
    model.fit(made.X, made.y, sample_domain=made.domain).predict(made.X)
    np.testing.assert_array_equal(made.X, before)


def test_an_adapter_needs_fit_and_transform_only():
    class Doubled(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return 2 * X

    made = shifted()
    model = DomainAdaptationClassifier(adapter=Doubled())
    model.fit(made.X, made.y, sample_domain=made.domain)
    np.testing.assert_array_equal(model.adapt(made.X), 2 * made.X)


def test_a_regressor_takes_no_pseudo_labels():
    made = shifted(n=10)
    model = DomainAdaptationRegressor(adapter="pseudo_labels")
    with pytest.raises(ValueError, match="needs classes"):
        model.fit(made.X, np.arange(20.0), sample_domain=made.domain)


def test_a_regressor_refuses_words():
    made = shifted(n=10)
    with pytest.raises(ValueError, match="could not convert"):
        DomainAdaptationRegressor().fit(made.X, made.y, sample_domain=made.domain)


def test_a_regressor_without_domains_is_the_plain_one():
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = X.sum(axis=1)
    plain = cross_val_score(Ridge(), X, y)
    np.testing.assert_allclose(
        cross_val_score(DomainAdaptationRegressor(), X, y), plain
    )


def test_a_fit_forgets_the_pseudo_labels_of_the_last_one():
    made = shifted()
    X, y, domain = made.X, made.y, made.domain
    model = DomainAdaptationClassifier().fit(X, y, sample_domain=domain)
    assert hasattr(model, "pseudo_labels_")
    model.set_params(adapter=None).fit(X, y, sample_domain=domain)
    assert not hasattr(model, "pseudo_labels_")


def test_frames_by_default_change_nothing():
    made = shifted()
    X, y, domain = made.X, made.y, made.domain
    model = DomainAdaptationClassifier(adapter=["standardize", StandardScaler()])
    want = model.fit(X, y, sample_domain=domain).adapt(X, sample_domain=domain)
    with sklearn.config_context(transform_output="pandas"):
        got = model.fit(X, y, sample_domain=domain).adapt(X, sample_domain=domain)
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, want)
