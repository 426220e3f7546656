"""Layer normalization over the features: Ba et al. 2016 (arXiv 1607.06450).

    y = (x - mean) / sqrt(variance + epsilon) a + b

a, b (n). The mean and the variance are those of the n values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

from . import Array, Layer, Product, Shape, check_layer
from .ops import Ops

LEAST = 1.2e-38  # Some CPUs take a smaller float as 0.


@dataclasses.dataclass(frozen=True)
class LayerNorm(Layer):
    type = "layer-norm"
    first: ClassVar = {"a": 1.0}
    epsilon: float = 1e-5

    def check_inputs(self, sizes: Sequence[int]) -> None:
        super().check_inputs(sizes)
        good = self.epsilon >= LEAST
        expected = f"expected a number from {LEAST:g} on"
        check_layer(self.name, good, f"epsilon is {self.epsilon!r}, {expected}")

    def outputs(self, inputs: int) -> int:
        return inputs

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {"a": (inputs,), "b": (inputs,)}

    def macs(self, inputs: int) -> int:
        return 2 * inputs  # the squares, and a

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        return ops.normalize(x, weights["a"], weights["b"], self.epsilon), {}


LAYER = LayerNorm
