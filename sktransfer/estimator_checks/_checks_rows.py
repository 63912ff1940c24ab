"""Checks that a row's output depends on that row, and on that row alone."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._helpers import (
    Findings,
    difference,
    fit,
    fitted,
    is_predictor,
    linear_model,
    named,
    output,
    prepared,
    require,
    set_named,
    shortened,
)
from ._inputs import N_ROWS

# A linear model of the output learns from so many rows, and is asked about others. By
# luck 18 of 24 rows are right in 1 of 90 cases.
N_TO_LEARN, N_NEW_ROWS, SHARE_RIGHT = 48, 24, 0.75


def check_one_row_out_for_each_row_in(name, estimator, inputs):
    """Check that as many rows come out as go in, and that one row works."""
    findings = Findings(
        name,
        "as many rows should come out as go in.",
        "Replace bad rows instead of dropping them, and keep the output "
        "two-dimensional for one row.",
    )
    model = fitted(estimator, inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS)))
    whole = output(model, inputs.X(range(N_ROWS)))
    for n in (N_ROWS, 5, 1):
        shape = output(model, inputs.X(range(n))).shape
        if shape != (n, *whole.shape[1:]):
            findings.add(f"{n} rows in: the output has shape {shape}")
    findings.report()


def check_rows_do_not_depend_on_their_neighbours(name, estimator, inputs):
    """Check that order, subsets and duplicates change no row."""
    findings = Findings(
        name,
        "a row's output should not depend on the rows beside it.",
        "Put the network into eval mode, mask padding, and learn nothing in transform.",
    )
    model = fitted(estimator, inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS)))
    whole = output(model, inputs.X(range(N_ROWS)))
    others = {
        "the rows in reverse order": list(range(N_ROWS))[::-1],
        "every third row": list(range(0, N_ROWS, 3)),
        "one row alone": [5],
        "the same row three times": [5, 5, 5],
        "duplicates among others": [2, 7, 2, 11, 7, 2],
        "the rows as before": list(range(N_ROWS)),
    }
    for what, rows in others.items():
        if gap := difference(output(model, inputs.X(rows)), whole[rows]):
            findings.add(f"{what}: {gap}")
    findings.report()


def check_different_rows_differ(name, estimator, inputs):
    """Check that the rows are looked at: not all of them give the same."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    got = output(fitted(estimator, X, y), X)
    same = np.repeat(got[:1], len(got), axis=0)
    if len(got) == N_ROWS and difference(got, same) is None:
        raise AssertionError(
            f"{name}: {N_ROWS} different rows all give the same output, "
            f"{shortened(got[0].tolist())}. Compute it from the row."
        )


def check_classes_can_be_told_apart(name, estimator, inputs):
    """Check that two classes, made to be easy, can be told apart by the output."""
    rows = range(N_ROWS)
    X, y = inputs.X(rows), inputs.y(rows)
    if not is_predictor(estimator):
        known = np.arange(N_TO_LEARN)
        new = np.arange(N_TO_LEARN, N_TO_LEARN + N_NEW_ROWS)
        model = fitted(estimator, X, y)
        head = make_pipeline(StandardScaler(), linear_model())
        head.fit(np.nan_to_num(output(model, inputs.X(known))), known % 2)
        guess = head.predict(np.nan_to_num(output(model, inputs.X(new))))
        share = np.mean(guess == new % 2)
        if share < SHARE_RIGHT:
            raise AssertionError(
                f"{name}: a linear model of the output is right for {share:.0%} of "
                f"{N_NEW_ROWS} rows of two classes that are made to be easy (bright "
                "and dark images, glad and sad words); expected at least "
                f"{SHARE_RIGHT:.0%}. Give features of what the row shows or says."
            )
        return
    got = np.asarray(fitted(estimator, X, y).predict(X))
    if is_classifier(estimator):
        is_better = np.mean(got == y) > 0.5
    else:
        is_better = got[1::2].mean() > got[::2].mean()
    if not is_better:
        raise AssertionError(
            f"{name}: predictions for the rows that it was fitted on are no better "
            "than one constant would be. Learn from X and y in fit."
        )


def check_batch_size_does_not_matter(name, estimator, inputs):
    """Check that another `batch_size` after fit gives the same output."""
    require(estimator, "batch_size")
    findings = Findings(
        name,
        "the output should not depend on batch_size.",
        "Put the network into eval mode, and mask padding.",
    )
    model = fitted(estimator, inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS)))
    want = output(model, inputs.X(range(N_ROWS)))
    for size in (1, 5, 64):
        set_named(model, batch_size=size)
        if gap := difference(output(model, inputs.X(range(N_ROWS))), want):
            findings.add(f"batch_size={size}: {gap}")
    findings.report()


def check_refit_equals_a_fresh_fit(name, estimator, inputs):
    """Check that `fit(A)` and then `fit(B)` leaves what `fit(B)` alone leaves."""
    findings = Findings(
        name,
        "a second fit should leave nothing of the first.",
        "Start fit from the parameters alone: load, copy and set everything anew.",
    )
    first, second = range(N_ROWS, N_ROWS + 9), range(N_ROWS)
    model = fitted(estimator, inputs.X(first), inputs.y(first, ("old", "older", "a")))
    output(model, inputs.X(first))
    fit(model, inputs.X(second), inputs.y(second))
    fresh = fitted(estimator, inputs.X(second), inputs.y(second))
    one, other = vars(model).keys(), vars(fresh).keys()
    # What an output keeps for later, such as a loaded network, is not of the fit.
    output(fresh, inputs.X(first))
    if left := sorted(one - other - vars(fresh).keys()):
        findings.add(f"attributes of the first fit are left: {left}")
    if missing := sorted(other - one):
        findings.add(f"attributes are missing: {missing}")
    for rows in (second, range(N_ROWS, 2 * N_ROWS)):
        X = inputs.X(rows)
        if gap := difference(output(model, X), output(fresh, X)):
            findings.add(f"the output is not that of a fresh fit: {gap}")
    findings.report()


def check_fit_twice_gives_the_same(name, estimator, inputs):
    """Check that fits of equal parameters and rows give equal output."""
    findings = Findings(
        name,
        "fits with the same parameters and rows should give the same output.",
        "Draw from random_state alone, and do not go on from an earlier fit.",
    )
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    model = fitted(estimator, X, y)
    first = output(model, X)
    fit(model, inputs.X(range(N_ROWS)), y)
    if gap := difference(output(model, X), first):
        findings.add(f"fit again: {gap}")
    if gap := difference(output(fitted(estimator, X, y), X), first):
        findings.add(f"another copy: {gap}")
    findings.report()


def check_a_new_backbone_takes_effect(name, estimator, inputs):
    """Check that `set_params(backbone=...)` and `fit` is a fresh estimator."""
    from ..backbones import Backbone, BackboneSpec

    require(estimator, "backbone")
    rows = range(N_ROWS)
    X, y = inputs.X(rows), inputs.y(rows)
    others = {}
    for key in named(estimator, "backbone"):
        value = estimator.get_params()[key]
        if isinstance(value, Backbone):
            value = {"image": "tiny-cnn", "text": "tiny-bert"}[inputs.modality]
        seed = value.random_state + 1 if isinstance(value, BackboneSpec) else 1
        spec = value.name if isinstance(value, BackboneSpec) else str(value)
        others[key] = BackboneSpec(spec, pretrained=False, random_state=seed)
    model = fitted(estimator, X, y)
    before = output(model, X)
    fit(model.set_params(**others), X, y)
    after = output(model, X)
    if after.shape == before.shape and np.array_equal(after, before):
        raise AssertionError(
            f"{name}: set_params(backbone=...) and fit changed nothing. Load by the "
            "parameter in fit, and keep no network of an earlier one."
        )
    fresh = fit(prepared(estimator).set_params(**others), X, y)
    if gap := difference(after, output(fresh, X)):
        raise AssertionError(
            f"{name}: after set_params(backbone=...) and fit, the output is not that "
            f"of a new estimator with that backbone: {gap}."
        )
