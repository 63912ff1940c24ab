"""Saved models in MLflow and on file systems that fsspec knows."""

import random
import re

import fsspec
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import TableEncoder, TextClassifier, TextEncoder, load, save

pytest.importorskip("skops")

PAGE = REPOSITORY / "docs" / "guide" / "shipping.md"
TEXTS = [f"text number {i} of {i % 2}" for i in range(12)]
LABELS = np.array(["a", "b"] * 6)


def pipeline():
    return make_pipeline(TextEncoder("tiny-bert"), LogisticRegression()), TEXTS


def tuned():
    return TextClassifier("tiny-bert", max_epochs=1, random_state=0), TEXTS


def table():
    frame = pd.DataFrame({"review": TEXTS, "color": ["red", "blue"] * 6})
    encoder = TableEncoder(text_encoder=TextEncoder("tiny-bert"))
    return make_pipeline(encoder, LogisticRegression()), frame


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """MLflow over a database in a temporary folder."""
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    # It would start a process that imports everything, to see what that is.
    monkeypatch.setattr("mlflow.models.infer_pip_requirements", lambda *a, **k: [])
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    state = random.getstate()  # runs get random names
    yield mlflow
    random.setstate(state)
    mlflow.set_tracking_uri(None)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
@pytest.mark.parametrize("make", [pipeline, tuned, table])
@pytest.mark.parametrize("way", ["trusted types", "cloudpickle"])
def test_mlflow_gives_back_the_same_predictions(make, way, mlflow):
    import skops.io

    model, X = make()
    model.fit(X, LABELS)
    types = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    options = {"skops_trusted_types": types}
    if way == "cloudpickle":
        options = {"serialization_format": "cloudpickle"}
    else:
        with pytest.raises(mlflow.exceptions.MlflowException, match="untrusted types"):
            mlflow.sklearn.log_model(model, name="model")
    info = mlflow.sklearn.log_model(model, name="model", **options)
    again = mlflow.sklearn.load_model(info.model_uri)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    function = mlflow.pyfunc.load_model(info.model_uri)
    np.testing.assert_array_equal(function.predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore")
def test_the_lines_of_the_page_run(mlflow):
    model, texts = pipeline()
    names = {"model": model.fit(texts, LABELS), "texts": texts}
    names |= {"save": save, "load": load}
    blocks = re.findall(r"```py\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        exec(code, names)


@pytest.mark.parametrize("scheme", ["memory://models", "file"])
def test_a_save_travels_over_fsspec(scheme, tmp_path):
    model, texts = pipeline()
    digest = save(model.fit(texts, LABELS), tmp_path / "model", weights="include")
    root = f"file://{tmp_path}/store" if scheme == "file" else scheme
    files, place = fsspec.url_to_fs(f"{root}/m1")
    files.put(str(tmp_path / "model"), place, recursive=True)
    files.get(place, str(tmp_path / "fetched"), recursive=True)
    again = load(tmp_path / "fetched", sha256=digest)
    np.testing.assert_array_equal(
        again.predict_proba(texts), model.predict_proba(texts)
    )
    files.rm(place, recursive=True)
