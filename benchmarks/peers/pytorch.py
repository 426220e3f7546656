"""PyTorch: eager, and a frozen torch.jit trace.

nn.LSTM is left out: for one step it takes four times as long as nn.LSTMCell.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from nets import hidden_size, reorder
from torch import Tensor, nn

from edge_lstm_runtime import ModelSpec

from . import Float32, Steps, Weights

torch.set_num_threads(1)
_INFERENCE = torch.inference_mode()  # around the whole stream, not around each step
_INFERENCE.__enter__()

Network = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Module(nn.Module):
    """Takes x (1, F), h and c (1, H). Returns the outputs (1, O), and the new h and c."""

    def __init__(self, spec: ModelSpec, weights: Weights):
        super().__init__()
        self.cell = nn.LSTMCell(spec.inputs.feature_size, hidden_size(spec))
        self.head = nn.Linear(hidden_size(spec), spec.answer.size)
        self.cell.bias_hh.zero_()
        for parameter, name in (
            (self.cell.weight_ih, "lstm0.W_x"),
            (self.cell.weight_hh, "lstm0.W_h"),
            (self.cell.bias_ih, "lstm0.b"),
            (self.head.weight, "head.W"),
            (self.head.bias, "head.b"),
        ):
            parameter.copy_(torch.from_numpy(weights[name].T))

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.cell(x, (h, c))
        return self.head(h), h, c


def eager(spec: ModelSpec, weights: Weights) -> Steps:
    module = Module(spec, weights)
    cell = module.cell
    head = module.head
    parameters = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    head_W = head.weight
    head_b = head.bias
    lstm_cell = torch.lstm_cell
    linear = nn.functional.linear

    def function(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = lstm_cell(x, (h, c), *parameters)
        return linear(h, head_W, head_b), h, c

    return {
        "nn.LSTMCell": _carried(module, spec),
        "torch.lstm_cell": _carried(function, spec),
        "out=": _in_place(spec, weights),
    }


def jit(spec: ModelSpec, weights: Weights) -> Steps:
    sizes = spec.inputs.feature_size, hidden_size(spec), hidden_size(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and says so at each call
        traced = torch.jit.trace(
            Module(spec, weights).eval(), tuple(torch.zeros(1, size) for size in sizes)
        )
        return {"trace": _carried(torch.jit.optimize_for_inference(torch.jit.freeze(traced)), spec)}


def _carried(network: Network, spec: ModelSpec) -> Callable[[Float32], Float32]:
    h = c = torch.zeros(1, hidden_size(spec))
    inputs = torch.zeros(1, spec.inputs.feature_size)
    row = inputs.numpy()[0]

    def step(x: Float32) -> Float32:
        nonlocal h, c
        row[:] = x
        y, h, c = network(inputs, h, c)
        return y.numpy()[0]

    return step


def _in_place(spec: ModelSpec, weights: Weights) -> Callable[[Float32], Float32]:
    """The cell by hand in buffers that are made once, laid out as in NumpyBackend.

    No operator allocates memory, or copies parts together.
    """
    F = spec.inputs.feature_size
    H = hidden_size(spec)
    columns = np.concatenate([weights["lstm0.W_x"], weights["lstm0.b"][None], weights["lstm0.W_h"]])
    W = torch.from_numpy(np.ascontiguousarray(reorder(columns, "ifog").T))  # (4 H, F + 1 + H)
    head_W, head_b = (
        torch.from_numpy(np.ascontiguousarray(weights[name].T)) for name in ("head.W", "head.b")
    )
    gates, products, tanh_c, y = (torch.zeros(size) for size in (5 * H, 2 * H, H, spec.answer.size))
    vectors = torch.cat([torch.zeros(F), torch.ones(1), torch.zeros(H)])  # [x, 1, h]
    row = vectors.numpy()[:F]
    h = vectors[F + 1 :]
    outputs = y.numpy()
    linear, sigmoids, i_f, o, g, g_c, c = (
        gates[a * H : b * H] for a, b in ((0, 4), (0, 3), (0, 2), (2, 3), (3, 4), (3, 5), (4, 5))
    )
    i_g = products[:H]
    f_c = products[H:]
    mv = torch.mv
    sigmoid = torch.sigmoid
    tanh = torch.tanh
    mul = torch.mul
    add = torch.add
    addmv = torch.addmv

    def step(x: Float32) -> Float32:
        row[:] = x
        mv(W, vectors, out=linear)
        sigmoid(sigmoids, out=sigmoids)
        tanh(g, out=g)
        mul(i_f, g_c, out=products)
        add(i_g, f_c, out=c)
        tanh(c, out=tanh_c)
        mul(o, tanh_c, out=h)
        addmv(head_b, head_W, h, out=y)
        return outputs

    return step
