"""LiteRT, with the state in its variables.

It runs the cell as single operators, with and without XNNPACK, and its LSTM operator. The models
are written with the schema that comes with the package.

States as inputs and outputs took about 1.3 us longer a step, and packed into one tensor 0.8 us.
CompiledModel takes no variables. With states in and out it took 2.5 us longer than Interpreter.
"""

from __future__ import annotations

from collections.abc import Callable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from nets import gate, hidden_size
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers.lstm import GATES

from . import Float32, Steps, Weights

OPERATORS = schema.BuiltinOperator
TYPES = schema.TensorType
TANH = schema.ActivationFunctionType.TANH


def make(spec: ModelSpec, weights: Weights) -> Steps:
    cell = _cell(spec, weights)
    lstm = _lstm(spec, weights)
    return {
        "operators, XNNPACK": _step(cell, OpResolverType.BUILTIN),
        "operators": _step(cell, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        "LSTM operator": _step(lstm, OpResolverType.BUILTIN),
    }


def _step(model: bytes, operators: OpResolverType) -> Callable[[Float32], Float32]:
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=operators
    )
    interpreter.allocate_tensors()
    (inputs,) = interpreter.get_input_details()
    (outputs,) = interpreter.get_output_details()
    x_index = inputs["index"]
    y_index = outputs["index"]
    shape = tuple(map(int, inputs["shape"]))
    write = interpreter.set_tensor
    invoke = interpreter.invoke
    read = interpreter.get_tensor

    def step(x: Float32) -> Float32:
        write(x_index, x.reshape(shape))
        invoke()
        return read(y_index)[0]

    return step


class Graph:
    """Collects the tensors and operators of one subgraph.

    Buffers and operator codes belong to the whole model.
    """

    def __init__(self, buffers: list[schema.BufferT], codes: list[int]):
        self._buffers = buffers
        self._codes = codes
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []

    def tensor(
        self,
        shape: tuple[int, ...],
        kind: int = TYPES.FLOAT32,
        buffer: int = 0,
        variable: bool = False,
    ) -> int:
        self.tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=kind,
                buffer=buffer,
                isVariable=variable,
                name=f"t{len(self.tensors)}",
            )
        )
        return len(self.tensors) - 1

    def constant(self, array: NDArray[np.generic]) -> int:
        self._buffers.append(schema.BufferT(data=np.frombuffer(array.tobytes(), np.uint8)))
        return self.tensor(
            array.shape,
            TYPES.INT32 if array.dtype == np.int32 else TYPES.FLOAT32,
            len(self._buffers) - 1,
        )

    def add(
        self,
        operator: str,
        inputs: list[int],
        outputs: list[int],
        options: str = "",
        **values: object,
    ) -> None:
        """options: the name of the operator's table of options, if it has one."""
        code = getattr(OPERATORS, operator)
        if code not in self._codes:
            self._codes.append(code)
        node = schema.OperatorT(opcodeIndex=self._codes.index(code), inputs=inputs, outputs=outputs)
        if options:
            node.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            node.builtinOptions = getattr(schema, f"{options}T")(**values)
        self.operators.append(node)

    def dense(self, inputs: int, W: Float32, b: Float32, shape: tuple[int, ...]) -> int:
        out = self.tensor(shape)
        self.add(
            "FULLY_CONNECTED",
            [inputs, self.constant(W.T), self.constant(b)],
            [out],
            "FullyConnectedOptions",
        )
        return out

    def element_wise(self, operator: str, *inputs: int) -> int:
        out = self.tensor(tuple(self.tensors[inputs[0]].shape))
        options = {"MUL": "MulOptions", "ADD": "AddOptions"}.get(operator, "")
        self.add(operator, list(inputs), [out], options)
        return out

    def variable(self, name: str) -> int:
        handle = self.tensor((), TYPES.RESOURCE)
        self.add("VAR_HANDLE", [], [handle], "VarHandleOptions", container="", sharedName=name)
        return handle


def _model(
    buffers: list[schema.BufferT], codes: list[int], *graphs: tuple[Graph, list[int], list[int]]
) -> bytes:
    subgraphs = [
        schema.SubGraphT(tensors=g.tensors, inputs=i, outputs=o, operators=g.operators)
        for g, i, o in graphs
    ]
    operators = [
        schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1)
        for code in codes
    ]
    builder = flatbuffers.Builder()
    builder.Finish(
        schema.ModelT(
            version=3, operatorCodes=operators, subgraphs=subgraphs, buffers=buffers
        ).Pack(builder),
        b"TFL3",
    )
    return bytes(builder.Output())


def _cell(spec: ModelSpec, weights: Weights) -> bytes:
    F = spec.inputs.feature_size
    H = hidden_size(spec)
    outputs = spec.answer.size
    buffers: list[schema.BufferT] = [schema.BufferT()]  # the first one is the empty one
    codes: list[int] = []
    start = Graph(buffers, codes)
    g = Graph(buffers, codes)
    zeros = start.constant(np.zeros((1, H), np.float32))
    for name in "hc":
        start.add("ASSIGN_VARIABLE", [start.variable(name), zeros], [])

    g.add("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    h_handle = g.variable("h")
    c_handle = g.variable("c")
    x, h, c, xh = (g.tensor((1, size)) for size in (F, H, H, F + H))
    g.add("READ_VARIABLE", [h_handle], [h])
    g.add("READ_VARIABLE", [c_handle], [c])
    g.add("CONCATENATION", [x, h], [xh], "ConcatenationOptions", axis=1)
    W = np.concatenate([weights["lstm0.W_x"], weights["lstm0.W_h"]])
    linear = g.dense(xh, W, weights["lstm0.b"], (1, 4 * H))
    parts = [g.tensor((1, H)) for _ in GATES]
    g.add("SPLIT", [g.constant(np.array(1, np.int32)), linear], parts, "SplitOptions", numSplits=4)
    i, f, tanh_g, o = (
        g.element_wise("TANH" if name == "g" else "LOGISTIC", part)
        for name, part in zip(GATES, parts, strict=True)
    )
    c_out = g.element_wise("ADD", g.element_wise("MUL", f, c), g.element_wise("MUL", i, tanh_g))
    h_out = g.element_wise("MUL", o, g.element_wise("TANH", c_out))
    g.add("ASSIGN_VARIABLE", [h_handle, h_out], [])
    g.add("ASSIGN_VARIABLE", [c_handle, c_out], [])
    return _model(
        buffers,
        codes,
        (g, [x], [g.dense(h_out, weights["head.W"], weights["head.b"], (1, outputs))]),
        (start, [], []),
    )


def _lstm(spec: ModelSpec, weights: Weights) -> bytes:
    F = spec.inputs.feature_size
    H = hidden_size(spec)
    outputs = spec.answer.size
    buffers: list[schema.BufferT] = [schema.BufferT()]
    codes: list[int] = []
    g = Graph(buffers, codes)
    x = g.tensor((1, 1, F))
    out = g.tensor((1, 1, H))
    W, R, b = (
        [g.constant(gate(weights[f"lstm0.{name}"], k).T) for k in "ifgo"]
        for name in ("W_x", "W_h", "b")
    )
    h = g.tensor((1, H), variable=True)
    c = g.tensor((1, H), variable=True)
    none = [-1, -1, -1, -1]  # peepholes, the projection and normalization are left out
    operands = [x, *W, *R, *none[:3], *b, *none[:2], h, c, *none]
    options = "UnidirectionalSequenceLSTMOptions"
    g.add(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        operands,
        [out],
        options,
        fusedActivationFunction=TANH,
        timeMajor=True,
    )
    return _model(
        buffers, codes, (g, [x], [g.dense(out, weights["head.W"], weights["head.b"], (1, outputs))])
    )
