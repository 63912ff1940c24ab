"""load on the saves of earlier versions, which lie in tests/saves."""

import importlib.util
import json
import warnings

import numpy as np
import pytest
import sklearn
from conftest import REPOSITORY

from sktransfer import load
from sktransfer.exceptions import VersionMismatchWarning
from sktransfer.persistence._files import PROTOCOL

FOLDER = REPOSITORY / "tests" / "saves"
SAVES = sorted(path.parent for path in FOLDER.glob("*/*/expected.json"))


@pytest.fixture(scope="module")
def rows():
    spec = importlib.util.spec_from_file_location("make_saves", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ROWS


def test_every_protocol_has_a_save_of_each_model(rows):
    found = {(folder.parent.name, folder.name) for folder in SAVES}
    protocols = [f"protocol{number}" for number in range(1, PROTOCOL + 1)]
    assert found == {(protocol, name) for protocol in protocols for name in rows}


def version(text):
    return [int(part) for part in text.split(".")[:2]]


@pytest.mark.parametrize("folder", SAVES, ids=lambda folder: folder.name)
def test_it_predicts_as_when_it_was_saved(folder, rows):
    expected = json.loads((folder / "expected.json").read_text())
    manifest = json.loads((folder / "model" / "manifest.json").read_text())
    if version(manifest["versions"]["scikit-learn"]) > version(sklearn.__version__):
        pytest.skip("scikit-learn does not read estimators of a later version")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        loaded = load(folder / "model")
    got = loaded.predict_proba(rows[folder.name])
    np.testing.assert_allclose(got, expected, atol=1e-5)
