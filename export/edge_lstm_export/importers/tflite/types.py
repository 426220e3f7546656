"""Whether the number formats of an operator's tensors go together.

LiteRT doesn't check all of them. It then writes past the end of a tensor. `walk` asks here before
the graph is given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_lstm_runtime.errors import ConversionError

from .file import Operator, Tensor

WHOLE = ("INT8", "INT16")  # of what moves from operator to operator, if it is quantized
MATRICES = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": range(1, 9),
    "UNIDIRECTIONAL_SEQUENCE_RNN": range(1, 3),
    "FULLY_CONNECTED": range(1, 2),
}
BIASES = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": range(12, 16),
    "UNIDIRECTIONAL_SEQUENCE_RNN": range(3, 4),
    "FULLY_CONNECTED": range(2, 3),
}
STATES = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": range(18, 20),
    "UNIDIRECTIONAL_SEQUENCE_RNN": range(4, 5),
}
COUNTS = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (20, 24), "UNIDIRECTIONAL_SEQUENCE_RNN": (5,)}
INTERMEDIATES = 5  # of a quantized LSTM
COPIES = ("QUANTIZE", "DEQUANTIZE")
WHOLES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE")  # read sizes besides


def check(operator: Operator, tensors: Sequence[Tensor]) -> None:
    """Raises ConversionError."""
    code = operator.code
    if len(operator.outputs) != 1 or len(operator.inputs) not in COUNTS.get(
        code, (len(operator.inputs),)
    ):
        raise ConversionError(
            f"it has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs"
        )
    if code in COPIES:
        return

    def at(places: Iterable[int]) -> list[Tensor]:
        inputs = operator.inputs
        return [tensors[inputs[k]] for k in places if k < len(inputs) and inputs[k] >= 0]

    moved = range(1) if code in MATRICES or code in WHOLES else range(len(operator.inputs))
    passed = [*at(moved), tensors[operator.outputs[0]]]
    kinds = _kinds(passed)
    quantized = kinds[0] in WHOLE
    if len(set(kinds)) > 1 or kinds[0] not in ("FLOAT32", *WHOLE):
        raise ConversionError(f"it reads and writes {' and '.join(dict.fromkeys(kinds))}")
    if quantized and any(t.scale.size != 1 or not t.scale[0] > 0 for t in passed):
        raise ConversionError("a quantized tensor of it has no scale")
    matrices = _kinds(at(MATRICES.get(code, ())))
    biases = _kinds(at(BIASES.get(code, ())))
    states = _kinds(at(STATES.get(code, ())))
    expected = ("FLOAT32", "INT8") if not quantized else ("INT8",)
    if len(set(matrices)) > 1 or not set(matrices) <= set(expected):
        raise ConversionError(f"its matrices are {' and '.join(dict.fromkeys(matrices))}")
    if len(set(biases)) > 1 or not set(biases) <= (
        {"INT32", "INT64"} if quantized else {"FLOAT32"}
    ):
        raise ConversionError(f"its biases are {' and '.join(dict.fromkeys(biases))}")
    right = [kinds[0], "INT16"] if quantized else ["FLOAT32", "FLOAT32"]
    if states != right[: len(states)]:
        raise ConversionError(f"its states are {' and '.join(states)}")
    if quantized and code in STATES and len(operator.intermediates) != INTERMEDIATES:
        raise ConversionError(f"it has {len(operator.intermediates)} intermediate scales")
    if any(t.scale.size and not (t.scale > 0).all() for t in at(MATRICES.get(code, ()))):
        raise ConversionError("a scale of its matrices is not positive")


def _kinds(tensors: Iterable[Tensor]) -> list[str]:
    return [tensor.type for tensor in tensors]
