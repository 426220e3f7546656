"""The ONNX LSTM operator: gate order i, o, f, c (c is our g).

W and R are the canonical matrices transposed. B holds two biases one after the other. The sum goes
into the first, and zeros go into the second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.lstm import GATES

from . import Operator, Weights

ORDER = "iofg"


def _arrays(layer: Layer, weights: Weights) -> tuple[NDArray[np.float32], ...]:  # noqa: ARG001
    def reordered(array: NDArray[np.float32]) -> NDArray[np.float32]:
        blocks = np.split(array, len(GATES), axis=-1)
        return np.concatenate([blocks[GATES.index(gate)] for gate in ORDER], axis=-1)

    W, R, b = (reordered(weights[name]) for name in ("W_x", "W_h", "b"))
    return W.T, R.T, np.concatenate([b, np.zeros_like(b)])


OPERATOR = Operator("LSTM", len(GATES), _arrays)
