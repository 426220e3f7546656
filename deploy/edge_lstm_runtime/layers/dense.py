"""Dense: y = activation(x W + b), W (inputs, units), b (units)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from . import Array, Fast, Float32, Layer, Product, Shape
from .ops import NUMPY, Ops, activated

Activation = Literal["none", "tanh", "relu", "sigmoid"]


@dataclasses.dataclass(frozen=True)
class Dense(Layer):
    """units: the size of the output."""

    type = "dense"
    units: int
    activation: Activation = "none"

    def outputs(self, inputs: int) -> int:
        return self.units

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {"W": (inputs, self.units), "b": (self.units,)}

    @property
    def entry(self) -> str:
        return "W"

    @property
    def bounded(self) -> bool:
        return self.activation in ("tanh", "sigmoid")

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        y = product("W", x) + weights["b"]
        return activated(ops, self.activation, y), {}

    def fast(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> Fast:
        answer, _ = self.answer(weights, vector, inputs, batch)
        y = vector[inputs + 1 :]

        def step() -> None:
            y[:] = answer()

        return Fast(step, {})

    def answer(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> tuple[Callable[[], Float32], dict[str, Float32]]:
        W = np.ascontiguousarray(np.vstack([weights["W"], weights["b"]]).T, dtype=np.float32)
        product = W.dot
        x = vector[: inputs + 1]  # [x, 1]
        if self.activation == "none":
            return lambda: product(x), {}
        function = getattr(NUMPY, self.activation)
        return lambda: np.asarray(function(product(x)), np.float32), {}

    def whole_run(
        self,
        weights: Mapping[str, Float32],
        inputs: int,
    ) -> Callable[[Float32], Float32]:
        # The memory order of `answer`, so that the two round alike.
        W = np.ascontiguousarray(np.vstack([weights["W"], weights["b"]]).T, np.float32).T

        def run(rows: Float32) -> Float32:
            y = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1) @ W
            plain = self.activation == "none"
            return y if plain else np.asarray(getattr(NUMPY, self.activation)(y), np.float32)

        return run


LAYER = Dense
