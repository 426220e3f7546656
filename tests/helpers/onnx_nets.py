"""ONNX files as others make them, and their answers by ONNX's own reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]
Shapes = Mapping[str, Sequence[int | str]]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FEATURES = 3  # of every net


class Ends(NamedTuple):
    """The inputs with shapes, the outputs, and state input -> output."""

    inputs: Shapes
    outputs: Sequence[str]
    states: Mapping[str, str]


class Builder:
    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.normal(size=shape) * 0.6)

    def add(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """A node with one output. to: its name."""
        output = to or f"t{len(self.nodes)}"
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def split(self, x: str, sizes: str, outputs: Sequence[str]) -> None:
        """Along axis 1."""
        name = f"split_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Split", [x, sizes], outputs, name=name, axis=1))

    def recurrent(
        self,
        op: str,
        x: str,
        size: tuple[int, int],
        states: Sequence[str] = (),
        after: Sequence[str] = (),
        *,
        bias: bool = True,
        **attributes: Any,
    ) -> str:
        """Y. size: (inputs, units). states, after: the names of initial_h, initial_c, Y_h, Y_c."""
        inputs, units = size
        rows = GATES[op] * units
        weights = [self.random(1, rows, inputs), self.random(1, rows, units)]
        weights.append(self.random(1, 2 * rows) if bias else "")
        y = f"t{len(self.nodes)}"
        node = helper.make_node(
            op,
            [x, *weights, "", *states],
            [y, *after],
            name=f"{op.lower()}_{len(self.nodes)}",
            hidden_size=units,
            **attributes,
        )
        self.nodes.append(node)
        return y

    def squeezed(self, y: str, *axes: int, to: str = "") -> str:
        return self.add("Squeeze", y, self.constant(axes, np.int64), to=to)

    def model(self, ends: Ends, opset: int = 21) -> onnx.ModelProto:
        def values(shapes: Shapes) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
                for name, shape in shapes.items()
            ]

        outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ends.outputs]
        graph = helper.make_graph(self.nodes, "g", values(ends.inputs), outputs, self.constants)
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return onnx.shape_inference.infer_shapes(model)  # the checker wants those of outputs


def step_ends(op: str, units: int) -> Ends:
    names = {"h": "hn", "c": "cn"} if op == "LSTM" else {"h": "hn"}
    shapes = {"x": (1, 1, FEATURES), **dict.fromkeys(names, (1, 1, units))}
    return Ends(shapes, ["y", *names.values()], names)


def step(op: str, bias: bool = True, **attributes: Any) -> Callable[[Builder], Ends]:
    """One step of a recurrent layer with its states, and a head by Gemm."""

    def build(b: Builder) -> Ends:
        ends = step_ends(op, 4)
        size = (FEATURES, 4)
        states = (list(ends.states), list(ends.states.values()))
        y = b.recurrent(op, "x", size, *states, bias=bias, **attributes)
        b.add("Gemm", b.squeezed(y, 0, 1), b.random(2, 4), b.random(2), to="y", transB=1, alpha=0.5)
        return ends

    return build


def stacked(b: Builder) -> Ends:
    """Two layers of unequal size over an open number of steps, and a head by MatMul and Add."""
    y = b.recurrent("LSTM", "x", (FEATURES, 5))
    y = b.recurrent("GRU", b.squeezed(y, 1), (5, 4), linear_before_reset=1)
    y = b.add("MatMul", b.squeezed(y, 1), b.random(4, 2))
    b.add("Sigmoid", b.add("Add", b.random(2), y), to="y")
    return Ends({"x": ("T", "N", FEATURES)}, ["y"], {})


def residual(b: Builder) -> Ends:
    """A scaled input, a sum of tensors before a Relu, a concatenation, a slice."""
    x = b.add("Sub", "x", b.constant([1, 2, 3]))
    x = b.add("Div", x, b.constant([2, 0.5, 4]))
    y = b.squeezed(b.recurrent("RNN", x, (FEATURES, FEATURES)), 1)
    z = b.add("Relu", b.add("Add", y, x))
    both = b.add("Concat", z, b.add("Tanh", x), y, axis=-1)
    ends = [b.constant([k], np.int64) for k in (1, 8, 2)]
    part = b.add("Slice", both, *ends[:2], ends[2])  # the axis is 2, and each unit but the ends
    b.add("Mul", b.constant(2), b.add("Sub", part, b.constant(1)), to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def packed(b: Builder) -> Ends:
    """Two layers with one state (1, 2, H, 2), as DTLN has it."""
    names = []
    for layer in (0, 1):
        for state in (0, 1):
            places = [b.constant([k], np.int64) for k in (layer, layer + 1, 1)]
            row = b.add("Slice", "states", *places)
            h = b.add("Gather", row, b.constant(state, np.int64), axis=3)
            names.append(h)
    first = b.recurrent("LSTM", "x", (FEATURES, 4), names[:2], ["h0", "c0"])
    second = b.recurrent("LSTM", b.squeezed(first, 1), (4, 4), names[2:], ["h1", "c1"])
    last = b.constant([-1], np.int64)
    stacks = []
    for state in "hc":
        both = b.add("Concat", f"{state}0", f"{state}1", axis=1)
        stacks.append(b.add("Unsqueeze", both, last))
    b.add("Concat", *stacks, axis=3, to="after")
    b.add("MatMul", second, b.random(4, 2), to="y")
    inputs = {"x": (1, 1, FEATURES), "states": (1, 2, 4, 2)}
    return Ends(inputs, ["y", "after"], {"states": "after"})


def doubled(b: Builder) -> Ends:
    """A tensor that is added to itself, and each of its units twice in a product."""
    y = b.squeezed(b.recurrent("GRU", "x", (FEATURES, 4)), 1)
    both = b.add("Concat", b.add("Add", y, y), y, y, axis=2)
    b.add("MatMul", both, b.random(12, 2), to="y")
    return Ends({"x": ("T", 1, FEATURES)}, ["y"], {})


def cell(b: Builder) -> Ends:
    """The state is the answer: one output is both."""
    x = b.add("Unsqueeze", "x", b.constant([0], np.int64))
    before = b.add("Unsqueeze", "h", b.constant([0], np.int64))
    b.recurrent("GRU", x, (FEATURES, 4), [before], ["last"], linear_before_reset=1)
    b.squeezed("last", 0, to="y")
    return Ends({"x": (1, FEATURES), "h": (1, 4)}, ["y"], {"h": "y"})


def flat(b: Builder) -> Ends:
    """Rows of an open number of steps, with the state outside."""
    x = b.add("Unsqueeze", "x", b.constant([1], np.int64))
    y = b.recurrent("GRU", x, (FEATURES, 4), ["h"], ["hn"], linear_before_reset=1)
    b.add("Gemm", b.squeezed(y, 1, 2), b.random(4, 2), to="y")
    return Ends({"x": ("T", FEATURES), "h": (1, 1, 4)}, ["y", "hn"], {"h": "hn"})


def windows(b: Builder) -> Ends:
    """Seven steps in each call, batch first, with the states outside."""
    x = b.add("Transpose", "x", perm=[1, 0, 2])
    y = b.recurrent("LSTM", x, (FEATURES, 4), ["h", "c"], ["hn", "cn"])
    y = b.add("Transpose", y, perm=[2, 0, 1, 3])
    y = b.add("Reshape", y, b.constant([1, -1, 4], np.int64))
    b.add("MatMul", y, b.random(4, 2), to="y")
    inputs = {"x": ("N", 7, FEATURES), "h": (1, "N", 4), "c": (1, "N", 4)}
    return Ends(inputs, ["y", "hn", "cn"], {"h": "hn", "c": "cn"})


def chosen(b: Builder) -> Ends:
    """An `If` with a constant condition, as exports of voice activity nets have it."""
    branches = {}
    for name, op in (("then_branch", "Tanh"), ("else_branch", "Relu")):
        node = helper.make_node(op, ["t0"], ["inside"], name="gru_0")
        out = helper.make_tensor_value_info("inside", TensorProto.FLOAT, list("abcd"))
        branches[name] = helper.make_graph([node], name, [], [out])
    b.recurrent("GRU", "x", (FEATURES, 4), ["h"], ["hn"])
    y = b.add("If", b.constant(True, np.bool_), **branches)
    b.add("MatMul", y, b.random(4, 2), to="y")
    return Ends({"x": (1, 1, FEATURES), "h": (1, 1, 4)}, ["y", "hn"], {"h": "hn"})


NETS: dict[str, Callable[[Builder], Ends]] = {
    "lstm": step("LSTM"),
    "lstm without bias": step("LSTM", bias=False),
    "gru": step("GRU"),
    "gru, reset after the product": step("GRU", linear_before_reset=1),
    "gru without bias": step("GRU", bias=False),
    "rnn": step("RNN"),
    "rnn, relu": step("RNN", activations=["Relu"]),
    "two layers": stacked,
    "residual": residual,
    "packed states": packed,
    "doubled": doubled,
    "a cell": cell,
    "rows": flat,
    "windows": windows,
    "if": chosen,
}


def made(build: Callable[[Builder], Ends], seed: int = 0) -> tuple[onnx.ModelProto, Ends]:
    builder = Builder(seed)
    ends = build(builder)
    return builder.model(ends), ends


def saved(path: Path, build: Callable[[Builder], Ends]) -> Path:
    onnx.save_model(made(build)[0], path)
    return path


def runner(model: onnx.ModelProto) -> Any:
    """ONNX's reference. It has no RNN with a Relu, which ONNX Runtime then computes."""
    if any(a.name == "activations" for node in model.graph.node for a in node.attribute):
        return onnxruntime.InferenceSession(model.SerializeToString()).run
    return ReferenceEvaluator(model).run


def streamed(model: onnx.ModelProto, ends: Ends, xs: Array) -> Array:
    """(T, O) by ONNX's reference, the states carried. xs: (T, F), whole windows."""
    run = runner(model)
    x, sizes = next(iter(ends.inputs.items()))
    shape = [1 if size == "N" else size for size in sizes]
    if "T" in shape:
        shape[shape.index("T")] = len(xs)
    state = {
        name: np.zeros([1 if size == "N" else int(size) for size in ends.inputs[name]], np.float32)
        for name in ends.states
    }
    found = []
    for piece in xs.reshape(-1, *shape):
        values = run(list(ends.outputs), {x: piece, **state})
        by_name = dict(zip(ends.outputs, values, strict=True))
        state = {before: by_name[after] for before, after in ends.states.items()}
        found.append(by_name[ends.outputs[0]].reshape(int(np.prod(shape)) // xs.shape[1], -1))
    return np.concatenate(found)
