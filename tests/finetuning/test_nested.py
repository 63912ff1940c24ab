"""Parameters on nested objects: shortcuts, grids, copies, saves and what is drawn."""

import functools
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from sktransfer import (
    ImageClassifier,
    ImageRegressor,
    TextClassifier,
    TextRegressor,
    load,
    save,
)
from sktransfer import finetuning as options
from sktransfer.exceptions import SaveError
from sktransfer.finetuning import (
    Augmentation,
    ContrastiveLoss,
    DomainLoss,
    EarlyStopping,
    FocalLoss,
    Head,
    LogLoss,
    Optimizer,
)

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(24)]
LABELS = np.where(np.arange(24) % 2, "good", "bad")
FAST = {"max_epochs": 1, "random_state": 0}
ESTIMATORS = [ImageClassifier, ImageRegressor, TextClassifier, TextRegressor]
OBJECTS = [
    name for name in options.__all__ if not name.endswith(("Classifier", "Regressor"))
]
FULL = {
    "head": Head("mlp", dropout=0.1),
    "loss": FocalLoss(gamma=1.0),
    "optimizer": Optimizer(layer_decay=0.5, lr_schedule="one-cycle"),
    "domain_loss": DomainLoss("mmd", weight=0.5),
    "early_stopping": EarlyStopping(0.2, patience=2),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_no_constructor_has_more_than_28_parameters(kind):
    assert len(inspect.signature(kind).parameters) <= 28


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("value", [np.array([1.0, 4.0]), [1], {}, -1, "helloworld"])
def test_any_value_is_stored_and_refused_by_fit_alone(kind, value):
    model = kind()
    for name in inspect.signature(kind).parameters:
        model.set_params(**{name: value})
    assert model.get_params()["early_stopping"] is value
    assert "early_stopping__patience" not in model.get_params()
    with pytest.raises((TypeError, ValueError), match="parameter of"):
        model.fit(TEXTS, LABELS)


# -- shortcuts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nested", "given"),
    [
        ({"head__dropout": 0.3}, {"head": Head(dropout=0.3)}),
        ({"loss__label_smoothing": 0.2}, {"loss": LogLoss(0.2)}),
        ({"optimizer__weight_decay": 0.5}, {"optimizer": Optimizer(weight_decay=0.5)}),
        (
            {"loss": "contrastive", "loss__temperature": 0.5},
            {"loss": ContrastiveLoss(0.5)},
        ),
        (
            {"early_stopping": True, "early_stopping__validation_fraction": 0.3},
            {"early_stopping": EarlyStopping(0.3)},
        ),
        ({"head": "mlp", "head__dropout": 0.3}, {"head": Head("mlp", dropout=0.3)}),
    ],
)
def test_a_nested_name_reaches_what_a_shortcut_stands_for(nested, given):
    model = TextClassifier("tiny-bert", **FAST).set_params(**nested)
    same = TextClassifier("tiny-bert", **FAST | given)
    assert model.get_params()[next(reversed(nested))] == list(nested.values())[-1]
    assert repr(model) == repr(same)
    np.testing.assert_array_equal(
        model.fit(TEXTS, LABELS).predict_proba(TEXTS),
        same.fit(TEXTS, LABELS).predict_proba(TEXTS),
    )


def test_parameters_of_what_a_shortcut_stands_for_are_listed():
    found = ImageClassifier(domain_loss="mmd", augment="light").get_params()
    assert found["head__C"] == found["loss__label_smoothing"] == "auto"
    assert found["domain_loss__kind"] == "mmd"
    assert found["augment__views"] is None
    assert found["optimizer__layer_decay"] == 1.0
    assert "early_stopping__patience" not in found  # it is switched off
    assert "loss" in ImageClassifier().get_params(deep=False)
    assert not any("__" in name for name in ImageClassifier().get_params(deep=False))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"early_stopping__patience": 3}, "cannot be set while early_stopping=False"),
        ({"domain_loss__weight": 3}, "cannot be set while domain_loss=None"),
        ({"loss__gamma": 3}, "Invalid parameter 'gamma' for LogLoss"),
        ({"los__gamma": 3}, "Invalid parameter 'los' for estimator TextClassifier"),
        ({"loss": "log", "loss__gamma": 3}, "cannot be set while loss='log'"),
    ],
)
def test_a_nested_name_that_leads_nowhere_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier("tiny-bert").set_params(**params)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head": Head("lienar")}, "The 'kind' parameter of Head"),
        ({"head": "lienar"}, "The 'head' parameter of TextClassifier"),
        ({"loss": LogLoss(2.0)}, "The 'label_smoothing' parameter of LogLoss"),
        ({"optimizer": Optimizer(layer_decay=0)}, "'layer_decay' parameter of Opt"),
        ({"optimizer": "adam"}, "The 'optimizer' parameter of TextClassifier"),
        ({"early_stopping": EarlyStopping(1.5)}, "'validation_fraction' parameter"),
        ({"early_stopping": 0.2}, "The 'early_stopping' parameter"),
        ({"domain_loss": DomainLoss("deep")}, "The 'kind' parameter of DomainLoss"),
    ],
)
def test_a_wrong_value_is_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier("tiny-bert", **given).fit(TEXTS, LABELS)


def test_parameters_that_are_refused_change_nothing():
    model = TextClassifier("tiny-bert")
    with pytest.raises(ValueError, match="domain_loss__weight cannot be set"):
        model.set_params(loss="focal", head__C=1.0, domain_loss__weight=3)
    assert (model.loss, model.head) == ("log_loss", "linear")


@pytest.mark.parametrize("kind", [functools.partial(torch.optim.SGD), len, dict])
def test_a_callable_that_is_no_optimizer_is_refused(kind):
    with pytest.raises(ValueError, match="is no optimizer; expected 'adamw'"):
        TextClassifier("tiny-bert", optimizer=kind, **FAST).fit(TEXTS, LABELS)


def test_a_fit_changes_no_object_that_it_is_given():
    before = {name: repr(value) for name, value in FULL.items()}
    domain = np.repeat([0, -1], 12)
    TextClassifier("tiny-bert", **FULL, **FAST).fit(TEXTS, LABELS, sample_domain=domain)
    assert {name: repr(value) for name, value in FULL.items()} == before


# -- grids -------------------------------------------------------------------------


def test_a_grid_over_nested_names_and_one_over_objects_are_equal():
    nested = {"loss__label_smoothing": [0.0, 0.3], "head__C": [0.01, 1.0]}
    objects = {
        "loss": [LogLoss(0.0), LogLoss(0.3)],
        "head": [Head(C=0.01), Head(C=1.0)],
    }
    scores = []
    for grid in (nested, objects):
        search = GridSearchCV(
            TextClassifier("tiny-bert", **FAST), grid, cv=2, scoring="neg_log_loss"
        ).fit(TEXTS, LABELS)
        by_case = {
            tuple(
                value.get_params()[key.partition("__")[2]]
                if hasattr(value, "get_params")
                else value
                for key, value in sorted(case.items(), reverse=True)
                for key in [
                    {"loss": "loss__label_smoothing", "head": "head__C"}.get(key, key)
                ]
            ): score
            for case, score in zip(
                search.cv_results_["params"],
                search.cv_results_["mean_test_score"],
                strict=True,
            )
        }
        scores.append(by_case)
    assert len(scores[0]) == 4
    assert scores[0] == scores[1]


def test_a_grid_over_shortcuts_and_one_over_their_objects_are_equal():
    shortcuts = {"loss": ["log_loss", "focal"], "head": ["linear", "cosine"]}
    objects = {
        "loss": [LogLoss(), FocalLoss()],
        "head": [Head("linear"), Head("cosine")],
    }
    found = [
        GridSearchCV(
            make_pipeline(TextClassifier("tiny-bert", **FAST)),
            {f"textclassifier__{name}": values for name, values in grid.items()},
            cv=2,
            scoring="neg_log_loss",
        )
        .fit(TEXTS, LABELS)
        .cv_results_["mean_test_score"]
        for grid in (shortcuts, objects)
    ]
    np.testing.assert_array_equal(*found)


def test_a_grid_may_switch_a_part_on_and_set_it():
    grid = [
        {"early_stopping": [False]},
        {"early_stopping": [True], "early_stopping__validation_fraction": [0.2, 0.4]},
    ]
    model = TextClassifier("tiny-bert", **FAST)
    search = GridSearchCV(model, grid, cv=2).fit(TEXTS, LABELS)
    assert len(search.cv_results_["params"]) == 3
    assert model.early_stopping is False


# -- copies, saves and what is drawn -----------------------------------------------


@pytest.mark.parametrize("way", [clone, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_equal_objects_of_its_own(way):
    model = TextClassifier("tiny-bert", **FULL)
    copy = way(model)
    for name in FULL:
        assert getattr(copy, name) is not getattr(model, name)
        assert repr(getattr(copy, name)) == repr(getattr(model, name))
    copy.set_params(head__dropout=0.9)
    assert model.head.dropout == 0.1


@pytest.mark.parametrize(
    "given",
    [
        {},
        FULL | {"domain_loss": None},
        {"loss": "contrastive"},
        {"optimizer": Optimizer(params={"eps": 1e-6})},
        {"scoring": ["accuracy", "f1_macro"]},
    ],
    ids=["defaults", "objects", "contrastive", "params", "scoring"],
)
def test_a_save_keeps_the_objects(given, tmp_path):
    model = TextClassifier("tiny-bert", **FAST | given).fit(TEXTS, LABELS)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(
        loaded.predict_proba(TEXTS), model.predict_proba(TEXTS)
    )
    loaded.fit(TEXTS, LABELS)


def test_a_save_refuses_parameters_that_are_code(tmp_path):
    options = FAST | {"lr": 1e-3}
    model = TextClassifier("tiny-bert", optimizer=torch.optim.SGD, **options)
    with pytest.raises((ValueError, TypeError), match="torch"):
        save(model.fit(TEXTS, LABELS), tmp_path / "model")
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    model = TextClassifier("tiny-bert", loss=loss, **options).fit(TEXTS, LABELS)
    with pytest.raises(SaveError, match=r"set_params\(loss='log_loss'\) before"):
        save(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    save(model.set_params(loss="log_loss"), tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict_proba(TEXTS), model.predict_proba(TEXTS)
    )


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_drawn_and_shown_with_their_parameters(name):
    one = getattr(options, name)()
    assert name in repr(one)
    assert name in estimator_html_repr(one)
    assert type(one).__module__ == "sktransfer.finetuning"
    assert repr(clone(one)) == repr(one)


def test_an_estimator_is_drawn_with_its_objects():
    html = estimator_html_repr(
        ImageClassifier(augment=Augmentation("standard", views=4), **FULL)
    )
    for text in ("FocalLoss", "Augmentation", "gamma", "views", "patience"):
        assert text in html
