"""TrainingCurveDisplay."""

import matplotlib as mpl
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktransfer import TextClassifier
from sktransfer.inspection import TrainingCurveDisplay

mpl.use("Agg")

TEXTS = [f"{word} {i}" for i in range(8) for word in ("good", "bad")]
LABELS = ["+", "-"] * 8


def fitted(watched=True, **options):
    model = TextClassifier("tiny-bert", max_epochs=3, random_state=0, **options)
    watched = {"X_val": TEXTS[:4], "y_val": LABELS[:4]} if watched else {}
    return model.fit(TEXTS, LABELS, **watched)


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_it_draws_each_epoch_of_both_parts(metric):
    import matplotlib.pyplot as plt

    model = fitted(scoring="accuracy")
    display = TrainingCurveDisplay.from_estimator(model, metric)
    assert {part: len(values) for part, values in display.curves.items()} == {
        "train": 3,
        "valid": 3,
    }
    lines = display.ax_.get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3]] * 2
    wanted = [row[f"valid_{metric}"] for row in model.history_]
    assert list(lines[1].get_ydata()) == wanted
    assert display.ax_.get_ylabel() == metric
    plt.close(display.figure_)


def test_without_rows_to_watch_there_is_one_line():
    display = TrainingCurveDisplay.from_estimator(fitted(watched=False), plot=False)
    assert list(display.curves) == ["train"]


def test_calls_of_partial_fit_are_epochs():
    model = TextClassifier("tiny-bert", random_state=0)
    for _ in range(4):
        model.partial_fit(TEXTS, LABELS)
    display = TrainingCurveDisplay.from_estimator(model, plot=False)
    assert len(display.curves["train"]) == 4


def test_a_metric_that_was_not_recorded_is_refused():
    with pytest.raises(ValueError, match=r"has \['loss'\]. Set scoring='f1_macro'"):
        TrainingCurveDisplay.from_estimator(fitted(), "f1_macro")


def test_other_models_are_refused():
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(TextClassifier("tiny-bert"))
    other = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="LogisticRegression has no history_"):
        TrainingCurveDisplay.from_estimator(other)
