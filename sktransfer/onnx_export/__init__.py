"""Export a fitted pipeline as one ONNX graph, for programs without Python or torch."""

from ._export import prepare_inputs, to_onnx

__all__ = [
    "prepare_inputs",
    "to_onnx",
]
