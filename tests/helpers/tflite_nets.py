"""TFLite files, as TensorFlow's converter lays them out. LiteRT's interpreter judges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

Array = NDArray[Any]
FEATURES = 3
TYPES = {np.dtype(k): v for k, v in {"f4": 0, "f2": 1, "i4": 2, "i8": 4, "i2": 7, "i1": 9}.items()}
CLIP = 10.0  # as the converter writes it


class Builder:
    """Tensors are told by their places."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[Any] = []
        self.buffers = [schema.BufferT()]
        self.outputs: list[int] = []

    def tensor(self, *shape: int, dtype: str = "f4", variable: bool = False) -> int:
        made = schema.TensorT()
        made.name = f"t{len(self.tensors)}".encode()
        made.shape = np.array(shape, np.int32)
        made.type = TYPES[np.dtype(dtype)]
        made.isVariable = variable
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, values: Any, dtype: str = "f4") -> int:
        data = np.asarray(values, dtype)
        place = self.tensor(*data.shape, dtype=dtype)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        self.tensors[place].buffer = len(self.buffers)
        self.buffers.append(buffer)
        return place

    def scaled(self, place: int, scale: Any, zero: int = 0, axis: int = 0) -> int:
        """The tensor, quantized."""
        q = schema.QuantizationParametersT()
        q.scale = np.array(scale, np.float32).ravel()
        q.zeroPoint = np.full(q.scale.size, zero, np.int64)
        q.quantizedDimension = axis
        self.tensors[place].quantization = q
        return place

    def random(self, *shape: int) -> int:
        return self.constant(self.rng.normal(size=shape) * 0.5)

    def whole(self, *shape: int) -> int:
        """Random weights in int8, with the scale of their largest."""
        values = self.rng.normal(size=shape) * 0.5
        scale = np.abs(values).max() / 127
        return self.scaled(self.constant(np.rint(values / scale), "i1"), scale)

    def add(self, op: str, inputs: list[int], output: int, options: Any = None, **set_: Any) -> int:
        """An operator. set_: its options. The output's place is returned."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self.codes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(self.codes) - 1
        made.inputs = np.array(inputs, np.int32)
        made.outputs = np.array([output], np.int32)
        if options:
            made.builtinOptions = getattr(schema, f"{options}T")()
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            for name, value in set_.items():
                assert hasattr(made.builtinOptions, name)
                setattr(made.builtinOptions, name, value)
        self.operators.append(made)
        return output

    def lstm(self, x: int, units: int, weight: Any = None, **changed: int) -> int:
        """y of x (1, T, n). changed: "i17" and so on, inputs of the operator."""
        weight = weight or self.random
        steps, size = self.tensors[x].shape[1:].tolist()
        inputs = [x, *(weight(units, size) for _ in range(4))]
        inputs += [*(weight(units, units) for _ in range(4)), -1, -1, -1]
        inputs += [*(self.random(units) for _ in range(4)), -1, -1]
        inputs += [self.tensor(1, units, variable=True) for _ in range(2)] + [-1] * 4
        for name, place in changed.items():
            inputs[int(name[1:])] = place
        options = "UnidirectionalSequenceLSTMOptions"
        y = self.tensor(1, steps, units)
        code = "UNIDIRECTIONAL_SEQUENCE_LSTM"
        return self.add(code, inputs, y, options, fusedActivationFunction=4, cellClip=CLIP)

    def dense(self, x: int, units: int, fused: int = 0, weight: Any = None) -> int:
        """y of x (..., n). fused: the number of its activation."""
        *rest, size = self.tensors[x].shape.tolist()
        inputs = [x, (weight or self.random)(units, size), self.random(units)]
        options = {"fusedActivationFunction": fused, "keepNumDims": True}
        return self.add(
            "FULLY_CONNECTED", inputs, self.tensor(*rest, units), "FullyConnectedOptions", **options
        )

    def reshape(self, x: int, *shape: int) -> int:
        return self.add("RESHAPE", [x, self.constant(shape, "i4")], self.tensor(*shape))

    def last(self, x: int) -> int:
        """The last step of x (1, T, n), as Keras takes it."""
        _, steps, size = self.tensors[x].shape.tolist()
        ends = ([0, steps - 1, 0], [1, steps, size], [1, 1, 1])
        inputs = [x, *(self.constant(end, "i4") for end in ends)]
        options = {"beginMask": 5, "endMask": 5, "shrinkAxisMask": 2}
        y = self.tensor(1, size)
        return self.add("STRIDED_SLICE", inputs, y, "StridedSliceOptions", **options)

    def content(self, x: int, *outputs: int) -> bytes:
        graph = schema.SubGraphT()
        graph.tensors = self.tensors
        graph.operators = self.operators
        graph.inputs = np.array([x], np.int32)
        graph.outputs = np.array(outputs, np.int32)
        model = schema.ModelT()
        model.version = 3
        model.subgraphs = [graph]
        model.buffers = self.buffers
        model.operatorCodes = self.codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def saved(self, path: Path, x: int, *outputs: int) -> Path:
        path.write_bytes(self.content(x, *outputs))
        return path


def interpreted(path: Path, xs: Array) -> Array:
    """(calls, ...) the first output, over whole calls of xs (T, F), from the start of a stream."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    net = Interpreter(str(path), experimental_op_resolver_type=plain)
    net.allocate_tensors()
    net.reset_all_variables()
    entry = net.get_input_details()[0]
    size = int(np.prod(entry["shape"]))
    found = []
    for piece in xs[: xs.size // size * size // xs.shape[1]].reshape(-1, *entry["shape"]):
        net.set_tensor(entry["index"], piece.astype(entry["dtype"]))
        net.invoke()
        found.append(net.get_tensor(net.get_output_details()[0]["index"])[0])
    return np.stack(found)
