"""The linear model that a head starts at: by scikit-learn, and by torch on a device."""

from unittest import mock

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from sktransfer.finetuning import _logistic
from sktransfer.finetuning._head_start import start_from_probe
from sktransfer.finetuning._heads import make_head
from sktransfer.finetuning._logistic import logistic


def problem(n_classes, n_rows=240, n_features=30):
    rng = np.random.default_rng(n_classes)
    targets = rng.integers(0, n_classes, n_rows)
    centres = rng.normal(size=(n_classes, n_features))
    features = 0.6 * centres[targets] + rng.normal(size=(n_rows, n_features))
    return features, targets, rng.uniform(0.2, 3.0, n_rows)


@pytest.mark.parametrize("C", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3, 12])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_torch_fits_the_model_of_scikit_learn(n_classes, C, is_weighted):
    features, targets, weights = problem(n_classes)
    if not is_weighted:
        weights = np.ones(len(targets))
    tensor = torch.from_numpy(features)
    coef, intercept = logistic(tensor, targets, weights, C)
    exact = LogisticRegression(C=C, tol=1e-8, max_iter=5000)
    exact.fit(features, targets, sample_weight=weights)
    got = softmax(features @ coef.T + intercept, axis=1)
    np.testing.assert_allclose(got, exact.predict_proba(features), atol=2e-3)
    want = exact.coef_, exact.intercept_
    if n_classes == 2:
        want = (np.concatenate([-part / 2, part / 2]) for part in want)
    for a, b in zip((coef, intercept), want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2 * max(1.0, np.abs(b).max()))
    if C == 0.001:  # under a weaker penalty, that of a fit stops at some distance
        coef, intercept = logistic(features, targets, weights, C)
        proba = softmax(features @ coef.T + intercept, axis=1)
        np.testing.assert_allclose(got, proba, atol=2e-3)


@pytest.mark.parametrize("task", ["classes", "labels"])
def test_a_head_starts_alike_from_features_of_a_device_and_of_the_host(task):
    features, targets, weights = problem(3)
    n_outputs, label_weights = 4, None  # no row has the last class
    if task == "labels":
        targets = np.stack([targets == 0, targets < 2, np.ones(240)], 1).astype("f4")
        n_outputs, label_weights = 3, np.array([[1.0, 1.0, 1.0], [2.0, 0.5, 1.0]])
    heads = []
    for given in (features.copy(), torch.from_numpy(features.copy())):
        with torch.random.fork_rng(devices=[]):
            head = make_head("linear", features.shape[1], n_outputs, 0.0)
        start_from_probe(
            head,
            given,
            targets,
            weights,
            task=task,
            C=0.001,
            label_weights=label_weights,
        )
        heads.append(head.state_dict())
    for name, want in heads[0].items():
        torch.testing.assert_close(heads[1][name], want, atol=3e-3, rtol=0.0)


def test_scikit_learn_gets_a_few_threads_and_never_more_than_before():
    features, targets, weights = problem(3)
    want = logistic(features, targets, weights, 1.0)
    seen = []

    class Libraries:
        def __init__(self, n_threads):
            self.n_threads = n_threads

        def info(self):
            return [{"filepath": f"{n}.so", "num_threads": n} for n in self.n_threads]

        def select(self, filepath):
            seen.append(filepath)
            return self

        def limit(self, limits):
            seen.append(limits)
            return mock.MagicMock()

    for n_threads, asked in (([1, 4], []), ([1, 16], [["16.so"], 4])):
        seen.clear()
        with mock.patch.object(_logistic, "_blas", lambda n=n_threads: Libraries(n)):
            got = logistic(features, targets, weights, 1.0)
        assert seen == asked
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_few_threads_are_given_back():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        return [
            (library["filepath"], library["num_threads"])
            for library in threadpoolctl.threadpool_info()
        ]

    before = threads()
    with mock.patch.object(_logistic, "MOST_THREADS", 0), _logistic._few_threads():
        pass
    assert threads() == before
