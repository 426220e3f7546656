"""Weights of recurrent layers, from the layout that torch, Keras and ONNX share but for the order.

Each gate is a block of H rows (Keras: of columns). There is a matrix for x, one for h, and a bias
for each of the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.gru import Gru

from . import Float32, Floats


def reordered(rows: Floats, order: Sequence[int]) -> Floats:
    """Blocks of rows in another order. order: for each of the new blocks, the place of the old."""
    blocks = np.split(rows, len(order))
    return np.concatenate([blocks[place] for place in order])


def canonical(
    layer: Layer, W_x: Floats, W_h: Floats, b_x: Floats, b_h: Floats
) -> dict[str, Float32]:
    """Our weights of a recurrent layer, by name.

    W_x: (gates H, inputs), W_h: (gates H, H), b_x, b_h: (gates H), with the gates in our order.
    """
    units = layer.outputs(W_x.shape[1])
    found = {"W_x": W_x.T, "W_h": W_h.T, "b": b_x + b_h}
    if isinstance(layer, Gru):
        gates = 2 * units
        if layer.linear_before_reset:
            found["b"] = np.concatenate([b_x[:gates] + b_h[:gates], b_x[gates:], b_h[gates:]])
        else:
            found |= {"W_h": W_h.T[:, :gates], "W_n": W_h.T[:, gates:]}
    return {
        f"{layer.name}.{name}": np.ascontiguousarray(found[name], np.float32)
        for name in layer.weights(W_x.shape[1])
    }
