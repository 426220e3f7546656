"""The ONNX GRU operator: gate order z, r, h (h is our n).

W and R are the canonical matrices transposed. B holds two biases one after the other. The sums of
the gates r and z go into the first. If linear_before_reset, n has a bias in both.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.gru import Gru

from . import Operator, Weights


def _arrays(layer: Layer, weights: Weights) -> tuple[NDArray[np.float32], ...]:
    linear_before_reset = cast(Gru, layer).linear_before_reset
    W_h = weights["W_h"]
    if not linear_before_reset:
        W_h = np.concatenate([W_h, weights["W_n"]], axis=1)
    r, z, n, *h_n = np.split(weights["b"], 4 if linear_before_reset else 3)
    zeros = np.zeros_like(r)
    biases = [z, r, n, zeros, zeros, h_n[0] if h_n else zeros]
    return _reordered(weights["W_x"]).T, _reordered(W_h).T, np.concatenate(biases)


def _reordered(W: NDArray[np.float32]) -> NDArray[np.float32]:
    r, z, n = np.split(W, 3, axis=1)
    return np.concatenate([z, r, n], axis=1)


def _attributes(layer: Layer, directions: int) -> dict[str, Any]:  # noqa: ARG001
    return {"linear_before_reset": int(cast(Gru, layer).linear_before_reset)}


# The RKNN converter crashes if Y has a name and is not read.
OPERATOR = Operator("GRU", 3, _arrays, _attributes, y_consumed=True)
