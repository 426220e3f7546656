"""Convolution over the steps, which reads no later ones.

    y(t) = activation(sum over k of x(t - (kernel - 1 - k) dilation) W_k + b)

W (kernel inputs, units) is W_0, for the oldest step, to W_(kernel - 1), for the newest. b (units).
The state `past` is the (kernel - 1) dilation steps before this one, the oldest first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from . import Array, Fast, Float32, Layer, Product, Shape, check_layer
from .dense import Activation
from .ops import NUMPY, Ops, activated

MAX_PAST = 2**20  # values of the state


@dataclasses.dataclass(frozen=True)
class CausalConv(Layer):
    """units: the size of the output. kernel: how many steps it reads, 2 or more. dilation: from
    one of these steps to the next."""

    type = "causal-conv"
    units: int
    kernel: int
    dilation: int = 1
    activation: Activation = "none"

    def check_inputs(self, sizes: Sequence[int]) -> None:
        super().check_inputs(sizes)
        past = self.state(sum(sizes))["past"]
        check_layer(
            self.name,
            1 <= past <= MAX_PAST,
            f"kernel is {self.kernel} and dilation {self.dilation}, so its past has {past:,} "
            f"values; expected 1 to {MAX_PAST:,}",
        )

    def outputs(self, inputs: int) -> int:
        return self.units

    def weights(self, inputs: int) -> dict[str, Shape]:
        return {"W": (self.kernel * inputs, self.units), "b": (self.units,)}

    def state(self, inputs: int) -> dict[str, int]:
        return {"past": (self.kernel - 1) * self.dilation * inputs}

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
        steps = ops.split(state["past"], (self.kernel - 1) * self.dilation)
        y = product("W", ops.join([*steps[:: self.dilation], x])) + weights["b"]
        return activated(ops, self.activation, y), {"past": ops.join([*steps[1:], x])}

    def fast(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> Fast:
        """The state and x are side by side, and move on by one step."""
        W = np.asfortranarray(weights["W"].T)
        b = weights["b"].reshape(-1, *(1 for _ in batch))
        steps = np.zeros(((self.kernel - 1) * self.dilation + 1, inputs, *batch), np.float32)
        values = steps.reshape(-1, *batch)
        x = vector[:inputs]
        y = vector[inputs + 1 :]
        activate = None if self.activation == "none" else getattr(NUMPY, self.activation)

        def step() -> None:
            steps[-1] = x
            sums = W.dot(steps[:: self.dilation].reshape(-1, *batch)) + b
            y[:] = sums if activate is None else activate(sums)
            steps[:-1] = steps[1:]

        return Fast(step, {"past": values[:-inputs]})


LAYER = CausalConv
