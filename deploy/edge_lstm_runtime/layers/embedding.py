"""Embedding: the row of W (count, units) that x, a whole number from 0 on, names.

x is one value. Between two whole numbers the rows of both are mixed by their distance. Beyond the
table the answer is zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from . import Array, Layer, Product, Shape, check_layer
from .ops import Ops


@dataclasses.dataclass(frozen=True)
class Embedding(Layer):
    """count: rows. units: the size of the output."""

    type = "embedding"
    count: int
    units: int

    def check_inputs(self, sizes: Sequence[int]) -> None:
        super().check_inputs(sizes)
        size = sum(sizes)
        check_layer(self.name, size == 1, f"reads {size} values, expected one, the number of a row")

    def outputs(self, inputs: int) -> int:
        return self.units

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {"W": (self.count, self.units)}

    @property
    def entry(self) -> str:
        return "W"

    def macs(self, inputs: int) -> int:
        return 0

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        return product("W", ops.one_hot(x, self.count)), {}


LAYER = Embedding
