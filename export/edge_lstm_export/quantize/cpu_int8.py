"""Weights for the native kernel in int8.

They are rounded for the inputs that they really meet, and the biases make up for the rest. Measured
on trained nets (docs/int8.md), plain rounding of the weights makes nearly all of that kernel's
error. x and h in int8, each step with a scale of its own, make a tenth of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import walk
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers.ops import NUMPY

from .gptq import gptq
from .npu_int8 import rounded

Float32 = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


def quantize(
    spec: ModelSpec, weights: Mapping[str, Float32], calibration: Mapping[str, Float32]
) -> Arrays:
    """The arrays of int8.npz (docs/bundle.md).

    calibration: x (N, F), and every state (N, size) before the step, by name.
    """
    arrays: Arrays = {}
    states = {name: calibration[name] for name in spec.network.state}
    for seen in walk(spec.network, weights, calibration["x"], states):
        layer = seen.layer
        W_x, W_h, b = layer.joined(NUMPY, seen.weights)
        # As float32, because the kernel divides by that.
        steps = [_step(W) for W in (W_x, W_h)]
        step = np.concatenate(
            [np.tile(s, (len(W), 1)) for s, W in zip(steps, (W_x, W_h), strict=True)]
        ).astype(np.float64)
        W = np.concatenate([W_x, W_h])
        v = np.concatenate([seen.inputs, seen.state[layer.recurrent]], axis=1)
        on_grid = rounded(W, v, step, len(W_x))
        whole = np.rint(on_grid / step).astype(np.int8)
        first = len(W_x)
        matrices = layer.separated(NUMPY, whole[:first], whole[first:])
        matrix_steps = layer.separated(NUMPY, steps[0][None], steps[1][None])
        bias = b + (v @ (W - on_grid)).mean(axis=0)
        for name, matrix in seen.weights.items():
            if matrix.ndim == 2 and name not in matrices:  # a product of its own
                matrix_steps[name] = _step(matrix)[None]
                exact = matrix_steps[name][0].astype(np.float64)
                tuned = gptq(matrix, seen.products[name], np.broadcast_to(exact, matrix.shape))
                matrices[name] = np.rint(tuned / exact).astype(np.int8)
        for name, matrix in matrices.items():
            arrays[f"{layer.name}.{name}"] = matrix
            arrays[f"{layer.name}.{name}.step"] = np.ascontiguousarray(matrix_steps[name][0])
        for name, vector in seen.weights.items():
            if vector.ndim == 1:
                arrays[f"{layer.name}.{name}"] = vector.astype(np.float32)
        arrays[f"{layer.name}.b"] = bias.astype(np.float32)
    return arrays


def _step(W: NDArray[Any]) -> Float32:
    """(columns,): with these steps the largest weight of each column is 127."""
    step: Float32 = (np.maximum(np.abs(W).max(axis=0), 1e-9) / 127).astype(np.float32)
    return step
