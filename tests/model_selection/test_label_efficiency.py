"""label_efficiency_curve and LabelEfficiencyDisplay."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import KFold, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline

from sktransfer import TextEncoder, cache_info, clear_cache
from sktransfer.inspection import LabelEfficiencyDisplay
from sktransfer.model_selection import LabelEfficiencyCurves, label_efficiency_curve

mpl.use("Agg")

TEXTS = [f"{word} {i}" for i in range(20) for word in ("good", "bad", "so")]
LABELS = np.array(["plus", "minus", "none"] * 20)


class Seen(DummyClassifier):
    """Keeps the rows of each fit."""

    fits = []  # noqa: RUF012

    def fit(self, X, y):
        Seen.fits.append((list(X), list(y)))
        return super().fit(np.zeros((len(y), 1)), y)

    def predict(self, X):
        return super().predict(np.zeros((len(X), 1)))


@pytest.fixture
def seen():
    Seen.fits = []
    return Seen


def words():
    return make_pipeline(CountVectorizer(), LogisticRegression())


def test_draws_have_so_many_of_each_class_and_are_nested(seen):
    curves = label_efficiency_curve(
        seen(), TEXTS, LABELS, labels_per_class=[5, 1, 2], cv=3
    )
    assert [row["labels_per_class"] for row in curves] == [1, 2, 5]
    assert [row["n_labels"] for row in curves] == [3, 6, 15]
    assert len(seen.fits) == 9
    for fold in range(3):
        draws = [set(X) for X, _ in seen.fits[3 * fold : 3 * fold + 3]]
        assert draws[0] < draws[1] < draws[2]
    for _, y in seen.fits:
        assert len(set(np.unique(y, return_counts=True)[1])) == 1


def test_all_estimators_see_the_same_rows_and_the_seed_decides(seen):
    def drawn(**options):
        seen.fits = []
        label_efficiency_curve(
            {"a": seen(), "b": seen()},
            TEXTS,
            LABELS,
            labels_per_class=[2],
            cv=2,
            **options,
        )
        return seen.fits

    fits = drawn()
    assert fits[:2] == fits[2:]
    assert drawn() == fits
    assert drawn(random_state=1) != fits


def test_scores_and_intervals_are_those_of_the_splits():
    curves = label_efficiency_curve(
        words(), TEXTS, LABELS, labels_per_class=[1, 4], cv=4
    )
    assert curves.names == ["Pipeline"]
    assert curves[1]["score"] == 1.0
    row = curves[0]
    assert len(row["scores"]) == 4
    assert row["score"] == pytest.approx(np.mean(row["scores"]))
    low, high = stats.t.interval(
        0.95, 3, row["score"], stats.sem(row["scores"]) or 1e-12
    )
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["fit_seconds"] > 0


def test_a_row_goes_through_the_network_once_for_all_draws():
    clear_cache()
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    label_efficiency_curve(
        model, pd.Series(TEXTS), LABELS, labels_per_class=[2, 4], cv=3
    )
    assert 0 < cache_info().misses <= len(TEXTS)


def test_groups_stay_on_one_side(seen):
    groups = np.repeat(np.arange(10), 6)
    label_efficiency_curve(
        seen(), TEXTS, LABELS, labels_per_class=[8], cv=2, groups=groups
    )
    sides = [{groups[TEXTS.index(x)] for x in X} for X, _ in seen.fits]
    assert all(len(side) <= 5 for side in sides)


def test_a_small_class_gives_what_it_has(seen):
    rows = [i for i in range(60) if LABELS[i] != "none" or i < 9]
    X, y = [TEXTS[i] for i in rows], LABELS[rows]
    splitter = StratifiedShuffleSplit(2, test_size=0.5, random_state=0)
    curves = label_efficiency_curve(seen(), X, y, labels_per_class=[5], cv=splitter)
    assert curves[0]["n_labels"] < 15
    assert {np.sum(np.array(y) == "plus") for _, y in seen.fits} == {5}


class Given(DummyClassifier):
    """Keeps what each fit is given beside its rows."""

    fits = []  # noqa: RUF012

    def fit(self, X, y, **given):
        Given.fits.append((list(X), given))
        return super().fit(np.zeros((len(y), 1)), y)

    def predict(self, X):
        return super().predict(np.zeros((len(X), 1)))


@pytest.fixture
def given():
    Given.fits = []
    return Given


def test_any_random_state_gives_all_estimators_the_same_draws(seen, monkeypatch):
    monkeypatch.setattr(np.random.mtrand, "_rand", np.random.RandomState(3))

    def drawn(random_state):
        seen.fits = []
        label_efficiency_curve(
            {"a": seen(), "b": seen()},
            TEXTS,
            LABELS,
            labels_per_class=[2],
            cv=2,
            random_state=random_state,
        )
        assert seen.fits[:2] == seen.fits[2:]
        return seen.fits

    assert drawn(None) != drawn(None)
    state = np.random.RandomState(0)
    first = drawn(state)
    assert first != drawn(state)  # it goes on
    assert first == drawn(np.random.RandomState(0))
    with pytest.raises(ValueError, match="cannot be used to seed"):
        drawn("today")


@pytest.mark.parametrize(
    "make", [list, tuple, np.array, pd.Series, pd.array, pl.Series, pa.array]
)
def test_metadata_of_rows_is_cut_with_the_rows(given, make):
    numbers = np.arange(60.0)
    label_efficiency_curve(
        given(),
        TEXTS,
        LABELS,
        labels_per_class=[1, 4],
        cv=2,
        params={"sample_weight": make(numbers), "own": numbers * 2, "flag": "x"},
    )
    assert len(given.fits) == 4
    for rows, more in given.fits:
        places = [TEXTS.index(text) for text in rows]
        np.testing.assert_array_equal(more["sample_weight"], places)
        np.testing.assert_array_equal(more["own"], 2 * np.array(places))
        assert more["flag"] == "x"


def test_weights_reach_a_step_and_a_step_that_asks_for_them():
    weight = np.where(np.arange(60) % 2, 1.0, 1e-9)
    # Rows of no weight have the classes the wrong way round.
    y = np.where((LABELS == "plus") ^ (np.arange(60) % 2 == 0), "a", "b")

    def scores(model, **options):
        curves = label_efficiency_curve(
            model, TEXTS, y, labels_per_class=[8], cv=2, **options
        )
        return curves[0]["scores"]

    plain = scores(words())
    weighted = scores(words(), params={"logisticregression__sample_weight": weight})
    assert weighted != plain
    with config_context(enable_metadata_routing=True):
        model = words()
        model[-1].set_fit_request(sample_weight=True)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        routed = scores(model, scoring=scorer, params={"sample_weight": weight})
    assert routed == weighted


def test_rows_of_another_domain_join_each_draw_and_are_no_labels(given):
    domain = np.where(np.arange(60) < 30, 0, -1)
    y = np.where(domain < 0, "unknown", LABELS)
    folds = KFold(2, shuffle=True, random_state=0).split(TEXTS)
    curves = label_efficiency_curve(
        given(),
        TEXTS,
        y,
        labels_per_class=[1, 2],
        cv=folds,
        params={"sample_domain": domain},
    )
    assert [row["n_labels"] for row in curves] == [3, 6]
    for i, (rows, more) in enumerate(given.fits):
        assert (more["sample_domain"] >= 0).sum() == [3, 6][i % 2]
        assert (more["sample_domain"] < 0).sum() > 5
        assert len(rows) == len(more["sample_domain"])


@pytest.mark.parametrize("cv", [2, KFold(2, shuffle=True, random_state=0)])
@pytest.mark.parametrize("how", ["groups", "params", "both"])
def test_groups_are_never_on_both_sides(given, cv, how):
    groups = np.repeat(np.arange(20), 3)
    sides, score = [], given.score

    def watched(self, X, y):
        sides.append((given.fits[-1], list(X)))
        return score(self, X, y)

    given.score = watched
    try:
        label_efficiency_curve(
            given(),
            TEXTS,
            LABELS,
            labels_per_class=[3],
            cv=cv,
            scoring=None,
            groups=groups if how != "params" else None,
            params={"groups": groups} if how != "groups" else None,
        )
    finally:
        del given.score
    assert len(sides) == 2
    of = dict(zip(TEXTS, groups, strict=True))
    for (rows, more), tested in sides:
        assert not {of[text] for text in rows} & {of[text] for text in tested}
        assert ("groups" in more) == (how != "groups")


def test_splits_may_be_masks(seen):
    side = np.arange(60) < 30
    curves = label_efficiency_curve(
        seen(), TEXTS, LABELS, labels_per_class=[3], cv=[(side, ~side), (~side, side)]
    )
    assert curves[0]["n_labels"] == 9


@pytest.mark.parametrize(
    "make", [pd.array, pd.Categorical, pd.Index, lambda cells: pd.Series(cells).values]
)
def test_pandas_arrays_are_rows(make):
    options = {"labels_per_class": [2], "cv": 2}
    want = label_efficiency_curve(words(), TEXTS, LABELS, **options)[0]["scores"]
    got = label_efficiency_curve(words(), make(TEXTS), make(LABELS), **options)
    assert got[0]["scores"] == want


def made(scores, seconds=(1.0, 10.0, 100.0)):
    return LabelEfficiencyCurves(
        [
            {
                "estimator": name,
                "labels_per_class": size,
                "score": score,
                "low": score - 0.1,
                "high": score + 0.1,
                "fit_seconds": second,
            }
            for name, curve in scores.items()
            for size, score, second in zip((1, 10, 100), curve, seconds, strict=True)
        ],
        score_name="accuracy",
    )


def test_what_it_takes_to_reach_a_score_is_read_off_the_curve():
    curves = made({"good": [0.5, 0.7, 0.9], "bad": [0.1, 0.2, 0.3]})
    needs = curves.to_reach(0.8)
    assert needs["good"]["labels_per_class"] == pytest.approx(10**1.5)
    assert needs["good"]["fit_seconds"] == pytest.approx(10**1.5)
    assert needs["bad"] == {"labels_per_class": np.inf, "fit_seconds": np.inf}
    assert curves.to_reach(0.4)["good"]["labels_per_class"] == pytest.approx(1)
    with pytest.raises(KeyError, match=r"no estimator 'other'.*\['good', 'bad'\]"):
        curves.of("other")


def test_tables_and_the_figure_show_all_points():
    import matplotlib.pyplot as plt

    curves = made({"good": [0.5, 0.7, 0.9], "bad": [0.1, 0.2, 0.3]})
    assert curves.to_frame().shape == (6, 6)
    assert len(repr(curves).splitlines()) == 7
    display = curves.plot(linewidth=3)
    assert isinstance(display, LabelEfficiencyDisplay)
    assert [line.get_label() for line in display.ax_.lines] == ["good", "bad"]
    assert display.ax_.lines[0].get_linewidth() == 3
    np.testing.assert_allclose(display.ax_.lines[1].get_ydata(), [0.1, 0.2, 0.3])
    assert len(display.ax_.collections) == 2
    assert display.ax_.get_ylabel().startswith("accuracy")
    _, ax = plt.subplots()
    assert LabelEfficiencyDisplay.from_curves(curves, ax=ax).ax_ is ax
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": np.linspace(0, 1, 60)}, ValueError, "y is 'continuous'"),
        ({"y": np.eye(60, 3, dtype=int)}, ValueError, "multilabel"),
        ({"labels_per_class": [0, 2]}, ValueError, "whole numbers above 0"),
        ({"labels_per_class": []}, ValueError, "whole numbers above 0"),
        ({"labels_per_class": [500]}, ValueError, "largest class has 10 rows"),
        ({"estimators": {}}, ValueError, "estimators is empty"),
        ({"estimators": {"a": LogisticRegression}}, TypeError, r"estimators\['a'\]"),
        ({"scoring": ["accuracy"]}, ValueError, "must be one scorer"),
        ({"y": pd.array(["a", None] * 30)}, ValueError, "y contains NaN, None"),
        ({"confidence": 95}, ValueError, "between 0 and 1"),
        ({"params": [1]}, TypeError, r"params=\[1\] must be a dict"),
        (
            {"params": {"sample_weight": [1.0]}},
            ValueError,
            r"X has 60 rows and sample_weight has the shape \(1,\)",
        ),
        (
            {"params": {"sample_domain": [1]}},
            ValueError,
            r"sample_domain of shape \(1,\)",
        ),
        ({"groups": [*"ab" * 29, "c", None]}, ValueError, "missing value at row 59"),
        (
            {"params": {"groups": [*"ab" * 29, "c", np.nan]}},
            ValueError,
            "missing value at row 59",
        ),
        ({"groups": ["a"] * 60}, ValueError, "from 2 to the number of groups, 1"),
        ({"cv": 100}, ValueError, "from 2 to the number of rows"),
        ({"cv": [(np.arange(30), np.arange(30, 60))]}, ValueError, "1 split"),
        (
            {"cv": [(np.arange(0, 60, 3), np.arange(1, 60))] * 2},
            ValueError,
            "no row of the class",
        ),
    ],
)
def test_bad_input_is_refused(options, error, message):
    given = {"estimators": words(), "X": TEXTS, "y": LABELS, "labels_per_class": [2]}
    with pytest.raises(error, match=message):
        label_efficiency_curve(**given | {"cv": 2} | options)
