"""Weights for the native kernel in int8.

They are rounded for the inputs that they really meet, and the biases make up for the rest. Measured
on trained nets (docs/int8.md), plain rounding of the weights makes nearly all of that kernel's
error. x and h in int8, each step with a scale of its own, make a tenth of it. But if x has few
values, as pulses that are counted, then each is always rounded to the same side, and a state that
sums them up sums up the error. So the weights are made in two ways, for x and h as they are and as
the kernel rounds them, and the export takes those whose streamed error is less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import walk
from edge_lstm_runtime import ModelSpec, Reference, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.layers.ops import NUMPY

from .choose_ranges import passes
from .gptq import Float64, gptq
from .npu_int8 import rounded

Float32 = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


def choose(
    spec: ModelSpec,
    weights: Mapping[str, Float32],
    calibration: Mapping[str, Float32],
    recordings: Sequence[NDArray[Any]],
) -> Arrays:
    """The better one of both ways, over streams through the kernel.

    calibration: see `quantize`. recordings: features (T, F) each, validation data first. Raises
    BackendUnavailableError if the kernel is not here or can't run the network.
    """
    ways = [quantize(spec, weights, calibration, as_rounded=how) for how in (False, True)]
    errors = []
    streams = passes(recordings)
    right = [[Reference(spec, weights).run(x) for x in one] for one in streams]
    for arrays in ways:
        layers, steps = read_int8(spec, arrays)
        backend = NativeBackend(spec, {**weights, **layers}, "int8", steps=steps)
        found = []
        for one, expected in zip(streams, right, strict=True):
            outputs = []
            for x in one:
                backend.reset()
                outputs.append(backend.run(x))
            found.append(compare(np.concatenate(outputs), np.concatenate(expected)).nrmse)
        errors.append(max(found))
    return ways[int(np.argmin(errors))]


def quantize(
    spec: ModelSpec,
    weights: Mapping[str, Float32],
    calibration: Mapping[str, Float32],
    *,
    as_rounded: bool = False,
) -> Arrays:
    """The arrays of int8.npz (docs/bundle.md).

    calibration: x (N, F), and every state (N, size) before the step, by name. as_rounded: the
    weights make up for the rounding of x and h as well, as far as it is the same for the same x.
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
        parts = [seen.inputs, seen.state[layer.recurrent]]
        exact = np.concatenate(parts, axis=1)
        v = np.concatenate([_as_in_kernel(part) for part in parts], axis=1) if as_rounded else exact
        on_grid = rounded(W, v, step, len(W_x), exact if as_rounded else None)
        whole = np.rint(on_grid / step).astype(np.int8)
        first = len(W_x)
        matrices = layer.separated(NUMPY, whole[:first], whole[first:])
        matrix_steps = layer.separated(NUMPY, steps[0][None], steps[1][None])
        bias = b + (exact @ W - v @ on_grid).mean(axis=0)
        for name, matrix in seen.weights.items():
            if matrix.ndim == 2 and name not in matrices:  # a product of its own
                matrix_steps[name] = _step(matrix)[None]
                own = matrix_steps[name][0].astype(np.float64)
                tuned = gptq(matrix, seen.products[name], np.broadcast_to(own, matrix.shape))
                matrices[name] = np.rint(tuned / own).astype(np.int8)
        for name, matrix in matrices.items():
            arrays[f"{layer.name}.{name}"] = matrix
            arrays[f"{layer.name}.{name}.step"] = np.ascontiguousarray(matrix_steps[name][0])
        for name, vector in seen.weights.items():
            if vector.ndim == 1:
                arrays[f"{layer.name}.{name}"] = vector.astype(np.float32)
        arrays[f"{layer.name}.b"] = bias.astype(np.float32)
    return arrays


def _as_in_kernel(rows: NDArray[Any]) -> Float64:
    """Each row rounded to whole multiples of a 127th of its largest value."""
    step = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-30) / 127
    return np.asarray(np.rint(rows / step) * step)


def _step(W: NDArray[Any]) -> Float32:
    """(columns,): with these steps the largest weight of each column is 127."""
    step: Float32 = (np.maximum(np.abs(W).max(axis=0), 1e-9) / 127).astype(np.float32)
    return step
