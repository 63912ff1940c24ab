"""Builders of engines: from a module and an example to a function of a batch.

Each takes a `PooledVectors` and an example (a tuple of tensors) and returns
``function(*tensors) -> ndarray``, which computes on the threads that torch has now.
"""

import contextlib
import logging
import warnings

import torch


def build_compile(module, example):
    """Compile with torch.compile, which needs a C++ compiler on a CPU."""
    is_text = len(example) == 2
    compiled = torch.compile(module, dynamic=is_text)
    return lambda *tensors: compiled(*tensors).cpu().numpy()


def build_onnxruntime(module, example):
    """Export to ONNX and open a session on the CPU."""
    import onnxruntime

    # ONNX Runtime optimises the graph by itself, and faster.
    program = torch.onnx.export(
        _exported(module, example), dynamo=True, optimize=False, verbose=False
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads spin while they wait, beside torch's and those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    names = [value.name for value in session.get_inputs()]

    def run(*tensors):
        arrays = [tensor.numpy() for tensor in tensors]
        return session.run(None, dict(zip(names, arrays, strict=True)))[0]

    return run


def build_openvino(module, example):
    """Convert for OpenVINO and compile for the CPU, in float32."""
    import openvino

    model = openvino.convert_model(_exported(module, example))
    if len(example) == 1:
        model.reshape(list(example[0].shape))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # its own choice may be bfloat16
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def run(*tensors):
        arrays = [tensor.numpy() for tensor in tensors]
        return request.infer(arrays)[0].copy()

    return run


BUILDERS = {
    "compile": build_compile,
    "onnxruntime": build_onnxruntime,
    "openvino": build_openvino,
}


def _exported(module, example):
    """Export: fixed shapes for pictures, any number and length for texts."""
    shapes = None
    if len(example) == 2:
        any_size = torch.export.Dim.DYNAMIC
        shapes = ({0: any_size, 1: any_size}, {0: any_size})
    with torch.no_grad():
        return torch.export.export(module, example, dynamic_shapes=shapes, strict=False)


@contextlib.contextmanager
def quiet():
    """Keep what exporters have to say about themselves from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
