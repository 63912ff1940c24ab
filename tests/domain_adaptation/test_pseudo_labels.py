"""Self-training: its parts, and that it gains."""

import numpy as np
import pytest
from made import shifted
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.svm import SVC

from sktransfer import DomainAdaptationClassifier, PseudoLabels
from sktransfer.domain_adaptation._pseudo_labels import (
    class_beliefs,
    move_shares,
    neighbour_graph,
    smooth,
    surest_rows,
)

BASE = {"n_rounds": 3, "n_neighbors": 4, "smoothing": 0.3}


def fitted(made, pseudo_labels, estimator=None):
    model = DomainAdaptationClassifier(estimator, ["standardize", pseudo_labels])
    return model.fit(made.X, made.y, sample_domain=made.domain)


def test_it_gains_where_the_target_is_turned():
    made = shifted(n=200, shift=0.0)
    angle = 0.7
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    rows = np.flatnonzero(made.target)
    made.X[np.ix_(rows, [0, 1])] = made.X[np.ix_(rows, [0, 1])] @ turn
    target, truth = made.X[made.target], made.truth[made.target]
    plain = DomainAdaptationClassifier(adapter="standardize")
    plain.fit(made.X, made.y, sample_domain=made.domain)
    tuned = fitted(made, PseudoLabels())
    assert tuned.score(target, truth) > plain.score(target, truth) + 0.02
    assert np.mean(tuned.pseudo_labels_ == truth) > plain.score(target, truth)
    assert len(tuned.pseudo_labels_) == len(target)


def test_the_first_rounds_take_the_surest_rows_of_each_class():
    beliefs = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55]])
    codes = beliefs.argmax(axis=1)
    assert surest_rows(beliefs, codes, 0.4).tolist() == [0, 2, 3]
    assert surest_rows(beliefs, codes, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert surest_rows(beliefs, codes, 0.01).tolist() == [0, 3]


def test_shares_are_moved_as_far_as_asked():
    rng = np.random.default_rng(0)
    beliefs = rng.dirichlet([5, 1, 1], size=200)
    shares = np.array([0.2, 0.3, 0.5])
    gaps = []
    for strength in (0.0, 0.5, 1.0):
        moved = move_shares(beliefs, shares, strength)
        np.testing.assert_allclose(moved.sum(axis=1), 1)
        gaps.append(np.abs(moved.mean(axis=0) - shares).max())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-4
    np.testing.assert_allclose(move_shares(beliefs, shares, 0.0), beliefs)


def test_neighbours_outvote_one_wrong_row():
    rng = np.random.default_rng(0)
    X = np.repeat([[5.0, 0.0], [0.0, 5.0]], 10, axis=0) + rng.normal(0, 0.3, (20, 2))
    beliefs = np.repeat([[0.9, 0.1], [0.1, 0.9]], 10, axis=0)
    beliefs[3] = [0.2, 0.8]
    graph = neighbour_graph(X, 5)
    np.testing.assert_allclose(graph.toarray(), graph.toarray().T)
    assert smooth(beliefs, graph, 0.8)[:10].argmax(axis=1).tolist() == [0] * 10
    np.testing.assert_array_equal(smooth(beliefs, graph, 0.0), beliefs)
    exact = np.linalg.solve(np.eye(20) - 0.8 * graph.toarray(), 0.2 * beliefs)
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smooth(beliefs, graph, 0.8), exact, atol=2e-3)
    assert neighbour_graph(X, 0) is None
    assert neighbour_graph(X[:1], 5) is None


@pytest.mark.parametrize(
    "options",
    [
        {"n_rounds": 1},
        {"start": 0.9},
        {"balance": 1.0},
        {"n_neighbors": 0},
        {"n_neighbors": 2},
        {"smoothing": 0.0},
        {"weight": 0.01},
    ],
)
def test_every_option_has_an_effect(options):
    made = shifted(n=80, shift=0.0, seed=1)
    made.X += 2.5 * np.random.default_rng(2).normal(size=made.X.shape)
    keep = ~made.target | (made.truth != "c") | (np.arange(160) % 4 == 0)
    made.X, made.y, made.domain = made.X[keep], made.y[keep], made.domain[keep]
    rows = made.X[made.domain < 0]
    base = fitted(made, PseudoLabels(**BASE)).predict_proba(rows)
    other = PseudoLabels(**BASE).set_params(**options)
    assert np.abs(base - fitted(made, other).predict_proba(rows)).max() > 1e-6


@pytest.mark.parametrize(
    "options",
    [{"n_rounds": 0}, {"start": 1.0}, {"balance": 2}, {"smoothing": 1}, {"weight": 0}],
)
def test_wrong_options_are_refused(options):
    made = shifted(n=10)
    with pytest.raises(ValueError, match="parameter of PseudoLabels"):
        fitted(made, PseudoLabels(**options))


def test_two_and_three_classes_by_decisions():
    for labels in (("a", "b"), ("a", "b", "c")):
        made = shifted(n=60, labels=labels)
        model = fitted(made, PseudoLabels(), RidgeClassifier())
        assert model.score(made.X[made.target], made.truth[made.target]) > 0.9
        beliefs = class_beliefs(model.estimator_, made.X)
        np.testing.assert_array_equal(
            model.classes_[beliefs.argmax(axis=1)], model.estimator_.predict(made.X)
        )
        np.testing.assert_allclose(beliefs.sum(axis=1), 1)


def test_an_estimator_without_sample_weight_serves_too():
    made = shifted()
    model = fitted(made, PseudoLabels(), KNeighborsClassifier())
    assert model.score(made.X[made.target], made.truth[made.target]) > 0.9


def test_an_estimator_that_only_predicts_is_refused():
    made = shifted()

    class OnlyPredicts(NearestCentroid):
        predict_proba = decision_function = property()

    with pytest.raises(TypeError, match="predict_proba or decision_function"):
        fitted(made, PseudoLabels(), OnlyPredicts())


def test_decisions_between_pairs_of_classes_are_refused():
    made = shifted(shift=0.5)
    model = DomainAdaptationClassifier(
        SVC(decision_function_shape="ovo", random_state=0),
        ["standardize", PseudoLabels()],
    )
    with pytest.raises(ValueError, match='decision_function_shape="ovr"'):
        model.fit(made.X, made.y, sample_domain=made.domain)
    model.set_params(estimator__decision_function_shape="ovr")
    model.fit(made.X, made.y, sample_domain=made.domain)
    assert model.score(made.X[made.target], made.truth[made.target]) > 0.9


def test_the_given_estimator_is_not_fitted_itself():
    made, head = shifted(), LogisticRegression()
    fitted(made, PseudoLabels(), head)
    assert not hasattr(head, "coef_")
    assert clone(PseudoLabels(n_rounds=3)).n_rounds == 3
