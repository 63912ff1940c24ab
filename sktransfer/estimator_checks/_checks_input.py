"""Checks of what goes in: kinds of columns, wrong input, bad and missing rows."""

import numpy as np

from ._helpers import (
    Findings,
    class_names,
    difference,
    fit,
    fitted,
    is_predictor,
    named,
    output,
    prepared,
    require,
    set_named,
    shortened,
    unclear,
)
from ._inputs import N_ROWS

BAD_ROW = 7
POLICIES = ("raise", "nan", "zero", "mean", "empty")


def check_input_kinds_agree(name, estimator, inputs):
    """Check that lists, arrays, Series, frames, Arrow arrays give equal rows."""
    findings = Findings(
        name,
        "every kind of column should give equal rows.",
        "Read X by what it is (a list, array, Series, one-column frame or Arrow array) "
        "before anything else.",
    )
    want = None
    for kind in (inputs.kind, *inputs.kinds):
        if refusal := inputs.refusal(kind):
            text = f"{type(refusal).__name__}: {shortened(refusal)}"
            findings.add(f"{kind}: refused with {text}")
            continue
        X, y = inputs.of_kind(kind, range(N_ROWS)), inputs.y(range(N_ROWS))
        got = output(fitted(estimator, X, y), X)
        want = got if want is None else want
        if gap := difference(got, want):
            findings.add(f"{kind}: {gap}, compared with {inputs.kind}")
    findings.report()


def _fit_and_output(estimator, inputs, X):
    y = inputs.y(range(N_ROWS))
    try:
        y = y if y is None else y[: len(X)]
    except TypeError:
        pass  # an X without a length, which is what is to be refused
    model = fitted(estimator, X, y)
    return output(model, X)


def check_empty_input_is_refused(name, estimator, inputs):
    """Check that no rows are an error with "0 sample(s)" or the class."""
    findings = Findings(
        name,
        "no rows should be a clear error.",
        'Raise a ValueError that has "0 sample(s)", as scikit-learn does.',
    )
    about = ["0 sample", *class_names(estimator)]
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    model = fitted(estimator, X, y)
    problem = unclear(
        lambda: fit(prepared(estimator), inputs.empty, y if y is None else y[:0]), about
    )
    if problem:
        findings.add(f"fit: {problem}")
    if problem := unclear(lambda: output(model, inputs.empty), about):
        findings.add(f"after fit: {problem}")
    findings.report()


def check_wrong_types_are_refused(name, estimator, inputs):
    """Check that a string, dict, number, None, integers are errors with the class."""
    findings = Findings(
        name,
        "what is no column of cells should be a clear error.",
        "Raise a TypeError or ValueError that names the class, says what came, what is "
        "expected, and what to do.",
    )
    string = inputs.of_kind(inputs.kinds[0], [0])[0]
    wrong = {
        "one string": string,
        "a dict": {"col": list(inputs.X(range(N_ROWS)))},
        "a number": 3.5,
        "None": None,
        "a column of integers": np.arange(N_ROWS),
    }
    about = class_names(estimator)
    for what, X in wrong.items():
        call = _call(_fit_and_output, _strict(estimator), inputs, X)
        if problem := unclear(call, about):
            findings.add(f"{what}: {problem}")
    findings.report()


def _call(function, *args):
    return lambda: function(*args)


def _strict(estimator):
    """Ask for errors where the estimator is made with another policy for bad rows."""
    model = prepared(estimator)
    for parameter in ("missing", "on_error"):
        for key in named(model, parameter):
            if model.get_params()[key] in POLICIES:
                model.set_params(**{key: "raise"})
    return model


def check_two_columns_are_refused(name, estimator, inputs):
    """Check that a table of two columns is an error that names the class."""
    cells = inputs.of_kind(inputs.kinds[0], range(N_ROWS))
    if "pandas Series" in inputs.kinds:
        import pandas as pd

        X = pd.DataFrame({"a": cells, "b": cells})
    else:
        X = np.array([cells, cells], dtype=object).T
    problem = unclear(
        lambda: _fit_and_output(estimator, inputs, X), class_names(estimator)
    )
    if problem:
        raise AssertionError(
            f"{name}: a table of two columns should be a clear error; got {problem}. "
            "Name the class and the columns, and say to pick one."
        )


def check_a_bad_row_is_named(name, estimator, inputs):
    """Check that an unusable cell is an error with the position of its row."""
    findings = Findings(
        name,
        f"an unusable cell in row {BAD_ROW} should be an error that names the row.",
        "Raise a ValueError or TypeError with the row's position (and label), the cell "
        "and the cause.",
    )
    bad = {"an object": object(), "an integer": -5}
    if inputs.modality == "image":
        bad["a file that is not there"] = "no_such_folder/no_such_picture.png"
        bad["bytes that are no image"] = b"these bytes are no image"
    for what, cell in bad.items():
        X = inputs.with_cell(range(N_ROWS), BAD_ROW, cell)
        call = _call(_fit_and_output, _strict(estimator), inputs, X)
        if problem := unclear(call, [f"row {BAD_ROW}", f"row={BAD_ROW}"]):
            findings.add(f"{what}: {problem}")
    findings.report()


def check_missing_rows_follow_the_policy(name, estimator, inputs):
    """Check that null cells are what `missing` says, and other rows as they were."""
    require(estimator, "missing")
    findings = Findings(
        name,
        "a null cell should be replaced as missing= says, and nothing else.",
        "Keep a row for each row; 'raise' names the row.",
    )
    rows = list(range(N_ROWS))
    y = inputs.y(rows)
    with_null = inputs.X([*rows[:BAD_ROW], None, *rows[BAD_ROW + 1 :]])
    for policy in POLICIES:
        model = prepared(estimator, missing=policy)
        # The flag of a replaced row is no part of its vector.
        set_named(model, add_indicator=False)
        if policy == "raise":
            call = _call(_fit_and_output, model, inputs, with_null)
            if problem := unclear(call, [f"row {BAD_ROW}"]):
                findings.add(f"'raise': {problem}")
            continue
        if is_predictor(estimator):
            continue  # what a replaced row does to a model is the model's own affair
        try:
            fit(model, with_null, y)
        except (ValueError, TypeError) as err:
            if "missing" in str(err) and policy in ("empty", "mean", "nan", "zero"):
                continue  # a policy that it does not have
            raise
        got = output(model, with_null)
        want = output(model, inputs.X(rows))
        if len(got) != N_ROWS:
            findings.add(f"{policy!r}: {len(got)} rows came out of {N_ROWS}")
            continue
        others = np.arange(N_ROWS) != BAD_ROW
        if gap := difference(got[others], want[others]):
            findings.add(f"{policy!r}: the other rows changed: {gap}")
        row = got[BAD_ROW]
        if policy == "nan" and not np.isnan(row).all():
            findings.add(f"'nan': the row is {row[:4]}...")
        if policy == "zero" and row.any():
            findings.add(f"'zero': the row is {row[:4]}...")
        if policy in ("mean", "empty") and not np.isfinite(row).all():
            findings.add(f"{policy!r}: the row is {row[:4]}...")
    findings.report()
