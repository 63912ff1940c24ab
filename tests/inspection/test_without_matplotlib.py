"""Every display says the same if matplotlib is missing."""

import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import TextEncoder, inspection
from sktransfer.exceptions import MissingDependencyError

TWO = np.array([0.5, 0.6])

DISPLAYS = {
    "AttributionDisplay": lambda cls: cls(
        [["a", "b"]], [TWO], targets=["+"], scores=TWO[:1]
    ),
    "BackboneRankingDisplay": lambda cls: cls(
        ["a", "b"], TWO, None, score_name="score", cost_name="cost"
    ),
    "ClassSharesDisplay": lambda cls: cls({"source": {"+": 1.0}, "target": {"+": 1.0}}),
    "ColumnChoicesDisplay": lambda cls: cls(
        ["a", "b"], TWO, np.ones((2, 2)), taken="a", column="c", score_name="score"
    ),
    "DomainShiftDisplay": lambda cls: cls(
        {"features": np.ones((2, 2))},
        {"features": 0.0},
        np.array([0, -1]),
        np.array(["+", None], dtype=object),
    ),
    "FreezeDepthDisplay": lambda cls: cls(["all", -1], TWO, TWO, TWO),
    "LabelEfficiencyDisplay": lambda cls: cls({"a": []}),
    "TrainingCurveDisplay": lambda cls: cls({"train": [0.5, 0.4]}),
}


@pytest.fixture
def without_matplotlib(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def message(name):
    return (
        rf"^{name} needs the package 'matplotlib', which is not installed; "
        "run: pip install matplotlib$"
    )


@pytest.mark.parametrize("name", inspection.__all__)
def test_each_display_names_the_package(name, without_matplotlib):
    display = DISPLAYS[name](getattr(inspection, name))
    with pytest.raises(MissingDependencyError, match=message(name)):
        display.plot()


def test_attributions_say_so_before_any_pass(without_matplotlib, counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    model = make_pipeline(TextEncoder(backbone), LogisticRegression())
    model.fit(["good", "bad"], ["+", "-"])
    before = counter.rows
    display = inspection.AttributionDisplay
    with pytest.raises(MissingDependencyError, match=message("AttributionDisplay")):
        display.from_estimator(model, ["good and bad"])
    assert counter.rows == before
    display.from_estimator(model, ["good and bad"], plot=False)
    assert counter.rows > before
