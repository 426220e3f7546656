"""The backend that answers and is timed on this machine's CPU."""

from __future__ import annotations

from collections.abc import Mapping

from edge_lstm_runtime.backends.base import Backend
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.errors import BackendUnavailableError
from edge_lstm_runtime.layers import Float32
from edge_lstm_runtime.model.spec import ModelSpec


def cpu_backend(
    spec: ModelSpec, weights: Mapping[str, Float32], number_format: str = "float32"
) -> Backend:
    """The C kernel, or NumPy if it isn't here or takes no such network.

    Raises BackendUnavailableError for int8 then, which NumPy hasn't.
    """
    try:
        return NativeBackend(spec, weights, number_format)
    except BackendUnavailableError:
        if number_format != "float32":
            raise
        return numpy_backend(spec, weights)
