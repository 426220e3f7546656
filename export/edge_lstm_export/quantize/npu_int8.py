"""The int8 cell that keeps its state: the parts that are quantized, so that no error builds up.

Measured on trained nets (docs/int8.md): nearly all of the error of a plain w8a8 cell comes from the
cell state in int8, then from the sums, the rounding of the weights, and x. So

    states   stay float16, like everything element-wise: H values each, against the products'
             S (F + H)
    x        is given to the int8 product in several channels, rounded at different offsets. Their
             sum is finer (packing.spread)
    h        is rounded so that each step makes up for the rounding error of the step before
             (packing.Packing)
    sums     each of the S columns has a scale and a centre of its own, searched for the least
             error in the new state. The weights are divided by the scale. In float16 the sums are
             multiplied by it, and the centre is added
    weights  are rounded one input after the other. Each rounding error is handed on to the inputs
             that are still to come, weighted by the inputs' second moments (`gptq`)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import input_parts, on_grid, search_ranges, walk
from edge_lstm.emulate.npu_w8a8 import product
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.rknn.packing import PINS, spread
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.ops import NUMPY, NumpyOps

from .gptq import gptq

Float64 = NDArray[np.float64]
Weights = Mapping[str, NDArray[np.float32]]
UNIT = (-128 / 127, 1.0)  # the range in which the int8 step is 1/127 and the zero point 0


@dataclasses.dataclass(frozen=True)
class Product:
    """weights: (PINS + inputs + H, S), each column on an int8 grid. bias, scale, centre: (S,).

    The sums are round(v @ weights + bias) * scale + centre, rounded on the int8 grid of 1/127.
    """

    weights: Float64
    bias: Float64
    scale: Float64
    centre: Float64


def quantize(
    spec: ModelSpec, weights: Weights, calibration: Weights, x_range: Float64
) -> dict[str, Product]:
    """The product of each layer that multiplies its state, with int8 inputs v.

    v is [0, 0, x in parts or the values that the layer reads, h].

    calibration: x (N, F), and every state (N, size) before the step, by name.
    """
    states = {name: calibration[name] for name in spec.network.state}
    products = {}
    for seen in walk(spec.network, weights, calibration["x"], states):
        layer = seen.layer
        W_x, W_h, b = layer.joined(NUMPY, seen.weights)
        h = seen.state[layer.recurrent]
        share = seen.importance / seen.importance.sum(axis=0)
        scale, centre = search_ranges(seen.sums, seen.importance)
        if layer.inputs == (FEATURES,):
            parts = input_parts(spec.inputs.feature_size)
            x = spread(seen.inputs, x_range, parts)
            W_x = np.tile(W_x * x_range[:, None] / parts, (parts, 1))
        else:
            x = on_grid(seen.inputs)
        v = np.concatenate([x, on_grid(h)], axis=1)
        W = np.concatenate([W_x, W_h]) / scale
        step = np.maximum(np.abs(W).max(axis=0), 1e-9) / 127
        W = rounded(W, v, step, len(W_x))
        exact = v @ W
        bias = (b - centre) / scale + (share * ((seen.sums - b) / scale - exact)).sum(axis=0)
        off = seen.sums - on_grid(exact + bias) * scale - centre
        centre = centre + (share * off).sum(axis=0)
        products[layer.name] = Product(_pinned(W, step), bias, scale, centre)
    return products


def rounded(W: Float64, v: Float64, step: Float64, first: int) -> Float64:
    """W: (inputs, S) on the grid of `step`, by GPTQ. first: the number of inputs that are x's.

    If a column is zero for all of x, or for all of h, it stays so: its product has no such weights.
    """
    from_x = (W[:first] != 0).any(axis=0)
    from_h = (W[first:] != 0).any(axis=0)
    found = np.zeros_like(W)
    steps = np.broadcast_to(step, W.shape)
    for x, h in ((True, True), (True, False), (False, True)):
        columns = np.flatnonzero((from_x == x) & (from_h == h))
        if len(columns):
            rows = np.arange(len(W))[(0 if x else first) : (len(W) if h else first)]
            place = np.ix_(rows, columns)
            found[place] = gptq(W[place], v[:, rows], steps[place])
    return found


def learned_layers(spec: ModelSpec, weights: Weights, learned: Weights) -> dict[str, Product]:
    """The products of a model that was fine-tuned for them: its weights lie on the grid.

    learned: its ranges, x_range (F,), and NAME.scale and NAME.centre (S,) of each layer that
    multiplies its state.
    """

    products = {}
    for layer in spec.network.layers:
        if not layer.multiplies_state:
            continue
        own = spec.network.own(layer, weights)
        first = layer.inputs == (FEATURES,)
        ones = np.ones(spec.network.sizes[layer.name][0])
        x_range = learned["x_range"] if first else ones
        parts = input_parts(spec.inputs.feature_size) if first else 1
        q, step = product(layer, own, x_range, parts)
        scale, centre, b = (
            array.astype(np.float64)
            for array in (
                learned[f"{layer.name}.scale"],
                learned[f"{layer.name}.centre"],
                layer.joined(NUMPY, own)[2],
            )
        )
        step = step / scale
        products[layer.name] = Product(_pinned(q * step, step), (b - centre) / scale, scale, centre)
    return products


def _pinned(W: Float64, step: Float64) -> Float64:
    """With two inputs more, which are always 0. They hold both ends of each column's range.

    The converter takes (max - min) / 255 of a column as its step. With them, that is our step.
    """
    return np.concatenate([127 * step[None], -128 * step[None], W])


class _Given(NumpyOps):
    """Puts given sums in place of a cell's own."""

    given: Float64

    def sums(self, value: Any) -> Any:  # noqa: ARG002
        return self.given


def emulate(
    spec: ModelSpec,
    weights: Weights,
    products: Mapping[str, Product],
    x_range: Float64,
    features: NDArray[np.floating[Any]],
) -> Float64:
    """The answers of the int8 cells, by NumPy: (steps, F) -> (steps, O).

    Products and sums are rounded as on the NPU. The rest is exact.
    """
    network = spec.network
    exact = {n: np.asarray(array, np.float64) for n, array in weights.items()}
    own = {layer.name: network.own(layer, exact) for layer in network.layers}
    state = network.zero_state(np.float64)
    error = {name: np.zeros(size) for name, size in network.state.items()}
    given = _Given()
    parts = spread(np.asarray(features, np.float64), x_range, input_parts(features.shape[1]))
    outputs = np.empty((len(features), spec.answer.size))

    def round_sums(layer: Layer, x: Float64) -> None:
        product = products[layer.name]
        name = f"{layer.name}.{layer.recurrent}"
        wanted = state[name] + error[name]
        h = on_grid(wanted)
        error[name] = wanted - h
        linear = np.concatenate([x, h]) @ product.weights[PINS:] + product.bias
        given.given = on_grid(linear) * product.scale + product.centre

    for t, v in enumerate(parts):
        values = {FEATURES: v}
        for layer in network.layers:
            x = np.concatenate([values[name] for name in layer.inputs])
            if layer.name in products:
                round_sums(layer, x if layer.inputs == (FEATURES,) else on_grid(x))
                x = np.zeros(network.sizes[layer.name][0])
            before = network.own(layer, state)

            def product_of(name: str, v: Any, own: Any = own[layer.name]) -> Any:
                return v @ own[name]

            ops = given if layer.name in products else NUMPY
            y, after = layer.cell(ops, product_of, own[layer.name], x, before)
            state |= {f"{layer.name}.{name}": array for name, array in after.items()}
            values[layer.name] = y
        outputs[t] = values[network.layers[-1].name]
    return outputs
