"""The two ONNX forms of one streamed step, and the one of a whole sequence, written from the canonical weights, so that every name is ours
and stays.

Inputs: x, then h{k}_in and c{k}_in of every layer k. Outputs: y, then h{k}_out and c{k}_out. All float32, all shapes static:

    lstm    the ONNX LSTM operator; x (1, 1, F), states (1, 1, H), y (1, O)
    cell    1x1 convolutions and element-wise operators; x (1, F, 1, 1), states (1, H, 1, 1), y (1, O, 1, 1). In four dimensions
            the RKNN converter keeps every operator on the NPU; in two it puts some on the CPU and logs errors.

A bidirectional model has the first form alone, over any number of steps and without states: x (steps, 1, F), y (steps, O).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layout import GATES, gate, to_onnx

OPSET = 19  # the newest that rknn-toolkit2 2.5.0 reads
IR_VERSION = 9  # the one that came with opset 19
FORMS = ("lstm", "cell")
BOTH = "bidirectional"  # the LSTM operator's word
Weights = Mapping[str, NDArray[np.float32]]


def state_names(layers: int, suffix: str) -> list[str]:
    """h0, c0, h1, c1, ... with "_in" or "_out": the order of the graph's inputs and outputs, after x and y."""
    return [f"{part}{k}_{suffix}" for k in range(layers) for part in "hc"]


class Graph:
    """Collects operators and constants; `model` makes the checked ONNX model."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, inputs: list[str], outputs: str | list[str], **attributes: Any) -> str:
        """One operator, named after its (first real) output; returns that output."""
        outputs = [outputs] if isinstance(outputs, str) else outputs
        name = next(o for o in outputs if o)
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return name

    def convolution(self, inputs: str, W: NDArray[np.float32], b: NDArray[np.float32], name: str) -> str:
        """A 1x1 convolution. W: (in, out), b: (out,)."""
        kernel = self.constant(f"{name}_W", W.T[:, :, None, None])  # (out, in, 1, 1)
        return self.add("Conv", [inputs, kernel, self.constant(f"{name}_b", b)], name, kernel_shape=[1, 1])

    def model(
        self, spec: ModelSpec, form: str, sizes: Mapping[str, tuple[int | str, ...]], inputs: list[str] | None = None
    ) -> onnx.ModelProto:
        """sizes: shapes by the name of an input or output, or by its first letter; a size that is not fixed has a name. inputs: their
        names, x and the states unless given."""

        def value(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes.get(name, sizes.get(name[0])))

        carried = 0 if spec.bidirectional else spec.num_layers
        ins = [value(n) for n in inputs or ("x", *state_names(carried, "in"))]
        outs = [value(n) for n in ("y", *state_names(carried, "out"))]
        graph = helper.make_graph(self.nodes, f"edge_lstm_{form}", ins, outs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edge-lstm")
        onnx.checker.check_model(model, full_check=True)
        return model


def forms_of(spec: ModelSpec) -> tuple[str, ...]:
    """Those of FORMS that the model has."""
    return ("lstm",) if spec.bidirectional else FORMS


def build(spec: ModelSpec, weights: Weights, form: str) -> onnx.ModelProto:
    return {"lstm": _both if spec.bidirectional else _lstm, "cell": _cell}[form](spec, weights)


def _both(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    g = Graph()
    H = spec.hidden_size
    inputs = "x"
    for k in range(spec.num_layers):
        constants = [g.constant(f"layer{k}_{n}", a) for n, a in zip("WRB", to_onnx(weights, k), strict=True)]
        y = g.add("LSTM", [inputs, *constants], f"layer{k}_y", hidden_size=H, direction=BOTH)  # (steps, 2, 1, H)
        last = k == spec.num_layers - 1
        # 0: the size that stands there. The two directions lie side by side already.
        shape = g.constant(f"layer{k}_shape", np.array([0, 2 * H] if last else [0, 1, 2 * H], np.int64))
        inputs = g.add("Reshape", [y, shape], f"layer{k}_sequence")
    g.add("Gemm", [inputs, g.constant("head_W", weights["head.W"]), g.constant("head_b", weights["head.b"])], "y")
    return g.model(spec, "lstm", {"x": ("steps", 1, spec.feature_size), "y": ("steps", spec.output_size)})


def _lstm(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    g = Graph()
    inputs = "x"
    for k in range(spec.num_layers):
        W, R, B = to_onnx(weights, k)
        constants = [g.constant(f"layer{k}_{n}", a) for n, a in (("W", W), ("R", R), ("B", B))]
        # With one step, Y_h is the layer's whole output, so Y itself is left out.
        operands = [inputs, *constants, "", f"h{k}_in", f"c{k}_in"]
        inputs = g.add("LSTM", operands, ["", f"h{k}_out", f"c{k}_out"], hidden_size=spec.hidden_size)
    last = g.add("Squeeze", [inputs, g.constant("axes", np.array([0], np.int64))], "h_last")
    g.add("Gemm", [last, g.constant("head_W", weights["head.W"]), g.constant("head_b", weights["head.b"])], "y")
    H = spec.hidden_size
    return g.model(spec, "lstm", {"x": (1, 1, spec.feature_size), "h": (1, 1, H), "c": (1, 1, H), "y": (1, spec.output_size)})


def _cell(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    g = Graph()

    inputs = "x"
    for k in range(spec.num_layers):
        p = f"layer{k}_"
        joined = g.add("Concat", [inputs, f"h{k}_in"], f"{p}xh", axis=1)
        W = np.concatenate([weights[f"layer{k}.W_x"], weights[f"layer{k}.W_h"]])  # (inputs + H, 4 H)
        a = {}
        for name in GATES:
            z = g.convolution(joined, gate(W, name), gate(weights[f"layer{k}.b"], name), f"{p}{name}_linear")
            a[name] = g.add("Tanh" if name == "g" else "Sigmoid", [z], f"{p}{name}")
        fc = g.add("Mul", [a["f"], f"c{k}_in"], f"{p}fc")
        ig = g.add("Mul", [a["i"], a["g"]], f"{p}ig")
        c = g.add("Add", [fc, ig], f"c{k}_out")
        inputs = g.add("Mul", [a["o"], g.add("Tanh", [c], f"{p}tanh_c")], f"h{k}_out")
    g.convolution(inputs, weights["head.W"], weights["head.b"], "y")
    H = spec.hidden_size
    sizes = {"x": (1, spec.feature_size, 1, 1), "h": (1, H, 1, 1), "c": (1, H, 1, 1), "y": (1, spec.output_size, 1, 1)}
    return g.model(spec, "cell", sizes)
