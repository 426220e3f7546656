"""Scale: y = activation(x a + b) for each value by itself, a and b (n).

Batch normalization of a trained net is one, and so is an activation alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from . import Array, Layer, Product, Shape
from .dense import Activation
from .ops import Ops, activated


@dataclasses.dataclass(frozen=True)
class Scale(Layer):
    type = "scale"
    first: ClassVar = {"a": 1.0}
    activation: Activation = "none"

    def outputs(self, inputs: int) -> int:
        return inputs

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {"a": (inputs,), "b": (inputs,)}

    @property
    def bounded(self) -> bool:
        return self.activation in ("tanh", "sigmoid")

    def macs(self, inputs: int) -> int:
        return inputs

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        y = x * weights["a"] + weights["b"]
        return activated(ops, self.activation, y), {}


LAYER = Scale
