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

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers.layout import GATES, gate, to_onnx

from .builder import Graph

FORMS = ("lstm", "cell")
BOTH = "bidirectional"  # the LSTM operator's word
Weights = Mapping[str, NDArray[np.float32]]


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
        constants = [
            g.constant(f"layer{k}_{n}", a) for n, a in zip("WRB", to_onnx(weights, k), strict=True)
        ]
        y = g.add(
            "LSTM", [inputs, *constants], f"layer{k}_y", hidden_size=H, direction=BOTH
        )  # (steps, 2, 1, H)
        last = k == spec.num_layers - 1
        # 0: the size that stands there. The two directions lie side by side already.
        shape = g.constant(
            f"layer{k}_shape", np.array([0, 2 * H] if last else [0, 1, 2 * H], np.int64)
        )
        inputs = g.add("Reshape", [y, shape], f"layer{k}_sequence")
    g.add(
        "Gemm",
        [inputs, g.constant("head_W", weights["head.W"]), g.constant("head_b", weights["head.b"])],
        "y",
    )
    return g.model(
        spec, "lstm", {"x": ("steps", 1, spec.feature_size), "y": ("steps", spec.output_size)}
    )


def _lstm(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    g = Graph()
    inputs = "x"
    for k in range(spec.num_layers):
        W, R, B = to_onnx(weights, k)
        constants = [g.constant(f"layer{k}_{n}", a) for n, a in (("W", W), ("R", R), ("B", B))]
        # With one step, Y_h is the layer's whole output, so Y itself is left out.
        operands = [inputs, *constants, "", f"h{k}_in", f"c{k}_in"]
        inputs = g.add(
            "LSTM", operands, ["", f"h{k}_out", f"c{k}_out"], hidden_size=spec.hidden_size
        )
    last = g.add("Squeeze", [inputs, g.constant("axes", np.array([0], np.int64))], "h_last")
    g.add(
        "Gemm",
        [last, g.constant("head_W", weights["head.W"]), g.constant("head_b", weights["head.b"])],
        "y",
    )
    H = spec.hidden_size
    return g.model(
        spec,
        "lstm",
        {
            "x": (1, 1, spec.feature_size),
            "h": (1, 1, H),
            "c": (1, 1, H),
            "y": (1, spec.output_size),
        },
    )


def _cell(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    g = Graph()

    inputs = "x"
    for k in range(spec.num_layers):
        p = f"layer{k}_"
        joined = g.add("Concat", [inputs, f"h{k}_in"], f"{p}xh", axis=1)
        W = np.concatenate(
            [weights[f"layer{k}.W_x"], weights[f"layer{k}.W_h"]]
        )  # (inputs + H, 4 H)
        a = {}
        for name in GATES:
            z = g.convolution(
                joined, gate(W, name), gate(weights[f"layer{k}.b"], name), f"{p}{name}_linear"
            )
            a[name] = g.add("Tanh" if name == "g" else "Sigmoid", [z], f"{p}{name}")
        fc = g.add("Mul", [a["f"], f"c{k}_in"], f"{p}fc")
        ig = g.add("Mul", [a["i"], a["g"]], f"{p}ig")
        c = g.add("Add", [fc, ig], f"c{k}_out")
        inputs = g.add("Mul", [a["o"], g.add("Tanh", [c], f"{p}tanh_c")], f"h{k}_out")
    g.convolution(inputs, weights["head.W"], weights["head.b"], "y")
    H = spec.hidden_size
    sizes = {
        "x": (1, spec.feature_size, 1, 1),
        "h": (1, H, 1, 1),
        "c": (1, H, 1, 1),
        "y": (1, spec.output_size, 1, 1),
    }
    return g.model(spec, "cell", sizes)
