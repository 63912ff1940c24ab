"""Checks of classifiers and regressors."""

from unittest import SkipTest

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from ._helpers import Findings, fit, fitted, prepared, shortened, unclear
from ._inputs import N_ROWS


def check_labels_round_trip(name, estimator, inputs):
    """Check that strings, bools and any integers come back as they went in."""
    findings = Findings(
        name,
        "labels should come back as they went in.",
        "Encode y in fit, keep np.unique(y) as classes_, and index it in predict.",
    )
    X = inputs.X(range(N_ROWS))
    kinds = {
        "strings": ("good", "bad"),
        "bools": (True, False),
        "integers from -1 to 100": (-1, 7, 100),
    }
    for kind, labels in kinds.items():
        y = inputs.y(range(N_ROWS), labels)
        try:
            model = fitted(estimator, X, y)
            predicted = np.asarray(model.predict(X))
        except Exception as err:
            findings.add(f"{kind}: {type(err).__name__}: {shortened(err)}")
            continue
        classes = np.asarray(model.classes_)
        if not np.array_equal(classes, np.unique(y)):
            findings.add(f"{kind}: classes_ is {classes}, expected {np.unique(y)}")
        if predicted.shape != (N_ROWS,):
            findings.add(f"{kind}: predict has shape {predicted.shape}")
        elif predicted.dtype.kind != y.dtype.kind or not np.isin(predicted, y).all():
            findings.add(f"{kind}: predict gave {np.unique(predicted)}")
    findings.report()


def check_probabilities(name, estimator, inputs):
    """Check that `predict_proba` sums to 1 and agrees with `predict`."""
    if not hasattr(estimator, "predict_proba"):
        raise SkipTest("not applicable: there is no predict_proba")
    findings = Findings(
        name,
        "predict_proba should be probabilities of classes_, and agree with predict.",
        "Take the softmax over the columns, in the order of classes_.",
    )
    X = inputs.X(range(N_ROWS))
    for labels in (("good", "bad"), (-1, 7, 100)):
        model = fitted(estimator, X, inputs.y(range(N_ROWS), labels))
        chances = np.asarray(model.predict_proba(X))
        if chances.shape != (N_ROWS, len(labels)):
            findings.add(f"{len(labels)} classes: the shape is {chances.shape}")
            continue
        if not np.allclose(chances.sum(axis=1), 1, atol=1e-5) or chances.min() < 0:
            findings.add(f"{len(labels)} classes: rows sum to {chances.sum(axis=1)}")
        top = np.asarray(model.classes_)[chances.argmax(axis=1)]
        # Where two classes are equally likely either is right.
        ordered = np.sort(chances, axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > 1e-6
        if not np.array_equal(top[clear], np.asarray(model.predict(X))[clear]):
            findings.add(f"{len(labels)} classes: the most likely is not predict's")
    findings.report()


def check_one_class_is_refused(name, estimator, inputs):
    """Check that a `y` of one class is an error that says so."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS), ("only",))
    about = ["one class", "1 class", "single class", "2 classes", "two classes"]
    if problem := unclear(lambda: fitted(estimator, X, y), about):
        raise AssertionError(
            f"{name}: a y of one class should be a clear error; got {problem}. Say how "
            "many classes there are, and that two are needed."
        )


def check_y_of_another_length_is_refused(name, estimator, inputs):
    """Check that a `y` of another length is an error with that length."""
    findings = Findings(
        name,
        "X and y of different lengths should be a clear error.",
        "Call sklearn.utils.check_consistent_length in fit.",
    )
    X = inputs.X(range(N_ROWS))
    for n in (N_ROWS - 2, N_ROWS + 3):
        y = inputs.y(range(n))
        problem = unclear(lambda y=y: fitted(estimator, X, y), [str(n)])
        if problem:
            findings.add(f"{N_ROWS} rows and {n} labels: {problem}")
    findings.report()


def check_sample_weight_of_another_length_is_refused(name, estimator, inputs):
    """Check that a `sample_weight` of another length is an error that says so."""
    if not has_fit_parameter(estimator, "sample_weight"):
        raise SkipTest("not applicable: fit takes no sample_weight")
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    prepared(estimator).fit(X, y, sample_weight=np.ones(N_ROWS))
    short = np.ones(N_ROWS - 2)
    problem = unclear(
        lambda: prepared(estimator).fit(X, y, sample_weight=short),
        ["sample_weight", str(N_ROWS - 2)],
    )
    if problem:
        raise AssertionError(
            f"{name}: a sample_weight of length {N_ROWS - 2} for {N_ROWS} rows should "
            f"be a clear error; got {problem}. Check its length in fit."
        )


def check_regressor_predictions(name, estimator, inputs):
    """Check that `predict` gives finite floats of shape (n_samples,)."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    got = np.asarray(fit(prepared(estimator), X, y).predict(X))
    if got.shape != y.shape or got.dtype.kind != "f" or not np.isfinite(got).all():
        raise AssertionError(
            f"{name}: predict gave shape {got.shape} and dtype {got.dtype}, finite: "
            f"{got.dtype.kind != 'f' or bool(np.isfinite(got).all())}; expected finite "
            f"floats of shape {y.shape}."
        )
