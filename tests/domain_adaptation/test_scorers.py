"""Scores without target labels: what they read, what they say, where they work."""

import numpy as np
import pytest
from made import noisy, routed, shifted
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sktransfer import (
    CircularValidationScorer,
    DensityRatioWeights,
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    DomainStandardScaler,
    EnsembleAgreementScorer,
    ImportanceWeightedScorer,
    InformationMaximizationScorer,
    KMMWeights,
    PredictionEntropyScorer,
    SoftNeighborhoodDensityScorer,
    SourceTargetKFold,
)

pytestmark = pytest.mark.filterwarnings("ignore:KMMWeights:UserWarning")
SCORERS = [
    CircularValidationScorer(),
    ImportanceWeightedScorer(),
    InformationMaximizationScorer(),
    PredictionEntropyScorer(),
    SoftNeighborhoodDensityScorer(),
]
each = pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: type(s).__name__)
GRID = {"adapter": [None, "standardize", ["standardize", "coral"]]}


def fitted(made, adapter="standardize", estimator=None):
    model = DomainAdaptationClassifier(estimator, adapter)
    return model.fit(made.X, made.y, sample_domain=made.domain)


def search(scorer, made, model=None, cv=None, **options):
    model = DomainAdaptationClassifier() if model is None else model
    cv = SourceTargetKFold(2) if cv is None else cv
    with routed():
        found = GridSearchCV(model, options.pop("grid", GRID), scoring=scorer, cv=cv)
        found.set_params(**options)
        return found.fit(made.X, made.y, sample_domain=made.domain)


# -- every scorer --------------------------------------------------------------------


@each
def test_a_search_finds_an_adapter_and_never_reads_target_labels(scorer):
    made, scores = noisy(n=24, shift=3.0), []
    for poison in (None, -1, "a"):
        made.y[made.target] = poison
        found = search(scorer, made, error_score="raise")
        scores.append(found.cv_results_["mean_test_score"])
    for other in scores[1:]:
        np.testing.assert_array_equal(scores[0], other)
    assert np.isfinite(scores[0]).all()
    assert len(set(scores[0])) > 1


@pytest.mark.parametrize("scorer", [SCORERS[0], SCORERS[2]])
def test_what_repairs_a_shift_scores_best(scorer):
    found = search(scorer, shifted(n=60), error_score="raise")
    assert found.best_params_["adapter"] is not None


@each
def test_the_callers_arrays_and_model_are_left_alone(scorer):
    made = shifted()
    model = fitted(made)
    before = made.X.copy(), made.y.copy(), made.domain.copy()
    coef = model.estimator_.coef_.copy()
    scorer(model, made.X, made.y, sample_domain=made.domain)
    for array, copy in zip((made.X, made.y, made.domain), before, strict=True):
        assert (array == copy).all()
    np.testing.assert_array_equal(model.estimator_.coef_, coef)


@each
def test_called_by_hand_it_needs_no_routing(scorer):
    made = shifted()
    model = fitted(made)
    by_hand = scorer(model, made.X, made.y, sample_domain=made.domain)
    with routed():
        assert by_hand == scorer(model, made.X, made.y, sample_domain=made.domain)
    assert isinstance(by_hand, float)
    frame = pytest.importorskip("pandas").DataFrame(made.X)
    model = clone(model).fit(frame, made.y, sample_domain=made.domain)
    assert by_hand == scorer(model, frame, made.y, sample_domain=made.domain)


@each
@pytest.mark.parametrize("first", [StandardScaler(), DomainStandardScaler()])
def test_called_by_hand_it_takes_pipelines(scorer, first):
    made = shifted()
    model = make_pipeline(clone(first), DomainAdaptationClassifier())
    if isinstance(first, DomainStandardScaler):
        model = make_pipeline(clone(first), LogisticRegression())
    names = [name for name, step in model.steps if hasattr(step, "set_fit_request")]
    names = [name for name in names if "domain" in name]
    steps = {f"{name}__sample_domain": made.domain for name in names}
    model.fit(made.X, made.truth, **steps)
    by_hand = scorer(model, made.X, made.y, sample_domain=made.domain)
    with routed():
        assert by_hand == scorer(model, made.X, made.y, sample_domain=made.domain)


@each
def test_it_says_that_routing_is_needed(scorer):
    made = shifted()
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        scorer(fitted(made), made.X, made.y)
    off = GridSearchCV(
        DomainAdaptationClassifier(),
        GRID,
        scoring=scorer,
        cv=KFold(2),
        error_score="raise",
    )
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        off.fit(made.X, made.truth, sample_domain=made.domain)


@each
def test_rows_of_one_kind_are_refused_where_both_are_needed(scorer):
    made = shifted()
    model = fitted(made)
    source, target = ~made.target, made.target
    for rows in (source, target):
        arguments = (model, made.X[rows], made.y[rows])
        if (rows is source) or "source" in scorer._NEEDS:
            with pytest.raises(ValueError, match="rows among the .*SourceTargetKFold"):
                scorer(*arguments, sample_domain=made.domain[rows])
        else:
            assert np.isfinite(scorer(*arguments, sample_domain=made.domain[rows]))
    with pytest.raises(ValueError, match=r"shape \(3,\) for 80 rows"):
        scorer(model, made.X, made.y, sample_domain=[0, 0, -1])


@each
def test_an_estimator_that_knows_no_domains_is_scored_too(scorer):
    made = shifted()
    plain = LogisticRegression().fit(made.X[~made.target], made.truth[~made.target])
    adapted = fitted(made, None, LogisticRegression())
    if isinstance(scorer, CircularValidationScorer):
        with pytest.raises(TypeError, match="sample_domain"):
            scorer(plain, made.X, made.y, sample_domain=made.domain)
        return
    assert scorer(plain, made.X, made.y, sample_domain=made.domain) == scorer(
        adapted, made.X, made.y, sample_domain=made.domain
    )


@pytest.mark.parametrize("scorer", SCORERS[2:], ids=lambda s: type(s).__name__)
def test_the_domains_of_target_rows_reach_the_model(scorer):
    made = shifted(n=60)
    made.domain = np.where(made.target, -1 - np.arange(120) % 2, 0)
    made.X[made.domain == -2] += 40  # two targets, far apart
    model = fitted(made)
    told = scorer(model, made.X, made.y, sample_domain=made.domain)
    merged = np.where(made.target, -9, 0)  # a target that the model has not seen
    assert told != scorer(model, made.X, made.y, sample_domain=merged)


@pytest.mark.parametrize("scorer", SCORERS[:2], ids=lambda s: type(s).__name__)
def test_source_rows_are_scored_as_source_rows(scorer):
    made = shifted(n=60)
    model, source = fitted(made), ~made.target
    assert model.score(made.X[source], made.truth[source]) < 0.75  # as target rows
    assert scorer(model, made.X, made.y, sample_domain=made.domain) > 0.9


@each
def test_it_works_in_a_pipeline_and_among_others(scorer):
    made = shifted()
    model = make_pipeline(StandardScaler(), DomainAdaptationClassifier())
    grid = {"domainadaptationclassifier__adapter": [None, "standardize"]}
    found = search(scorer, made, model, grid=grid, error_score="raise")
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    both = {"one": scorer, "entropy": PredictionEntropyScorer()}
    with routed():
        scores = cross_validate(
            model,
            made.X,
            made.y,
            scoring=both,
            cv=SourceTargetKFold(3),
            params={"sample_domain": made.domain},
            error_score="raise",
        )
    assert np.isfinite(scores["test_one"]).all()
    assert np.isfinite(scores["test_entropy"]).all()


@each
def test_it_clones_and_shows_its_parameters(scorer):
    copy = clone(scorer)
    assert copy.get_params() == scorer.get_params()
    assert repr(copy).startswith(type(scorer).__name__)
    grid = clone(GridSearchCV(LogisticRegression(), {}, scoring=scorer))
    assert type(grid.scoring) is type(scorer)


def test_an_estimator_without_probabilities_is_refused():
    made = shifted()
    model = fitted(made, estimator=LinearSVC(random_state=0))
    for scorer in SCORERS[2:]:
        with pytest.raises(TypeError, match=r"needs predict_proba, which Domain"):
            scorer(model, made.X, made.y, sample_domain=made.domain)
    for scorer in SCORERS[:2]:
        assert 0 <= scorer(model, made.X, made.y, sample_domain=made.domain) <= 1


@pytest.mark.parametrize("scorer", SCORERS[:2], ids=lambda s: type(s).__name__)
def test_scorers_that_need_source_labels_say_so(scorer):
    made = shifted()
    with pytest.raises(ValueError, match="needs y: it reads the targets of the source"):
        scorer(fitted(made), made.X, sample_domain=made.domain)
    made.y[np.flatnonzero(~made.target)[0]] = None
    with pytest.raises(ValueError, match="contains NaN, None or infinity at row"):
        scorer(fitted(shifted()), made.X, made.y, sample_domain=made.domain)


@pytest.mark.parametrize("scorer", SCORERS[:2], ids=lambda s: type(s).__name__)
def test_regressors_are_scored(scorer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    domain = np.repeat([0, -1], 40)
    y = np.where(domain >= 0, X[:, 0], np.nan)
    model = DomainAdaptationRegressor(Ridge(0.01)).fit(X, y, sample_domain=domain)
    assert 0.5 < scorer(model, X, y, sample_domain=domain) <= 1
    error = clone(scorer).set_params(scoring="neg_mean_absolute_error")
    assert error(model, X, y, sample_domain=domain) < 0


@pytest.mark.parametrize(
    "scorer",
    [
        SoftNeighborhoodDensityScorer(temperature=0),
        ImportanceWeightedScorer(weights="kmm"),
        ImportanceWeightedScorer(scoring=3),
        CircularValidationScorer(scoring=3),
    ],
)
def test_wrong_parameters_are_refused(scorer):
    made = shifted()
    with pytest.raises(ValueError, match="parameter of"):
        scorer(fitted(made), made.X, made.y, sample_domain=made.domain)


# -- each of them --------------------------------------------------------------------


class Says(ClassifierMixin, BaseEstimator):
    """A classifier that has its probabilities of the rows, by their numbers."""

    def __init__(self, proba):
        self.proba = proba
        self.classes_ = np.arange(len(proba[0]))

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.asarray(self.proba)[np.asarray(X)[:, 0]]


def said(scorer, proba):
    rows = np.arange(len(proba))[:, None]
    return scorer(Says(proba), rows, sample_domain=[-1] * len(proba))


def test_entropy_is_that_of_the_mean_row_in_nats():
    assert said(PredictionEntropyScorer(), [[1.0, 0.0]]) == 0
    half = said(PredictionEntropyScorer(), [[0.5, 0.5], [1, 0]])
    assert half == pytest.approx(-np.log(2) / 2)


def test_information_sees_through_one_class_everywhere():
    sure, one = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]
    assert said(PredictionEntropyScorer(), sure) == said(PredictionEntropyScorer(), one)
    assert said(InformationMaximizationScorer(), sure) == pytest.approx(np.log(2))
    assert said(InformationMaximizationScorer(), one) == 0


def test_density_grows_with_the_groups_and_does_not_hang_on_the_batches(monkeypatch):
    groups = [np.repeat(np.eye(k), 12 // k, axis=0) for k in (1, 2, 4)]
    scores = [said(SoftNeighborhoodDensityScorer(), group) for group in groups]
    np.testing.assert_allclose(scores, np.log([11, 5, 2]), atol=1e-6)
    assert scores[0] > said(SoftNeighborhoodDensityScorer(temperature=5), groups[1])
    monkeypatch.setattr("sktransfer.domain_adaptation._scorers.BATCH", 5)
    again = [said(SoftNeighborhoodDensityScorer(), group) for group in groups]
    np.testing.assert_allclose(scores, again, rtol=1e-12)
    with pytest.raises(ValueError, match="at least 2 target rows"):
        said(SoftNeighborhoodDensityScorer(), groups[0][:1])


@pytest.mark.parametrize("weights", [DensityRatioWeights(C=0.1), KMMWeights(gamma=0.1)])
def test_importance_weights_are_those_of_the_adapter(weights):
    made = noisy()
    model = fitted(made, None)
    scorer = ImportanceWeightedScorer(weights=weights)
    own = clone(weights).fit(made.X, sample_domain=made.domain).weights_
    source = ~made.target
    predicted = model.predict(made.X[source])
    want = accuracy_score(made.truth[source], predicted, sample_weight=own[source])
    got = scorer(model, made.X, made.y, sample_domain=made.domain)
    assert got == pytest.approx(want)
    assert got != pytest.approx(accuracy_score(made.truth[source], predicted))


def test_importance_weights_come_from_what_the_last_step_gets():
    made = shifted(n=60, shift=0.5)
    model = make_pipeline(FunctionTransformer(np.tanh), DomainAdaptationClassifier())
    step = {"domainadaptationclassifier__sample_domain": made.domain}
    model.fit(made.X, made.y, **step)
    got = ImportanceWeightedScorer()(model, made.X, made.y, sample_domain=made.domain)
    inner = ImportanceWeightedScorer()(
        model[-1], np.tanh(made.X), made.y, sample_domain=made.domain
    )
    assert got == inner


def test_rows_that_are_no_numbers_cannot_be_weighed():
    texts, y = ["a", "b", "c", "d"], [0, 1, 0, 1]
    length = FunctionTransformer(lambda X: np.array([[len(x)] for x in X]))
    model = make_pipeline(length, LogisticRegression()).fit(texts, y)
    domain = [0, 0, -1, -1]
    assert 0 <= ImportanceWeightedScorer()(model, texts, y, sample_domain=domain) <= 1

    class Whole(LogisticRegression):
        def predict(self, X):
            return np.zeros(len(X))

    with pytest.raises(ValueError, match="Put the step that makes numbers"):
        ImportanceWeightedScorer()(Whole(), texts, y, sample_domain=domain)


def test_the_ensemble_is_the_mean_of_the_candidates():
    proba = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.6, 0.4]])
    other = np.array([[0.9, 0.1], [0.7, 0.3], [0.3, 0.7], [0.1, 0.9]])
    made, domain = np.arange(4)[:, None], [-1] * 4
    models = [Says(proba), Says(other)]  # together: 0, 0, 1, 1
    score = EnsembleAgreementScorer(models)
    assert [score(model, made, sample_domain=domain) for model in models] == [0.5, 1]
    assert score(Says(1 - other), made, sample_domain=domain) == 0


def test_the_ensemble_stays_fitted_in_clones_of_a_search():
    made = noisy(shift=3.0)
    models = [fitted(made, adapter) for adapter in GRID["adapter"]]
    scorer = EnsembleAgreementScorer(models)
    assert clone(scorer).estimators is models
    one = search(scorer, made, error_score="raise")
    with routed():
        again = clone(one).fit(made.X, made.y, sample_domain=made.domain)
    scores = one.cv_results_["mean_test_score"]
    assert len(set(scores)) > 1
    np.testing.assert_array_equal(scores, again.cv_results_["mean_test_score"])


def test_an_ensemble_of_something_else_is_refused():
    made = shifted(n=20)
    model = fitted(made)
    for estimators, error, message in [
        ([], ValueError, "got no estimators"),
        (None, ValueError, "parameter of EnsembleAgreementScorer"),
        ([DomainAdaptationClassifier()], NotFittedError, "not fitted"),
        (
            [fitted(shifted(n=20, labels=("a", "b")))],
            ValueError,
            "expected the same classes",
        ),
        (
            [fitted(made, estimator=LinearSVC(random_state=0))],
            TypeError,
            "needs predict_proba",
        ),
    ]:
        with pytest.raises(error, match=message):
            EnsembleAgreementScorer(estimators)(
                model, made.X, sample_domain=made.domain
            )


def test_the_way_back_fails_where_the_model_failed():
    made = shifted(n=120)
    scores = [
        CircularValidationScorer()(
            fitted(made, adapter), made.X, made.y, sample_domain=made.domain
        )
        for adapter in (None, "standardize")
    ]
    assert scores[1] > 0.95 > scores[0] + 0.1


def test_one_class_everywhere_gives_the_way_back_the_share_of_that_class():
    made = shifted(n=120, labels=("a", "b"))
    made.X[made.target] = 1e3 * np.array([[1.0, -1, 0, 0, 0]])
    model = fitted(made, None)
    predicted = model.predict(made.X[made.target])
    assert set(predicted) == {"a"}
    got = CircularValidationScorer()(model, made.X, made.y, sample_domain=made.domain)
    assert got == np.mean(made.truth[~made.target] == "a")
