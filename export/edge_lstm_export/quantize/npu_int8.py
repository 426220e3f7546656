"""The int8 cell that keeps its state: the parts that are quantized, so that no error builds up.

Measured on trained nets (docs/int8.md): nearly all of the error of a plain w8a8 cell comes from the
cell state in int8, then from the sums, the rounding of the weights, and x. So

    states   stay float16, like everything element-wise: H values each, against the products'
             S (F + H)
    x        has a float16 product of its own. F is small beside H, and a grid that is wide enough
             for the largest feature would be too coarse for the others. So have the outputs of
             layers that are not bounded
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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import int8_inputs, on_grid, search_ranges, walk
from edge_lstm.emulate.npu_w8a8 import product
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.rknn.packing import PINS
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.ops import NUMPY, NumpyOps

from .gptq import gptq

Float64 = NDArray[np.float64]
Weights = Mapping[str, NDArray[np.float32]]
ROUNDED = ("inputs", "sums")  # of a product, beside its weights
UNIT = (-128 / 127, 1.0)  # the range in which the int8 step is 1/127 and the zero point 0


@dataclasses.dataclass(frozen=True)
class Product:
    """The sums are round(v @ weights + bias) * scale + centre + x @ W_x.

    weights: (PINS + n + H, S), each column on an int8 grid. bias, scale, centre: (S,). v is
    [0, 0, the n inputs that `int8_inputs` tells, h], and round is to the int8 grid of 1/127.
    W_x: (inputs - n, S) for the other inputs, in float16.
    """

    weights: Float64
    bias: Float64
    scale: Float64
    centre: Float64
    W_x: Float64


def quantize(
    spec: ModelSpec,
    weights: Weights,
    calibration: Weights,
    search: Callable[[Float64, Float64], tuple[Float64, Float64]] = search_ranges,
) -> dict[str, Product]:
    """The product of each layer that multiplies its state.

    calibration: x (N, F), and every state (N, size) before the step, by name. search: finds the
    scale and the centre of each sum, see `search_ranges`.
    """
    states = {name: calibration[name] for name in spec.network.state}
    products = {}
    for seen in walk(spec.network, weights, calibration["x"], states):
        layer = seen.layer
        W_x, W_h, b = layer.joined(NUMPY, seen.weights)
        inside = int8_inputs(spec.network, layer)
        outer = half(W_x[~inside])
        sums = seen.sums - seen.inputs[:, ~inside] @ W_x[~inside]
        share = seen.importance / seen.importance.sum(axis=0)
        scale, centre = search(sums, seen.importance)
        v = on_grid(np.concatenate([seen.inputs[:, inside], seen.state[layer.recurrent]], axis=1))
        W = np.concatenate([W_x[inside], W_h]) / scale
        step = np.maximum(np.abs(W).max(axis=0), 1e-9) / 127
        W = rounded(W, v, step, int(inside.sum()))
        exact = v @ W
        bias = (b - centre) / scale + (share * ((sums - b) / scale - exact)).sum(axis=0)
        off = sums - on_grid(exact + bias) * scale - centre
        centre = centre + (share * off).sum(axis=0)
        products[layer.name] = Product(_pinned(W, step), bias, scale, centre, outer)
    return products


def with_exact_weights(
    spec: ModelSpec, weights: Weights, products: Mapping[str, Product]
) -> dict[str, Product]:
    """The same ranges, and the weights as they are: what is left is the rounding of values."""
    found = {}
    for layer in spec.network.layers:
        if layer.name in products:
            scale, centre = products[layer.name].scale, products[layer.name].centre
            own = spec.network.own(layer, weights)
            own = {name: array.astype(np.float64) for name, array in own.items()}
            W_x, W_h, b = layer.joined(NUMPY, own)
            inside = int8_inputs(spec.network, layer)
            W = np.concatenate([np.zeros((PINS, len(b))), W_x[inside], W_h]) / scale
            found[layer.name] = Product(W, (b - centre) / scale, scale, centre, W_x[~inside])
    return found


def rounded(
    W: Float64, v: Float64, step: Float64, first: int, exact: Float64 | None = None
) -> Float64:
    """W: (inputs, S) on the grid of `step`, by GPTQ. first: the number of inputs that are x's.

    v, exact: see `gptq`.
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
            unrounded = None if exact is None else exact[:, rows]
            found[place] = gptq(W[place], v[:, rows], steps[place], unrounded)
    return found


def learned_layers(spec: ModelSpec, weights: Weights, learned: Weights) -> dict[str, Product]:
    """The products of a model that was fine-tuned for them: its weights lie on the grid.

    learned: its ranges, NAME.scale and NAME.centre (S,) of each layer that multiplies its state.
    """
    products = {}
    for layer in spec.network.layers:
        if not layer.multiplies_state:
            continue
        own = spec.network.own(layer, weights)
        inside = int8_inputs(spec.network, layer)
        q, step, outer, b = product(layer, own, inside)
        scale, centre = (
            learned[f"{layer.name}.{name}"].astype(np.float64) for name in ("scale", "centre")
        )
        step = step / scale
        W = _pinned(q * step, step)
        products[layer.name] = Product(W, (b - centre) / scale, scale, centre, half(outer))
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


def half(values: Float64) -> Float64:
    """Rounded to float16."""
    return values.astype(np.float16).astype(np.float64)


def _as_is(values: Float64) -> Float64:
    return values


def emulate(
    spec: ModelSpec,
    weights: Weights,
    candidates: Sequence[Mapping[str, Product]],
    features: NDArray[np.floating[Any]],
    values: Sequence[str] = ROUNDED,
) -> Float64:
    """The answers of the int8 cells, by NumPy, each stream from the zero state.

    candidates: the products of each layer, by name. A layer without one is exact. features:
    (streams, steps, F). values: what is rounded beside the weights. Returns (candidates, streams,
    steps, O). Products and sums are rounded as on the NPU. The rest is exact.
    """
    put = on_grid if "inputs" in values else _as_is
    put_sums = on_grid if "sums" in values else _as_is
    network = spec.network
    exact = {n: np.asarray(array, np.float64) for n, array in weights.items()}
    own = {layer.name: network.own(layer, exact) for layer in network.layers}
    streams, steps, _ = features.shape
    several = (len(candidates), streams)

    def stacked(name: str, part: str) -> Float64:
        arrays = np.stack([getattr(products[name], part) for products in candidates])
        return arrays if arrays.ndim == 3 else arrays[:, None]

    stack = {
        name: Product(*(stacked(name, field.name) for field in dataclasses.fields(Product)))
        for name in candidates[0]
    }
    inside = {layer.name: int8_inputs(network, layer) for layer in network.layers}
    start = network.initial_state(np.float64)
    state = {n: np.broadcast_to(a, (*several, len(a))) for n, a in start.items()}
    error = {name: np.zeros((*several, size)) for name, size in network.state.items()}
    given = _Given()
    outputs = np.empty((*several, steps, spec.answer.size))

    def round_sums(layer: Layer, x: Float64) -> None:
        product = stack[layer.name]
        name = f"{layer.name}.{layer.recurrent}"
        wanted = state[name] + error[name]
        h = put(wanted)
        error[name] = wanted - h
        v = np.concatenate([put(x[..., inside[layer.name]]), h], axis=-1)
        linear = v @ product.weights[:, PINS:] + product.bias
        outer = half(x[..., ~inside[layer.name]]) @ product.W_x
        given.given = put_sums(linear) * product.scale + product.centre + outer

    for t in range(steps):
        rows = features[:, t].astype(np.float64)
        made = {FEATURES: np.broadcast_to(rows, (*several, rows.shape[-1]))}
        for layer in network.layers:
            x = np.concatenate([made[name] for name in layer.inputs], axis=-1)
            if layer.name in stack:
                round_sums(layer, x)
                x = np.zeros_like(x)
            before = network.own(layer, state)

            def product_of(name: str, v: Any, own: Any = own[layer.name]) -> Any:
                return v @ own[name]

            ops = given if layer.name in stack else NUMPY
            y, after = layer.cell(ops, product_of, own[layer.name], x, before)
            state |= {f"{layer.name}.{name}": array for name, array in after.items()}
            made[layer.name] = y
        outputs[:, :, t] = made[network.layers[-1].name]
    return outputs
