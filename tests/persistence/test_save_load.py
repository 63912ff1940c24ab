"""save and load: the same predictions, each weight where it belongs, no pickle."""

import copy
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY, not_on_a_pretended_card
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import (
    Backbone,
    BackboneSpec,
    FeatureCache,
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    clear_cache,
    load,
    load_backbone,
    model_card,
    register_backbone,
    save,
)
from sktransfer.backbones import ArrayPreprocess
from sktransfer.exceptions import (
    SaveError,
    UntrustedTypeError,
    VersionMismatchWarning,
    WeightsMismatchError,
)
from sktransfer.finetuning import EarlyStopping, Head

TEXTS = [f"text number {i} of {i % 3}" for i in range(18)]
LABELS = np.array(["a", "b", "c"] * 6)
NUMBERS = np.linspace(0.0, 1.0, 18)
PIXELS = np.random.default_rng(0).integers(0, 256, (18, 36, 40, 3), dtype=np.uint8)
TABLE = pd.DataFrame({"text": TEXTS, "number": NUMBERS})
WEIGHTS = pytest.mark.parametrize("weights", ["reference", "include"])
ONE = {"max_epochs": 1, "random_state": 0}


def image_classifier(**params):
    return ImageClassifier("tiny-cnn", **ONE | params).fit(PIXELS, LABELS)


def text_classifier(**params):
    return TextClassifier("tiny-bert", **ONE | params).fit(TEXTS, LABELS)


def tuned_encoder():
    tuned = image_classifier(freeze_depth=-2).backbone_
    return make_pipeline(ImageEncoder(tuned), LogisticRegression())


CASES = {
    "encoder and linear": lambda: (
        make_pipeline(ImageEncoder("tiny-cnn"), StandardScaler(), LogisticRegression()),
        PIXELS,
        LABELS,
    ),
    "boosted": lambda: (
        make_pipeline(
            ImageEncoder("tiny-cnn", depth=-1),
            HistGradientBoostingClassifier(max_iter=10, random_state=0),
        ),
        PIXELS,
        LABELS,
    ),
    "neighbours": lambda: (
        make_pipeline(
            TextEncoder("tiny-bert"), PCA(3), KNeighborsClassifier(algorithm="kd_tree")
        ),
        TEXTS,
        LABELS,
    ),
    "columns": lambda: (
        make_pipeline(
            ColumnTransformer(
                [("t", TextEncoder("tiny-bert", missing="mean"), "text")],
                remainder="passthrough",
            ),
            RandomForestClassifier(5, random_state=0),
        ),
        TABLE,
        LABELS,
    ),
    "random weights": lambda: (
        make_pipeline(
            TextEncoder(BackboneSpec("tiny-bert", random_state=7)), LogisticRegression()
        ),
        TEXTS,
        LABELS,
    ),
    "tuned encoder": lambda: (tuned_encoder(), PIXELS, LABELS),
    "all frozen": lambda: (
        ImageClassifier("tiny-cnn", freeze_depth="all", **ONE),
        PIXELS,
        LABELS,
    ),
    "half frozen": lambda: (
        ImageClassifier(
            "tiny-cnn",
            freeze_depth=-2,
            early_stopping=EarlyStopping(0.3),
            batch_norm="train",
            **ONE,
        ),
        PIXELS,
        LABELS,
    ),
    "nothing frozen": lambda: (
        ImageRegressor(
            "tiny-cnn", freeze_depth=0, head=Head("mlp", dropout=0.1), **ONE
        ),
        PIXELS,
        NUMBERS,
    ),
    "labels": lambda: (
        TextClassifier("tiny-bert", **ONE),
        TEXTS,
        np.column_stack([np.arange(18) % 2, np.arange(18) > 8]).astype(int),
    ),
    "cosine": lambda: (
        TextRegressor("tiny-bert", head="cosine", pooling="cls", **ONE),
        TEXTS,
        np.column_stack([NUMBERS, -NUMBERS]),
    ),
    "grid": lambda: (
        GridSearchCV(
            TextClassifier("tiny-bert", **ONE), {"freeze_depth": [-1, "all"]}, cv=2
        ),
        TEXTS,
        LABELS,
    ),
}


def outputs(model, X):
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    return np.asarray(getattr(model, method)(X))


@WEIGHTS
@pytest.mark.parametrize("case", CASES)
def test_predictions_after_load_are_bitwise_those_before(case, weights, tmp_path):
    model, X, y = CASES[case]()
    model.fit(X, y)
    expected = outputs(model, X)
    params = sorted(model.get_params())
    save(model, tmp_path / "model", weights=weights)
    np.testing.assert_array_equal(outputs(model, X), expected)  # it was not changed
    clear_cache()
    loaded = load(tmp_path / "model")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(outputs(loaded, X), expected)
    assert {p.partition("__")[0] for p in loaded.get_params()} == {
        p.partition("__")[0] for p in params
    }


@not_on_a_pretended_card
def test_included_weights_need_no_other_weights(tmp_path):
    """Another process, where the name leads to other weights."""
    model = text_classifier(freeze_depth=-1)
    expected = model.predict_proba(TEXTS)
    save(model, tmp_path / "included", weights="include")
    save(model, tmp_path / "referred")
    code = """
import sys, numpy as np
from sktransfer import load, load_backbone, register_backbone, BackboneSpec
from sktransfer.backbones import _toy
from sktransfer.exceptions import WeightsMismatchError
def other(spec):
    import torch
    torch.manual_seed(123)
    return _toy.build_bert(spec)
register_backbone("tiny-bert", other, modality="text", overwrite=True)
texts = [f"text number {i} of {i % 3}" for i in range(18)]
np.save("got.npy", load("included").predict_proba(texts))
try:
    load("referred")
except WeightsMismatchError as err:
    print(err)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "got.npy"), expected)
    assert "other weights of 'tiny-bert'" in done.stdout


def test_other_weights_under_the_name_are_refused(tmp_path):
    save(TextEncoder("tiny-bert").fit(TEXTS), tmp_path / "model")
    other = load_backbone(BackboneSpec("tiny-bert", random_state=5))
    register_backbone("tiny-bert", lambda spec: other, modality="text", overwrite=True)
    with pytest.raises(WeightsMismatchError, match="fingerprint"):
        load(tmp_path / "model")


def test_reference_holds_no_frozen_weight_and_include_holds_each_once(tmp_path):
    pipeline = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    pipeline.fit(TEXTS, LABELS)
    n_bytes = 4 * sum(
        p.numel() for m in load_backbone("tiny-bert").modules() for p in m.parameters()
    )
    sizes = {}
    for weights in ("reference", "include"):
        save(pipeline, tmp_path / weights, weights=weights)
        sizes[weights] = sum(
            p.stat().st_size for p in (tmp_path / weights).glob("*.safetensors")
        )
    assert sizes["reference"] == 0
    assert n_bytes < sizes["include"] < 1.1 * n_bytes


def test_a_tuned_network_saves_only_what_was_tuned(tmp_path):
    model = tuned_encoder().fit(PIXELS, LABELS)
    save(model, tmp_path / "model")
    changed = tmp_path / "model" / "network0-changed.safetensors"
    last = list(load_backbone("tiny-cnn").blocks.values())[2:]
    n_bytes = 4 * sum(t.numel() for m in last for t in m.state_dict().values())
    assert changed.stat().st_size < 1.2 * n_bytes + 2048


def test_a_network_that_pools_for_itself_comes_back(tmp_path):
    spec = BackboneSpec("test_byobnet", pretrained=False, random_state=0)
    model = ImageClassifier(spec, freeze_depth="all", max_epochs=1, random_state=0)
    model.fit(PIXELS, LABELS)
    assert load_backbone(spec).pooling == "none"
    save(model, tmp_path / "model")
    again = load(tmp_path / "model").predict_proba(PIXELS)
    np.testing.assert_allclose(again, model.predict_proba(PIXELS), atol=1e-6)


def test_there_is_no_pickle_in_a_save(tmp_path):
    save(text_classifier(), tmp_path / "model", weights="include")
    for path in (tmp_path / "model").rglob("*"):
        assert path.suffix in (".json", ".skops", ".safetensors")
    with zipfile.ZipFile(tmp_path / "model" / "structure.skops") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(".npy"):
                assert np.load(io.BytesIO(content), allow_pickle=False) is not None
            else:
                json.loads(content)


def test_neither_way_calls_pickle(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle was used")

    model = text_classifier()
    for module, name in (
        (pickle, "loads"),
        (pickle, "load"),
        (pickle, "dumps"),
        (pickle, "Unpickler"),
        (torch, "load"),
    ):
        monkeypatch.setattr(module, name, refuse)
    save(model, tmp_path / "model", weights="include")
    load(tmp_path / "model").predict(TEXTS)


def test_a_loaded_model_can_go_on_training_and_be_cloned(tmp_path):
    model = image_classifier(freeze_depth=-1, warm_start=True)
    save(model, tmp_path / "model", weights="include")
    loaded = load(tmp_path / "model")
    assert loaded.history_ == model.history_
    assert loaded.n_epochs_ == 1
    again = [m.fit(PIXELS, LABELS).predict_proba(PIXELS) for m in (model, loaded)]
    np.testing.assert_allclose(*again, rtol=1e-5, atol=1e-6)
    assert loaded.n_epochs_ == 2
    assert clone(loaded).fit(PIXELS, LABELS).n_epochs_ == 1
    assert loaded.backbone_.widths == model.backbone_.widths


def test_where_features_are_kept_is_not_saved(tmp_path):
    model = make_pipeline(
        TextEncoder("tiny-bert", cache=FeatureCache(tmp_path / "cache")),
        LogisticRegression(),
    ).fit(TEXTS, LABELS)
    save(model, tmp_path / "model")
    assert load(tmp_path / "model")[0].cache == "auto"
    model[0].set_params(cache=None)
    save(model, tmp_path / "without")
    assert load(tmp_path / "without")[0].cache is None


def test_a_model_of_another_machine_loads_without_its_device(tmp_path):
    model = text_classifier()
    model.set_params(device="cuda:77")
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.device == "auto"
    assert loaded.predict(TEXTS).shape == (18,)
    assert load(tmp_path / "model", device="cpu").device == "cpu"
    with pytest.raises(ValueError, match="cuda:78"):
        load(tmp_path / "model", device="cuda:78")


def test_the_digest_pins_the_manifest(tmp_path):
    digest = save(TextEncoder("tiny-bert").fit(TEXTS), tmp_path / "model")
    assert load(tmp_path / "model", sha256=digest.upper()).depth_ == "layers.1"
    with pytest.raises(SaveError, match="expected 0000"):
        load(tmp_path / "model", sha256="0" * 64)


# -- what cannot be saved --------------------------------------------------------------


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return 2 * X


class HoldsTorch(Doubler):
    def fit(self, X, y=None):
        self.layer_ = torch.nn.Identity()
        return self


def shout(X):
    return X


def test_a_type_of_ones_own_is_named_and_can_be_trusted(tmp_path):
    model = make_pipeline(TextEncoder("tiny-bert"), Doubler(), LogisticRegression())
    model.fit(TEXTS, LABELS)
    name = f"{Doubler.__module__}.Doubler"
    with pytest.raises(UntrustedTypeError, match="Doubler") as caught:
        save(model, tmp_path / "model")
    assert caught.value.types == (name,)
    assert list(tmp_path.iterdir()) == []
    save(model, tmp_path / "model", trusted=[name])
    with pytest.raises(UntrustedTypeError, match="nothing was loaded"):
        load(tmp_path / "model")
    loaded = load(tmp_path / "model", trusted=[name])
    np.testing.assert_array_equal(loaded.predict(TEXTS), model.predict(TEXTS))
    with pytest.raises(TypeError, match="list of dotted names"):
        load(tmp_path / "model", trusted=name)


@pytest.mark.parametrize(
    ("step", "word"),
    [
        (HoldsTorch(), "layer_ is a Identity"),
        (FunctionTransformer(shout), "shout"),
        (
            RandomizedSearchCV(
                LogisticRegression(),
                {"C": __import__("scipy").stats.loguniform(0.1, 1)},
                n_iter=1,
                random_state=0,
                cv=2,
            ),
            "rv_continuous_frozen",
        ),
    ],
    ids=["torch", "function", "distribution"],
)
def test_what_cannot_be_saved_is_named(step, word, tmp_path):
    model = make_pipeline(TextEncoder("tiny-bert"), step).fit(TEXTS, LABELS)
    with pytest.raises(SaveError, match=word):
        save(model, tmp_path / "model")


def test_a_network_that_no_name_leads_to_is_refused_with_advice(tmp_path):
    from sktransfer.backbones import _toy

    with torch.random.fork_rng():
        network = _toy.build_cnn(BackboneSpec("mine"))
    model = ImageEncoder(network).fit(PIXELS)
    with pytest.raises(SaveError, match="register_backbone"):
        save(model, tmp_path / "model")
    register_backbone("mine", lambda spec: network, modality="image")
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(PIXELS), model.transform(PIXELS))


def test_a_network_of_another_structure_under_its_name_is_refused(tmp_path):
    with torch.random.fork_rng():
        network = Backbone.from_module(
            torch.nn.Sequential(torch.nn.Linear(4, 8)),
            blocks={"hidden": "0"},
            preprocess=ArrayPreprocess(4),
            name="tiny-mlp",
        )
    model = make_pipeline(FunctionTransformer(kw_args={"a": network}))
    with pytest.raises(SaveError, match="register_backbone"):
        save(model, tmp_path / "model")


# -- the folder ------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    with pytest.raises(SaveError, match=r"file/model cannot be made \(Not a dir"):
        save(encoder, tmp_path / "file" / "model")


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(SaveError, match="another folder"):
            save(encoder, tmp_path / "mine", overwrite=overwrite)
    save(encoder, tmp_path / "model")
    with pytest.raises(SaveError, match="overwrite=True"):
        save(encoder, tmp_path / "model")
    save(encoder.set_params(depth=-1).fit(TEXTS), tmp_path / "model", overwrite=True)
    assert load(tmp_path / "model").depth == -1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "model"]


def test_a_save_that_fails_leaves_nothing_and_keeps_the_old_one(tmp_path, monkeypatch):
    from sktransfer.persistence import _files

    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    save(encoder, tmp_path / "model")
    before = {p: p.read_bytes() for p in (tmp_path / "model").iterdir()}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(encoder, tmp_path / "model", overwrite=True)
    assert {p: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_other_versions_are_one_warning_that_names_them(tmp_path, monkeypatch):
    from sktransfer.persistence import _files

    real = _files.versions()
    monkeypatch.setattr(_files, "versions", lambda: {**real, "torch": "1.0.0"})
    save(TextEncoder("tiny-bert").fit(TEXTS), tmp_path / "model")
    monkeypatch.setattr(_files, "versions", lambda: real)
    with pytest.warns(VersionMismatchWarning, match="torch 1.0.0 when it was saved"):
        load(tmp_path / "model")
    monkeypatch.setattr(_files, "versions", lambda: {**real, "skops": "0.0"})
    save(TextEncoder("tiny-bert").fit(TEXTS), tmp_path / "other")
    monkeypatch.setattr(_files, "versions", lambda: real)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "other")  # of no consequence


@pytest.mark.slow
@WEIGHTS
def test_bundled_networks(weights, tmp_path, bundled_weights):
    image = ImageClassifier(freeze_depth=-1, **ONE).fit(PIXELS[:6], LABELS[:6])
    text = make_pipeline(TextEncoder(), LogisticRegression()).fit(TEXTS, LABELS)
    for model, X in ((image, PIXELS[:6]), (text, TEXTS)):
        expected = model.predict_proba(X)
        save(model, tmp_path / type(model).__name__, weights=weights)
        clear_cache()
        got = load(tmp_path / type(model).__name__).predict_proba(X)
        np.testing.assert_array_equal(got, expected)


# -- pickle, joblib, deepcopy ----------------------------------------------------------


def through_joblib(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@not_on_a_pretended_card
@pytest.mark.parametrize("freeze_depth", [0, -1, "all"])
@pytest.mark.parametrize(
    "way",
    [lambda m: pickle.loads(pickle.dumps(m)), through_joblib, copy.deepcopy],
    ids=["pickle", "joblib", "deepcopy"],
)
def test_copies_of_fitted_models_predict_the_same(way, freeze_depth):
    model = image_classifier(freeze_depth=freeze_depth)
    expected = model.predict_proba(PIXELS)
    _ = model.backbone_  # made on demand, and left out
    clear_cache()
    copied = way(model)
    np.testing.assert_array_equal(copied.predict_proba(PIXELS), expected)
    assert copied.net_ is not model.net_
    copied.partial_fit(PIXELS, LABELS)
    np.testing.assert_array_equal(model.predict_proba(PIXELS), expected)


@not_on_a_pretended_card
@pytest.mark.parametrize("freeze_depth", [0, -1, "all"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_pickle_holds_the_trained_weights_once_and_nothing_large_beside(
    early_stopping, freeze_depth
):
    model = text_classifier(
        freeze_depth=freeze_depth,
        early_stopping=EarlyStopping(0.3) if early_stopping else False,
        max_epochs=2,
    )
    _ = model.backbone_, model.predict(TEXTS)
    content = pickle.dumps(model)
    tensors = model.net_.module_.state_dict()
    for name, tensor in tensors.items():
        if tensor.numel() > 40:
            raw = tensor.cpu().numpy().tobytes()
            assert content.count(raw) == 1, f"{name}: {content.count(raw)} times"
    n_bytes = sum(t.numel() * t.element_size() for t in tensors.values())
    assert len(content) < n_bytes + 1000 * len(tensors) + 12_000
    if freeze_depth:
        words = load_backbone("tiny-bert").blocks["embeddings"].module.words.weight
        assert content.count(words.numpy().tobytes()) == 0


@not_on_a_pretended_card
def test_an_unpickled_net_trains_again_and_keeps_the_callers_callbacks():
    from skorch.callbacks import EpochTimer

    model = text_classifier(callbacks=[("mine", EpochTimer())])
    loaded = pickle.loads(pickle.dumps(model))
    assert "mine" in dict(loaded.net_.callbacks_)
    assert loaded.net_.module is loaded.net_.module_
    before = loaded.net_.module_.state_dict()
    with torch.random.fork_rng():
        loaded.net_.initialize()
    after = loaded.net_.module_.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_no_row_that_was_set_aside_leaves_with_the_model():
    rows = PIXELS.copy()
    model = image_classifier(freeze_depth=0, early_stopping=EarlyStopping(0.3))
    content = pickle.dumps(model)
    prepared = [load_backbone("tiny-cnn").preprocess for _ in rows]
    from PIL import Image

    for row, preprocess in zip(rows, prepared, strict=True):
        pixels = preprocess.prepare(Image.fromarray(row))
        assert content.count(np.ascontiguousarray(pixels).tobytes()) == 0


# -- the card --------------------------------------------------------------------------


def test_a_card_says_what_the_model_is(tmp_path):
    (tmp_path / "roc.png").write_bytes(b"png")
    model = make_pipeline(
        ColumnTransformer([("t", TextEncoder("tiny-bert", depth=-1), "text")]),
        LogisticRegression(),
    ).fit(TABLE, LABELS)
    card = model_card(
        model,
        tmp_path / "card.md",
        title="Queue",
        description="Sorts texts.",
        data="18 made-up texts.",
        limits="Nothing real.",
        metrics={"accuracy | test": 0.91234, "rows": 18},
        licence="BSD-3-Clause",
        figures={"ROC curve": tmp_path / "roc.png"},
    )
    assert (tmp_path / "card.md").read_text() == card
    assert card.startswith("# Queue\n\nSorts texts.\n\n## Data\n\n18 made-up texts.")
    for line in (
        "| accuracy \\| test | 0.9123 |",
        "| depth | 2 of 3 blocks, up to `layers.0` |",
        "| licence of the weights | none needed: seeded random weights |",
        "![ROC curve](roc.png)",
        f"| fingerprint | `{load_backbone('tiny-bert').fingerprint}` |",
    ):
        assert line in card
    assert "### TextEncoder at `steps[0][1].transformers_[0][1]`" in card


def test_a_card_of_a_tuned_model_has_its_training():
    card = model_card(image_classifier(freeze_depth=-2, max_epochs=3))
    assert "| frozen | 2 of 4 blocks, up to `stages.0` |" in card
    assert "3 epochs" in card
    assert "| 3 | " in card
    assert "| classes | a, b, c |" in card
    with pytest.raises(FileNotFoundError, match="nowhere"):
        model_card(TextEncoder("tiny-bert").fit(["a"]), figures={"x": "nowhere.png"})


def test_licences_of_timm_come_from_its_records():
    from sktransfer.persistence._card import UNKNOWN_LICENCE, licence_of

    assert licence_of("resnet18.a1_in1k") == "apache-2.0"
    assert licence_of("efficientnet_lite0") == "Apache-2.0"
    assert licence_of("organisation/unheard-of") == UNKNOWN_LICENCE


def test_what_is_not_fitted_is_neither_saved_nor_described(tmp_path):
    from sklearn.exceptions import NotFittedError

    from sktransfer import model_card

    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [1]})
    for estimator in (model, search):
        with pytest.raises(NotFittedError, match="not fitted.*best_estimator_"):
            save(estimator, tmp_path / "model")
        with pytest.raises(NotFittedError, match="not fitted"):
            model_card(estimator)
    with pytest.raises(TypeError, match="must be an estimator, got int"):
        save(5, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_metrics_of_a_card_that_are_no_dict_are_refused():
    from sktransfer import model_card

    with pytest.raises(TypeError, match=r"metrics=0\.7 must be a dict"):
        model_card(TextEncoder("tiny-bert").fit(["a"]), metrics=0.7)


def test_a_link_to_a_save_is_followed_and_stays(tmp_path):
    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    save(encoder, tmp_path / "v1")
    (tmp_path / "current").symlink_to("v1")
    save(encoder.set_params(depth=-1), tmp_path / "current", overwrite=True)
    assert (tmp_path / "current").is_symlink()
    assert load(tmp_path / "v1").depth == -1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["current", "v1"]


def test_the_old_save_comes_back_where_the_new_one_cannot_be_renamed(
    tmp_path, monkeypatch
):
    from sktransfer.persistence import _files

    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    digest = save(encoder, tmp_path / "model")
    rename = os.rename

    def refuse(source, target):
        if ".new-" in str(source):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(_files.os, "rename", refuse)
    with pytest.raises(OSError, match="no"):
        save(encoder.set_params(depth=-1), tmp_path / "model", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert load(tmp_path / "model", sha256=digest).depth == "all"
