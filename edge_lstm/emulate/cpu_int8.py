"""The network as the native kernel computes it in int8, differentiable.

Only layers that multiply their state are rounded. Each column of their weights lies on a grid of
its own, and so do x and h of each sequence and step. A grid's steps are a 127th of the largest
value on it. Sums, gates, the cell state and the other layers are float.

Rounding has no slope, so gradients pass it as if it were not there (the straight-through estimator:
Bengio et al. 2013, arXiv 1308.3432).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..layers import LayerModule, State, run_cell
from ..network import CompactNet

LEVELS = 127  # of int8, on either side of 0


def on_grid(values: Tensor) -> Tensor:
    """Each row of the last dimension rounded to whole multiples of a 127th of its largest value."""
    largest = values.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30)
    return torch.round(values * (LEVELS / largest)).mul_(largest * (1.0 / LEVELS))


def straight_through(values: Tensor) -> Tensor:
    return values + (on_grid(values.detach()) - values.detach())


def columns_on_grid(W: Tensor) -> Tensor:
    """A canonical matrix (in, columns) with each column on a grid of its own."""
    return straight_through(W.t()).t()


class RoundedNet(CompactNet):
    """A CompactNet in which every layer that multiplies its state rounds (`run_rounded`).

    Its weights are the values before rounding. Not for layers that read whole sequences.
    """

    def forward(
        self, features: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """As of `CompactNet`, and always in float32."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features, state, lengths)

    def run_layer(
        self, name: str, x: Tensor, state: State | None, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        module = self.module(name)
        if not module.layer.multiplies_state:
            return super().run_layer(name, x, state, lengths)
        if not state:
            sizes = module.layer.state(module.inputs)
            state = {n: x.new_zeros(len(x), size) for n, size in sizes.items()}
        return self.run_rounded(module, x, state)

    def run_rounded(self, module: LayerModule, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x: (N, T, inputs), not rounded yet. Returns (N, T, outputs) and the last state."""
        raise NotImplementedError


class Int8Net(RoundedNet):
    """A CompactNet whose answers are the int8 kernel's."""

    def run_rounded(self, module: LayerModule, x: Tensor, state: State) -> tuple[Tensor, State]:
        weights = {
            name: columns_on_grid(W) if W.dim() == 2 else W
            for name, W in module.canonical().items()
        }
        if module.run_int8 is not None:
            return module.run_int8(straight_through(x), weights, state, on_grid)

        def product(name: str, v: Tensor) -> Tensor:
            return straight_through(v) @ weights[name]

        return run_cell(module.layer, weights, product, x, state)


def grid_weights(net: CompactNet, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a CompactNet with the rounded matrices on the kernel's grid."""
    names = set()
    for layer in net.network.layers:
        module = net.module(layer.name)
        if layer.multiplies_state:
            names |= {f"layers.{layer.name}.{name}" for name in module.rows()}
    return {name: on_grid(tensor) if name in names else tensor for name, tensor in weights.items()}
