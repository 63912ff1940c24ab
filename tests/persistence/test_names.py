"""No pickle and no save names a private file, so that every file may move."""

import importlib
import inspect
import pickle
import pkgutil
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from edited_saves import rename_class
from sklearn.linear_model import LogisticRegression, Ridge

import sktransfer
from sktransfer import (
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    TableEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    ZeroShotClassifier,
    finetuning,
    load,
    load_backbone,
    persistence,
    save,
)
from sktransfer._utils.names import FILES
from sktransfer._utils.options import Options
from sktransfer.encoders import Pieces
from sktransfer.exceptions import UntrustedTypeError
from sktransfer.finetuning import (
    Augmentation,
    ContrastiveLoss,
    DomainLoss,
    EarlyStopping,
    FocalLoss,
    Head,
    HuberLoss,
    LogLoss,
    Optimizer,
    QuantileLoss,
    SquaredErrorLoss,
)
from sktransfer.persistence import _names

PRIVATE = re.compile(rb"sktransfer(?:\.\w+)*\._\w*")
MODULES = [
    importlib.import_module(info.name)
    for info in pkgutil.walk_packages(sktransfer.__path__, "sktransfer.")
    if not info.name.endswith("__main__")
]
PUBLIC = {
    (module.__name__, name)
    for module in [sktransfer, *MODULES]
    for name in getattr(module, "__all__", ())
}

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (8, 36, 40, 3), dtype=np.uint8)
TEXTS = [f"text number {i} of {i % 3}" for i in range(8)]
LABELS, NUMBERS = np.array(list("abababab")), np.linspace(0, 1, 8)
VECTORS = rng.normal(size=(8, 3))
DOMAIN = np.array([0, 0, 0, 0, -1, -1, -1, -1])
TWO_SOURCES = np.array([0, 0, 1, 1, -1, -1, -1, -1])
TABLE = pd.DataFrame(
    {
        "text": TEXTS,
        "number": NUMBERS,
        "letter": LABELS,
        "day": pd.date_range("2024-01-01", periods=8),
    }
)
ONE = {"max_epochs": 1, "random_state": 0}


def adapted(adapter):
    model = DomainAdaptationClassifier(LogisticRegression(), adapter)
    return model.fit(VECTORS, LABELS, sample_domain=DOMAIN)


def adapter(name, **params):
    fitted = getattr(sktransfer, name)(**params)
    return lambda: fitted.fit(VECTORS, LABELS, sample_domain=DOMAIN)


def tuned(cls, X, y, **params):
    backbone = "tiny-cnn" if X is PIXELS else "tiny-bert"
    fit_params = {}
    if "domain_loss" in params or params.get("batch_norm") == "target":
        fit_params = {"sample_domain": DOMAIN}
    params = {"freeze_depth": -1} | ONE | params
    return lambda: cls(backbone, **params).fit(X, y, **fit_params)


# Objects of parameters, for each estimator that takes them.
NESTED = {
    TextClassifier: [
        Head(),
        LogLoss(),
        FocalLoss(),
        ContrastiveLoss(),
        Optimizer(),
        EarlyStopping(0.5),
        DomainLoss("mmd"),
        Pieces(32),
    ],
    ImageClassifier: [Augmentation()],
    TextRegressor: [SquaredErrorLoss(), HuberLoss(), QuantileLoss()],
}
PARAMETER = {
    "Head": "head",
    "Pieces": "max_length",
    "Optimizer": "optimizer",
    "EarlyStopping": "early_stopping",
    "DomainLoss": "domain_loss",
    "Augmentation": "augment",
}
INPUT = {
    TextClassifier: (TEXTS, LABELS),
    ImageClassifier: (PIXELS, LABELS),
    TextRegressor: (TEXTS, NUMBERS),
}


# A fitted one of every public estimator; of the fine-tuning ones, one for each way to
# train, as the pickle has what it was trained with.
FITTED = {
    "ImageEncoder": lambda: ImageEncoder("tiny-cnn").fit(PIXELS),
    "TextEncoder": lambda: TextEncoder("tiny-bert").fit(TEXTS),
    "ImageClassifier": tuned(ImageClassifier, PIXELS, LABELS),
    "ImageClassifier, views": tuned(
        ImageClassifier, PIXELS, LABELS, augment=Augmentation("light", views=2)
    ),
    "ImageClassifier, augment": tuned(ImageClassifier, PIXELS, LABELS, augment="light"),
    "ImageClassifier, prototype": tuned(
        ImageClassifier, PIXELS, LABELS, head="prototype", freeze_depth="all"
    ),
    "ImageClassifier, target": tuned(
        ImageClassifier, PIXELS, LABELS, batch_norm="target", freeze_depth=0
    ),
    "ImageClassifier, early": tuned(
        ImageClassifier, PIXELS, LABELS, early_stopping=EarlyStopping(0.5)
    ),
    "ImageRegressor": tuned(ImageRegressor, PIXELS, NUMBERS),
    "TextClassifier": tuned(TextClassifier, TEXTS, LABELS),
    "TextClassifier, contrastive": tuned(
        TextClassifier, TEXTS, LABELS, loss="contrastive"
    ),
    "TextClassifier, mlp": tuned(TextClassifier, TEXTS, LABELS, head="mlp"),
    "TextClassifier, cosine": tuned(
        TextClassifier,
        TEXTS,
        LABELS,
        head="cosine",
        optimizer=Optimizer(lr_schedule="one-cycle"),
    ),
    **{
        f"TextClassifier, {loss}": tuned(
            TextClassifier, TEXTS, LABELS, domain_loss=loss
        )
        for loss in ("coral", "mmd", "dann", "cdan", "mcc")
    },
    "TextRegressor": tuned(TextRegressor, TEXTS, NUMBERS),
    "TextRegressor, kept": tuned(TextRegressor, TEXTS, NUMBERS, warm_start=True),
    "TextRegressor, scored": tuned(TextRegressor, TEXTS, NUMBERS, scoring="r2"),
    **{
        f"{kind.__name__}, {type(one).__name__}": tuned(
            kind, *INPUT[kind], **{PARAMETER.get(type(one).__name__, "loss"): one}
        )
        for kind, objects in NESTED.items()
        for one in objects
    },
    "TableEncoder": lambda: TableEncoder(text_encoder=TextEncoder("tiny-bert")).fit(
        TABLE
    ),
    "TargetAwareEncoder": lambda: TargetAwareEncoder(
        LogisticRegression(), cv=2, random_state=0
    ).fit(VECTORS, LABELS),
    "ZeroShotClassifier": lambda: ZeroShotClassifier(
        {"a": "one", "b": "two"}, TextEncoder("tiny-bert")
    ).fit(TEXTS),
    "DomainAdaptationClassifier": lambda: adapted("coral"),
    "DomainAdaptationRegressor": lambda: DomainAdaptationRegressor(Ridge()).fit(
        VECTORS, NUMBERS, sample_domain=DOMAIN
    ),
    "CORALAdapter": adapter("CORALAdapter"),
    "DensityRatioWeights": adapter("DensityRatioWeights"),
    "DomainNormalizer": adapter("DomainNormalizer"),
    "DomainStandardScaler": adapter("DomainStandardScaler"),
    "KMMWeights": adapter("KMMWeights"),
    "OptimalTransport": adapter("OptimalTransport"),
    "LabelShiftCorrection": lambda: adapted(
        [sktransfer.LabelShiftCorrection(alpha=1.0)]
    ),
    "PseudoLabels": lambda: adapted([sktransfer.PseudoLabels()]),
    "SubspaceAlignment": adapter("SubspaceAlignment", n_components=2),
    "TransferComponentAnalysis": adapter("TransferComponentAnalysis", n_components=2),
    **{
        f"{name}Scorer": lambda name=name: getattr(sktransfer, f"{name}Scorer")()
        for name in (
            "CircularValidation",
            "ImportanceWeighted",
            "InformationMaximization",
            "PredictionEntropy",
            "SoftNeighborhoodDensity",
        )
    },
    "EnsembleAgreementScorer": lambda: sktransfer.EnsembleAgreementScorer(
        [("linear", LogisticRegression())]
    ),
    "SourceTargetKFold": sktransfer.SourceTargetKFold,
    "LeaveOneDomainOut": sktransfer.LeaveOneDomainOut,
}


def test_every_object_of_parameters_is_in_the_list():
    names = {type(one).__name__ for options in NESTED.values() for one in options}
    estimators = ("Classifier", "Regressor")
    public = {n for n in finetuning.__all__ if not n.endswith(estimators)}
    assert names == public | {"Pieces"}


def test_the_list_has_every_public_estimator():
    public = {
        name
        for module, name in PUBLIC
        if inspect.isclass(getattr(importlib.import_module(module), name))
        and hasattr(getattr(importlib.import_module(module), name), "get_params")
        and not issubclass(getattr(importlib.import_module(module), name), Options)
        and module != "sktransfer.finetuning"  # the same as in sktransfer
    }
    assert public == {name.partition(",")[0] for name in FITTED}


@pytest.mark.parametrize("name", FITTED)
def test_neither_pickle_nor_save_names_a_private_module(name, tmp_path):
    estimator = FITTED[name]()
    content = pickle.dumps(estimator)
    assert b"sktransfer" in content
    assert PRIVATE.findall(content) == []
    if name.endswith(("Scorer", "KFold", "Out")):
        return  # nothing is fitted; they are saved with a search
    save(estimator, tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model" / "structure.skops") as archive:
        schema = archive.read("schema.json")
    assert b"sktransfer" in schema
    assert PRIVATE.findall(schema) == []


@pytest.mark.parametrize("name", ["tiny-cnn", "tiny-bert", "tiny-mlp"])
def test_the_pickle_of_a_network_names_no_private_module(name):
    content = pickle.dumps(load_backbone(name, modality=None))
    assert PRIVATE.findall(content) == []
    assert pickle.loads(content).fingerprint == load_backbone(name).fingerprint


def classes_of(module):
    """Classes that a module's own file defines, by name."""
    tree = inspect.getsource(module)
    for name in re.findall(r"^class (\w+)", tree, flags=re.MULTILINE):
        yield name, getattr(module, name)


def test_every_torch_module_has_a_public_name():
    wrong = [
        f"{module.__name__}.{name}"
        for module in MODULES
        for name, cls in classes_of(module)
        if issubclass(cls, torch.nn.Module) and "._" in cls.__module__
    ]
    assert not wrong, f"they need @on_disk and a line in ON_DISK: {wrong}"


def test_public_names_say_where_they_can_be_imported_from():
    for home, name in sorted(PUBLIC):
        obj = getattr(importlib.import_module(home), name)
        if inspect.isclass(obj) or inspect.isfunction(obj):
            assert "._" not in obj.__module__, f"{name} needs @set_module"
            found = getattr(importlib.import_module(obj.__module__), name)
            assert found is obj


def test_the_table_of_names_is_whole():
    marked = {
        name
        for module in MODULES
        for name, obj in vars(module).items()
        if getattr(obj, "__module__", None) == FILES and hasattr(obj, "__qualname__")
    } - set(vars(persistence))
    assert marked == set(_names.ON_DISK)
    for name in _names.ON_DISK:
        obj = getattr(persistence, name)
        assert (obj.__module__, obj.__qualname__) == (FILES, name)


def test_an_unknown_name_of_persistence_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Tokenn'"):
        _ = persistence.Tokenn


def test_a_save_with_a_name_that_has_moved_loads(tmp_path, monkeypatch):
    save(TextEncoder("tiny-bert").fit(TEXTS), tmp_path / "model")
    rename_class(tmp_path / "model", "sktransfer.TextEncoder", "sktransfer._old.Reader")
    with pytest.raises(UntrustedTypeError, match="sktransfer._old.Reader"):
        load(tmp_path / "model")
    moved = {"sktransfer._old.Reader": "sktransfer.TextEncoder"}
    monkeypatch.setattr(_names, "MOVED", moved)
    loaded = load(tmp_path / "model")
    assert type(loaded) is TextEncoder
    expected = TextEncoder("tiny-bert").fit_transform(TEXTS)
    np.testing.assert_array_equal(loaded.transform(TEXTS), expected)


def test_names_that_have_not_moved_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(_names, "MOVED", {"sktransfer._old.Other": "sktransfer.Other"})
    save(TextEncoder("tiny-bert").fit(TEXTS), tmp_path / "model")
    content = (tmp_path / "model" / "structure.skops").read_bytes()
    assert _names.with_new_names(content) is content
