"""Objects with parameters that are no estimators."""

import pickle

import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sktransfer import DensityRatioWeights, ImportanceWeightedScorer, SourceTargetKFold
from sktransfer._utils.parameters import Parametrized


class Pair(Parametrized):
    def __init__(self, first=1, second="two"):
        self.first, self.second = first, second


def test_repr_shows_what_was_changed_also_inside_an_estimator():
    assert repr(Pair()) == "Pair()"
    assert repr(Pair(second=None)) == "Pair(second=None)"
    search = GridSearchCV(LogisticRegression(), {}, cv=SourceTargetKFold(3))
    assert "cv=SourceTargetKFold(n_splits=3)" in repr(search)
    with sklearn.config_context(print_changed_only=False):
        assert repr(Pair()) == "Pair(first=1, second='two')"


def test_nested_parameters_are_listed_and_set():
    outer = Pair(Pair(3))
    assert outer.get_params()["first__first"] == 3
    assert "first__first" not in outer.get_params(deep=False)
    assert outer.set_params(first__first=4, second=5) is outer
    assert (outer.first.first, outer.second) == (4, 5)
    assert outer.set_params(first=Pair(6), first__second=7).first.second == 7


def test_a_wrong_name_is_an_error_and_sets_nothing():
    pair = Pair()
    with pytest.raises(ValueError, match=r"'third' for Pair.*\['first', 'second'\]"):
        pair.set_params(first=2, third=3)
    assert pair.first == 1


def test_a_search_clones_what_is_nested_in_a_scorer():
    scorer = ImportanceWeightedScorer(weights=DensityRatioWeights(C=2))
    copy = clone(GridSearchCV(LogisticRegression(), {}, scoring=scorer)).scoring
    assert copy is not scorer
    assert copy.weights is not scorer.weights
    assert copy.get_params()["weights__C"] == 2
    assert repr(pickle.loads(pickle.dumps(copy))) == repr(scorer)


def test_it_is_no_estimator():
    assert not isinstance(Pair(), BaseEstimator)
    assert not hasattr(Pair(), "fit")
