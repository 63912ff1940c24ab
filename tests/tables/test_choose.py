"""TableEncoder(choose=): which encoder each column gets, and by what evidence."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline

import sktransfer
from sktransfer import (
    ImageEncoder,
    TableEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
)
from sktransfer._utils.paired import reach
from sktransfer.inspection import ColumnChoicesDisplay
from sktransfer.tables import Choose, ColumnChoices
from sktransfer.tables._search import take

N = 40
WORDS = ("fine and good", "good as ever", "broken and bad", "bad as ever")
Y = np.array(["good", "good", "bad", "bad"] * (N // 4))
CHEAP = ["drop", "words", "frozen"]


def table(frame=pd.DataFrame, **more):
    review = [f"{WORDS[i % 4]}, item {i}" for i in range(N)]
    price = [float(i * i % 11) for i in range(N)]
    return frame({"review": review, "price": price, **more})


def encoder(candidates, *, kinds=None, text_encoder=None, **options):
    return TableEncoder(
        text_encoder=text_encoder or TextEncoder("tiny-bert"),
        kinds={"review": "text"} | (kinds or {}),
        choose=Choose(candidates, **options),
    )


def noise(seed=0):
    rng = np.random.default_rng(seed)
    words = [f"{word}{i}" for word in "abcdefgh" for i in range(5)]
    return [" ".join(rng.permutation(words)[:6]) for _ in range(N)]


class Length(TransformerMixin, BaseEstimator):
    """The number of letters of each text."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([[float(len(cell))] for cell in X])


# -- what is taken ---------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_candidate_that_tells_the_classes_is_taken(frame):
    fitted = encoder(CHEAP).fit(table(frame), Y)
    assert fitted.choosing_.taken == {"review": "words"}
    assert "StringEncoder" in type(fitted.choices_["review"]).__name__
    assert fitted.kinds_ == {"review": "text", "price": "numeric"}


def test_a_column_that_tells_nothing_is_left_out():
    X = table(remark=noise())
    fitted = encoder(CHEAP, kinds={"remark": "text"}).fit(X, Y)
    assert fitted.choices_["remark"] == "drop" == fitted.kinds_["remark"]
    names = fitted.get_feature_names_out()
    assert not [name for name in names if name.startswith("remark")]
    assert fitted.transform(X).shape == (N, len(names))


def test_the_last_column_stays():
    X = pd.DataFrame({"review": noise()})
    fitted = encoder(["drop", "words"]).fit(X, Y)
    assert fitted.choosing_.taken == {"review": "words"}


def test_choices_are_kinds_that_do_the_same_without_a_search():
    X = table(remark=noise())
    chosen = encoder(CHEAP, kinds={"remark": "text"})
    first = chosen.fit_transform(X, Y)
    explicit = TableEncoder(kinds=chosen.choices_)
    np.testing.assert_array_equal(explicit.fit_transform(X, Y), first)
    assert not hasattr(explicit, "choices_")


def test_columns_are_chosen_in_turn_and_given_encoders_stay():
    X = table(remark=noise(), title=noise(1))
    given = TextEncoder("tiny-bert", depth=1)
    fitted = encoder(["words", "frozen"], kinds={"remark": given, "title": "text"})
    fitted.fit(X, Y)
    assert list(fitted.choosing_.taken) == ["review", "title"]
    assert fitted.columns_["remark"].encoder.depth == 1


def test_a_dict_has_candidates_by_column_and_transformers_are_candidates():
    candidates = {"review": [Length(), "words"]}
    fitted = encoder(candidates).fit(table(), Y)
    assert [r["candidate"] for r in fitted.choosing_] == ["words", "Length()"]


def test_images_have_no_words_and_larger_networks_come_last(image_paths):
    X = pd.DataFrame({"photo": [image_paths[i % 6] for i in range(N)]})
    X["price"] = np.arange(N, dtype=float)
    table_encoder = TableEncoder(
        ImageEncoder("tiny-cnn"),
        choose=Choose(["words", "frozen", "shallow"], cv=2, task="numbers"),
    )
    fitted = table_encoder.fit(X, X["price"] * 2)
    labels = [row["candidate"] for row in fitted.choosing_]
    assert labels == ["frozen, depth=-2", "frozen, depth=-1", "frozen"]
    assert fitted.choosing_.score_name == "neg_root_mean_squared_error"


def test_larger_is_what_is_installed_with_more_weights(bundled_weights):
    from sktransfer.tables._ways import ways_of

    ways = ways_of(
        ["larger"], ImageEncoder(), "image", is_classes=True, n_rows=9, cv=5, seed=0
    )
    assert list(ways) == ["frozen efficientnet_lite1", "frozen efficientnet_lite2"]
    assert ways["frozen efficientnet_lite1"].backbone == "efficientnet_lite1"


def test_numbers_labels_and_boosting():
    X = table()
    length = X["review"].str.len().to_numpy(dtype=float)
    fitted = encoder([Length(), "drop"]).fit(X, length + 0.5)
    assert fitted.choosing_.taken == {"review": "Length()"}
    fitted = encoder(CHEAP, estimator="boosting").fit(X, length + 0.5)
    assert {"drop", "words", "frozen"} >= set(fitted.choosing_.taken.values())
    labels = np.column_stack([Y == "good", length > 17]).astype(int)
    fitted = encoder(["drop", "words"]).fit(X, labels)
    assert fitted.choosing_.taken == {"review": "words"}
    model = LogisticRegression()
    fitted = encoder(["words", "drop"], estimator=model, scoring="accuracy").fit(X, Y)
    assert fitted.choosing_.score_name == "accuracy"
    assert fitted.choosing_[1]["score"] == 1


# -- ties ------------------------------------------------------------------------------

FOLDS = [(np.arange(8), np.arange(8, 10))] * 4


def test_of_equal_candidates_the_cheapest_is_taken():
    same = np.tile([1.0, 2.0, 3.0, 2.0], (3, 1))
    assert take(same, FOLDS) == 0


def test_a_candidate_that_stands_out_is_taken():
    scores = np.array([[1.0, 1.1, 0.9, 1.0], [2.0, 2.1, 1.9, 2.0]])
    assert take(scores, FOLDS) == 1
    assert take(scores[::-1], FOLDS) == 0


def test_the_interval_grows_with_the_share_that_is_tested():
    differences = np.array([0.1, 0.3, 0.2, 0.4])
    half = [(np.arange(5), np.arange(5, 10))] * 4
    assert reach(differences, half) > reach(differences, FOLDS) > 0
    assert reach(differences[:1], FOLDS[:1]) == np.inf


# -- no leak ---------------------------------------------------------------------------


@pytest.mark.parametrize("candidate", ["words", "probe", "tuned"])
def test_with_shuffled_labels_the_score_stays_at_chance(candidate):
    X, scores = table(), []
    for seed in range(2 if candidate == "tuned" else 6):
        y = np.random.default_rng(seed).permutation(Y)
        options = {"scoring": "accuracy", "random_state": seed}
        fitted = encoder([candidate], **options).fit(X, y)
        scores.append(fitted.choosing_[0]["score"])
    assert 0.3 < np.mean(scores) < 0.7


class Shop(TransformerMixin, BaseEstimator):
    """The group of each text, one column for each."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([np.eye(5)[int(cell[4])] for cell in X])


def test_groups_do_not_leak():
    # A word tells the group, and the group the class.
    groups = np.repeat(np.arange(5), 8)
    y = np.array(["a", "b", "a", "b", "a"])[groups]
    X = pd.DataFrame({"review": [f"shop{g} item {i}" for i, g in enumerate(groups)]})
    options = {"scoring": "accuracy"}
    leaking = encoder([Shop()], **options).fit(X, y)
    honest = encoder([Shop()], **options).fit(X, y, groups=groups)
    assert leaking.choosing_[0]["score"] == 1
    assert honest.choosing_[0]["score"] < 0.7


def test_groups_reach_a_table_in_a_pipeline():
    groups = np.repeat(np.arange(10), 4)
    y = np.random.default_rng(1).permutation(np.repeat(["a", "b"], 5))[groups]
    X = pd.DataFrame({"review": [f"shop{g} item {i}" for i, g in enumerate(groups)]})
    table_encoder = encoder(["words"], scoring="accuracy")
    pipe = make_pipeline(table_encoder, LogisticRegression())
    pipe.fit(X, y, tableencoder__groups=groups)
    assert pipe[0].choosing_[0]["score"] < 0.7
    with config_context(enable_metadata_routing=True):
        routed = clone(pipe).fit(X, y, groups=groups)
    assert routed[0].choosing_[0]["score"] < 0.7


def test_groups_reach_a_given_target_aware_encoder():
    seen = []

    class Watched(TargetAwareEncoder):
        def fit_transform(self, X, y, *, groups=None, **params):
            seen.append(groups)
            return super().fit_transform(X, y, groups=groups, **params)

    own = Watched(
        random_state=0,
        estimator=make_pipeline(TextEncoder("tiny-bert"), LogisticRegression()),
        cv=2,
    )
    groups = np.arange(N) // 2
    TableEncoder(kinds={"review": own}).fit(table(), Y, groups=groups)
    np.testing.assert_array_equal(seen[0], groups)


def test_copies_of_a_cell_are_never_on_both_sides():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"review": np.repeat([f"unique{i} text" for i in range(10)], 4)})
    y = np.repeat(rng.permutation(["a", "b"] * 5), 4)
    fitted = encoder(["words"], scoring="accuracy").fit(X, y)
    assert fitted.choosing_[0]["score"] < 0.75


# -- cost ------------------------------------------------------------------------------


def test_a_network_runs_once_per_row(counting_backbone):
    X = pd.DataFrame({"review": [f"{WORDS[i % 4]} {i}" for i in range(N)]})
    backbone, counter = counting_backbone("tiny-bert")
    text_encoder = TextEncoder(backbone)
    names = ["shallow", "frozen", "probe"]
    fitted = encoder(names, text_encoder=text_encoder).fit(X, Y)
    assert len(fitted.choosing_) == 4
    assert counter.rows == N


def test_models_of_the_target_are_trained_once_for_the_same_rows(monkeypatch):
    n_rows, fit = [], TextClassifier.fit

    def counted(self, X, *args, **kwargs):
        n_rows.append(len(X))
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(TextClassifier, "fit", counted)
    table_encoder = encoder(["tuned"], cv=3)
    first = table_encoder.fit_transform(table(), Y)
    # All folds but two, all but one, and all rows.
    assert len(n_rows) == 3 + 3 + 1
    assert sorted(n_rows)[-1] == N
    tuned = table_encoder.columns_["review"].encoder
    assert type(tuned.estimator_) is type(tuned.estimator) is TextClassifier
    again = TableEncoder(kinds=table_encoder.choices_).fit_transform(table(), Y)
    np.testing.assert_allclose(again, first, atol=1e-5)


def test_a_warning_about_cells_comes_once(recwarn):
    price = ["n/a" if i % 9 == 0 else str(i) for i in range(N)]
    encoder(["words", "frozen"]).fit(table(price=price), Y)
    said = [str(w.message) for w in recwarn]
    assert len(said) == 1
    assert "5 of 40" in said[0] or "price" in said[0]


# -- as a parameter --------------------------------------------------------------------


def test_nested_names_reach_a_shortcut_too():
    table_encoder = TableEncoder(choose="auto")
    assert table_encoder.get_params()["choose__cv"] == 5
    table_encoder.set_params(choose__cv=3, choose__candidates=CHEAP)
    assert clone(table_encoder).choose.cv == 3
    with pytest.raises(ValueError, match="choose__cv cannot be set while choose=None"):
        TableEncoder().set_params(choose__cv=3)


def test_a_grid_may_search_over_it():
    grid = {"tableencoder__choose": [None, Choose(["words"], cv=2)]}
    pipe = make_pipeline(
        TableEncoder(text_encoder=TextEncoder("tiny-bert"), kinds={"review": "text"}),
        LogisticRegression(),
    )
    search = GridSearchCV(pipe, grid, cv=2).fit(table()[["review"]], Y)
    assert len(search.cv_results_["params"]) == 2


def test_a_save_keeps_the_choice(tmp_path):
    X = table()
    fitted = encoder(["words", "frozen"]).fit(X, Y)
    sktransfer.save(fitted, tmp_path / "table")
    loaded = sktransfer.load(tmp_path / "table")
    np.testing.assert_allclose(loaded.transform(X), fitted.transform(X), atol=1e-6)
    assert loaded.choosing_.taken == fitted.choosing_.taken
    assert repr(loaded.choosing_) == repr(fitted.choosing_)


def test_a_second_fit_forgets_the_first_choice():
    table_encoder = encoder(["drop", "words"]).fit(table(review=noise()), Y)
    assert table_encoder.kinds_["review"] == "drop"
    table_encoder.set_params(choose=None).fit(table(), Y)
    assert not hasattr(table_encoder, "choices_")
    assert table_encoder.columns_["review"].encoder.backbone == "tiny-bert"


def test_folds_that_go_forward_in_time():
    fitted = encoder(["drop", "words", "probe"], cv=TimeSeriesSplit(3)).fit(table(), Y)
    assert [row["candidate"] for row in fitted.choosing_] == ["drop", "words", "probe"]
    assert np.isfinite([row["score"] for row in fitted.choosing_]).all()


# -- what cannot be --------------------------------------------------------------------


def test_without_a_target_there_is_no_choice():
    with pytest.raises(ValueError, match="y is None. Pass y, or set choose=None"):
        encoder(CHEAP).fit(table())


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (["frozn"], r"candidates=\['frozn'\] for column 'review' must be some of"),
        ([], "must be some of"),
        ([3], "must be some of"),
        ({"revue": CHEAP}, r"candidates names \['revue'\], which are no columns"),
    ],
)
def test_unknown_candidates_are_refused(candidates, message):
    with pytest.raises(ValueError, match=message):
        encoder(candidates).fit(table(), Y)


def test_a_column_that_no_candidate_is_for_is_refused(image_paths):
    X = pd.DataFrame({"photo": [image_paths[i % 6] for i in range(N)]})
    table_encoder = TableEncoder(ImageEncoder("tiny-cnn"), choose=Choose(["words"]))
    with pytest.raises(
        ValueError, match="none of the candidates .* suits column 'photo'"
    ):
        table_encoder.fit(X, Y)


def test_more_folds_than_rows_are_refused():
    with pytest.raises(ValueError, match="cv=99 must be from 2 to"):
        encoder(CHEAP, cv=99).fit(table(), Y)


def test_a_table_without_images_and_texts_has_nothing_to_choose():
    X = table()[["price"]]
    fitted = TableEncoder(choose="auto").fit(X, Y)
    assert fitted.choices_ == {}
    assert len(fitted.choosing_) == 0


# -- the result ------------------------------------------------------------------------


def rows():
    row = {"column": "title", "seconds": 1.0, "low": -0.2, "high": 0.0}
    return ColumnChoices(
        [
            row | {"candidate": "drop", "score": 0.7, "difference": -0.1, "taken": 0},
            row
            | {"candidate": "words", "score": 0.8, "difference": 0.0, "taken": True}
            | {"low": 0.0},
        ],
        score_name="accuracy",
    )


def test_choices_are_a_table():
    frame = rows().to_frame()
    assert frame["candidate"].tolist() == ["drop", "words"]
    assert "words *" in repr(rows())
    assert "title:" in repr(rows())


def test_a_display_draws_a_column():
    display = rows().plot()
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["drop", "words"]
    assert "accuracy" in display.ax_.get_xlabel()
    with pytest.raises(ValueError, match="column='x' must be a column for which"):
        ColumnChoicesDisplay.from_choices(rows(), column="x")
