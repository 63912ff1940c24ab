"""Folds that keep groups and copies of a row together."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from sktransfer._utils.folds import apart, make_folds, together


def folds_of(y, cv=3, groups=None, units=None, is_classes=True):
    return make_folds(
        cv,
        np.asarray(y),
        is_classes=is_classes,
        groups=groups,
        random_state=0,
        caller="test",
        units=units,
    )


def test_rows_that_stand_alone_need_no_units():
    assert together(None, np.arange(4)) is None
    groups = np.array(["a", "a", "b", "c"])
    assert together(groups, np.arange(4)) is groups


def test_groups_with_a_copy_of_the_same_row_are_one():
    groups = np.array(["a", "a", "b", "b", "c", "d", "d", "e"])
    copies = np.array([0, 1, 1, 2, 3, 4, 2, 5])
    units = together(groups, copies)  # a and b share 1, b and d share 2
    assert len(set(units[[0, 1, 2, 3, 5, 6]])) == 1
    assert len(set(units)) == 3
    assert len(set(together(None, copies))) == 6


@pytest.mark.parametrize("is_classes", [True, False])
def test_units_stay_together_and_every_row_is_tested_once(is_classes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        units = rng.integers(0, 8, 40)
        y = rng.integers(0, 2, 40)
        folds = folds_of(y, units=units, is_classes=is_classes)
        assert sorted(np.concatenate([test for _, test in folds])) == list(range(40))
        assert all(len(test) for _, test in folds)
        assert not any(set(units[a]) & set(units[b]) for a, b in folds)


def test_no_fold_is_empty_where_there_are_as_many_units_as_folds():
    for n_large in range(2, 30):
        units = np.r_[np.zeros(n_large), 1, 2]
        y = np.r_[np.arange(n_large) % 2, 0, 0]
        assert all(len(test) for _, test in folds_of(y, units=units))


def test_the_message_says_what_there_is_too_little_of():
    y, groups, units = [0, 1, 0, 1], np.array([0, 0, 1, 1]), np.array([5, 5, 5, 6])
    for options, name in (
        ({"cv": 5}, "rows, 4"),
        ({"groups": groups}, "groups, 2"),
        ({"units": units}, r"distinct rows \(copies of a row stay in one fold\), 2"),
        ({"groups": groups, "units": units}, r"groups \(those that have a copy .*, 2"),
    ):
        with pytest.raises(ValueError, match=f"from 2 to the number of {name}"):
            folds_of(y, **options)


@pytest.mark.parametrize("cv", [KFold(2), StratifiedKFold(2), GroupKFold(2)])
def test_splits_of_the_caller_lose_training_rows_that_belong_to_a_test_row(cv):
    groups, units = np.arange(8), np.array([0, 1, 2, 3, 0, 4, 5, 6])
    y = np.arange(8) % 2
    plain = folds_of(y, cv, groups=groups, units=units)
    parted = apart(plain, units, "test")
    for (train, test), (kept, tested) in zip(plain, parted, strict=True):
        assert list(test) == list(tested)
        assert set(kept) == {i for i in train if units[i] not in units[test]}
    assert apart(plain, None, "test") is plain


def test_a_training_part_of_copies_only_is_refused():
    folds = [(np.arange(2), np.arange(2, 4))]
    with pytest.raises(ValueError, match="test: split 0 of cv leaves nothing to train"):
        apart(folds, np.array([0, 1, 0, 1]), "test")
