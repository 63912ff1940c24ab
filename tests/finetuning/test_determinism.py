"""The same fit gives the same model."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sktransfer import TextClassifier, TextEncoder

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2


def test_fits_repeat_after_other_fits_and_from_a_pickle():
    model = TextClassifier("tiny-bert", freeze_depth=-1, random_state=0)
    first = model.fit(TEXTS, LABELS).predict_proba(TEXTS)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), first)
    clone(model).set_params(random_state=1).fit(TEXTS, 1 - LABELS)
    model.fit(TEXTS[::-1], LABELS)
    for again in (model, clone(model)):
        again.fit(TEXTS, LABELS)
        np.testing.assert_array_equal(again.predict_proba(TEXTS), first)


@pytest.mark.parametrize("depth", ["all", -1, 0])
def test_the_tuned_backbone_gives_the_features_that_the_head_sees(depth):
    model = TextClassifier("tiny-bert", freeze_depth=depth, random_state=0)
    model.fit(TEXTS, LABELS)
    import torch

    features = TextEncoder(model.backbone_).fit_transform(TEXTS)
    with torch.inference_mode():
        outputs = model.net_.module_.head(torch.from_numpy(features)).numpy()
    wanted = outputs[:, 1] - outputs[:, 0]
    np.testing.assert_allclose(model.decision_function(TEXTS), wanted, atol=1e-5)


def test_a_state_of_before_a_parameter_gets_its_default():
    """Saves and pickles outlive the version that wrote them."""
    model = TextClassifier("tiny-bert", lr=0.5)
    state = dict(model.__getstate__())
    del state["domain_loss"], state["max_epochs"]
    old = TextClassifier.__new__(TextClassifier)
    old.__setstate__(state)
    assert old.get_params() == model.get_params()
