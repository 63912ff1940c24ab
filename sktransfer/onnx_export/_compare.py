"""Comparison of a graph with its pipeline."""

import numpy as np

from .._utils.validation import plain
from ..exceptions import ExportError

MAX_BYTES = 2**31 - 1  # of one file: protobuf's limit


def check_size(name, n_bytes):
    """Refuse a graph that is too large for a file of ONNX.

    Raises
    ------
    ExportError
    """
    if n_bytes > MAX_BYTES:
        raise ExportError(
            f"Step {name!r}: the graph up to it has {n_bytes / 2**30:.1f} GiB, and an "
            "ONNX file holds at most 2. Use a smaller network or depth= (the blocks "
            "after it are left out), or ship the pipeline with sktransfer.save."
        )


def compare(name, graph, inputs, wanted, tolerance, classes=None):
    """Run a graph with onnxruntime and compare it with the pipeline.

    Parameters
    ----------
    name : str
        Name of the last step.
    graph : onnx.ModelProto
    inputs : dict of str to ndarray
    wanted : dict of str to ndarray
        Outputs of the pipeline.
    tolerance : float
    classes : ndarray, default=None
        Labels, in the order of the columns of probabilities or scores.

    Returns
    -------
    dict of str to int
        Number of rows that were compared and, for a classifier, of the labels among
        them.

    Raises
    ------
    ExportError
        If they differ by more than `tolerance`.
    """
    import onnxruntime

    check_size(name, graph.ByteSize())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs = session.run(list(wanted), inputs)
    except Exception as err:  # onnxruntime's errors have no common base
        raise ExportError(
            f"Step {name!r}: onnxruntime cannot run the graph up to it "
            f"({type(err).__name__}: {str(err)[:300]})."
        ) from err
    got = dict(zip(wanted, outputs, strict=True))
    for key, want in wanted.items():
        if key == "label":
            continue
        want = np.asarray(want, dtype=np.float64).reshape(got[key].shape)
        gap = np.abs(got[key] - want).max() / max(1.0, np.abs(want).max())
        if not gap <= tolerance:
            raise ExportError(
                f"Step {name!r} computes something else in ONNX: {key} differ by "
                f"{gap:.2g}, expected at most {tolerance:g}. Ship the pipeline with "
                "sktransfer.save, or raise tolerance."
            )
    compared = {"rows": len(next(iter(inputs.values())))}
    if "label" in wanted:
        known = np.asarray(classes)
        if known.dtype.kind not in "iub":
            known = known.astype(str)
        _compare_labels(name, got, wanted, tolerance, known.tolist())
        compared["labels"] = len(np.unique(np.asarray(wanted["label"]), axis=0))
    return compared


def _compare_labels(name, got, wanted, tolerance, classes):
    """Compare every label; another one may only be there where the two are level."""
    (key,) = (key for key in wanted if key != "label")
    labels, theirs = np.asarray(wanted["label"]), np.asarray(got["label"])
    if theirs.shape != labels.shape:
        raise ExportError(
            f"Step {name!r} gives labels of shape {theirs.shape} in ONNX, expected "
            f"{labels.shape}."
        )
    values = np.asarray(wanted[key], dtype=np.float64).reshape(len(labels), -1)
    # How far rounding may move the difference of two values.
    level = 2 * tolerance * max(1.0, np.abs(values).max())
    middle = 0.0 if key == "scores" else 0.5
    for place in map(tuple, np.argwhere(theirs != labels)):
        ahead = np.inf
        if len(place) == 2 and theirs[place] in (0, 1):  # several labels per row
            ahead = abs(values[place] - middle)
        elif len(place) == 1:
            ahead = _lead(values[place], labels[place], theirs[place], classes, middle)
        if ahead > level:
            raise ExportError(
                f"Step {name!r} gives other labels in ONNX: row {place[0]} of "
                f"{len(labels)} is {plain(theirs[place])!r}, expected "
                f"{plain(labels[place])!r}. Ship the pipeline with sktransfer.save."
            )


def _lead(values, label, other, classes, middle):
    """Return how far a label is ahead of another one in a row of values."""
    column_of = {known: column for column, known in enumerate(classes)}
    if other not in column_of:
        return np.inf
    if len(values) == 1:  # one score for two classes
        return abs(values[0] - middle)
    if len(values) != len(classes):  # scores of pairs of classes
        return np.inf
    return values[column_of[label]] - values[column_of[other]]
