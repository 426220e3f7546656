"""The int8 cell that keeps its state: what is quantised, and how, so that an error does not build up.

Measured on trained nets (docs/int8.md): nearly all of the error of a plain w8a8 cell comes from the cell state in int8, then from the
gates' sums, the rounding of the weights, and x. So

    states        c, h and everything element-wise stay float16: H values each, against the 4 H (F + H) of the products;
    x             is given to the int8 product in several channels, rounded at different offsets, whose sum is finer (packing.spread);
    h             is rounded so that each step's rounding error is made up for in the next (packing.Packing);
    gates' sums   each of the 4 H columns has a scale and a centre of its own, searched for the least error in c (gates i, f, g) or h (o):
                  the weights are divided by the scale, the sums multiplied by it in float16, and the centre is added there;
    weights       are rounded one input after the other, each rounding error handed on to the inputs that are still to come, weighted by
                  what the inputs really are (`gptq`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import ORDER, input_parts, layer_sums, on_grid, search_ranges
from edge_lstm_runtime.backends.reference import sigmoid
from edge_lstm_runtime.backends.rknn.packing import PINS, spread
from edge_lstm_runtime.layers.layout import reorder

from .gptq import gptq

Float64 = NDArray[np.float64]
UNIT = (-128 / 127, 1.0)  # the range in which the int8 step is 1/127 and the zero point 0


@dataclasses.dataclass(frozen=True)
class Layer:
    """weights: (PINS + inputs + H, 4 H), each column on an int8 grid; bias, scale, centre: (4 H,).

    The gates' sums are round(v @ weights + bias) * scale + centre, the rounding on the int8 grid of 1/127.
    """

    weights: Float64
    bias: Float64
    scale: Float64
    centre: Float64


def quantise(
    weights: Mapping[str, NDArray[np.float32]],
    calibration: Mapping[str, NDArray[np.float32]],
    x_range: Float64,
) -> list[Layer]:
    """Each layer's product with int8 inputs v = [0, 0, x in parts or the h below, h].

    calibration: x (N, F), h and c (N, layers, H), the states before the step.
    """
    inputs = calibration["x"].astype(np.float64)
    parts = input_parts(inputs.shape[1])
    layers = []
    for k in range(calibration["h"].shape[1]):
        h, c = (calibration[name][:, k].astype(np.float64) for name in "hc")
        W_x, W_h, b = (
            reorder(weights[f"layer{k}.{name}"].astype(np.float64), ORDER)
            for name in ("W_x", "W_h", "b")
        )
        sums, importance, h_after = layer_sums(weights, k, inputs, h, c)
        share = importance / importance.sum(axis=0)
        scale, centre = search_ranges(sums, importance)
        if k == 0:
            v = np.concatenate([spread(inputs, x_range, parts), on_grid(h)], axis=1)
            W = np.concatenate([np.tile(W_x * x_range[:, None] / parts, (parts, 1)), W_h]) / scale
        else:
            v, W = (
                np.concatenate([on_grid(inputs), on_grid(h)], axis=1),
                np.concatenate([W_x, W_h]) / scale,
            )
        step = np.maximum(np.abs(W).max(axis=0), 1e-9) / 127
        W = gptq(W, v, step)
        exact = v @ W
        bias = (b - centre) / scale + (share * ((sums - b) / scale - exact)).sum(axis=0)
        centre = centre + (share * (sums - on_grid(exact + bias) * scale - centre)).sum(axis=0)
        layers.append(Layer(_pinned(W, step), bias, scale, centre))
        assert len(layers[-1].weights) == PINS + v.shape[1]
        inputs = h_after
    return layers


def learned_layers(
    weights: Mapping[str, NDArray[np.float32]], learned: Mapping[str, NDArray[np.float32]]
) -> list[Layer]:
    """The products of a model that was fine-tuned for them: its weights lie on the grid, and its ranges are those of `learned`.

    learned: x_range (F,) and, of each layer, layer{k}.scale and layer{k}.centre (4 H,), gates in canonical order.
    """
    from edge_lstm.emulate.npu_w8a8 import (
        product,
    )  # imports torch, which the rest here does without

    layers = []
    for k in range(sum(name.endswith(".scale") for name in learned)):
        ones = np.ones(len(weights[f"layer{k}.W_x"]))
        x_range, parts = (learned["x_range"], input_parts(len(ones))) if k == 0 else (ones, 1)
        q, step = product(weights, k, x_range, parts)
        scale, centre, b = (
            reorder(array.astype(np.float64), ORDER)
            for array in (
                learned[f"layer{k}.scale"],
                learned[f"layer{k}.centre"],
                weights[f"layer{k}.b"],
            )
        )
        step = reorder(step, ORDER) / scale
        layers.append(
            Layer(_pinned(reorder(q, ORDER) * step, step), (b - centre) / scale, scale, centre)
        )
    return layers


def _pinned(W: Float64, step: Float64) -> Float64:
    """With two inputs more, which are always 0: they hold both ends of each column's range.

    The converter takes (max - min) / 255 of a column as its step, which is ours then.
    """
    return np.concatenate([127 * step[None], -128 * step[None], W])


def emulate(
    weights: Mapping[str, NDArray[np.float32]],
    layers: list[Layer],
    x_range: Float64,
    features: NDArray[np.floating],
) -> Float64:
    """What the int8 cell answers, by NumPy: the products and sums as the NPU rounds them, the rest exact. (steps, F) -> (steps, O)"""
    H = weights["layer0.W_h"].shape[0]
    h, c, error = (np.zeros((len(layers), H)) for _ in range(3))
    parts = spread(np.asarray(features, np.float64), x_range, input_parts(features.shape[1]))
    outputs = np.empty((len(features), len(weights["head.b"])))
    for t, v in enumerate(parts):
        for k, layer in enumerate(layers):
            wanted = h[k] + error[k]
            rounded = on_grid(wanted)
            error[k] = wanted - rounded
            sums = (
                on_grid(np.concatenate([v, rounded]) @ layer.weights[PINS:] + layer.bias)
                * layer.scale
                + layer.centre
            )
            i, f, o = sigmoid(sums[: 3 * H]).reshape(3, H)
            c[k] = f * c[k] + i * np.tanh(sums[3 * H :])
            h[k] = o * np.tanh(c[k])
            v = on_grid(h[k])
        outputs[t] = h[-1] @ weights["head.W"] + weights["head.b"]
    return outputs
