"""The engines: how each is built, and the table of them.

A builder takes a `PooledVectors`, an example (a tuple of tensors) and a precision, and
returns ``function(*tensors) -> ndarray``, which computes on the threads that torch has
now. The table is read by parameter constraints, so that this file loads no torch.
"""

import contextlib
import logging
import warnings
from typing import Any, NamedTuple

from ..._utils.arithmetic import PRECISIONS

AUTO = "auto"
# What "auto" tries on a CPU, the fastest first, and torch at last. Images a second on
# two cores, torch / onnxruntime / openvino: EfficientNet-Lite0 74 / 96 / 148, ResNet-18
# 46 / 55 / 53, MobileNetV3-small 194 / 424 / 459, ConvNeXt-atto 75 / 94 / 107, ViT-S
# 21 / 17 / 21. Texts, MiniLM: 380 / 206 / 241, as torch's linear layers are packed.
FASTEST = {"image": ("openvino", "onnxruntime"), "text": ()}


def build_compile(module, example, precision):
    """Compile with torch.compile, which needs a C++ compiler on a CPU."""
    import torch

    is_text = len(example) == 2
    compiled = torch.compile(module, dynamic=is_text)
    return lambda *tensors: compiled(*tensors).cpu().numpy()


def build_onnxruntime(module, example, precision):
    """Export to ONNX and open a session on the CPU."""
    import onnxruntime
    import torch

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
        program.model_proto.SerializeToString(),  # type: ignore[union-attr]
        options,
        providers=["CPUExecutionProvider"],
    )
    names = [value.name for value in session.get_inputs()]

    def run(*tensors):
        arrays = [tensor.numpy() for tensor in tensors]
        return session.run(None, dict(zip(names, arrays, strict=True)))[0]

    return run


def build_openvino(module, example, precision):
    """Convert for OpenVINO and compile for the CPU."""
    import openvino
    import torch

    model = openvino.convert_model(_exported(module, example))
    if len(example) == 1:
        model.reshape(list(example[0].shape))
    settings = {
        # Its own choice may be bfloat16 where float32 is asked for.
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def run(*tensors):
        arrays = [tensor.numpy() for tensor in tensors]
        return request.infer(arrays)[0].copy()

    return run


class Engine(NamedTuple):
    """Entry of the table of engines.

    Attributes
    ----------
    build : callable or None
        Its builder; None is torch itself.
    packages : tuple of str, default=()
        Packages that it imports. The extra that installs them has the engine's name.
    is_cpu_only : bool, default=False
        True if the engine runs only on the CPU.
    precisions : tuple of str, default=PRECISIONS
        Precisions that it computes in.
    survives_fork : bool, default=True
        True if the engine works in a forked process. Threads do not survive a fork, and
        some engines cannot start new ones.
    """

    # Callable[[PooledVectors, tuple, str], Callable[..., ndarray]] | None
    build: Any
    packages: tuple[str, ...] = ()
    is_cpu_only: bool = False
    precisions: tuple[str, ...] = PRECISIONS
    survives_fork: bool = True


# The one place that names them: constraints, checks and messages read it, and
# tests/test_docstrings.py compares the docstrings with it.
ENGINES = {
    "torch": Engine(None),
    "compile": Engine(build_compile, survives_fork=False),
    "onnxruntime": Engine(
        build_onnxruntime,
        ("onnx", "onnxscript", "onnxruntime"),
        is_cpu_only=True,
        precisions=("float32",),
    ),
    "openvino": Engine(
        build_openvino,
        ("openvino",),
        is_cpu_only=True,
        precisions=("float32", "bfloat16"),
        survives_fork=False,
    ),
}


def _exported(module, example):
    """Export: fixed shapes for images, any number and length for texts."""
    import torch

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
