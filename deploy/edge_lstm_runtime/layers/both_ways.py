"""A layer that reads whole sequences from both ends: [forward output, backward output].

The backward direction has its own weights, "reverse.W_x" and so on. Each direction begins in the
zero state, and nothing is carried from sequence to sequence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import BackendError
from . import Array, Float32, Layer, Product, Shape, check_layer
from .ops import Ops

REVERSE = "reverse."


@dataclasses.dataclass(frozen=True)
class BothWays(Layer):
    """layer: runs in each direction. It has the name and the inputs of this one.

    Raises BundleError if it reads whole sequences itself.
    """

    type = "both-ways"
    whole = True
    layer: Layer

    def __post_init__(self) -> None:
        super().__post_init__()
        # The names of its reversed weights would be there twice.
        check_layer(
            self.name,
            not self.layer.whole,
            f"{self.type} of {self.layer.type!r}, which reads whole sequences itself: "
            "expected a layer that takes steps",
        )
        alone = not (self.layer.initial or self.initial)
        check_layer(self.name, alone, f"{self.type} begins at zero, expected no initial")

    def outputs(self, inputs: int) -> int:
        return 2 * self.layer.outputs(inputs)

    def check_inputs(self, sizes: Sequence[int]) -> None:
        self.layer.check_inputs(sizes)

    def weights(self, inputs: int) -> dict[str, Shape]:
        shapes = self.layer.weights(inputs)
        return shapes | {REVERSE + name: shape for name, shape in shapes.items()}

    @property
    def entry(self) -> str:
        return self.layer.entry

    @property
    def bounded(self) -> bool:
        return self.layer.bounded

    @property
    def title(self) -> str:
        return f"{self.layer.title} both ways"

    def macs(self, inputs: int) -> int:
        return 2 * self.layer.macs(inputs)

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        raise BackendError(
            f"layer {self.name!r} reads a whole sequence from both ends: it has no step"
        )

    def sequence(self, ops: Ops, product: Product, weights: Mapping[str, Array], x: Array) -> Array:
        def reverse(name: str, v: Array) -> Array:
            return product(REVERSE + name, v)

        forward = self.layer.sequence(ops, product, weights, x)
        backward = self.layer.sequence(ops, reverse, reverse_weights(weights), x[::-1])[::-1]
        return np.concatenate([forward, backward], axis=1)

    def whole_run(
        self, weights: Mapping[str, Float32], inputs: int
    ) -> Callable[[Float32], Float32]:
        forward = self.layer.whole_run(weights, inputs)
        backward = self.layer.whole_run(reverse_weights(weights), inputs)

        def run(rows: Float32) -> Float32:
            return np.concatenate([forward(rows), backward(rows[::-1])[::-1]], axis=1)

        return run

    def to_dict(self) -> dict[str, Any]:
        inner = {k: v for k, v in self.layer.to_dict().items() if k not in ("name", "inputs")}
        return {**super().to_dict(), "layer": inner}


def reverse_weights(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of the backward direction, by the inner layer's names."""
    return {n.removeprefix(REVERSE): w for n, w in weights.items() if n.startswith(REVERSE)}


LAYER = BothWays
