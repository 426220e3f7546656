"""PReLU: y = x above 0, and x slope below, slope (n). He et al. 2015 (arXiv 1502.01852).

With one slope for all it is the leaky ReLU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from . import Array, Layer, Product, Shape
from .ops import Ops


@dataclasses.dataclass(frozen=True)
class Prelu(Layer):
    type = "prelu"
    first: ClassVar = {"slope": 0.25}  # as in the paper

    def outputs(self, inputs: int) -> int:
        return inputs

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {"slope": (inputs,)}

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
        return ops.relu(x) - ops.relu(-1.0 * x) * weights["slope"], {}


LAYER = Prelu
