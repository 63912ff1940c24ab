"""The serving example of the guide: bytes only, and 422 with the reason."""

import importlib.util
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, encoded
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, save
from sktransfer._cells import images
from sktransfer._untrusted import web

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("skops")

LABELS = np.array(["cat", "dog"] * 3)


@pytest.fixture(params=["path", "url"])
def served(request, pixels, tmp_path, monkeypatch):
    """The app over a model whose encoder would open strings, and its client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        from fastapi.testclient import TestClient
    encoder = ImageEncoder("tiny-cnn", source=request.param)
    model = make_pipeline(encoder, LogisticRegression()).fit(pixels, LABELS)
    digest = save(model, tmp_path / "model")
    monkeypatch.setenv("MODEL_FOLDER", str(tmp_path / "model"))
    monkeypatch.setenv("MODEL_SHA256", digest)
    path = REPOSITORY / "docs" / "examples" / "serving.py"
    spec = importlib.util.spec_from_file_location("serving_example", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "serving_example", module)
    spec.loader.exec_module(module)
    return model, TestClient(module.app), module


def test_an_image_gets_its_probabilities(served, pixels):
    model, client, _ = served
    content = encoded(pixels[0])
    answer = client.post("/predict", content=content)
    assert answer.status_code == 200
    want = model.predict_proba([content])[0]
    assert answer.json() == dict(zip(["cat", "dog"], want.tolist(), strict=True))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"/etc/passwd", "it is no image"),
        (b"http://127.0.0.1", "it is no image"),
        (b"file:///etc/passwd", "it is no image"),
        (b"<html>404</html>", "an HTML page"),
        (b"", "it is empty"),
    ],
)
def test_nothing_is_read_for_a_bad_upload_and_the_reason_is_given(
    content, reason, served, monkeypatch
):
    def refuse(name, **options):
        raise AssertionError(f"{name!r} was opened")

    monkeypatch.setattr(images, "_read_file", refuse)
    monkeypatch.setattr(web, "fetch", refuse)
    _, client, _ = served
    opened = []
    sys.addaudithook(
        lambda event, arguments: (
            opened.append(arguments)
            if event in ("open", "socket.connect") and watching
            else None
        )
    )
    watching = [True]
    answer = client.post("/predict", content=content)
    watching.clear()
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert not [one for one in opened if "passwd" in str(one) or "127" in str(one)]


def test_no_answer_tells_a_client_to_set_parameters(served):
    _, client, module = served
    module.model[0].set_params(max_pixels=3)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0"
    reasons = {
        b"": "it is empty (0 bytes)",
        heic: "it is HEIC or HEIF, which cannot be read here",
        encoded(np.zeros((4, 5, 3), np.uint8)): (
            "it has 20 pixels (5 x 4), and at most 3 are allowed"
        ),
    }
    for content, reason in reasons.items():
        answer = client.post("/predict", content=content)
        assert (answer.status_code, answer.json()) == (422, {"detail": reason})


def test_an_upload_that_is_too_long_is_refused(served, monkeypatch):
    _, client, module = served
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    assert client.post("/predict", content=b"x" * 1001).status_code == 413
