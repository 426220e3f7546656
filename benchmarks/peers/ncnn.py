"""ncnn: its LSTM layer with h and c in and out, and a fully connected layer.

The model is written here.
"""

from __future__ import annotations

import tempfile

import ncnn
import numpy as np
from nets import hidden_size, reorder

from edge_lstm_runtime import ModelSpec

from . import Float32, Steps, Weights

GRAPH = """7767517
5 7
Input x 0 1 x
Input h 0 1 h
Input c 0 1 c
LSTM lstm 3 3 x h c all_h h_out c_out 0={hidden} 1={weights} 2=0
InnerProduct head 1 1 all_h y 0={outputs} 1=1 2={head}
"""


def make(spec: ModelSpec, weights: Weights) -> Steps:
    F = spec.inputs.feature_size
    H = hidden_size(spec)
    outputs = spec.answer.size
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = (
        net.opt.use_bf16_storage
    ) = False
    net.load_param_mem(GRAPH.format(hidden=H, weights=4 * H * F, outputs=outputs, head=H * outputs))
    lstm = [reorder(weights[f"lstm0.{name}"], "ifog").T for name in ("W_x", "b", "W_h")]
    with tempfile.NamedTemporaryFile() as file:
        for array in (*lstm, weights["head.W"].T):
            file.write(bytes(4) + array.tobytes())  # 4 zero bytes: float32 follows
        file.write(weights["head.b"].tobytes())
        file.flush()
        if net.load_model(file.name) != 0:
            raise RuntimeError("ncnn did not take the model")

    # A Mat only points to the NumPy array that it is made from, so `inputs` has to live on. h and c
    # are ncnn's own.
    inputs = np.zeros((1, F), np.float32)
    row = inputs[0]
    x_mat = ncnn.Mat(inputs)
    h = ncnn.Mat(H, 1)
    c = ncnn.Mat(H, 1)
    y = ncnn.Mat()
    h.fill(0.0)
    c.fill(0.0)

    def step(x: Float32) -> Float32:
        row[:] = x
        extractor = net.create_extractor()
        extractor.input("x", x_mat)
        extractor.input("h", h)
        extractor.input("c", c)
        extractor.extract("y", y)
        extractor.extract("h_out", h)
        extractor.extract("c_out", c)
        return y.numpy()[0]

    return {"LSTM layer": step}
