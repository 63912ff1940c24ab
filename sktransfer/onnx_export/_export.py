"""A fitted pipeline as one ONNX graph: from prepared rows to predictions."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path

import numpy as np

from .._cells.column import CellError
from .._extraction.estimator import ColumnEstimator, Unread
from .._extraction.pieces import Pieces
from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.types import Cells, Estimator
from .._utils.whole_file import write_whole
from ..encoders._base import BaseEncoder
from ..exceptions import ExportError, MissingRowError
from ..finetuning._base import BaseFineTuner
from ._compare import compare
from ._graph import END, network_graph, own_outputs, sample, step_graph

OPSET = 18
TOLERANCE = 1e-3
PACKAGES = ("onnx", "onnxscript", "skl2onnx", "onnxruntime")
PROPERTY = "sktransfer"


@set_module("sktransfer.onnx_export")
def to_onnx(
    pipeline: Estimator,
    path: str | Path,
    X: Cells | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> Path:
    """Write a fitted pipeline as one ONNX graph, checked with onnxruntime.

    The graph takes the result of `prepare_inputs`: for images ``pixels``, uint8 of
    shape ``(rows, height, width, 3)``, resized and cropped; for texts ``input_ids`` and
    ``attention_mask``, int64 of shape ``(rows, tokens)``. The numbers of rows and
    tokens are free. The graph returns ``label`` and ``probabilities`` (a classifier),
    ``variable`` (a regressor), or ``features``. Labels are int64 if they are whole
    numbers, even if stored as floats; otherwise they are text.

    Parameters
    ----------
    pipeline : Pipeline, encoder, fine-tuning estimator or search
        Fitted estimator: an encoder, followed by steps that skl2onnx knows, such as
        scalers, PCA, linear models, MLPs and trees. A search exports its best
        estimator.
    path : str or Path
        File to write. It is written under another name and then renamed.
    X : column of cells, default=None
        Rows for the check. None uses 8 images of seeded noise, or 32 short texts, whose
        predictions may not cover every class.
    tolerance : float, default=1e-3
        Greatest difference allowed between graph and pipeline; for values above 1
        relative to the greatest value.

    Returns
    -------
    Path
        Path of the file.

    Notes
    -----
    Numbers must agree within `tolerance`, and every label must be the pipeline's,
    unless the values of the two classes are equal within `tolerance`. The graph's
    metadata has an entry ``sktransfer``, a JSON text. Its ``compared`` contains the
    number of compared ``rows`` and the number of different ``labels`` among them.

    Raises
    ------
    ExportError
        If ONNX cannot express a step, or computes something else; the message names the
        step.
    MissingDependencyError
        If a package of the extra ``onnx`` is not installed.

    See Also
    --------
    prepare_inputs : Makes the inputs of the graph.
    sktransfer.save : Saves an estimator for Python programs.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.onnx_export import to_onnx
    >>> model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    >>> _ = model.fit(["good", "bad"], [1, 0])
    >>> to_onnx(model, "model.onnx").name
    'model.onnx'
    """
    for package in PACKAGES:
        import_optional(package, extra="onnx", purpose="sktransfer.onnx_export.to_onnx")
    steps = _steps(pipeline)
    name, first = steps[0]
    request = _request(first)
    if X is None:
        inputs = sample(request)
    else:
        inputs = prepare_inputs(pipeline, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own, of no use to the caller
        graph, features = network_graph(name, first, request, inputs, OPSET)
        if isinstance(first, BaseFineTuner):
            graph, wanted = own_outputs(graph, first._codec, features)
        else:
            wanted = {END: features}
        classes = getattr(first, "classes_", None)
        compared = compare(name, graph, inputs, wanted, tolerance, classes)
        for name, step in steps[1:]:
            last = wanted.get(END, next(iter(wanted.values())))
            graph, wanted = step_graph(name, step, graph, last, OPSET)
            classes = getattr(step, "classes_", None)
            compared = compare(name, graph, inputs, wanted, tolerance, classes)
    record = {
        "network": request.backbone.name,
        "fingerprint": request.backbone.fingerprint,
        "preprocess": request.preprocess.key,
        "classes": [str(c) for c in getattr(pipeline, "classes_", ())],
        "steps": [name for name, _ in steps],
        "compared": compared,
    }
    prop = graph.metadata_props.add()
    prop.key, prop.value = PROPERTY, json.dumps(record)
    return _write(graph.SerializeToString(), Path(path))


@set_module("sktransfer.onnx_export")
def prepare_inputs(pipeline: Estimator, X: Cells) -> dict[str, np.ndarray]:
    """Prepare cells as the exported graph takes them.

    Parameters
    ----------
    pipeline : Pipeline, encoder, fine-tuning estimator or search
        Pipeline that was exported.
    X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        Rows to prepare. Every cell must be readable: the graph has no policy for other
        cells.

    Returns
    -------
    dict of str to ndarray
        ``pixels``, uint8 of shape (n_samples, height, width, 3); or ``input_ids`` and
        ``attention_mask``, int64 of shape (n_samples, n_tokens).

    Raises
    ------
    MissingRowError
        If a cell is missing; with ``missing="empty"`` it is read as an empty text.
    UnreadableRowError
        If a cell cannot be read.

    Examples
    --------
    >>> from sktransfer import TextEncoder
    >>> from sktransfer.onnx_export import prepare_inputs
    >>> encoder = TextEncoder("tiny-bert").fit(["good", "bad"])
    >>> prepare_inputs(encoder, ["one", "two words"])["input_ids"].shape
    (2, 4)
    """
    first = _steps(pipeline)[0][1]
    request = _request(first)
    column = first._column(X)
    nulls = set(first._nulls(column))
    cells = list(column.cells)
    if first.missing == "empty":  # as `transform` and `predict` do
        cells = ["" if row in nulls else cell for row, cell in enumerate(cells)]
    elif nulls:
        row = min(nulls)
        raise MissingRowError(
            f"prepare_inputs: {column.describe(row)} is missing, and the graph has no "
            "policy for missing cells; leave such rows out.",
            row=row,
            label=column.label(row),
            source=repr(column.cells[row]),
            reason="it is missing",
        )
    if first._lists(cells, request) is not None:
        raise ExportError(
            "prepare_inputs: some rows have several cells, but the graph takes one "
            "image or text per row; pass each as its own row."
        )
    reader = first._reader(request)
    with contextlib.closing(reader):
        contents = []
        for row, result in enumerate(reader.read(cells)):
            if isinstance(result, CellError):
                raise first._unreadable(column, Unread(row, "", cells[row], result))
            contents.append(result[1])
        prepared = reader.prepare(contents, request)
        rows = list(reader.results(prepared, request.device))
    for row, value in enumerate(rows):
        if isinstance(value, CellError):
            raise first._unreadable(column, Unread(row, "", cells[row], value))
    state = request.backbone.batch(rows)
    if request.backbone.modality == "image":
        return {"pixels": state.hidden.numpy()}
    mask = state.mask.numpy().astype(np.int64)
    return {"input_ids": state.hidden.numpy(), "attention_mask": mask}


def _steps(pipeline):
    """Return the steps as (name, estimator), the network first."""
    estimator = getattr(pipeline, "best_estimator_", pipeline)
    steps = getattr(estimator, "steps", None)
    if steps is None:
        steps = [(type(estimator).__name__.lower(), estimator)]
    steps = [(n, s) for n, s in steps if s is not None and s != "passthrough"]
    name, first = steps[0]
    if not isinstance(first, ColumnEstimator):
        raise ExportError(
            f"Step {name!r} is a {type(first).__name__}, but a graph starts with one "
            "network: export an encoder, a fine-tuning estimator, or a Pipeline whose "
            "first step is an encoder. Several columns are several graphs."
        )
    if getattr(first, "add_indicator", False):
        raise ExportError(
            f"Step {name!r} has add_indicator=True, but a graph gets prepared rows "
            "only, never missing cells; fit with add_indicator=False."
        )
    return steps


def _request(estimator):
    from sklearn.utils.validation import check_is_fitted

    is_encoder = isinstance(estimator, BaseEncoder)
    check_is_fitted(estimator, "n_features_out_" if is_encoder else "net_")
    if isinstance(getattr(estimator, "max_length", None), (str, Pieces)):
        raise ExportError(
            f"{type(estimator).__name__} averages the pieces of long texts, and the "
            "graph takes one text per row; set max_length to a number of tokens."
        )
    return estimator._fitted_request()


def _write(content, path):
    path = path.expanduser().absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path
