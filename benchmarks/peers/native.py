"""The project's native backend, in both of its precisions."""

from __future__ import annotations

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends import native

from . import Steps, Weights


def float32(spec: ModelSpec, weights: Weights) -> Steps:
    return {"step": native.NativeBackend(spec, weights, precision="float32").step}


def int8(spec: ModelSpec, weights: Weights) -> Steps:
    return {"step": native.NativeBackend(spec, weights, precision="int8").step}
