"""The backends that an export measures, as keys of its figures."""

from __future__ import annotations

from edge_lstm_runtime.model.measured import Measured

NUMPY = Measured("numpy")  # the float model
NATIVE = Measured("native")
NATIVE_INT8 = Measured("native-int8")
NATIVE_FP16 = Measured("native-fp16")


def onnx(member: str) -> Measured:
    """ONNX Runtime on a graph of the bundle."""
    return Measured("onnx", member)
