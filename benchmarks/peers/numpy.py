"""The project's NumPy backend."""

from __future__ import annotations

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.numpy import NumpyBackend

from . import Steps, Weights


def make(spec: ModelSpec, weights: Weights) -> Steps:
    return {"step": NumpyBackend(spec, weights).step}
