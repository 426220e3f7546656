"""The graph of a .tflite file.

LiteRT's C++ code doesn't check all of a file, so it is never given one: only a new one of what
stands here (`written`).
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConversionError

from .. import Floats

LARGEST = 1 << 28  # bytes of a file
MOST = 4096  # of tensors, of operators
MAX_VALUES = 1 << 26  # of a tensor
IDENTIFIER = b"TFL3"
MISSING = 'a .tflite file needs LiteRT; pip install "edge-lstm[tflite]"'
# Of the tensors that are read. The names are of the format.
TYPES: dict[str, Any] = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "INT32": np.int32,
    "INT64": np.int64,
    "INT16": np.int16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
DAMAGED = (struct.error, ValueError, TypeError, IndexError, OverflowError, MemoryError, OSError)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """scale, zero: of a quantized one, () or (n,) along an axis. data: of a constant.

    shape is of one call. open: whether the file leaves a size open.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    variable: bool
    data: NDArray[Any] | None
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int
    open: bool

    @property
    def quantized(self) -> bool:
        return self.type in ("INT8", "UINT8", "INT16") or bool(self.scale.size)

    def values(self, scale: float = 0.0) -> Floats:
        """The real numbers of a constant, float64. scale: if the tensor has none."""
        assert self.data is not None
        found = self.data.astype(np.float64)
        if not self.scale.size:
            return found * scale if scale and self.type.startswith("INT") else found
        shape = [1] * found.ndim
        if self.scale.size > 1:
            shape[self.axis] = -1
        scales = self.scale.astype(np.float64).reshape(shape)
        return (found - self.zero.reshape(shape)) * scales


@dataclasses.dataclass(frozen=True)
class Operator:
    """inputs, outputs: places of tensors, -1 for one that is left out. options: of the format."""

    code: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]
    options: Any
    options_type: int


@dataclasses.dataclass(frozen=True)
class Graph:
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def load(path: Path) -> Graph:
    """Raises ConversionError, without the path."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ConversionError(MISSING)
    try:
        if path.stat().st_size > LARGEST:
            raise ConversionError(f"is larger than {LARGEST >> 20} MiB")
        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            raise ConversionError("is no .tflite file: it doesn't begin as one")
        return _Reader(content).graph()
    except DAMAGED as e:
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ConversionError(f"is damaged: {why}") from e


class _Reader:
    """By the accessors that the format's compiler made. They read anywhere in the file."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = schema.Model.GetRootAs(content)
        self.types = _names(schema.TensorType)
        self.codes = _names(schema.BuiltinOperator)
        self.options = _names(schema.BuiltinOptions)

    def graph(self) -> Graph:
        count = self.model.SubgraphsLength()
        if count < 1:
            raise ConversionError("has no graph")
        graph = self.model.Subgraphs(0)
        tensors = _each(graph.TensorsLength(), graph.Tensors, "tensors", self._tensor)
        operators = _each(graph.OperatorsLength(), graph.Operators, "operators", self._operator)
        found = Graph(
            tensors, operators, _ints(graph.InputsAsNumpy()), _ints(graph.OutputsAsNumpy())
        )
        places = [*found.inputs, *found.outputs]
        for operator in operators:
            places += [*operator.outputs, *operator.intermediates]
            places += [place for place in operator.inputs if place != -1]
        if any(not 0 <= place < len(tensors) for place in places):
            raise ConversionError("is damaged: an operator reads a tensor that is not there")
        if not found.inputs or not found.outputs:
            raise ConversionError("the graph has no input or no output")
        return found

    def _tensor(self, tensor: Any) -> Tensor:
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        shape = _ints(tensor.ShapeAsNumpy())
        signature = _ints(tensor.ShapeSignatureAsNumpy())
        if min(shape, default=1) < 0 or math.prod(shape) > MAX_VALUES:
            raise ConversionError(f"tensor {name!r} has the shape {shape}")
        kind = self.types.get(tensor.Type(), str(tensor.Type()))
        scale = np.zeros(0, np.float32)
        zero = np.zeros(0, np.int64)
        axis = 0
        q = tensor.Quantization()
        if q is not None and q.ScaleLength() and "INT" in kind:  # LiteRT ignores others
            scale = np.array(q.ScaleAsNumpy(), np.float32)
            zero = np.array(q.ZeroPointAsNumpy(), np.int64).ravel()
            zero = zero if q.ZeroPointLength() else np.zeros(scale.size, np.int64)
            axis = q.QuantizedDimension()
            along = shape[axis] if 0 <= axis < len(shape) else 0
            if scale.size != zero.size or scale.size not in (1, along):
                raise ConversionError(f"tensor {name!r} has {scale.size} scales, expected 1")
            if not np.isfinite(scale).all():
                raise ConversionError(f"tensor {name!r} has a scale that is not finite")
        data = self._data(tensor, name, shape, kind)
        return Tensor(
            name,
            shape,
            kind,
            bool(tensor.IsVariable()),
            data,
            scale,
            zero,
            axis,
            min(signature, default=1) < 0,
        )

    def _data(
        self, tensor: Any, name: str, shape: tuple[int, ...], kind: str
    ) -> NDArray[Any] | None:
        """The values of a constant, None for another tensor."""
        place = tensor.Buffer()
        if not 0 <= place < self.model.BuffersLength():
            raise ConversionError(f"tensor {name!r} has a buffer that is not there")
        buffer = self.model.Buffers(place)
        if tensor.Sparsity() is not None or tensor.ExternalBuffer() or buffer.Offset() > 1:
            raise ConversionError(f"tensor {name!r} is sparse or outside of the graph: not taken")
        if not buffer.DataLength():
            return None
        if kind not in TYPES:
            raise ConversionError(f"constant {name!r} is of the type {kind}: not taken")
        raw = np.asarray(buffer.DataAsNumpy())
        if raw.nbytes != math.prod(shape) * np.dtype(TYPES[kind]).itemsize:
            raise ConversionError(
                f"constant {name!r} has {raw.nbytes} bytes, and the shape {shape} of {kind}"
            )
        return np.frombuffer(raw.tobytes(), TYPES[kind]).reshape(shape)

    def _operator(self, operator: Any) -> Operator:
        index = operator.OpcodeIndex()
        if not 0 <= index < self.model.OperatorCodesLength():
            raise ConversionError("is damaged: an operator is of no kind")
        code = self.model.OperatorCodes(index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self.codes.get(number, str(number))
        if name == "CUSTOM":
            name = (code.CustomCode() or b"CUSTOM").decode("utf-8", "replace")
        options = None
        kind = self.options.get(operator.BuiltinOptionsType(), "NONE")
        if name in OPTIONS and kind == OPTIONS[name] and (table := operator.BuiltinOptions()):
            made = getattr(self.schema, f"{kind}T")
            options = made.InitFromBuf(table.Bytes, table.Pos)
        elif OPTIONS.get(name):
            options = getattr(self.schema, f"{OPTIONS[name]}T")()  # all defaults
        return Operator(
            name,
            code.Version(),
            _ints(operator.InputsAsNumpy()),
            _ints(operator.OutputsAsNumpy()),
            _ints(operator.IntermediatesAsNumpy()),
            options,
            operator.BuiltinOptionsType() if options is not None else 0,
        )


# Operator that is taken -> the table of its options, "" if it needs none.
OPTIONS = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "RESHAPE": "",
    "SQUEEZE": "SqueezeOptions",
    "EXPAND_DIMS": "",
    "TRANSPOSE": "",
    "STRIDED_SLICE": "StridedSliceOptions",
    "CONCATENATION": "ConcatenationOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "LOGISTIC": "",
    "TANH": "",
    "RELU": "",
    "SOFTMAX": "SoftmaxOptions",
    "PRELU": "",
    "LEAKY_RELU": "LeakyReluOptions",
    "QUANTIZE": "",
    "DEQUANTIZE": "",
}


def _names(kind: Any) -> dict[int, str]:
    return {number: name for name, number in vars(kind).items() if not name.startswith("_")}


def _ints(array: Any) -> tuple[int, ...]:
    """Of a vector, () if it is left out, which the accessors tell as 0."""
    if isinstance(array, int):
        return ()
    if len(array) > MOST:
        raise ConversionError(f"is damaged: it lists {len(array):,} places")
    return tuple(array.tolist())


def _each(
    count: int, get: Callable[[int], Any], what: str, read: Callable[[Any], T]
) -> tuple[T, ...]:
    if count > MOST:
        raise ConversionError(f"has {count:,} {what}, expected at most {MOST:,}")
    return tuple(read(get(k)) for k in range(count))
