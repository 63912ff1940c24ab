"""Pieces of an ONNX graph: the network, and what stands on it."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError

from ..backbones import State
from ..exceptions import ExportError
from ..finetuning._base import BaseFineTuner
from ._compare import check_size

END = "features"
SAMPLE_TEXTS = ("one", "a text of a few more words, and a second part of it.", "")
SAMPLE_WORDS = (
    "it was late and they sold red cars for a good price in every city".split()
)
N_SAMPLE_TEXTS, N_SAMPLE_IMAGES = 32, 8


def sample(request):
    """Return inputs to check with: seeded noise, or texts of several lengths."""
    backbone, preprocess = request.backbone, request.preprocess
    rng = np.random.default_rng(0)
    if backbone.modality == "image":
        shape = (N_SAMPLE_IMAGES, *preprocess.size, 3)
        # From bright to nearly black, and in other colours, for more than one label.
        light = np.linspace(1, 0.1, N_SAMPLE_IMAGES).reshape(-1, 1, 1, 1)
        light = light * rng.uniform(0.2, 1, (N_SAMPLE_IMAGES, 1, 1, 3))
        return {"pixels": (rng.integers(0, 256, shape) * light).astype(np.uint8)}
    texts = list(SAMPLE_TEXTS)
    while len(texts) < N_SAMPLE_TEXTS:
        texts.append(" ".join(rng.choice(SAMPLE_WORDS, rng.integers(1, 8))))
    state = backbone.batch(preprocess.prepare(texts))
    mask = state.mask.numpy().astype(np.int64)
    return {"input_ids": state.hidden.numpy(), "attention_mask": mask}


def network_graph(name, estimator, request, inputs, opset):
    """Export the network of an encoder or of a fine-tuning estimator.

    Returns
    -------
    graph : onnx.ModelProto
        Its output is called "features".
    features : ndarray
        Features that torch gives for `inputs`.
    """
    import torch

    module = _module(estimator, request).eval()
    state = module.state_dict().values()
    check_size(name, sum(t.numel() * t.element_size() for t in state))
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in inputs.values())
    with torch.inference_mode():
        features = module(*tensors).numpy()
    rows = torch.export.Dim.DYNAMIC
    free = {0: rows} if "pixels" in inputs else {0: rows, 1: rows}
    try:
        program = torch.onnx.export(
            module,
            _not_one(tensors),
            dynamo=True,
            dynamic_shapes={"inputs": tuple(free for _ in tensors)},
            input_names=list(inputs),
            output_names=[END],
            opset_version=opset,
            verbose=False,
        )
    except Exception as err:  # the exporter raises errors of many kinds
        raise ExportError(
            f"Step {name!r}: the network {request.backbone.name!r} cannot be exported "
            f"by torch.onnx ({type(err).__name__}: {str(err)[:300]}). Use another one."
        ) from err
    graph = program.model_proto  # type: ignore[union-attr]
    _name_axes(graph, "pixels" in inputs)
    return graph, features


def _not_one(tensors):
    """Repeat rows to at least two: an axis of one is taken for a constant."""
    import torch

    return tuple(torch.cat([t, t]) if len(t) == 1 else t for t in tensors)


def _name_axes(graph, is_image):
    for value in graph.graph.input:
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param = "rows"
        if not is_image:
            dims[1].dim_param = "tokens"
    graph.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "rows"


def _module(estimator, request):
    import copy

    import torch
    from torch import nn

    backbone, depth = request.backbone, request.depth
    preprocess = request.preprocess
    trained = None
    if isinstance(estimator, BaseFineTuner):
        trained = copy.deepcopy(estimator.net_.module_).cpu()

    class Network(nn.Module):
        """Prepared rows to features, or to the outputs of a head."""

        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(list(backbone.blocks.values())[:depth])
            self.post_pool = backbone.post_pool
            self.trained: Any = trained

        def forward(self, *inputs):
            state = State(inputs[0])
            if len(inputs) == 2:
                mask = inputs[1] > 0
                state = State(inputs[0], mask, inputs[1].sum(1))
            state = preprocess.to_input(state)
            for block in self.blocks:
                state = block(state)
            if trained is None:
                vectors = backbone.pool(state, request.pooling, depth).float()
                if estimator.normalize:
                    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
                    vectors = vectors / norms.clamp(min=torch.finfo(torch.float32).tiny)
                return vectors
            if depth == len(backbone.blocks):
                state = State(backbone.pool(state, request.pooling, depth))
            return self.trained(*state)

    return Network()


def own_outputs(graph, codec, outputs):
    """Add what a fine-tuning estimator makes of its head's outputs.

    Returns
    -------
    graph : onnx.ModelProto
    wanted : dict of str to ndarray
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    if codec.task == "numbers":
        scale = constant("target_scale", codec.scale.astype(np.float32))
        mean = constant("target_mean", codec.mean.astype(np.float32))
        nodes += [
            helper.make_node("Mul", [END, scale], ["scaled"]),
            helper.make_node("Add", ["scaled", mean], ["variable"]),
        ]
        infos = [("variable", TensorProto.FLOAT, codec.n_outputs)]
        decoded = codec.decode(outputs).reshape(len(outputs), -1)
        wanted = {"variable": decoded.astype(np.float32)}
    elif codec.is_multilabel:
        zero = constant("zero", np.float32(0))
        nodes += [
            helper.make_node("Greater", [END, zero], ["is_on"]),
            helper.make_node("Cast", ["is_on"], ["label"], to=TensorProto.INT64),
            helper.make_node("Sigmoid", [END], ["probabilities"]),
        ]
        infos = [
            ("label", TensorProto.INT64, codec.n_outputs),
            ("probabilities", TensorProto.FLOAT, codec.n_outputs),
        ]
        wanted = {"label": codec.decode(outputs)}
    else:
        classes, kind = _classes(codec.classes)
        names = constant("classes", classes)
        nodes += [
            helper.make_node("ArgMax", [END], ["best"], axis=1, keepdims=0),
            helper.make_node("Gather", [names, "best"], ["label"]),
            helper.make_node("Softmax", [END], ["probabilities"], axis=1),
        ]
        infos = [
            ("label", kind, None),
            ("probabilities", TensorProto.FLOAT, len(classes)),
        ]
        labels = np.asarray(classes)[outputs.argmax(1)]
        wanted = {"label": labels}
    if codec.task != "numbers":
        wanted["probabilities"] = codec.proba(outputs)
    graph.graph.node.extend(nodes)
    graph.graph.initializer.extend(constants)
    del graph.graph.output[:]
    for name, kind, width in infos:
        shape = ["rows"] if width is None else ["rows", width]
        graph.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    return graph, wanted


def _classes(classes):
    """Return labels as ONNX has them, and their type there."""
    from onnx import TensorProto

    labels = _as_onnx(classes)
    if labels.dtype == np.int64:
        return labels, TensorProto.INT64
    return labels.astype(object), TensorProto.STRING


def _as_onnx(labels):
    """Return labels as ONNX has them: int64 where they are whole numbers, else text."""
    labels = np.asarray(labels)
    is_whole = labels.dtype.kind == "f" and (labels == np.trunc(labels)).all()
    if labels.dtype.kind in "iub" or is_whole:
        return labels.astype(np.int64)
    return labels.astype(str)


def step_graph(name, step, graph, features, opset):
    """Convert a step of scikit-learn's and put it behind a graph.

    Parameters
    ----------
    name : str
    step : estimator
        Fitted.
    graph : onnx.ModelProto
        With the output "features".
    features : ndarray of shape (n_samples, n_features), float32
        Features that come out of `graph`.
    opset : int

    Returns
    -------
    graph : onnx.ModelProto
    wanted : dict of str to ndarray
        Outputs of scikit-learn.

    Raises
    ------
    ExportError
        If the step has no form in ONNX.
    """
    from onnx import compose
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    kind = type(step).__name__
    try:
        wanted = _wanted(step, features)
        options = {id(step): {"zipmap": False}} if "probabilities" in wanted else None
        piece = convert_sklearn(
            step,
            initial_types=[("X", FloatTensorType([None, features.shape[1]]))],
            options=options,
            target_opset={"": opset, "ai.onnx.ml": 3},
        )
    except NotFittedError:
        raise
    except Exception as err:  # skl2onnx raises errors of many kinds
        raise ExportError(
            f"Step {name!r} ({kind}) cannot be expressed in ONNX: skl2onnx says "
            f"{type(err).__name__}: {_beginning(err)}. Use a linear model, an "
            "MLP, a forest or another gradient boosting for that step, or ship the "
            "pipeline with sktransfer.save."
        ) from err
    # Its nodes are those of `opset`; it states the lowest number that has them.
    for entry in piece.opset_import:
        entry.version = opset if entry.domain == "" else entry.version
    known = {entry.domain: entry.version for entry in graph.opset_import}
    for entry in piece.opset_import:
        entry.version = known.get(entry.domain, entry.version)
    piece.ir_version = graph.ir_version
    prefix = f"{name}/"
    piece = compose.add_prefix(piece, prefix)
    outputs = [output.name for output in piece.graph.output]
    merged = compose.merge_models(
        graph, piece, io_map=[(END, piece.graph.input[0].name)], outputs=outputs
    )
    _rename(merged, dict(zip(outputs, wanted, strict=True)), prefix)
    for output in merged.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "rows"
    return merged, wanted


def _beginning(err):
    """Return the first line of an error, without the attributes of an ONNX node."""
    line = str(err).strip().partition("\n")[0]
    return line.partition(" and attributes=")[0][:300].rstrip(".")


def _wanted(step, features):
    """Return what a step gives, by the names of its outputs."""
    if is_classifier(step):
        wanted = {"label": _as_onnx(step.predict(features))}
        if hasattr(step, "predict_proba"):
            return {**wanted, "probabilities": step.predict_proba(features)}
        return {**wanted, "scores": step.decision_function(features)}
    if hasattr(step, "transform"):
        return {END: np.asarray(step.transform(features), dtype=np.float32)}
    values = np.asarray(step.predict(features))
    return {"variable": values.reshape(len(values), -1)}


def _rename(model, names, prefix):
    """Give the outputs their names; what had such a name inside gets a prefix."""
    inside = {new: f"{prefix}before/{new}" for new in (*names.values(), END)}
    names = {**inside, **names}
    for node in model.graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in (*model.graph.output, *model.graph.value_info):
        value.name = names.get(value.name, value.name)
