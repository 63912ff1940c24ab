"""Errors of rows: a reason for whoever sent the row, and advice for programmers."""

import ast
import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, encoded
from PIL import Image

from sktransfer import ImageClassifier, ImageEncoder, TextClassifier, TextEncoder
from sktransfer._untrusted import addresses
from sktransfer.exceptions import InvalidRowError, MissingRowError
from sktransfer.model_selection import rank_backbones
from sktransfer.onnx_export import prepare_inputs

# Parameters, packages and code: words that only a programmer can use.
FOR_PROGRAMMERS = re.compile(r"\w+=|\bpip\b|PIL\.|pillow_heif|os\.|str\(\)|\bset\b")
PIXELS = np.zeros((4, 5, 3), dtype=np.uint8)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0"
BAD_IMAGES = {
    "nothing": (b"", {}),
    "a page": (b"<html>404</html>", {}),
    "a format that needs a plugin": (HEIC, {}),
    "too many pixels": (encoded(PIXELS), {"max_pixels": 3}),
    "a path in a service": ("/etc/passwd", {"source": "bytes"}),
    "a Path in a service": (Path("/etc/passwd"), {"source": "bytes"}),
    "a Path among strings in base64": (Path("a.png"), {"source": "base64"}),
    "no base64": ("%", {"source": "base64"}),
    "a path that leads nowhere": ("no/such.png", {}),
    "a home that leads nowhere": ("~/no.png", {}),
    "a URL among paths": ("http://example.org/a.png", {}),
    "base64 among paths": ("data:image/png;base64,xx", {}),
    "a long string among paths": ("x" * 5000, {}),
    "a private address": ("http://10.0.0.1/a.png", {"source": "url"}),
    "this machine": ("http://127.0.0.1/a.png", {"source": "url"}),
    "no URL": ("a.png", {"source": "url"}),
    "another type": (3, {}),
    "floats": (np.zeros((4, 5, 3)), {}),
    "a list with nothing in it": ([], {}),
    "an array of another type": (np.zeros((2, 2)), {}),
    "missing": (None, {}),
}
BAD_TEXTS = {"bytes": b"text", "a list": ["text"], "a number": 3, "missing": None}


@pytest.fixture(autouse=True)
def proxy(monkeypatch):
    """Have hosts refused by their name, as before a proxy is asked: no look-up."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")


def raised(call, *arguments):
    with pytest.raises(InvalidRowError) as caught:
        call(*arguments)
    return caught.value


def check_reason(error):
    assert not FOR_PROGRAMMERS.search(error.reason), error.reason
    assert os.getcwd() not in error.reason
    assert type(error).__name__ not in error.reason


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("kind", [ImageEncoder, ImageClassifier])
def test_the_reason_of_an_image_names_nothing_of_python(kind, name):
    cell, options = BAD_IMAGES[name]
    if kind is ImageClassifier:
        model = kind("tiny-cnn", max_epochs=1, freeze_depth="all", random_state=0)
        model.fit([PIXELS, PIXELS + 9] * 2, [0, 1] * 2)
        error = raised(model.set_params(**options).predict, [cell])
    else:
        error = raised(kind("tiny-cnn", **options).fit_transform, [cell])
    check_reason(error)
    if not isinstance(error, MissingRowError):
        assert error.reason in str(error)


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_the_reason_of_a_text_names_nothing_of_python(name):
    cell = BAD_TEXTS[name]
    params = {"missing": "raise"} if cell is None else {}
    check_reason(raised(TextEncoder("tiny-bert", **params).fit_transform, ["a", cell]))
    model = TextClassifier(
        "tiny-bert", freeze_depth="all", max_epochs=1, random_state=0, **params
    )
    check_reason(raised(model.fit(["a", "b"], [0, 1]).predict, ["a", cell]))


def test_other_doors_have_the_reason_too():
    rows = [encoded(PIXELS), encoded(PIXELS + 9), b"", encoded(PIXELS + 8)]
    error = raised(rank_backbones, rows, [0, 1, 0, 1], ["tiny-cnn"])
    assert error.reason == "it is empty (0 bytes)"
    encoder = ImageEncoder("tiny-cnn", missing="mean").fit([PIXELS])
    assert raised(prepare_inputs, encoder, [b""]).reason == "it is empty (0 bytes)"
    assert raised(prepare_inputs, encoder, [None]).reason == "it is missing"


def test_the_reason_in_a_list_says_which_image():
    error = raised(ImageEncoder("tiny-cnn").fit_transform, [[PIXELS, b"", PIXELS]])
    assert error.reason == "2 of 3 in its list: it is empty (0 bytes)"
    assert f", {error.reason.partition(':')[0]} cannot be used" in str(error)


def test_the_advice_stays_in_the_message():
    error = raised(ImageEncoder("tiny-cnn").fit_transform, [HEIC])
    assert error.reason == "it is HEIC or HEIF, which cannot be read here"
    assert "pip install pillow-heif" in str(error)
    assert "set on_error= to one of" in str(error)
    error = raised(
        ImageEncoder("tiny-cnn", source="url").fit_transform,
        ["http://192.168.0.1/a.png"],
    )
    assert addresses.PRIVATE in error.reason
    assert "source='intranet'" in str(error)


def test_a_reason_survives_a_worker():
    error = raised(ImageEncoder("tiny-cnn").fit_transform, [b""])
    error.add_note("of a worker")
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.row, str(again)) == (error.reason, 0, str(error))
    assert InvalidRowError("a message").reason == "it cannot be used"


def test_a_damaged_file_says_what_pillow_says():
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "JPEG")
    error = raised(ImageEncoder("tiny-cnn").fit_transform, [content.getvalue()[:200]])
    assert error.reason.startswith("it cannot be decoded (")
    check_reason(error)


def test_no_reason_in_the_code_names_a_parameter():
    """Read the first argument of every CellError and FetchError."""
    seen = 0
    for path in (REPOSITORY / "sktransfer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", "")
            if name not in ("CellError", "FetchError", "PrivateHostError"):
                continue
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    seen += 1
                    found = FOR_PROGRAMMERS.search(part.value)
                    assert not found, f"{path.name}: {part.value!r}"
    assert seen > 30
