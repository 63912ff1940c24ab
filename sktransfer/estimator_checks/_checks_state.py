"""Checks that what is not the estimator's own stays as it was."""

import joblib
from sklearn.base import clone

from ..backbones import load_backbone
from ._helpers import (
    Findings,
    difference,
    fit,
    fitted,
    named,
    output,
    prepared,
    require,
    set_named,
)
from ._inputs import N_ROWS
from ._watching import (
    global_state,
    global_state_restored,
    modules_of,
    set_unusual_state,
    set_usual_state,
    weights_state,
)


def check_X_and_y_are_left_alone(name, estimator, inputs):
    """Check that `fit` and output change neither `X` nor `y`, in any kind."""
    findings = Findings(
        name,
        "X and y are the caller's, and should stay as they are.",
        "Work on a copy.",
    )
    for kind in inputs.kinds:
        # A PIL image decodes itself when it is first read, which is no change.
        if kind == "list of PIL images" or inputs.refusal(kind):
            continue
        X, y = inputs.of_kind(kind, range(N_ROWS)), inputs.y(range(N_ROWS))
        before = joblib.hash(X), joblib.hash(y)
        model = fitted(estimator, X, y)
        if (joblib.hash(X), joblib.hash(y)) != before:
            findings.add(f"fit changed X or y ({kind})")
        before = joblib.hash(X)
        output(model, X)
        if joblib.hash(X) != before:
            findings.add(f"the output changed X ({kind})")
    findings.report()


def check_weights_are_left_alone(name, estimator, inputs):
    """Check that weights, buffers and training flags stay, bitwise."""
    findings = Findings(
        name,
        "a backbone's weights and buffers should stay bitwise as loaded, and output "
        "should change no network at all.",
        "Copy what is trained; put networks into eval mode when they are loaded, not "
        "around each call.",
    )
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    model = prepared(estimator)
    shared = [
        module
        for key in named(model, "backbone")
        for module in load_backbone(
            model.get_params()[key], modality=inputs.modality
        ).modules()
    ]
    before = weights_state(shared)
    fit(model, X, y)
    _compare(findings, "fit", before, weights_state(shared))
    output(model, X)
    own = modules_of(model)
    before = weights_state([*shared, *own])
    output(model, inputs.X(range(5)))
    _compare(findings, "output", before, weights_state([*shared, *own]))
    findings.report()


def _compare(findings, action, before, after):
    changed = [key for key in before if after.get(key) != before[key]]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        findings.add(f"{action} changed {', '.join(changed[:3])}{more}")


def check_global_state_is_left_alone(name, estimator, inputs):
    """Check that random generators, grad mode, threads, configs, filters stay."""
    findings = Findings(
        name,
        "what belongs to the process should stay as it is.",
        "Use random_state and generators of your own, and context managers.",
    )
    X, y = inputs.X(range(N_ROWS)), inputs.y(range(N_ROWS))
    with global_state_restored():
        output(fitted(estimator, X, y), X)  # what is imported now is not compared
        # Two starts, because what is set to the value that it has goes unseen.
        for start in (set_usual_state, set_unusual_state):
            start()
            model = prepared(estimator)
            for step in (fit, output):
                before = global_state()
                step(model, X, y) if step is fit else step(model, X)
                after = global_state()
                findings.found += [
                    f"{step.__name__} changed {key}"
                    for key in before
                    if before[key] != after[key]
                ]
    findings.found = list(dict.fromkeys(findings.found))
    findings.report()


def check_cache_changes_no_output(name, estimator, inputs):
    """Check that a cache changes no output, and that each row runs once with it."""
    from ..cache import FeatureCache
    from ._counting import counting_backbone

    require(estimator, "backbone", "cache")
    findings = Findings(
        name,
        "a cache should change no output, and run each row once.",
        "Look a row up by its content, and keep only what the network gave for it.",
    )
    rows = [*range(N_ROWS), 3, 3]
    X, y = inputs.X(rows), inputs.y(rows)
    plain, cached = prepared(estimator), prepared(estimator)
    set_named(cached, cache=FeatureCache())
    counters = []
    for key in named(estimator, "backbone"):
        value = estimator.get_params()[key]
        backbone, counter = counting_backbone(value, modality=inputs.modality)
        cached.set_params(**{key: backbone})
        counters.append(counter)
    fit(plain, X, y)
    fit(cached, X, y)
    want = output(plain, X)
    if gap := difference(output(cached, X), want):
        findings.add(f"the first time: {gap}")
    first = [counter.rows for counter in counters]
    if gap := difference(output(cached, X), want):
        findings.add(f"the second time: {gap}")
    if [counter.rows for counter in counters] != first:
        findings.add("rows that ran before ran again")
    if hasattr(estimator, "transform"):
        again = fit(clone(cached), X, y)
        if gap := difference(output(again, X[::-1]), want[::-1]):
            findings.add(f"a clone, the rows in reverse order: {gap}")
        counts = [counter.rows for counter in counters]
        if counts != [N_ROWS] * len(counters):
            findings.add(
                f"{counts} rows went through the network for {N_ROWS} distinct ones"
            )
    findings.report()
