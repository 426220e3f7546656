"""A graph as a .tflite file again, of what was read alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .file import IDENTIFIER, TYPES, Graph, Operator, Tensor
from .walk import Walk

COPIES = ("QUANTIZE", "DEQUANTIZE")
MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "STRIDED_SLICE")
SAME = "RESHAPE"  # of one step, each of these is one
VERSION = 3  # of the format
BUILTIN_CODES = 127  # the first number that the old field doesn't hold


class Writer:
    """Collects tensors and operators."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[tuple[str, int], int] = {}
        self.buffers = [schema.BufferT()]

    def tensor(self, tensor: Tensor) -> int:
        """Its place."""
        made = self.schema.TensorT()
        made.name = tensor.name.encode()
        made.shape = np.array(tensor.shape, np.int32)
        made.type = getattr(self.schema.TensorType, tensor.type)
        made.isVariable = tensor.variable
        if tensor.data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if tensor.scale.size:
            made.quantization = q = self.schema.QuantizationParametersT()
            q.scale = tensor.scale
            q.zeroPoint = tensor.zero
            q.quantizedDimension = tensor.axis
        self.tensors.append(made)
        return len(self.tensors) - 1

    def values(self, name: str, values: NDArray[Any], kind: str) -> int:
        data = np.asarray(values, TYPES[kind])
        return self.tensor(plain(name, data.shape, kind, data=data))

    def operator(self, operator: Operator, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        made = self.schema.OperatorT()
        made.opcodeIndex = self.codes.setdefault((operator.code, operator.version), len(self.codes))
        made.inputs = np.array(inputs, np.int32)
        made.outputs = np.array(outputs, np.int32)
        if operator.intermediates:
            made.intermediates = np.array(operator.intermediates, np.int32)
        made.builtinOptionsType = operator.options_type
        made.builtinOptions = operator.options
        self.operators.append(made)

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        import flatbuffers

        schema = self.schema
        graph = schema.SubGraphT()
        graph.tensors = self.tensors
        graph.operators = self.operators
        graph.inputs = np.array(inputs, np.int32)
        graph.outputs = np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version = VERSION
        model.subgraphs = [graph]
        model.buffers = self.buffers
        model.operatorCodes = []
        for name, version in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, BUILTIN_CODES)
            code.version = version
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())


def plain(
    name: str,
    shape: Sequence[int],
    kind: str = "FLOAT32",
    *,
    variable: bool = False,
    data: NDArray[Any] | None = None,
) -> Tensor:
    """A tensor that is not quantized."""
    nothing = np.zeros(0, np.int64)
    scale = nothing.astype(np.float32)
    return Tensor(name, tuple(shape), kind, variable, data, scale, nothing, 0, False)


def as_it_is(graph: Graph) -> bytes:
    writer = Writer()
    for tensor in graph.tensors:
        writer.tensor(tensor)
    for operator in graph.operators:
        writer.operator(operator, operator.inputs, operator.outputs)
    return writer.content(graph.inputs, graph.outputs)


def stepwise(
    walk: Walk,
    operators: Sequence[Operator],
    x: int,
    outputs: Sequence[int],
    *,
    window: bool = False,
) -> tuple[bytes, dict[int, int]]:
    """A part of the graph, of one step and in float32, and the places of its states.

    x: the tensor that is its input. outputs: the tensors that it tells. window: x has all steps of
    a call, and what is made of it has one.
    """
    graph = walk.graph
    writer = Writer()
    places: dict[int, int] = {-1: -1}

    def shape_of(place: int) -> list[int]:
        shape = list(graph.tensors[place].shape)
        axis = None if window else walk.time(place)
        if axis is not None:
            shape[axis] = 1
        return shape

    def at(place: int, *, whole: bool = False) -> int:
        """whole: of a constant that is whole numbers."""
        place = walk.same.get(place, place)
        if place not in places:
            tensor = graph.tensors[place]
            if place in walk.ids or place in walk.states:
                state = place in walk.states
                shape = tensor.shape if state else shape_of(place)
                places[place] = writer.tensor(plain(tensor.name, shape, variable=state))
            elif whole:
                places[place] = writer.tensor(tensor)
            else:
                places[place] = writer.values(tensor.name, walk.constants[place], "FLOAT32")
        return places[place]

    at(x)
    for operator in operators:
        if operator.code in COPIES:
            continue
        if operator.code in MOVES:
            target = writer.values("shape", np.array(shape_of(operator.outputs[0])), "INT32")
            moved = Operator(SAME, 1, (), (), (), None, 0)
            writer.operator(moved, [at(operator.inputs[0]), target], [at(operator.outputs[0])])
            continue
        whole = operator.code == "TRANSPOSE"
        read = [at(place, whole=whole) for place in operator.inputs]
        one = Operator(operator.code, 1, (), (), (), operator.options, operator.options_type)
        writer.operator(one, read, [at(place) for place in operator.outputs[:1]])
    content = writer.content([at(x)], [at(place) for place in outputs])
    return content, {place: places[place] for place in walk.states if place in places}
