"""Metadata routing through every estimator that holds another."""

import builtins
import inspect
import re
import sys
import typing

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktransfer
from sktransfer import (
    CORALAdapter,
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    ImageClassifier,
    PseudoLabels,
    TableEncoder,
    TargetAwareEncoder,
    ZeroShotClassifier,
)
from sktransfer._utils.types import Estimator, Transformer

N = 16
VECTORS = np.random.default_rng(0).normal(size=(N, 3))
LABELS = np.arange(N) % 2
MARK = np.arange(100, 100 + N)
DOMAIN = np.where(np.arange(N) % 4 < 2, 0, -1)
TABLE = pd.DataFrame(
    {
        "photo": [np.full((20, 20, 3), i, np.uint8) for i in range(N)],
        "text": [f"thing number {i}" for i in range(N)],
        "color": ["red", "blue"] * (N // 2),
        "price": np.arange(N, dtype=float),
    }
)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


class Inner(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Whatever an estimator may hold; writes down the metadata that it gets."""

    heard: typing.ClassVar[list] = []  # of all copies

    def fit(self, X, y=None, *, mark=None, sample_weight=None):
        self.heard.append(("fit", mark, sample_weight))
        self.classes_, self.n_rows_ = np.unique([0, 1]), len(X)
        if mark is not None:
            assert len(mark) == len(X)
        return self

    def fit_transform(self, X, y=None, **params):
        return self.fit(X, y, **params).transform(X)

    def transform(self, X, *, late=None):
        self.heard.append(("transform", late, None))
        return np.arange(2.0 * len(X)).reshape(len(X), 2)

    def get_feature_names_out(self, names=None):
        return np.array(["a", "b"])

    def decision_function(self, X, *, late=None):
        self.heard.append(("decision_function", late, None))
        return np.arange(len(X)) - len(X) / 2

    def predict(self, X, *, late=None):
        self.heard.append(("predict", late, None))
        return np.arange(len(X)) % 2

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


class Plain(TransformerMixin, BaseEstimator):
    """Takes no metadata."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.arange(2.0 * len(X)).reshape(len(X), 2)

    def __sklearn_is_fitted__(self):
        return True


@pytest.fixture(autouse=True)
def nothing_heard():
    Inner.heard.clear()


def domain_adaptation(cls):
    def make(parameter, inner):
        return cls(**{"adapter": None, parameter: inner})

    return make, VECTORS, LABELS, {"sample_domain": DOMAIN}


def table_encoder(parameter, inner):
    kinds = {"photo": "image", "text": "text"}
    model = TableEncoder(Plain(), Plain(), kinds=kinds)
    if parameter == "kinds":
        inner = {**kinds, "text": inner}
    return model.set_params(**{parameter: inner})


def target_aware(parameter, inner):
    params = {"estimator": LogisticRegression(), parameter: inner}
    return TargetAwareEncoder(cv=2, random_state=0, **params)


def zero_shot(parameter, inner):
    return ZeroShotClassifier(["a", "b"], **{"encoder": Plain(), parameter: inner})


# How to make one with a given estimator as a parameter, and what it is fitted to.
HOLDERS = {
    "DomainAdaptationClassifier": domain_adaptation(DomainAdaptationClassifier),
    "DomainAdaptationRegressor": domain_adaptation(DomainAdaptationRegressor),
    "TableEncoder": (table_encoder, TABLE, LABELS, {}),
    "TargetAwareEncoder": (target_aware, VECTORS, LABELS, {}),
    "ZeroShotClassifier": (zero_shot, list(TABLE["text"]), None, {}),
}


class _Names(dict):
    """Names of a module; those that only type checkers import are Any."""

    def __missing__(self, name):
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return typing.Any


def holds_estimators(annotation):
    if annotation in (Estimator, Transformer):
        return True
    return any(map(holds_estimators, typing.get_args(annotation)))


def parameters_with_estimators():
    """Yield (name, parameter) of public estimators, by what their annotations say."""
    for name in sktransfer.__all__:
        cls = getattr(sktransfer, name)
        if not inspect.isclass(cls) or not hasattr(cls, "fit"):
            continue
        init = cls.__init__
        module = vars(sys.modules[inspect.getmodule(init.__code__).__name__])
        for parameter, annotation in getattr(init, "__annotations__", {}).items():
            names = _Names(module)
            if holds_estimators(eval(annotation, {"__builtins__": {}}, names)):
                yield name, parameter


HELD = sorted(parameters_with_estimators())


def test_the_list_has_every_estimator_that_holds_another():
    assert {name for name, _ in HELD} == set(HOLDERS)
    assert ("TableEncoder", "categorical") in HELD
    assert ("DomainAdaptationClassifier", "adapter") in HELD


def test_no_other_parameter_is_validated_as_an_estimator():
    for name in sktransfer.__all__:
        constraints = getattr(getattr(sktransfer, name), "_parameter_constraints", {})
        for parameter, allowed in constraints.items():
            methods = re.findall(r"fit|transform|predict", str(allowed))
            if methods and hasattr(getattr(sktransfer, name), "fit"):
                assert (name, parameter) in HELD


@pytest.mark.parametrize(("name", "parameter"), HELD)
def test_an_inner_estimator_gets_what_it_asks_for_or_is_refused(
    name, parameter, routing
):
    make, X, y, params = HOLDERS[name]
    model = make(parameter, Inner().set_fit_request(mark=True, sample_weight=False))
    if (name, parameter) == ("ZeroShotClassifier", "text_encoder"):
        with pytest.raises(NotImplementedError, match="prompts do not have"):
            model.fit(X, y, mark=MARK)
        model.fit(X, y)  # nothing was passed, so there is nothing to refuse
        return
    for method in ("fit", "fit_transform"):
        if not hasattr(model, method):
            continue
        Inner.heard.clear()
        getattr(model, method)(X, y, mark=MARK, **params)
        marks = [mark for call, mark, _ in Inner.heard if call == "fit"]
        marks = [mark for mark in marks if mark is not None]
        assert marks
        assert set(marks[0]) <= set(MARK)
        # The same inside a pipeline, which asks the router.
        Inner.heard.clear()
        getattr(make_pipeline(model), method)(X, y, mark=MARK, **params)
        assert any(mark is not None for call, mark, _ in Inner.heard if call == "fit")


@pytest.mark.parametrize(("name", "parameter"), HELD)
def test_metadata_that_nobody_spoke_of_is_an_error(name, parameter, routing):
    make, X, y, params = HOLDERS[name]
    with pytest.raises(TypeError, match="wrong"):
        make(parameter, Inner()).fit(X, y, wrong=MARK, **params)
    if (name, parameter) == ("ZeroShotClassifier", "text_encoder"):
        return
    with pytest.raises(ValueError, match=r"\[mark\] are passed but are not explicitly"):
        make(parameter, Inner()).fit(X, y, mark=MARK, **params)


@pytest.mark.parametrize("name", sorted(set(HOLDERS) - {"TargetAwareEncoder"}))
@pytest.mark.parametrize("method", ["fit", "fit_transform", "transform", "predict"])
def test_metadata_without_routing_is_an_error(name, method):
    make, X, y, params = HOLDERS[name]
    parameter = next(parameter for held, parameter in HELD if held == name)
    model = make(parameter, Inner())
    if not hasattr(model, method):
        pytest.skip(f"it has no {method}")
    is_fit = method.startswith("fit")
    if not is_fit:
        model.fit(X, y, **params)
    arguments = (X, y) if is_fit else (X,)
    with pytest.raises(ValueError, match="only supported if enable_metadata_routing"):
        getattr(model, method)(*arguments, mark=MARK)


@pytest.mark.parametrize(("name", "parameter"), HELD)
def test_predictions_and_transforms_are_told_too(name, parameter, routing):
    if (name, parameter) == ("ZeroShotClassifier", "text_encoder"):
        pytest.skip("it takes no part in predictions")
    make, X, y, params = HOLDERS[name]
    inner = Inner().set_transform_request(late=True)
    for method in ("predict", "decision_function"):
        getattr(inner, f"set_{method}_request")(late=True)
    model = make(parameter, inner).fit(X, y, **params)
    Inner.heard.clear()
    method = "transform" if hasattr(model, "transform") else "predict"
    getattr(model, method)(X, late=MARK)
    assert any(late is MARK for _, late, _ in Inner.heard)


# -- tables ----------------------------------------------------------------------------


def test_a_table_hands_on_weights_to_the_transformer_that_asks(routing):
    model = TableEncoder(
        Inner().set_fit_request(sample_weight=False),
        Inner().set_fit_request(sample_weight=True),
        kinds={"photo": "image", "text": "text"},
    )
    weights = np.linspace(1, 2, N)
    make_pipeline(model).fit(TABLE, LABELS, sample_weight=weights)
    of_image, of_text = (heard for heard in Inner.heard if heard[0] == "fit")
    assert of_image[2] is None
    assert of_text[2] is weights


def test_groups_reach_the_folds_inside_a_table(routing):
    # Each group has a text and a label of its own: who sees the group knows the label.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    y = rng.integers(0, 2, 30)[groups]
    table = pd.DataFrame(
        {"text": [f"shop{g} sells item{i}" for i, g in enumerate(groups)]}
    )
    from sklearn.feature_extraction.text import TfidfVectorizer

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=100))
    encoder = TableEncoder(
        text_encoder=TargetAwareEncoder(model, random_state=0), kinds={"text": "text"}
    )
    leaking = encoder.fit_transform(table, y)[:, 0]
    apart = encoder.fit_transform(table, y, groups=groups)[:, 0]
    assert ((leaking > 0) == y).mean() > 0.9
    assert ((apart > 0) == y).mean() < 0.7
    pipeline = make_pipeline(encoder, LogisticRegression())
    scores = cross_val_score(
        pipeline, table, y, params={"groups": groups}, cv=GroupKFold(3)
    )
    assert scores.shape == (3,)


# -- TargetAwareEncoder ----------------------------------------------------------------


def test_folds_get_the_metadata_of_their_rows(routing):
    estimator = Inner().set_fit_request(mark=True)
    estimator.set_decision_function_request(late=True)
    encoder = TargetAwareEncoder(estimator, cv=2, random_state=0)
    encoder.fit_transform(VECTORS, LABELS, mark=MARK, late=MARK)
    whole, *folds = (mark for call, mark, _ in Inner.heard if call == "fit")
    tests = [late for call, late, _ in Inner.heard if call == "decision_function"]
    assert list(whole) == list(MARK)
    for train, test in zip(folds, tests, strict=True):
        assert sorted([*train, *test]) == list(MARK)


def test_without_routing_all_metadata_are_of_the_one_estimator():
    encoder = TargetAwareEncoder(Inner(), cv=2, random_state=0)
    encoder.fit_transform(VECTORS, LABELS, mark=MARK, sample_weight=list(MARK))
    heard = [(mark, weight) for call, mark, weight in Inner.heard if call == "fit"]
    assert len(heard) == 3
    for mark, weight in heard:
        assert list(mark) == list(weight)


def test_metadata_that_the_estimator_does_not_take_are_refused_without_routing():
    encoder = TargetAwareEncoder(Inner(), cv=2, random_state=0)
    with pytest.raises(TypeError, match="colour"):
        encoder.fit(VECTORS, LABELS, colour=MARK)
    with pytest.raises(ValueError, match="sample_weight has the shape"):
        encoder.fit(VECTORS, LABELS, sample_weight=MARK[:3])


def test_groups_and_domains_reach_a_tuned_network_inside(routing):
    images = list(TABLE["photo"])
    seen = []

    class Watched(ImageClassifier):
        def fit(self, X, y, *, sample_domain=None, groups=None):
            seen.append((sample_domain, groups))
            return super().fit(X, y, sample_domain=sample_domain, groups=groups)

    model = Watched("tiny-cnn", max_epochs=1, freeze_depth=-1, random_state=0)
    encoder = TargetAwareEncoder(model, cv=2, random_state=0)
    groups = np.arange(N) // 2
    encoder.fit_transform(
        np.stack(images), LABELS, groups=groups, sample_domain=np.zeros(N, int)
    )
    assert len(seen) == 3
    for domain, own in seen:
        assert len(domain) == len(own) in (N, N // 2)


# -- domain adaptation -----------------------------------------------------------------


def test_the_estimator_gets_the_metadata_of_source_rows_and_of_pseudo_labels(routing):
    estimator = Inner().set_fit_request(mark=True)
    model = DomainAdaptationClassifier(estimator, PseudoLabels(n_rounds=2))
    model.fit(VECTORS, LABELS, sample_domain=DOMAIN, mark=MARK)
    first, second, third = (mark for call, mark, _ in Inner.heard if call == "fit")
    source, target = set(MARK[DOMAIN >= 0]), set(MARK[DOMAIN < 0])
    assert set(first) == source
    assert source < set(second) < set(third) == source | target


def test_weights_by_another_name_are_the_weights(routing):
    estimator = Inner().set_fit_request(sample_weight="importance")
    model = DomainAdaptationClassifier(estimator, None)
    model.fit(VECTORS, LABELS, sample_domain=DOMAIN, importance=MARK)
    (weights,) = (weights for call, _, weights in Inner.heard if call == "fit")
    assert list(weights) == list(MARK[DOMAIN >= 0])


def test_adapters_get_weights_if_they_ask_for_them(routing):
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    weights = np.where(np.arange(N) < 4, 1.0, 0.0)
    model = DomainAdaptationRegressor(adapter=scaler)
    model.fit(VECTORS, VECTORS[:, 0], sample_domain=DOMAIN, sample_weight=weights)
    np.testing.assert_allclose(model.adapters_[0].mean_, VECTORS[:4].mean(axis=0))


def test_a_pipeline_of_adapters_is_told_the_domains(routing):
    adapter = make_pipeline(StandardScaler(), CORALAdapter())
    model = DomainAdaptationClassifier(LogisticRegression(), adapter)
    model.fit(VECTORS, LABELS, sample_domain=DOMAIN)
    alone = DomainAdaptationClassifier(
        LogisticRegression(), [StandardScaler(), CORALAdapter()]
    ).fit(VECTORS, LABELS, sample_domain=DOMAIN)
    np.testing.assert_allclose(
        model.decision_function(VECTORS), alone.decision_function(VECTORS)
    )
