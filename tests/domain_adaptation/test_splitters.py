"""Splits by domain: which rows are trained on, which scored."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from made import shifted
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from sktransfer import (
    DomainAdaptationClassifier,
    LeaveOneDomainOut,
    SourceTargetKFold,
    as_both_domains,
)

BOTH = [SourceTargetKFold(2), LeaveOneDomainOut()]
each = pytest.mark.parametrize("splitter", BOTH, ids=lambda s: type(s).__name__)


def three_domains():
    """Return two sources, each of which is a target as well, of 20 rows."""
    made = shifted(n=40, labels=("a", "b"))
    rows = np.flatnonzero(~made.target)
    domain = np.arange(len(rows)) % 2
    return as_both_domains(made.X[rows], made.truth[rows], sample_domain=domain)


# -- folds of the source -------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_source_row_is_scored_once_and_every_target_row_always(shuffle):
    domain = np.array([0] * 11 + [3] * 5 + [-1] * 4)
    y = np.array([0, 1] * 10)
    cv = SourceTargetKFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    tested = np.zeros(20, int)
    for train, test in cv.split(np.zeros((20, 1)), y, sample_domain=domain):
        source = np.intersect1d(train, test)
        assert (domain[source] < 0).all()
        assert set(np.flatnonzero(domain < 0)) <= set(train) & set(test)
        assert len(np.union1d(train, test)) == 20
        tested[test] += 1
    assert tested.tolist() == [1] * 16 + [3] * 4


def test_target_rows_may_be_spread_over_the_folds_too():
    domain = np.repeat([0, -1, -2], [8, 6, 4])
    tested = np.zeros(18, int)
    cv = SourceTargetKFold(2, target="folds")
    for train, test in cv.split(np.zeros((18, 1)), sample_domain=domain):
        assert len(np.intersect1d(train, test)) == 0
        assert np.unique(domain[test], return_counts=True)[1].tolist() == [2, 3, 4]
        tested[test] += 1
    assert (tested == 1).all()


def test_folds_have_each_class_of_each_domain_alike():
    rng = np.random.default_rng(0)
    domain = rng.integers(-1, 3, 300)
    y = rng.choice(["a", "b", "c"], 300, p=[0.7, 0.2, 0.1]).astype(object)
    y[domain < 0] = None
    for seed in (None, 3):
        cv = SourceTargetKFold(4, shuffle=seed is not None, random_state=seed)
        counts = []
        for _, test in cv.split(np.zeros((300, 1)), y, sample_domain=domain):
            frame = pd.DataFrame({"domain": domain[test], "y": y[test]})
            counts.append(frame[frame["domain"] >= 0].groupby(["domain", "y"]).size())
        table = pd.DataFrame(counts)
        assert (table.max() - table.min()).max() <= 1


def test_shuffling_is_seeded():
    domain = np.repeat([0, -1], [30, 5])

    def tests(**options):
        cv = SourceTargetKFold(3, **options)
        splits = cv.split(np.zeros((35, 1)), sample_domain=domain)
        return [test.tolist() for _, test in splits]

    assert tests(shuffle=True, random_state=1) == tests(shuffle=True, random_state=1)
    assert tests(shuffle=True, random_state=1) != tests(shuffle=True, random_state=2)
    assert tests() == tests() != tests(shuffle=True, random_state=1)
    with pytest.raises(ValueError, match="random_state=1 with shuffle=False"):
        tests(random_state=1)


def test_shuffling_moves_rows_with_numbers_as_targets():
    y, domain = np.random.default_rng(0).normal(size=30), np.repeat([0, -1], [25, 5])

    def tests(seed):
        cv = SourceTargetKFold(3, shuffle=True, random_state=seed)
        splits = cv.split(np.zeros((30, 1)), y, sample_domain=domain)
        return [test.tolist() for _, test in splits]

    assert tests(0) != tests(1)


def test_labels_of_target_rows_move_no_fold():
    made, splits = shifted(), []
    for poison in (None, np.nan, -1, "never a class"):
        made.y[made.target] = poison
        cv = SourceTargetKFold(3, target="folds")
        found = cv.split(made.X, made.y, sample_domain=made.domain)
        splits.append([test.tolist() for _, test in found])
    assert splits[1:] == splits[:-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_splits": 1}, "parameter of SourceTargetKFold"),
        ({"n_splits": 2.5}, "parameter of SourceTargetKFold"),
        ({"target": "none"}, "parameter of SourceTargetKFold"),
        ({"n_splits": 9}, "n_splits=9, but domain 0 has only 8 rows"),
        ({"n_splits": 5, "target": "folds"}, "but domain -1 has only 4 rows"),
    ],
)
def test_splits_that_cannot_be_are_refused(options, message):
    cv, domain = SourceTargetKFold(**options), np.repeat([0, -1], [8, 4])
    with pytest.raises(ValueError, match=message):
        list(cv.split(np.zeros((12, 1)), sample_domain=domain))


def test_it_keeps_targets_with_several_outputs_whole():
    y, domain = np.random.default_rng(0).normal(size=(12, 2)), np.repeat([0, -1], 6)
    splits = SourceTargetKFold(3).split(np.zeros((12, 1)), y, sample_domain=domain)
    assert [len(test) for _, test in splits] == [8, 8, 8]


# -- each source as a target ---------------------------------------------------------


def test_the_domain_left_out_is_there_as_a_target_only():
    X, y, domain = three_domains()
    splits = list(LeaveOneDomainOut().split(X, y, sample_domain=domain))
    assert [(set(domain[a]), set(domain[b])) for a, b in splits] == [
        ({1, -1}, {-1}),
        ({0, -2}, {-2}),
    ]


def test_settings_are_compared_on_domains_that_play_the_target():
    rng = np.random.default_rng(0)
    domain, truth = np.repeat([0, 1, 2], 40), np.tile(["a", "b"], 60)
    X = 4 * (truth == "b")[:, None] + rng.normal(size=(120, 2)) + 9 * domain[:, None]
    X, y, domain = as_both_domains(X, truth, sample_domain=domain)
    with sklearn.config_context(enable_metadata_routing=True):
        found = GridSearchCV(
            DomainAdaptationClassifier(),
            {"adapter": [None, "standardize"]},
            cv=LeaveOneDomainOut(),
            refit=False,
            error_score="raise",
        ).fit(X, y, sample_domain=domain)
    assert found.best_params_ == {"adapter": "standardize"}
    assert found.best_score_ > 0.9 > 0.7 > found.cv_results_["mean_test_score"][0]
    assert found.n_splits_ == 3


@pytest.mark.parametrize(
    "domain",
    [
        [0, 0, -1, -1],
        [0, 1, 1, 0],
        [0, 1, -5, -5],
        [-1, -1, -2, -2],
        [0, 1, -1, -1],
        [0, 0, 1, -1, -2],
        [0, 1, -1, -2, -9],
    ],
)
def test_domains_that_cannot_play_the_target_are_refused(domain):
    X = np.zeros((len(domain), 1))
    with pytest.raises(ValueError, match="as_both_domains.* makes the copies"):
        list(LeaveOneDomainOut().split(X, sample_domain=domain))


def test_copies_keep_the_kind_of_the_rows_and_drop_targets():
    frame = pd.DataFrame({"text": ["x", "y", "z"]}, index=[7, 8, 9])
    X, y, domain = as_both_domains(frame, ["a", "b", None], sample_domain=[0, 2, -1])
    assert X["text"].tolist() == ["x", "y", "x", "y"]
    assert y.tolist() == ["a", "b", "a", "b"]
    assert domain.tolist() == [0, 2, -1, -3]
    with pytest.raises(ValueError, match="no source rows"):
        as_both_domains(frame, [None] * 3, sample_domain=[-1, -1, -1])


# -- both ----------------------------------------------------------------------------


@each
@pytest.mark.filterwarnings("error")
def test_without_routing_it_says_what_to_do(splitter):
    X, y, domain = three_domains()
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        cross_val_score(
            DomainAdaptationClassifier(),
            X,
            y,
            cv=splitter,
            params={"sample_domain": domain},
        )
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            DomainAdaptationClassifier(adapter="standardize"),
            X,
            y,
            cv=splitter,
            params={"sample_domain": domain},
        )
    assert len(scores) == 2
    assert np.isfinite(scores).all()


@each
def test_groups_and_malformed_domains_are_refused(splitter):
    X, y, domain = three_domains()
    with pytest.raises(ValueError, match="the domains are its groups"):
        list(splitter.split(X, y, groups=domain, sample_domain=domain))
    with pytest.raises(ValueError, match=r"shape \(3,\) for 80 rows"):
        list(splitter.split(X, y, sample_domain=[0, 1, -1]))


@each
def test_it_counts_its_splits_and_clones(splitter):
    X, y, domain = three_domains()
    copy = clone(splitter)
    assert copy.get_n_splits(X, y, sample_domain=domain) == 2
    assert len(list(copy.split(X, y, sample_domain=domain))) == 2
    assert copy.get_params() == splitter.get_params()
