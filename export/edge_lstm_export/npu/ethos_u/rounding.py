"""Weights on the int8 grids of their columns, so that the products of the calibration set change
least.

The compiler's process rounds each weight to the nearest step, 1/127 of its column's largest. These
are on those steps already. The largest weight of a column stays, so the steps do too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.layers.ops import NUMPY
from edge_lstm_runtime.model.network import Network

from ...quantize.gptq import gptq

LEVELS = 127
LEAST = 1e-9  # a column of zeros has no step
Arrays = Mapping[str, NDArray[Any]]


def rounded(net: Network, weights: Arrays, calibration: Arrays) -> dict[str, NDArray[np.float32]]:
    """weights: by name. calibration: x (N, F) and each state (N, size) before the step, by name."""
    found = dict(weights)
    for name, v in multiplied(net, weights, calibration).items():
        W = np.asarray(weights[name], np.float64)
        top = np.abs(W).max(axis=0)
        step = np.maximum(top, LEAST) / LEVELS
        found[name] = gptq(W, v, step, fixed=np.abs(W) == top).astype(np.float32)
    return found


def multiplied(net: Network, weights: Arrays, calibration: Arrays) -> dict[str, NDArray[Any]]:
    """The vectors that each matrix is multiplied with, (rows, inputs) float64, by its name."""
    exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    states = {name: np.asarray(calibration[name], np.float64) for name in net.state}
    values = {FEATURES: np.asarray(calibration[FEATURES], np.float64)}
    seen: dict[str, list[NDArray[Any]]] = {}
    for layer in net.layers:
        own = net.own(layer, exact)

        def product(name: str, v: Any, prefix: str = layer.name, own: Arrays = own) -> Any:
            seen.setdefault(f"{prefix}.{name}", []).append(v)
            return v @ own[name]

        x = NUMPY.join([values[name] for name in layer.inputs])
        values[layer.name], _ = layer.cell(NUMPY, product, own, x, net.own(layer, states))
    return {name: np.concatenate(parts) for name, parts in seen.items()}
