"""label_efficiency_curve and LabelEfficiencyDisplay."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
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
