"""RNN: Elman 1990, as torch.nn.RNN: h = activation(x W_x + h W_h + b).

W_x (inputs, H), W_h (H, H), b (H).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from . import Array, Fast, Float32, Layer, Product, Shape
from .ops import Ops


@dataclasses.dataclass(frozen=True)
class Rnn(Layer):
    """units: H."""

    type = "rnn"
    units: int
    activation: Literal["tanh", "relu"] = "tanh"

    def outputs(self, inputs: int) -> int:
        return self.units

    def weights(self, inputs: int) -> dict[str, Shape]:
        H = self.units
        return {"W_x": (inputs, H), "W_h": (H, H), "b": (H,)}

    def state(self, inputs: int) -> dict[str, int]:
        return {"h": self.units}

    @property
    def bounded(self) -> bool:
        return self.activation == "tanh"

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        sums = ops.sums(product("W_x", x) + product("W_h", state["h"]) + weights["b"])
        (a,) = ops.split(sums, 1)
        h = ops.relu(a) if self.activation == "relu" else ops.tanh(a)
        h = ops.keep("h", h)
        return h, {"h": h}

    def fast(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> Fast:
        """One product of [x, 1, h]. Nothing is allocated."""
        columns = np.concatenate([weights["W_x"], weights["b"][None], weights["W_h"]])
        product = np.asfortranarray(columns.T, np.float32).dot
        h = vector[inputs + 1 :]
        sums = np.zeros((self.units, *batch), np.float32)
        zero = np.zeros_like(sums)
        relu = self.activation == "relu"

        def step() -> None:
            product(vector, sums)
            if relu:
                np.maximum(sums, zero, h)
            else:
                np.tanh(sums, h)

        return Fast(step, {"h": h})


LAYER = Rnn
