"""Tasks of a fit, and scikit-learn without callbacks."""

import importlib.util
import subprocess
import sys
import threading

import pytest

from sktransfer._utils import callbacks
from sktransfer._utils.callbacks import RowTasks, Task, n_parts
from sktransfer.exceptions import MissingDependencyError


class Tree:
    """Stands for a context of scikit-learn's."""

    def __init__(self, name="root"):
        self.name, self.children, self.calls = name, [], []

    def subcontext(self, task_name, max_subtasks):
        self.children.append(Tree(task_name))
        return self.children[-1]

    def call_on_fit_task_begin(self, **seen):
        self.calls.append("begin")
        return self

    def call_on_fit_task_end(self, **seen):
        self.calls.append("end")
        return False


@pytest.mark.parametrize(
    ("n_rows", "steps"),
    [
        (7, [7]),
        (7, [1] * 7),
        (7, [3, 1]),  # some rows were never counted
        (250, [64, 64, 64, 58]),
        (3, [2, 2, 2]),  # and some twice
        (0, []),
    ],
)
def test_each_part_of_the_rows_is_a_task_that_ends(n_rows, steps):
    tree = Tree()
    with RowTasks(Task(tree, {}), n_rows, n_parts(n_rows)) as tasks:
        for step in steps:
            tasks.update(step)
    assert len(tree.children) <= n_parts(n_rows) <= 100
    assert all(child.calls == ["begin", "end"] for child in tree.children)
    if sum(steps) >= n_rows:
        assert len(tree.children) == n_parts(n_rows)


def test_rows_are_counted_by_several_threads():
    tree = Tree()
    with RowTasks(Task(tree, {}), 400, 100) as tasks:

        def count():
            for _ in range(100):
                tasks.update(1)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [child.calls for child in tree.children] == [["begin", "end"]] * 100


def test_an_error_ends_no_task():
    tree = Tree()

    def read():
        with RowTasks(Task(tree, {}), 10, 10) as tasks:
            tasks.update(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    assert tree.children[-1].calls == ["begin"]


@pytest.fixture
def without_callbacks(monkeypatch):
    """The module, as it is where scikit-learn is older than 1.9."""
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    name = "sktransfer._utils.older_callbacks"
    spec = importlib.util.spec_from_file_location(name, callbacks.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_callbacks_a_task_tells_nobody(without_callbacks):
    class Estimator(without_callbacks.CallbackSupport):
        @without_callbacks.with_callbacks
        def fit(self, X):
            with self._fit_task(X, None, 2, sample_weight=[1]) as task:
                with task.subtask("inner").fitting(Estimator()):
                    pass
                with without_callbacks.RowTasks(task.subtask("rows"), 3, 3) as rows:
                    rows.update(3)
            return task.is_stopped

    assert Estimator().fit([1]) is False
    with pytest.raises(MissingDependencyError, match=r"scikit-learn 1\.9.*pip install"):
        Estimator().set_callbacks()


def test_every_kind_of_estimator_works_without_callbacks():
    code = """
import sys
import sklearn.pipeline
there = sys.modules.pop("sklearn.callback", None)
sys.modules["sklearn.callback"] = None
import sktransfer._utils.callbacks
if there is not None:
    sys.modules["sklearn.callback"] = there
assert sktransfer._utils.callbacks.found is None
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sktransfer import *
texts = [f"{'good' if i % 2 else 'bad'} thing {i}" for i in range(8)]
y = np.arange(8) % 2
model = TextClassifier("tiny-bert", max_epochs=2, freeze_depth=-1, random_state=0)
table = TableEncoder(
    text_encoder=TargetAwareEncoder(model, cv=2, random_state=0), kinds={"t": "text"}
)
pipeline = make_pipeline(table, DomainAdaptationClassifier())
grid = GridSearchCV(pipeline, {"tableencoder__n_components": [1, 2]}, cv=2)
grid.fit(pd.DataFrame({"t": texts}), y)
assert grid.predict(pd.DataFrame({"t": texts})).shape == (8,)
ZeroShotClassifier(["a", "b"], TextEncoder("tiny-bert")).fit(texts)
"""
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)
