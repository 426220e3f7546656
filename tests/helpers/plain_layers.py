"""The checks of layer types that multiply no state: every backend, against a formula of the test's.

These types are float32 in int8 nets too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyStreams
from edge_lstm_runtime.model.network import network_from
from helpers.arrays import Array, Weights
from helpers.backends import open_any
from helpers.specs import feature_rows, make_spec
from helpers.tolerances import assert_close
from helpers.weights import normal_weights

STEPS = 50
STREAMS = 5
# Weights by name and rows (T, features), both float64 -> outputs (T, O).
Formula = Callable[[Weights, Array], Array]


def spec_of(features: int, *layers: dict[str, Any]) -> rt.ModelSpec:
    """A network whose features are its samples. A layer's "inputs" are x if it names none."""
    network = network_from(features, [{"inputs": ["x"], **layer} for layer in layers])
    mean, std = ((value,) * features for value in (0.0, 1.0))
    size = network.outputs
    task = "classify" if size > 1 else "forecast"
    spec = make_spec(
        task=task, channels=features, outputs=size, targets=("ch0",), mean=mean, std=std
    )
    return dataclasses.replace(spec, network=network)


def backends(spec: rt.ModelSpec, weights: Weights) -> dict[str, rt.Backend]:
    found = {
        name: open_any(name, spec, weights)
        for name in ("reference", "numpy", "onnx-cell", "rknn-adapter")
    }
    for kernel in native.kernels():
        found[kernel] = NativeBackend(spec, weights, kernel=kernel)
        found[f"{kernel} int8"] = NativeBackend(spec, weights, "int8", kernel=kernel)
    return found


def check_formula(
    spec: rt.ModelSpec, formula: Formula, rows: Array | None = None, weights: Weights | None = None
) -> None:
    """Every backend, stepped, its state saved and put back, reset, and in streams."""
    weights = normal_weights(spec) if weights is None else weights
    rows = feature_rows(spec, STEPS) if rows is None else rows.astype(np.float32)
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    expected = formula(exact, rows.astype(np.float64))
    for name, backend in backends(spec, weights).items():
        tolerance = "float64" if name == "reference" else "float32"
        found = np.stack([backend.step(row) for row in rows[:7]])
        saved = backend.state
        backend.reset()
        assert_close(backend.run(rows[:3]), expected[:3], tolerance, f"{name} after a reset")
        backend.state = saved
        assert_close(np.concatenate([found, backend.run(rows[7:])]), expected, tolerance, name)
    _check_streams(spec, weights, rows, expected)


def _check_streams(spec: rt.ModelSpec, weights: Weights, rows: Array, expected: Array) -> None:
    """Stream k is k steps ahead of the first. One of them begins anew amid the others."""
    last = len(rows) - STREAMS
    several = np.stack([rows[k : k + last] for k in range(STREAMS)], axis=1)
    for backend in (
        NumpyStreams(spec, weights, STREAMS),
        NativeBackend(spec, weights, streams=STREAMS),
    ):
        backend.run(several[:4])
        backend.reset()
        found = backend.run(several)
        assert_close(found[:, 0], expected[:last], "float32", f"{backend.name}, a stream")
        backend.reset_streams([0, 3])
        again = backend.run(several[:10])
        for k in (0, 3):
            alone = rt.Reference(spec, weights).run(several[:10, k])
            assert_close(again[:, k], alone, "float32", f"{backend.name}, a new stream")
        on = rt.Reference(spec, weights)
        on.run(several[:, 1])
        assert_close(again[:, 1], on.run(several[:10, 1]), "float32", f"{backend.name}, another")


def check_drift(spec: rt.ModelSpec) -> None:
    """float32 stays at the reference for 10,000 steps."""
    weights = normal_weights(spec)
    rows = feature_rows(spec, 10_000)
    expected = rt.Reference(spec, weights).run(rows)
    for backend in (open_any("numpy", spec, weights), NativeBackend(spec, weights)):
        assert_close(backend.run(rows), expected, "float32", backend.name)


def check_refused(told: str, features: int, *layers: dict[str, Any]) -> None:
    with pytest.raises(rt.BundleError) as refused:
        spec_of(features, *layers)
    assert str(refused.value) == told


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda a: a,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": sigmoid,
}
