"""LSTM: Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, as torch.nn.LSTM.

    i, f, o = sigmoid(x W_x + h W_h + b)    g = tanh(x W_x + h W_h + b)
    c = f c + i g                           h = o tanh(c)

W_x (inputs, 4 H), W_h (H, 4 H), b (4 H): the columns are the gates i, f, g, o, H each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import Array, Fast, Float32, Layer, Product, Shape
from .ops import Ops

GATES = "ifgo"


@dataclasses.dataclass(frozen=True)
class Lstm(Layer):
    """units: H."""

    type = "lstm"
    units: int

    def outputs(self, inputs: int) -> int:
        return self.units

    def weights(self, inputs: int) -> dict[str, Shape]:
        columns = 4 * self.units
        return {"W_x": (inputs, columns), "W_h": (self.units, columns), "b": (columns,)}

    def state(self, inputs: int) -> dict[str, int]:
        return {"h": self.units, "c": self.units}

    def macs(self, inputs: int) -> int:
        return super().macs(inputs) + 3 * self.units  # f c, i g, o tanh(c)

    @property
    def bounded(self) -> bool:
        return True

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        sums = product("W_x", x) + product("W_h", state["h"]) + weights["b"]
        i, f, g, o = ops.split(ops.sums(sums), 4)
        i = ops.keep("i", ops.sigmoid(i))
        f = ops.keep("f", ops.sigmoid(f))
        g = ops.keep("g", ops.tanh(g))
        o = ops.keep("o", ops.sigmoid(o))
        c = ops.keep("fc", f * state["c"]) + ops.keep("ig", i * g)
        h = o * ops.keep("tanh_c", ops.tanh(c))
        return h, {"h": h, "c": c}

    def fast(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> Fast:
        """One product of [x, 1, h] and one tanh serve all four gates. Nothing is allocated."""
        H = self.units
        W = fused(weights)
        h = vector[inputs + 1 :]
        # [i, f, o, g, c]: g and c are side by side, so i g and f c are one product.
        gates = np.zeros((5 * H, *batch), np.float32)
        activations = gates[: 4 * H]
        sigmoids = gates[: 3 * H]
        i_f = gates[: 2 * H]
        o = gates[2 * H : 3 * H]
        g_c = gates[3 * H :]
        c = gates[4 * H :]
        products = np.empty((2 * H, *batch), np.float32)
        i_g = products[:H]
        f_c = products[H:]
        tanh_c = np.empty((H, *batch), np.float32)
        half = np.full((3 * H, *batch), 0.5, np.float32)  # NumPy converts a scalar at each call
        product = W.dot
        tanh = np.tanh
        multiply = np.multiply
        add = np.add

        def step() -> None:
            product(vector, activations)
            tanh(activations, activations)
            multiply(sigmoids, half, sigmoids)  # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2
            add(sigmoids, half, sigmoids)
            multiply(i_f, g_c, products)
            add(f_c, i_g, c)
            tanh(c, tanh_c)
            multiply(o, tanh_c, h)

        return Fast(step, {"h": h, "c": c})


def fused(weights: Mapping[str, Any]) -> Float32:
    """(4 H, inputs + 1 + H): its product with [x, 1, h] is every gate, in the order i, f, o, g.

    sigmoid(a) = (1 + tanh(a / 2)) / 2, so the rows of the three sigmoid gates are halved and one
    tanh serves all four. The matrix is in Fortran order, because BLAS is faster with it here.
    """
    columns = np.concatenate([weights["W_x"], weights["b"][None], weights["W_h"]])
    i, f, g, o = np.split(columns, 4, axis=1)
    halved = np.concatenate([0.5 * i, 0.5 * f, 0.5 * o, g], axis=1)
    return np.asfortranarray(halved.T, dtype=np.float32)


LAYER = Lstm
