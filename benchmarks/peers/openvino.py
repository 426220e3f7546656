"""OpenVINO, with the state in its variables: as LSTMCell and as single operators.

States as inputs and outputs, bound to two sets of buffers in turns, took about 3 us longer a step.
CompiledModel.__call__ took about 35 us longer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino
from nets import hidden_size, reorder
from openvino import Node, Output, opset13
from openvino._offline_transformations import apply_make_stateful_transformation

from edge_lstm_runtime import ModelSpec

from . import Float32, Steps, Weights

CONFIG = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
}
State = tuple[Output, Output]


def make(spec: ModelSpec, weights: Weights) -> Steps:
    return {
        "LSTMCell": _step(spec, weights, _lstm_cell),
        "operators": _step(spec, weights, _operators),
    }


def _lstm_cell(weights: Weights, x: Node, h: Node, c: Node) -> State:
    W, R, b = (
        np.ascontiguousarray(reorder(weights[f"lstm0.{name}"], "figo").T)
        for name in ("W_x", "W_h", "b")
    )
    cell = opset13.lstm_cell(
        x, h, c, opset13.constant(W), opset13.constant(R), opset13.constant(b), h.shape[1]
    )
    return cell.output(0), cell.output(1)


def _operators(weights: Weights, x: Node, h: Node, c: Node) -> State:
    W = np.concatenate([weights["lstm0.W_x"], weights["lstm0.W_h"]])
    i, f, g, o = opset13.split(
        _dense(opset13.concat([x, h], 1), W, weights["lstm0.b"]), opset13.constant(1), 4
    ).outputs()
    f_c = opset13.multiply(opset13.sigmoid(f), c)
    i_g = opset13.multiply(opset13.sigmoid(i), opset13.tanh(g))
    c = opset13.add(f_c, i_g)
    return opset13.multiply(opset13.sigmoid(o), opset13.tanh(c)).output(0), c.output(0)


def _dense(inputs: Node | Output, W: Float32, b: Float32) -> Node:
    return opset13.add(
        opset13.matmul(inputs, opset13.constant(W), False, False), opset13.constant(b[None])
    )


def _step(
    spec: ModelSpec, weights: Weights, cell: Callable[..., State]
) -> Callable[[Float32], Float32]:
    x, h, c = (
        opset13.parameter([1, size], np.float32)
        for size in (spec.inputs.feature_size, hidden_size(spec), hidden_size(spec))
    )
    h_out, c_out = cell(weights, x, h, c)
    y, h_out, c_out = (
        opset13.result(o)
        for o in (_dense(h_out, weights["head.W"], weights["head.b"]), h_out, c_out)
    )
    for node, name in ((h, "h"), (c, "c"), (h_out, "h_out"), (c_out, "c_out")):
        node.output(0).set_names({name})
    model = openvino.Model([y, h_out, c_out], [x, h, c])
    # The variables start from zero.
    apply_make_stateful_transformation(model, {"h": "h_out", "c": "c_out"})
    request = openvino.Core().compile_model(model, "CPU", CONFIG).create_infer_request()
    inputs = np.zeros((1, spec.inputs.feature_size), np.float32)
    outputs = np.zeros((1, spec.answer.size), np.float32)
    request.set_input_tensor(openvino.Tensor(inputs, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(outputs, shared_memory=True))
    row = inputs[0]
    y_row = outputs[0]
    infer = request.infer

    def step(x: Float32) -> Float32:
        row[:] = x
        infer(share_outputs=True)
        return y_row

    return step
