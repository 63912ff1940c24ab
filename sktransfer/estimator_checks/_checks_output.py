"""Checks of what a transformer gives, and of its place among scikit-learn's tools."""

import importlib.util
import pickle
from unittest import SkipTest

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._helpers import (
    Findings,
    as_array,
    difference,
    fit,
    fitted,
    is_predictor,
    linear_model,
    output,
    prepared,
    shortened,
)
from ._inputs import N_ROWS


def check_output_is_finite_float32(name, estimator, inputs):
    """Check that `transform` gives a finite float32 matrix."""
    X = inputs.X(range(N_ROWS))
    got = output(fitted(estimator, X, inputs.y(range(N_ROWS))), X)
    if got.ndim != 2 or got.dtype != np.float32:
        raise AssertionError(
            f"{name}: transform gave shape {got.shape} and dtype {got.dtype}; expected "
            "a float32 matrix. Networks compute in float32; more digits are made up."
        )
    if not np.isfinite(got).all():
        raise AssertionError(
            f"{name}: transform gave NaN or infinite values for sound rows."
        )


def check_fit_transform_equals_fit_and_transform(name, estimator, inputs):
    """Check that `fit_transform` gives what `fit` and then `transform` gives."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    want = output(fitted(estimator, X, y), X)
    model = prepared(estimator)
    if not hasattr(model, "fit_transform"):
        raise AssertionError(
            f"{name}: there is no fit_transform; inherit from "
            "sklearn.base.TransformerMixin, left of BaseEstimator."
        )
    got = model.fit_transform(X) if y is None else model.fit_transform(X, y)
    if gap := difference(as_array(got), want):
        raise AssertionError(f"{name}: fit_transform is not fit and transform: {gap}.")


def check_feature_names_out(name, estimator, inputs):
    """Check that `get_feature_names_out` gives one string a column, each once."""
    X = inputs.X(range(N_ROWS))
    model = fitted(estimator, X, inputs.y(range(N_ROWS)))
    width = output(model, X).shape[1]
    if not hasattr(model, "get_feature_names_out"):
        raise AssertionError(
            f"{name}: there is no get_feature_names_out, so that neither set_output "
            "nor a ColumnTransformer can name its columns."
        )
    names = list(model.get_feature_names_out())
    if len(names) != width or len(set(names)) != width:
        raise AssertionError(
            f"{name}: {len(set(names))} different names of {len(names)} for {width} "
            "columns; expected one for each."
        )
    if not all(isinstance(one, str) for one in names):
        raise AssertionError(f"{name}: names should be str; got {names[:3]}...")


def check_set_output(name, estimator, inputs):
    """Check that `set_output` gives pandas and polars frames, with names and index."""
    if not hasattr(estimator, "set_output"):
        raise SkipTest("not applicable: there is no set_output")
    findings = Findings(
        name,
        "set_output should give the frame that was asked for.",
        "Inherit from sklearn.base.TransformerMixin, and have get_feature_names_out.",
    )
    rows = range(N_ROWS)
    X, y = inputs.X(rows), inputs.y(rows)
    model = fitted(estimator, X, y)
    want = output(model, X)
    for library in ("pandas", "polars"):
        if importlib.util.find_spec(library) is None:
            continue
        framed = prepared(estimator).set_output(transform=library)
        out = fit(framed, X, y).transform(X)
        if type(out).__module__.partition(".")[0] != library:
            findings.add(f"{library}: it gave a {type(out).__module__} object")
            continue
        if list(out.columns) != list(model.get_feature_names_out()):
            findings.add(f"{library}: the columns are {list(out.columns)[:3]}...")
        if gap := difference(as_array(out), want):
            findings.add(f"{library}: {gap}")
        if library == "pandas" and not inputs.refusal("pandas Series"):
            index = [f"label{i}" for i in rows]
            out = framed.transform(inputs.series(rows, index))
            if list(out.index) != index:
                findings.add(f"pandas: the index became {list(out.index)[:3]}...")
    findings.report()


def check_column_transformer(name, estimator, inputs):
    """Check that a ColumnTransformer takes it by `"col"` and by `["col"]`."""
    findings = Findings(
        name,
        "a ColumnTransformer should give what the estimator alone gives.",
        "Take a Series, and a frame of one column.",
    )
    ways = {"pandas Series": "col", "one-column pandas frame": ["col"]}
    # What refuses a kind has failed one check for it already.
    ways = {kind: way for kind, way in ways.items() if not inputs.refusal(kind)}
    if not ways:
        raise SkipTest("not applicable: it takes no pandas input")
    table = inputs.of_kind("one-column pandas frame", range(N_ROWS))
    table["number"] = np.arange(float(N_ROWS))
    y = inputs.y(range(N_ROWS))
    for kind, way in ways.items():
        X = inputs.of_kind(kind, range(N_ROWS))
        want = output(fitted(estimator, X, y), X)
        columns = ColumnTransformer(
            [("c", prepared(estimator), way), ("n", StandardScaler(), ["number"])]
        )
        try:
            got = as_array(columns.fit_transform(table, y))
        except Exception as err:
            findings.add(f"{way!r}: {type(err).__name__}: {shortened(err)}")
            continue
        if gap := difference(got[:, :-1], want):
            findings.add(f"{way!r}: {gap}")
    findings.report()


def check_cross_validation(name, estimator, inputs):
    """Check that `cross_val_score` runs, and gives the same after a fit."""
    X = inputs.X(range(N_ROWS))
    model = prepared(estimator)
    y = inputs.y(range(N_ROWS))
    if not is_predictor(model):
        model = make_pipeline(model, linear_model())
        y = np.arange(N_ROWS) % 2
    before = cross_val_score(model, X, y, cv=3, error_score="raise")
    if not np.isfinite(before).all():
        raise AssertionError(f"{name}: cross_val_score gave {before}.")
    fit(model, X, y)
    after = cross_val_score(model, X, y, cv=3, error_score="raise")
    if not np.allclose(before, after):
        raise AssertionError(
            f"{name}: cross_val_score gave {before} before a fit, {after} after it. "
            "Let a clone carry parameters and nothing else."
        )


def check_a_pickled_estimator_gives_the_same(name, estimator, inputs):
    """Check that a fitted estimator gives the same output when it was pickled."""
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    model = fitted(estimator, X, y)
    want = output(model, X)
    try:
        again = pickle.loads(pickle.dumps(model))
    except Exception as err:
        raise AssertionError(
            f"{name}: it cannot be pickled after fit: {type(err).__name__}: "
            f"{shortened(err)}. Leave locks, threads and open files out of its state."
        ) from err
    if gap := difference(output(again, X), want):
        raise AssertionError(f"{name}: after pickling, the output differs: {gap}.")
