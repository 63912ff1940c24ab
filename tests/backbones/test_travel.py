"""Networks that a user registered, in other processes."""

import dataclasses
import pickle
import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict

import numpy as np
import pytest
from conftest import not_on_a_pretended_card
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    Backbone,
    BackboneSpec,
    ImageClassifier,
    ImageEncoder,
    load,
    load_backbone,
    register_backbone,
    save,
)
from sktransfer.backbones import _arrived, _registry
from sktransfer.exceptions import (
    SaveError,
    UnknownBackboneError,
    WeightsMismatchError,
)


@pytest.fixture
def elsewhere(monkeypatch):
    """Give ``elsewhere()``: from then on, this is a process without registrations."""
    monkeypatch.setattr(_arrived, "_arrived", {})

    def forget():
        ours = {
            name: entry
            for name, entry in _registry._entries.items()
            if entry.builder.__module__.startswith("sktransfer.")
        }
        monkeypatch.setattr(_registry, "_entries", ours)
        monkeypatch.setattr(_registry, "_loaded", OrderedDict())

    return forget


def build(spec):
    return load_backbone("tiny-cnn")


def build_other(seed):
    spec = BackboneSpec("tiny-cnn", random_state=seed)
    return lambda _: load_backbone(spec)


@pytest.mark.parametrize("builder", [build, lambda spec: build(spec), build_other(1)])
@pytest.mark.parametrize("as_spec", [False, True])
def test_an_estimator_takes_its_network_along(as_spec, builder, elsewhere, pixels):
    register_backbone("mine", builder, modality="image")
    encoder = ImageEncoder(BackboneSpec("mine") if as_spec else "mine")
    model = make_pipeline(encoder, LogisticRegression()).fit(pixels, [0, 1] * 3)
    want = model.predict_proba(pixels)
    content = pickle.dumps(model)
    elsewhere()
    for _ in range(2):  # and from there to a third process
        model = pickle.loads(content)
        np.testing.assert_array_equal(model.predict_proba(pixels), want)
        content = pickle.dumps(clone(model[0]))
        content = pickle.dumps(model)


@not_on_a_pretended_card
def test_a_tuned_network_is_taken_along(elsewhere, pixels):
    register_backbone("mine", build_other(1), modality="image")
    model = ImageClassifier("mine", freeze_depth=-1, max_epochs=1, random_state=0)
    want = model.fit(pixels, [0, 1] * 3).predict_proba(pixels)
    content = pickle.dumps(model)
    elsewhere()
    got = pickle.loads(content).predict_proba(pixels)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_what_this_process_registered_comes_first(elsewhere, pixels):
    register_backbone("mine", build_other(1), modality="image")
    encoder = ImageEncoder("mine")
    contents = pickle.dumps(encoder), pickle.dumps(encoder.fit(pixels))
    elsewhere()
    register_backbone("mine", build_other(2), modality="image")
    want = ImageEncoder(BackboneSpec("tiny-cnn", random_state=2)).fit_transform(pixels)
    np.testing.assert_array_equal(pickle.loads(contents[0]).transform(pixels), want)
    with pytest.raises(ValueError, match="was fitted with another network"):
        pickle.loads(contents[1]).transform(pixels)


def test_a_worker_that_lives_on_takes_the_newer_builder(elsewhere, pixels):
    contents = []
    for seed in (1, 2):
        register_backbone("mine", build_other(seed), modality="image", overwrite=True)
        contents.append(pickle.dumps(ImageEncoder("mine").fit(pixels)))
    elsewhere()
    for seed, content in zip((1, 2), contents, strict=True):
        spec = BackboneSpec("tiny-cnn", random_state=seed)
        want = ImageEncoder(spec).fit_transform(pixels)
        np.testing.assert_array_equal(pickle.loads(content).transform(pixels), want)


def test_a_function_of_a_module_goes_by_its_name(elsewhere, tmp_path, monkeypatch):
    code = """
    from sktransfer import load_backbone, register_backbone
    def build(spec):
        return load_backbone("tiny-cnn")
    register_backbone("by-import", build, modality="image")
    """
    (tmp_path / "my_networks.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    import my_networks

    assert my_networks.build
    content = pickle.dumps(ImageEncoder("by-import"))
    assert b"my_networks:build" in content
    elsewhere()
    monkeypatch.delitem(sys.modules, "my_networks")
    encoder = pickle.loads(content)
    assert "my_networks" not in sys.modules  # nothing runs before it is needed
    assert load_backbone(encoder.backbone).block_names[0] == "stem"
    assert "by-import" in _registry._entries  # as the module itself registers it
    assert load_backbone(encoder.backbone).block_names[0] == "stem"


def test_a_builder_that_cannot_travel_stays(elsewhere):
    lock = threading.Lock()

    def guarded(spec):
        with lock:
            return build(spec)

    register_backbone("mine", guarded, modality="image")
    content = pickle.dumps(ImageEncoder("mine"))
    elsewhere()
    with pytest.raises(UnknownBackboneError, match="mine"):
        load_backbone(pickle.loads(content).backbone)


def test_pickles_of_other_networks_and_saves_take_nothing_along(tmp_path, pixels):
    register_backbone("mine", build_other(1), modality="image")
    assert b"rebuild_with" not in pickle.dumps(ImageEncoder("tiny-cnn"))
    assert b"rebuild_with" not in pickle.dumps(ImageEncoder(load_backbone("mine")))
    save(ImageEncoder("mine").fit(pixels), tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        assert b"cloudpickle" not in path.read_bytes()


def own_network(name=None):
    """Describe one network, as often as it is asked for."""
    import torch
    from torch import nn

    from sktransfer.backbones import ImagePreprocess

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2))
    half = (0.5, 0.5, 0.5)
    preprocess = ImagePreprocess(size=(32, 32), mean=half, std=half)
    blocks = ["0", "1", "2"]
    return Backbone.from_module(net, blocks=blocks, preprocess=preprocess, name=name)


def test_an_object_is_saved_under_the_name_that_builds_the_same(tmp_path, pixels):
    encoder = ImageEncoder(own_network()).fit(pixels)
    register_backbone("broken", lambda spec: 1 / 0, modality="image")
    with pytest.raises(SaveError, match="save again"):
        save(encoder, tmp_path / "model")
    register_backbone("mine", lambda spec: own_network(spec.name), modality="image")
    save(encoder, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(pixels), encoder.transform(pixels))


@pytest.mark.parametrize("weights", ["reference", "include"])
@pytest.mark.parametrize("name", ["mine", "somebody/mine"])
def test_a_save_of_a_registered_network_asks_to_register_it(
    weights, name, elsewhere, tmp_path, pixels
):
    def register(seed):
        network = load_backbone(BackboneSpec("tiny-cnn", random_state=seed))
        network = dataclasses.replace(network, name=name)
        register_backbone(name, lambda spec: network, modality="image")

    register(1)
    encoder = ImageEncoder(name).fit(pixels)
    want = encoder.transform(pixels)
    content = pickle.dumps(encoder)
    save(encoder, tmp_path / "model", weights=weights)
    elsewhere()
    message = rf"had registered its network as '{name}'.*before load"
    with pytest.raises(UnknownBackboneError, match=message):
        load(tmp_path / "model")
    with pytest.raises(UnknownBackboneError, match="register_backbone in this process"):
        load_backbone("mine")
    register(2)  # under other weights
    if weights == "include":
        np.testing.assert_array_equal(load(tmp_path / "model").transform(pixels), want)
    else:
        with pytest.raises(WeightsMismatchError, match="Register the builder with the"):
            load(tmp_path / "model")
    elsewhere()
    pickle.loads(content)  # brings the registration of another process
    again = tmp_path / "again"
    save(load(tmp_path / "model"), again, weights=weights)
    np.testing.assert_array_equal(load(again).transform(pixels), want)
    elsewhere()
    _arrived._arrived.clear()
    with pytest.raises(UnknownBackboneError, match=message):
        load(again)


SCRIPT = """
import numpy as np, torch
from sklearn.model_selection import GridSearchCV
from torch import nn
from sktransfer import Backbone, ImageClassifier, load, register_backbone, save
from sktransfer.backbones import ImagePreprocess

class Net(nn.Sequential):
    pass

def build(spec):
    torch.manual_seed(0)
    net = Net(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
              nn.Linear(8, 5))
    half = (0.5, 0.5, 0.5)
    preprocess = ImagePreprocess(size=(32, 32), mean=half, std=half)
    return Backbone.from_module(net, blocks=["0", "1"], head="4", name=spec.name,
                                preprocess=preprocess)

if __name__ == "__main__":
    register_backbone("mine", build, modality="image")
    X = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    y = np.array(["a", "b"] * 6)
    model = ImageClassifier("mine", max_epochs=1, random_state=0)
    grid = {"freeze_depth": ["all", -1]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    save(search, "model")
    assert (load("model").predict(X) == search.predict(X)).all()
    print("done")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_script_searches_with_workers_and_saves(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "done", done.stderr[-2000:]


def test_a_network_that_arrived_stays_loaded(elsewhere, pixels):
    register_backbone("mine", build_other(1), modality="image")
    content = pickle.dumps(ImageEncoder("mine"))
    elsewhere()
    pickle.loads(content).fit_transform(pixels)
    assert load_backbone("mine") is load_backbone("mine")
