"""TargetAwareEncoder."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import bsr_array, coo_array, csr_array, dia_array
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    TextRegressor,
)
from sktransfer.finetuning import Head, _splits

N = 60
RNG = np.random.default_rng(0)
WORDS = np.array(["red", "green", "blue"])
CODES = RNG.integers(0, 3, N)
TEXTS = [f"{WORDS[c]} item {i} {RNG.integers(99)}" for i, c in enumerate(CODES)]
COLORS = np.where(RNG.random(N) < 0.2, RNG.choice(WORDS, N), WORDS[CODES])
IS_RED = np.where(COLORS == "red", "yes", "no")


def tfidf(model=None):
    return make_pipeline(
        TfidfVectorizer(), LogisticRegression(C=10) if model is None else model
    )


def tuned(**options):
    options = {"freeze_depth": -1, "max_epochs": 1, "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


def test_outputs_are_those_of_models_that_have_not_seen_the_row():
    cv = StratifiedKFold(4, shuffle=True, random_state=1)
    encoder = TargetAwareEncoder(tfidf(), cv=cv, output="proba", random_state=0)
    got = encoder.fit_transform(TEXTS, COLORS)
    want = cross_val_predict(tfidf(), TEXTS, COLORS, cv=cv, method="predict_proba")
    np.testing.assert_allclose(got, want)
    np.testing.assert_allclose(
        encoder.transform(TEXTS), tfidf().fit(TEXTS, COLORS).predict_proba(TEXTS)
    )
    assert list(encoder.classes_) == ["blue", "green", "red"]


def test_our_estimators_give_centred_logits_and_each_row_runs_once(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    model = tuned().set_params(backbone=backbone)
    encoder = TargetAwareEncoder(model, cv=3, frozen="auto", random_state=0)
    got = encoder.fit_transform(TEXTS, COLORS)
    assert counter.rows == 2 * N  # activations before the cut, and vectors behind it
    assert got.shape == (N, 3 + 16)
    TargetAwareEncoder(model, cv=4, random_state=0).fit_transform(TEXTS, COLORS)
    assert counter.rows == 2 * N
    np.testing.assert_allclose(got[:, :3].mean(axis=1), 0, atol=1e-6)
    direct = encoder.estimator_.decision_function(TEXTS)
    np.testing.assert_allclose(
        encoder.transform(TEXTS)[:, :3],
        direct - direct.mean(axis=1, keepdims=True),
        atol=1e-5,
    )
    np.testing.assert_allclose(encoder.transform(TEXTS)[:, 3:], got[:, 3:], atol=1e-5)
    assert np.abs(encoder.transform(TEXTS)[:, :3] - got[:, :3]).max() > 1e-3


def test_two_classes_are_one_column_of_log_odds():
    encoder = TargetAwareEncoder(tfidf(), cv=3, random_state=0)
    got = encoder.fit_transform(TEXTS, IS_RED)
    assert got.shape == (N, 1)
    direct = encoder.estimator_.decision_function(TEXTS)
    np.testing.assert_allclose(encoder.transform(TEXTS)[:, 0], direct)
    forest = tfidf(RandomForestClassifier(20, random_state=0))
    encoder = TargetAwareEncoder(forest, cv=3, random_state=0).fit(TEXTS, IS_RED)
    share = encoder.estimator_.predict_proba(TEXTS)[:, 1].clip(1e-3, 1 - 1e-3)
    np.testing.assert_allclose(
        encoder.transform(TEXTS)[:, 0], np.log(share / (1 - share))
    )


def test_numbers_and_several_numbers():
    y = CODES + 0.1 * RNG.normal(size=N)
    model = TextRegressor("tiny-bert", max_epochs=1, random_state=0)
    encoder = TargetAwareEncoder(model, cv=3, random_state=0)
    assert encoder.fit_transform(TEXTS, y).shape == (N, 1)
    np.testing.assert_allclose(
        encoder.transform(TEXTS)[:, 0], encoder.estimator_.predict(TEXTS)
    )
    cv = KFold(3)
    both = np.column_stack([y, -y])
    encoder = TargetAwareEncoder(tfidf(Ridge()), cv=cv, random_state=0)
    want = cross_val_predict(tfidf(Ridge()), TEXTS, both, cv=cv)
    np.testing.assert_allclose(encoder.fit_transform(TEXTS, both), want)
    assert list(encoder.get_feature_names_out(["t"])) == ["t_0", "t_1"]


@pytest.mark.parametrize(
    "model", [tuned(), tfidf(MultiOutputClassifier(LogisticRegression()))]
)
def test_several_labels(model):
    y = (CODES[:, None] == [0, 1]).astype(int)
    encoder = TargetAwareEncoder(model, cv=3, random_state=0)
    got = encoder.fit_transform(TEXTS, y)
    assert got.shape == (N, 2)
    shares = TargetAwareEncoder(model, cv=3, output="proba", random_state=0)
    got = shares.fit_transform(TEXTS, y)
    assert 0 <= got.min() < got.max() <= 1


def test_a_class_that_a_fold_lacks_has_the_lowest_output():
    y = COLORS.copy()
    y[7] = "violet"  # in one fold's test rows only, so its model has not seen it
    for output, least in (("proba", 0.0), ("logits", None)):
        encoder = TargetAwareEncoder(tfidf(), cv=3, output=output, random_state=0)
        got = encoder.fit_transform(TEXTS, y)
        assert got.shape == (N, 4)
        assert got[7, 3] == (got[7].min() if least is None else least)
    y = np.repeat(["a", "b", "c"], N // 3)  # each fold's model knows two of three
    got = TargetAwareEncoder(
        tfidf(), cv=KFold(3), output="proba", random_state=0
    ).fit_transform(TEXTS, y)
    np.testing.assert_allclose(got.sum(axis=1), 1)
    assert (got[: N // 3, 0] == 0).all()
    got = TargetAwareEncoder(tfidf(), cv=KFold(3), random_state=0).fit_transform(
        TEXTS, y
    )
    np.testing.assert_allclose(got.mean(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(
    "model", [tfidf(), tuned(freeze_depth="all", head=Head(C=100.0))]
)
def test_nothing_leaks_from_a_shuffled_target(model):
    honest, naive, whole = [], [], []
    for seed in range(4):
        y = np.random.default_rng(seed).permutation(np.arange(N) % 2)
        encoder = TargetAwareEncoder(model, cv=5, random_state=seed)
        out = encoder.fit_transform(TEXTS, y)
        honest.append(cross_val_score(LogisticRegression(), out, y).mean())
        naive.append(
            cross_val_score(LogisticRegression(), encoder.transform(TEXTS), y).mean()
        )
        pipe = make_pipeline(clone(encoder), LogisticRegression())
        if seed < 2:
            whole.append(cross_val_score(pipe, np.array(TEXTS, object), y, cv=3).mean())
    assert np.mean(honest) < 0.6
    assert 0.35 < np.mean(whole) < 0.65
    assert np.mean(naive) > np.mean(honest) + 0.15  # what the folds protect from


def test_groups_stay_in_one_fold():
    seen = []

    class Spy(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            seen.append({x.split()[0] for x in X})
            return self

        def predict_proba(self, X):
            assert len(X) == N or not seen[-1] & {x.split()[0] for x in X}
            return np.full((len(X), 2), 0.5)

    groups = np.arange(N) // 4
    texts = [f"g{g} {i}" for i, g in enumerate(groups)]
    y = np.arange(N) % 2
    encoder = TargetAwareEncoder(Spy(), cv=3, random_state=0)
    encoder.fit_transform(texts, y, groups=groups)
    assert [len(s) for s in seen] == [15, 10, 10, 10]
    encoder.set_params(cv=StratifiedGroupKFold(5)).fit_transform(
        texts, y, groups=groups
    )
    pipe = make_pipeline(encoder, LogisticRegression())
    pipe.fit(texts, y, targetawareencoder__groups=groups)
    with pytest.raises(AssertionError):
        clone(encoder).set_params(cv=3).fit_transform(texts, y)


def test_sample_weights_reach_the_estimator():
    weight = np.where(np.arange(N) % 2, 1.0, 0.0)
    encoder = TargetAwareEncoder(tuned(freeze_depth="all"), cv=2, random_state=0)
    encoder.fit_transform(TEXTS, COLORS, sample_weight=weight)
    some = [t for t, w in zip(TEXTS, weight, strict=True) if w]
    want = tuned(freeze_depth="all").fit(some, COLORS[weight > 0])
    np.testing.assert_allclose(
        encoder.estimator_.predict_proba(TEXTS), want.predict_proba(TEXTS), atol=0.05
    )


@pytest.mark.parametrize(
    "make",
    [
        np.array,
        lambda cells: pd.Series(cells, name="text", index=np.arange(N)[::-1]),
        lambda cells: pl.Series("text", cells),
        pa.array,
        lambda cells: pd.DataFrame({"text": cells}),
        pd.array,
        lambda cells: pd.Series(cells).values,  # noqa: PD011
        pd.Categorical,
        pd.Index,
    ],
    ids="array pandas polars arrow frame pandas-array values category index".split(),
)
def test_columns_of_every_kind(make):
    want = TargetAwareEncoder(tuned(), cv=2, random_state=0)
    encoder = clone(want)
    got = encoder.fit_transform(make(TEXTS), COLORS)
    np.testing.assert_allclose(got, want.fit_transform(TEXTS, COLORS), atol=1e-5)


def test_names_and_frames():
    table = pd.DataFrame({"text": TEXTS, "code": CODES})
    columns = ColumnTransformer(
        [
            ("text", TargetAwareEncoder(tfidf(), cv=2, random_state=0), "text"),
            ("code", "passthrough", ["code"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    out = columns.fit_transform(table, IS_RED)
    assert list(out.columns) == ["text_yes", "code"]
    encoder = TargetAwareEncoder(
        tuned(), cv=2, frozen=TextEncoder("tiny-bert"), n_components=2, random_state=0
    )
    encoder.fit(table["text"], COLORS)
    names = "text_blue text_green text_red text_pca_0 text_pca_1".split()
    assert list(encoder.get_feature_names_out()) == names
    assert encoder.transform(table["text"]).shape == (N, 5)
    assert encoder.fit(TEXTS, COLORS).get_feature_names_out()[0] == (
        "targetawareencoder_blue"
    )
    with pytest.raises(ValueError, match=r"number of features \(1\), got 2"):
        encoder.get_feature_names_out(["a", "b"])


def test_images_with_the_frozen_features_beside(pixels):
    y = [0, 1] * 3
    model = ImageClassifier("tiny-cnn", freeze_depth=-1, max_epochs=1, random_state=0)
    encoder = TargetAwareEncoder(model, cv=2, frozen="auto", random_state=0)
    out = encoder.fit_transform(pixels, y)
    assert out.shape == (6, 1 + 6)  # no more components than rows
    vectors = ImageEncoder("tiny-cnn").fit_transform(pixels)
    centred = vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(
        out[:, 1:] @ out[:, 1:].T, centred @ centred.T, atol=1e-3
    )


def test_it_is_searched_and_is_deterministic():
    search = GridSearchCV(
        make_pipeline(
            TargetAwareEncoder(tuned(), cv=2, random_state=0), LogisticRegression()
        ),
        {"targetawareencoder__estimator__freeze_depth": ["all", -1]},
        cv=2,
    ).fit(np.array(TEXTS), COLORS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    encoder = TargetAwareEncoder(tfidf(), cv=3, random_state=5)
    np.testing.assert_array_equal(
        encoder.fit_transform(TEXTS, COLORS), encoder.fit_transform(TEXTS, COLORS)
    )
    other = clone(encoder).set_params(random_state=6).fit_transform(TEXTS, COLORS)
    assert not np.allclose(other, encoder.fit_transform(TEXTS, COLORS))


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        ({"output": "odds"}, COLORS, "'output' parameter"),
        ({"cv": 1}, COLORS, "cv=1 must be from 2 to the number of rows, 60"),
        (
            {"cv": ShuffleSplit(2, random_state=0)},
            COLORS,
            "is in . test folds of cv; expected 1",
        ),
        ({"output": "predictions"}, COLORS, "needs numbers, but the classes are not"),
        ({"estimator": tfidf(Ridge()), "output": "proba"}, CODES, "needs a classifier"),
        ({"frozen": "auto"}, COLORS, "frozen='auto' with Pipeline; expected None"),
        ({}, COLORS[:-1], "X has 60 rows and y has the shape"),
        ({}, None, "requires y to be passed"),
    ],
)
def test_wrong_options_are_refused(options, y, message):
    encoder = TargetAwareEncoder(**{"estimator": tfidf(), "random_state": 0} | options)
    with pytest.raises(ValueError, match=message):
        encoder.fit_transform(TEXTS, y)


def test_an_estimator_without_probabilities_is_refused_where_they_are_needed():
    encoder = TargetAwareEncoder(
        tfidf(RidgeClassifier()), cv=2, output="proba", random_state=0
    )
    with pytest.raises(TypeError, match="has no predict_proba"):
        encoder.fit_transform(TEXTS, COLORS)
    assert encoder.set_params(output="logits").fit_transform(TEXTS, COLORS).shape == (
        N,
        3,
    )
    with pytest.raises(ValueError, match="X has 60 rows and groups has the shape"):
        encoder.fit_transform(TEXTS, COLORS, groups=[1])


@pytest.mark.parametrize("output", ["proba", "logits"])
@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_a_model_that_knows_one_class_says_that_class(output, classes):
    # Each fold's model sees the rows of one class only.
    y = np.repeat(classes, 4)
    rows = np.arange(len(y))
    first = rows[y == "a"]
    folds = [(first, rows[y != "a"]), (rows[y == "b"], first)]
    forest = make_pipeline(TfidfVectorizer(), RandomForestClassifier(random_state=0))
    encoder = TargetAwareEncoder(forest, cv=folds, output=output, random_state=0)
    got = encoder.fit_transform(TEXTS[: len(y)], y)
    share_of_b = got[:, 0] if len(classes) == 2 else got[:, 1]
    if output == "proba":
        np.testing.assert_array_equal(share_of_b[y == "a"], 1)
        np.testing.assert_array_equal(share_of_b[y != "a"], 0)
    elif len(classes) == 2:
        assert (share_of_b[y == "a"] > 5).all()
        assert (share_of_b[y != "a"] < -5).all()
    else:
        assert (got[y == "a"].argmax(axis=1) == 1).all()
        assert (got[y != "a"].argmax(axis=1) == 0).all()


@pytest.mark.parametrize(
    "classifier",
    [
        RandomForestClassifier(10, random_state=0),
        MultiOutputClassifier(KNeighborsClassifier(3)),
    ],
)
def test_a_label_that_all_rows_of_a_fold_have_is_certain(classifier):
    y = np.ones((12, 2), int)
    y[0, 0], y[:, 1] = 0, np.arange(12) % 2
    model = TargetAwareEncoder(
        make_pipeline(TfidfVectorizer(), classifier),
        cv=KFold(3),
        output="proba",
        random_state=0,
    )
    out = model.fit_transform(TEXTS[:12], y)
    np.testing.assert_array_equal(out[:4, 0], 1.0)  # the others have no 0
    assert (
        model.set_params(output="logits").fit_transform(TEXTS[:12], y)[:4, 0] > 6
    ).all()
    with pytest.raises(ValueError, match="2 columns of several classes each"):
        model.fit(TEXTS[:12], y + 1 + np.arange(12)[:, None] % 3)


def test_groups_reach_an_estimator_that_takes_them(monkeypatch):
    seen, groups = [], np.repeat(np.arange(10), 4)
    split = _splits.split

    def watched(used, encoded, first, given, *rest):
        seen.append(given)
        return split(used, encoded, first, given, *rest)

    monkeypatch.setattr(_splits, "split", watched)
    classifier = TextClassifier(
        "tiny-bert", early_stopping=True, max_epochs=1, random_state=0
    )
    model = TargetAwareEncoder(classifier, cv=2, random_state=0)
    model.fit_transform(TEXTS[:40], IS_RED[:40], groups=groups)
    assert [len(given) for given in seen] == [40, 20, 20]
    assert all((np.unique(g, return_counts=True)[1] == 4).all() for g in seen)


def test_several_columns_have_names_too():
    frame = pd.DataFrame({"b": np.arange(12.0), "c": np.arange(12.0) % 3})
    y = np.array(["yes", "no"] * 6)
    forest = RandomForestClassifier(5, random_state=0)
    encoder = TargetAwareEncoder(forest, cv=2, random_state=0)
    table = ColumnTransformer([("x", encoder, ["b", "c"])])
    out = table.set_output(transform="pandas").fit_transform(frame, y)
    assert list(out.columns) == ["x__targetawareencoder_yes"]
    assert encoder.fit(pl.DataFrame(frame), y).n_features_in_ == 2
    with pytest.raises(ValueError, match=r"number of features \(2\), got 1"):
        encoder.get_feature_names_out(["b"])


def test_a_fold_of_one_class_needs_no_model_that_takes_it():
    y = np.array(["a"] + ["b"] * 11)
    classifier = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    model = TargetAwareEncoder(classifier, cv=KFold(3), output="proba", random_state=0)
    out = model.fit_transform(TEXTS[:12], y)
    np.testing.assert_array_equal(out[:4], 1.0)
    sparse = TfidfVectorizer().fit_transform(TEXTS[:12])
    forest = RandomForestClassifier(5, random_state=0)
    model = TargetAwareEncoder(forest, cv=KFold(2), output="proba", random_state=0)
    out = model.fit_transform(sparse, np.repeat(["a", "b"], 6))
    np.testing.assert_array_equal(out[:, 0], np.repeat([1.0, 0.0], 6))


def test_labels_may_stand_in_a_sparse_matrix():
    y = np.column_stack([np.arange(12) % 2, np.arange(12) > 5]).astype(int)
    classifier = TextClassifier("tiny-bert", max_epochs=1, random_state=0)
    model = TargetAwareEncoder(classifier, cv=2, random_state=0)
    np.testing.assert_array_equal(
        model.fit_transform(TEXTS[:12], csr_array(y)),
        clone(model).fit_transform(TEXTS[:12], y),
    )


def test_sparse_features_can_stand_beside():
    encoder = TargetAwareEncoder(
        tfidf(), frozen=TfidfVectorizer(), n_components=3, random_state=0
    )
    out = encoder.fit_transform(TEXTS, IS_RED)
    assert out.shape == (N, 4)
    np.testing.assert_allclose(encoder.transform(TEXTS)[:, 1:], out[:, 1:], atol=1e-6)


@pytest.mark.parametrize("form", [coo_array, dia_array, bsr_array])
def test_sparse_matrices_of_every_format_are_taken(form):
    X = np.eye(12)
    encoder = TargetAwareEncoder(LogisticRegression(), cv=2, random_state=0)
    expected = encoder.fit_transform(csr_array(X), np.arange(12) % 2)
    found = encoder.fit_transform(form(X), np.arange(12) % 2)
    np.testing.assert_array_equal(found, expected)


def test_names_of_a_frame_are_kept_and_compared():
    frame = pd.DataFrame(RNG.normal(size=(20, 2)), columns=["a", "b"])
    y = np.arange(20) % 2
    encoder = TargetAwareEncoder(LogisticRegression(), random_state=0).fit(frame, y)
    assert list(encoder.feature_names_in_) == ["a", "b"]
    assert len(encoder.get_feature_names_out(["a", "b"])) == 1
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        encoder.get_feature_names_out(["b", "a"])
    with pytest.raises(ValueError, match=r"length equal to number of features \(2\)"):
        encoder.get_feature_names_out(["a"])
    assert not hasattr(encoder.fit(frame.to_numpy(), y), "feature_names_in_")


def test_complex_labels_are_refused():
    with pytest.raises(ValueError, match="Complex data not supported: y is complex"):
        TargetAwareEncoder(LogisticRegression()).fit(np.eye(2), np.array([1j, 2]))
