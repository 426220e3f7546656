"""Weights for the native kernel in int8: rounded with what they are multiplied with in sight, and the biases made up for the rest.

Measured on trained nets (docs/int8.md), plain rounding of the weights makes nearly all of that kernel's error; x and h in int8, each step
with a scale of its own, make a tenth of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.backends.reference import sigmoid
from edge_lstm_runtime.layers.layout import gate

from .gptq import gptq

Float32 = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


def quantise(weights: Mapping[str, Float32], calibration: Mapping[str, Float32]) -> Arrays:
    """The arrays of int8.npz (docs/bundle.md). calibration: x (N, F), h and c (N, layers, H), the states before the step."""
    arrays: Arrays = {}
    inputs = calibration["x"].astype(np.float64)
    for k in range(calibration["h"].shape[1]):
        h, c = (calibration[name][:, k].astype(np.float64) for name in "hc")
        W_x, W_h, b = (
            weights[f"layer{k}.{name}"].astype(np.float64) for name in ("W_x", "W_h", "b")
        )
        F = len(W_x)
        # As float32, which is what the kernel divides by.
        step_x, step_h = (
            (np.maximum(np.abs(W).max(axis=0), 1e-9) / 127).astype(np.float32) for W in (W_x, W_h)
        )
        step = np.concatenate([np.tile(step_x, (F, 1)), np.tile(step_h, (len(W_h), 1))]).astype(
            np.float64
        )
        W, v = np.concatenate([W_x, W_h]), np.concatenate([inputs, h], axis=1)
        rounded = gptq(W, v, step)
        whole = np.rint(rounded / step).astype(np.int8)
        arrays |= {
            f"layer{k}.W_x": whole[:F],
            f"layer{k}.W_h": whole[F:],
            f"layer{k}.step_x": step_x,
            f"layer{k}.step_h": step_h,
        }
        arrays[f"layer{k}.b"] = (b + (v @ (W - rounded)).mean(axis=0)).astype(np.float32)
        sums = v @ W + b
        c = sigmoid(gate(sums, "f")) * c + sigmoid(gate(sums, "i")) * np.tanh(gate(sums, "g"))
        inputs = sigmoid(gate(sums, "o")) * np.tanh(c)
    return arrays
