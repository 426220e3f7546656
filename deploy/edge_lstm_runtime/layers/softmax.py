"""Softmax over the features: y = exp(x) / sum(exp(x))."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from . import Array, Layer, Product, Shape
from .ops import Ops


@dataclasses.dataclass(frozen=True)
class Softmax(Layer):
    type = "softmax"

    def outputs(self, inputs: int) -> int:
        return inputs

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {}

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
        return ops.softmax(x), {}


LAYER = Softmax
