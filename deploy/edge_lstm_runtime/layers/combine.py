"""Combine: the sum or the product of all its inputs, or the inputs side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from . import Array, Layer, Product, Shape, check_layer
from .ops import Ops


@dataclasses.dataclass(frozen=True)
class Combine(Layer):
    """operation: "concat" puts the inputs side by side. The others need inputs of one size."""

    type = "combine"
    operation: Literal["add", "mul", "concat"]

    def check_inputs(self, sizes: Sequence[int]) -> None:
        super().check_inputs(sizes)
        good = self.operation == "concat" or len(set(sizes)) == 1
        check_layer(
            self.name,
            good,
            f"{self.operation} reads inputs of the sizes {list(sizes)}, expected the same size",
        )

    def outputs(self, inputs: int) -> int:
        return inputs if self.operation == "concat" else inputs // len(self.inputs)

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {}

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        if self.operation == "concat":
            return x, {}
        first, *others = ops.split(x, len(self.inputs))
        for other in others:
            first = first + other if self.operation == "add" else first * other
        return first, {}

    @property
    def title(self) -> str:
        return self.operation


LAYER = Combine
