"""Folds of TargetAwareEncoder: copies, groups and time."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline

from sktransfer import ImageClassifier, TargetAwareEncoder, TextClassifier
from sktransfer._cells.copies import number_by_content
from sktransfer._utils.validation import n_rows_of

N = 60
TEXTS = [f"item {i} x{i * 7}" for i in range(N)]
Y = np.arange(N) % 2


class Spy(ClassifierMixin, BaseEstimator):
    """Notes which contents each model is fitted to, and then asked about."""

    fits: list = []  # noqa: RUF012
    whole: dict = {}  # noqa: RUF012

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.rows_ = self._numbers(X)
        return self

    def predict_proba(self, X):
        Spy.fits.append((self.rows_, self._numbers(X)))
        return np.full((n_rows_of(X), len(self.classes_)), 1 / len(self.classes_))

    def _numbers(self, X):
        cells = X.to_list() if hasattr(X, "to_list") else list(X)
        return {Spy.whole[_key(cell)] for cell in cells}


def _key(cell):
    return cell if isinstance(cell, (str, bytes)) else str(cell)


@pytest.fixture
def spied():
    """Fit and return what the models of the folds saw and were asked about."""

    def run(X, y, groups=None, cv=3):
        cells = X.to_list() if hasattr(X, "to_list") else list(X)
        numbers = number_by_content(X)
        Spy.fits = []
        Spy.whole = dict(zip(map(_key, cells), numbers, strict=True))
        TargetAwareEncoder(Spy(), cv=cv, random_state=0).fit_transform(
            X, y, groups=groups
        )
        return Spy.fits, numbers

    return run


def words(model=None):
    return make_pipeline(TfidfVectorizer(), model or LogisticRegression(C=10))


@pytest.mark.parametrize(
    "cv",
    [
        5,
        KFold(5, shuffle=True, random_state=1),
        StratifiedKFold(5, shuffle=True, random_state=1),
        list(KFold(5, shuffle=True, random_state=1).split(np.zeros(240))),
    ],
    ids=["int", "kfold", "stratified", "list"],
)
def test_copies_of_a_text_do_not_tell_each_other_s_class(cv):
    texts, aucs = np.repeat(TEXTS, 4), []
    for seed in range(4):
        y = np.repeat(np.random.default_rng(seed).permutation(Y), 4)
        encoder = TargetAwareEncoder(words(), cv=cv, random_state=seed)
        aucs.append(roc_auc_score(y, encoder.fit_transform(pd.Series(texts), y)[:, 0]))
    assert 0.3 < np.mean(aucs) < 0.65


@pytest.mark.parametrize("cv", [3, KFold(3, shuffle=True, random_state=0)])
def test_images_of_equal_bytes_and_equal_pixels_are_copies(spied, cv, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(24)]
    for i, path in enumerate(paths):
        Image.fromarray(pixels[i % 12]).save(path)
    y = np.arange(24) % 2
    for X in (
        [str(path) for path in paths],
        [path.read_bytes() for path in paths],
        [pixels[i % 12] for i in range(24)],
        np.concatenate([pixels, pixels]),
    ):
        fits, numbers = spied(X, y, cv=cv)
        assert len(fits) == 3
        assert numbers.max() == 11
        assert all(not seen & asked for seen, asked in fits)


def test_the_estimator_says_what_a_string_is(tmp_path, monkeypatch):
    from sktransfer.target_encoding import _folds

    asked = []
    number = _folds.number_by_content

    def watched(X, *, source):
        asked.append(source)
        return number(X, source=source)

    monkeypatch.setattr(_folds, "number_by_content", watched)
    paths = [str(tmp_path / f"{i}.png") for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (20 * (i % 4), 0, 0)).save(path)
    options = {"freeze_depth": "all", "max_epochs": 1, "random_state": 0}
    model = ImageClassifier("tiny-cnn", **options)
    TargetAwareEncoder(model, cv=2, random_state=0).fit_transform(paths, [0, 1] * 4)
    texts = TextClassifier("tiny-bert", **options)
    TargetAwareEncoder(texts, cv=2, random_state=0).fit_transform(paths, [0, 1] * 4)
    TargetAwareEncoder(words(), cv=2, random_state=0).fit_transform(paths, [0, 1] * 4)
    TargetAwareEncoder(make_pipeline(texts), cv=8, random_state=0).fit_transform(
        paths, [0, 1] * 4
    )  # eight names are eight texts
    assert asked == ["path", "text", None, "text"]
    with pytest.raises(ValueError, match=r"number of distinct rows \(copies.*, 4"):
        TargetAwareEncoder(model, cv=5, random_state=0).fit_transform(paths, [0, 1] * 4)


@pytest.mark.parametrize("kind", [np.array, csr_array, pd.DataFrame])
def test_equal_rows_of_numbers_are_copies(kind):
    table = np.random.default_rng(0).normal(size=(N, 90))
    aucs = []
    for seed in range(6):
        y = np.tile(np.random.default_rng(seed).permutation(Y), 3)
        encoder = TargetAwareEncoder(LogisticRegression(), cv=4, random_state=seed)
        out = encoder.fit_transform(kind(np.tile(table, (3, 1))), y)
        aucs.append(roc_auc_score(y, out[:, 0]))
    assert np.mean(aucs) < 0.65


@pytest.mark.parametrize(
    ("cv", "n_folds"),
    [(3, 3), (GroupKFold(3), 3), (KFold(12, shuffle=True, random_state=0), 12)],
)
def test_groups_and_copies_stay_together(spied, cv, n_folds):
    groups = np.arange(N) // 3
    texts = list(TEXTS)
    for row in range(0, N, 6):
        texts[row] = texts[row + 3]  # two groups share a text
    fits, numbers = spied(texts, Y, groups=groups, cv=cv)
    assert len(fits) == n_folds
    of = {}
    for number, group in zip(numbers, groups, strict=True):
        of.setdefault(number, set()).add(group)
    for seen, asked in fits:
        assert seen
        assert not seen & asked
        assert not set().union(*map(of.get, seen)) & set().union(*map(of.get, asked))


def test_missing_rows_are_no_copies():
    texts = [None if i % 2 else text for i, text in enumerate(TEXTS)]
    model = TextClassifier(
        "tiny-bert", freeze_depth="all", missing="empty", random_state=0
    )
    encoder = TargetAwareEncoder(model, cv=5, random_state=0)
    assert encoder.fit_transform(texts, np.arange(N) // 3 % 2).shape == (N, 1)


def test_rows_without_copies_have_the_folds_that_they_had():
    encoder = TargetAwareEncoder(words(), cv=4, output="proba", random_state=0)
    got = encoder.fit_transform(TEXTS, Y)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    cv = StratifiedKFold(4, shuffle=True, random_state=seed)
    np.testing.assert_array_equal(
        got, encoder.set_params(cv=cv).fit_transform(TEXTS, Y)
    )


@pytest.mark.parametrize(
    ("texts", "groups", "cv", "message"),
    [
        (["a", "b"] * 10, None, 3, r"distinct rows \(copies of a row stay.*\), 2"),
        (["a"] * 20, None, 2, r"distinct rows \(copies of a row stay.*\), 1"),
        (
            TEXTS[:10] * 2,
            np.arange(20) // 5,
            3,
            r"groups \(those that have a copy.*, 2",
        ),
        (["a", "b"] * 10, None, KFold(2), "split 0 of cv leaves nothing to train on"),
    ],
)
def test_too_few_rows_that_differ_are_an_error_before_anything_is_fitted(
    texts, groups, cv, message
):
    class Never(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            raise AssertionError

    encoder = TargetAwareEncoder(Never(), cv=cv, random_state=0)
    with pytest.raises(ValueError, match=message):
        encoder.fit_transform(texts, np.arange(20) // 2 % 2, groups=groups)


@pytest.mark.parametrize(
    ("cv", "n_untested"),
    [
        (TimeSeriesSplit(4), 12),
        (TimeSeriesSplit(3, test_size=10), 30),
        (TimeSeriesSplit(4, gap=5), 12),
        (TimeSeriesSplit(3, gap=8, test_size=5), 45),
        (TimeSeriesSplit(4, max_train_size=6), 12),
        ([(np.arange(20), np.arange(20, 40)), (np.arange(40), np.arange(40, 60))], 20),
    ],
)
def test_folds_in_time_are_models_of_earlier_rows(cv, n_untested):
    y = np.random.default_rng(0).integers(0, 2, N)
    encoder = TargetAwareEncoder(words(), cv=cv, output="proba", random_state=0)
    got = encoder.fit_transform(TEXTS, y)
    splits = cv if isinstance(cv, list) else list(cv.split(TEXTS))
    texts = np.array(TEXTS, dtype=object)
    for train, test in splits:
        model = words().fit(texts[train], y[train])
        np.testing.assert_allclose(got[test, 0], model.predict_proba(texts[test])[:, 1])
    np.testing.assert_array_equal(got[:n_untested], 0.5)
    assert (got[n_untested:] != 0.5).any()


def test_a_table_in_another_order_has_its_own_folds_in_time():
    order = np.random.default_rng(0).permutation(N)
    splits = [(order[a], order[b]) for a, b in TimeSeriesSplit(4).split(order)]
    encoder = TargetAwareEncoder(words(), cv=splits, random_state=0)
    got = encoder.fit_transform(TEXTS, Y)
    np.testing.assert_array_equal(got[order[:12]], 0)
    assert (got[order[12:]] != 0).all()


def test_rows_before_the_first_test_fold_say_nothing_of_y():
    three = np.arange(N) % 3
    indicator = np.column_stack([Y, 1 - Y])
    numbers = 1000 + np.arange(N, dtype=float)
    tuned = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    for model, y, output, want in (
        (words(), Y, "logits", 0.0),
        (words(), three, "logits", 0.0),
        (words(), Y, "proba", 0.5),
        (words(), three, "proba", 1 / 3),
        (words(), Y, "predictions", np.nan),
        (tuned, indicator, "logits", 0.0),
        (tuned, indicator, "proba", 0.5),
        (words(Ridge()), numbers, "auto", np.nan),
    ):
        cv = TimeSeriesSplit(3)
        encoder = TargetAwareEncoder(model, cv=cv, output=output, random_state=0)
        got = encoder.fit_transform(TEXTS, y)
        np.testing.assert_array_equal(got[:15], want)
        assert np.isfinite(got[15:]).all()


def test_the_next_step_learns_from_folds_in_time():
    y = np.array(["good", "bad"])[Y]
    texts = [f"{label} {text}" for label, text in zip(y, TEXTS, strict=True)]
    encoder = TargetAwareEncoder(words(), cv=TimeSeriesSplit(4), random_state=0)
    pipe = make_pipeline(encoder, LogisticRegression()).fit(texts, y)
    assert pipe.score(texts, y) == 1


def test_groups_and_copies_are_left_out_of_earlier_rows():
    seen = []

    class Watched(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            seen.append(set(X))
            return self

        def predict(self, X):
            assert len(X) == N or not seen[-1] & set(X)
            return np.zeros(len(X))

    texts = [f"text {i % 25}" for i in range(N)]
    encoder = TargetAwareEncoder(Watched(), cv=TimeSeriesSplit(3), random_state=0)
    encoder.fit_transform(texts, np.arange(N, dtype=float))
    assert len(seen) == 4


@pytest.mark.parametrize(
    "cv",
    [
        ShuffleSplit(2, random_state=0),
        ShuffleSplit(1, random_state=0),
        [(np.arange(30), np.arange(30, 60))],
        PredefinedSplit(np.r_[np.full(20, -1), np.zeros(20), np.ones(20)]),
        list(TimeSeriesSplit(3).split(TEXTS))[:-1],  # the last rows are left
        [*TimeSeriesSplit(3).split(TEXTS), (np.arange(30), np.arange(50, 60))],
        list(TimeSeriesSplit(3).split(TEXTS))[::-1],
    ],
)
def test_splits_that_leave_other_rows_out_are_refused(cv):
    encoder = TargetAwareEncoder(words(), cv=cv, random_state=0)
    with pytest.raises(ValueError, match=r"test folds of cv; expected 1.*TimeSeries"):
        encoder.fit_transform(TEXTS, Y)
