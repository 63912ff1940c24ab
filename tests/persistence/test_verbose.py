"""A progress bar is for whoever trains: no saved model draws one."""

import json

import numpy as np
import pandas as pd
import pytest
from edited_saves import edit_schema
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import sktransfer
from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    TableEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    load,
    save,
)
from sktransfer._extraction.estimator import ColumnEstimator
from sktransfer.persistence._swap import swap

pytest.importorskip("skops")

TEXTS = [f"text number {i} of {i % 2}" for i in range(12)]
LABELS = np.array(["a", "b"] * 6)
PIXELS = list(np.random.default_rng(0).integers(0, 256, (12, 9, 9, 3), dtype=np.uint8))
TABLE = pd.DataFrame({"text": TEXTS, "photo": PIXELS, "number": np.arange(12.0)})
ONE = {"max_epochs": 1, "freeze_depth": "all", "random_state": 0, "verbose": 1}


def texts():
    return TextEncoder("tiny-bert", verbose=1)


def images():
    return ImageEncoder("tiny-cnn", verbose=2, missing="mean")


CASES = {
    "encoder": lambda: (make_pipeline(texts(), LogisticRegression()), TEXTS),
    "tuned": lambda: (ImageClassifier("tiny-cnn", **ONE), PIXELS),
    "search": lambda: (
        GridSearchCV(
            TextClassifier("tiny-bert", **ONE), {"freeze_depth": ["all", -1]}, cv=2
        ),
        TEXTS,
    ),
    "columns": lambda: (
        make_pipeline(
            make_column_transformer((texts(), "text"), (images(), "photo")),
            LogisticRegression(),
        ),
        TABLE,
    ),
    "table": lambda: (
        make_pipeline(
            TableEncoder(
                images(),
                TargetAwareEncoder(
                    TextClassifier("tiny-bert", **ONE), cv=2, random_state=0
                ),
                kinds={"text": "text"},
            ),
            LogisticRegression(),
        ),
        TABLE,
    ),
}


def verbosities(estimator):
    """Return `verbose` of every estimator of a column in it, fitted or not."""
    found = []

    def look(obj, path):
        if isinstance(obj, ColumnEstimator):
            found.append(obj.verbose)
        return obj

    swap(estimator, look)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_model_draws_no_bar(case, tmp_path, capsys):
    model, X = CASES[case]()
    model.fit(X, LABELS)
    before = verbosities(model)
    assert before
    assert all(before)
    save(model, tmp_path / "model")
    assert verbosities(model) == before  # what was saved is as it was
    loaded = load(tmp_path / "model")
    assert set(verbosities(loaded)) == {0}
    assert len(verbosities(loaded)) == len(before)
    capsys.readouterr()
    predicted = loaded.predict(X)
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(predicted, model.predict(X))
    assert "row/s" in capsys.readouterr().err


def test_what_a_file_says_of_bars_is_ignored(tmp_path):
    model, X = CASES["encoder"]()
    save(model.fit(X, LABELS), tmp_path / "model")

    def talkative(node):
        if "verbose" in node and node.get("__class__") is None:
            node["verbose"] = {**node["verbose"], "content": "1"}
        return node

    edit_schema(
        tmp_path / "model",
        lambda text: json.dumps(json.loads(text, object_hook=talkative), indent=2),
    )
    assert verbosities(load(tmp_path / "model")) == [0]


def test_every_estimator_that_draws_a_bar_is_one_that_load_knows():
    public = [getattr(sktransfer, name) for name in sktransfer.__all__]
    kinds = [k for k in public if isinstance(k, type) and issubclass(k, BaseEstimator)]
    drawing = [k for k in kinds if "verbose" in k._get_param_names()]
    assert len(drawing) >= 6
    assert all(issubclass(kind, ColumnEstimator) for kind in drawing)
