"""What an export's calibration holds, for a net that no data trained."""

from __future__ import annotations

import numpy as np

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.numpy import NumpyBackend
from helpers.arrays import Array, Weights
from helpers.specs import feature_rows


def calibration_for(spec: rt.ModelSpec, weights: Weights, samples: int = 2000) -> dict[str, Array]:
    """x (samples, F) and the states h and c (samples, layers, H) that each meets."""
    backend = NumpyBackend(spec, weights)
    found = []
    for row in feature_rows(spec, samples, seed=5):
        found.append((row, *backend.state))
        backend.step(row)
    return {name: np.stack(parts).astype(np.float32) for name, parts in zip("xhc", zip(*found, strict=True), strict=True)}
