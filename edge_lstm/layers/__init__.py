"""How a layer type is trained. A type has a file here only if torch has a fast module for it.

Any other type is trained by its cell, step by step (`CellModule`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.registry import Registry

from ..named import Named
from .ops import TORCH, GivenSums

Float32 = NDArray[np.float32]
State = dict[str, Tensor]  # by the layer's own names, (N, size) each


class LayerModule(nn.Module):
    """One layer with its parameters."""

    def __init__(self, layer: Layer, inputs: int) -> None:
        super().__init__()
        self.layer = layer
        self.inputs = inputs
        self.outputs = layer.outputs(inputs)

    @abstractmethod
    def initialize(self) -> None:
        """Draw new weights."""

    @abstractmethod
    def forward(
        self, x: Tensor, state: State | None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """x: (N, T, inputs). state: None for zero. Returns (N, T, outputs) and the state after
        step T.

        lengths: (N,) int64 on the CPU, the steps before the padding, for a layer that reads whole
        sequences from both ends. None if there is no padding.
        """

    @abstractmethod
    def canonical(self) -> dict[str, Tensor]:
        """The weights by the names and in the shapes of the runtime's layer, with gradients."""

    # A recurrence with a gradient by hand, if the type has one. Through autograd each step would
    # cost several times as much. `emulate` takes that way if it is None.
    run_int8: Callable[..., tuple[Tensor, State]] | None = None
    run_npu: Callable[..., tuple[Tensor, State]] | None = None

    def rows(self) -> list[str]:
        """The names of the parameters that are matrices with an output in each row, as torch's are.

        A number format has a step for each of these rows.
        """
        return []

    @staticmethod
    def importance(layer: Layer, sums: Tensor, state: State) -> Tensor:
        """(N, S) how much each sum of a step matters: the squared slope of the new state by it.

        sums: (N, S), as `Ops.sums` gets them. state: before the step, (N, size) each.
        """
        sums = sums.detach().requires_grad_()
        after = _given_sums(layer, sums, state)
        (slopes,) = torch.autograd.grad(torch.stack([p.sum() for p in after.values()]).sum(), sums)
        return slopes.square()

    def from_joined(self, W_x: Tensor, W_h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The parameters that are matrices, from those of `Layer.joined`: (S, inputs), (S, H).

        Raises TrainingError if the type can't do it.
        """
        raise TrainingError(
            f"layer {self.layer.name!r}: type {self.layer.type!r} can't be fine-tuned for an NPU; "
            "remove [quantize], or take another type"
        )

    @abstractmethod
    def smaller(
        self, units: Tensor, inputs: Tensor, weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The parameters of a module of these units and inputs alone, indices in increasing order.

        weights: this module's parameters by name. Raises TrainingError if the type can't do it.
        """


class CellModule(LayerModule):
    """Any layer type, by its cell: torch follows the gradient through every step."""

    def __init__(self, layer: Layer, inputs: int) -> None:
        super().__init__(layer, inputs)
        shapes = layer.weights(inputs)
        # Sorted: new weights are drawn in this order.
        self.weights = Named({n: nn.Parameter(torch.empty(shapes[n])) for n in sorted(shapes)})

    def initialize(self) -> None:
        for name, parameter in self.weights.items():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.constant_(parameter, self.layer.first.get(name, 0.0))

    def forward(
        self,
        x: Tensor,
        state: State | None,
        lengths: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, State]:
        weights = dict(self.weights.items())
        return run_cell(self.layer, weights, lambda name, v: v @ weights[name], x, state)

    def canonical(self) -> dict[str, Tensor]:
        return dict(self.weights.items())

    def smaller(
        self,
        units: Tensor,  # noqa: ARG002
        inputs: Tensor,  # noqa: ARG002
        weights: Mapping[str, Tensor],  # noqa: ARG002
    ) -> dict[str, Tensor]:
        raise TrainingError(
            f"layer {self.layer.name!r}: type {self.layer.type!r} can't be pruned; "
            "remove [prune], or take another type"
        )


def run_cell(
    layer: Layer,
    weights: Mapping[str, Tensor],
    product: Callable[[str, Tensor], Tensor],
    x: Tensor,
    state: State | None,
) -> tuple[Tensor, State]:
    """A layer's cell over (N, T, inputs), with the products computed by `product`."""
    sizes = layer.state(x.shape[2])
    if not sizes:  # the steps have nothing to do with each other
        return layer.cell(TORCH, product, weights, x, {})
    if state is None:
        state = {name: x.new_zeros(len(x), size) for name, size in sizes.items()}
    found = []
    for t in range(x.shape[1]):
        y, state = layer.cell(TORCH, product, weights, x[:, t], state)
        found.append(y)
    return torch.stack(found, dim=1), state


def _given_sums(layer: Layer, sums: Tensor, state: State) -> State:
    """The state after a step whose sums are given. All products are replaced by zero."""
    inputs = 1
    shapes = layer.weights(inputs)

    def product(name: str, v: Tensor) -> Tensor:
        return v.new_zeros(len(v), shapes[name][1])

    others = {n: sums.new_zeros(s) for n, s in shapes.items() if len(s) == 1}
    x = sums.new_zeros(len(sums), inputs)
    return layer.cell(GivenSums(sums), product, others, x, state)[1]


MODULES = Registry(__name__, "edge_lstm.layer_modules", "layer type", "MODULE")


def module_of(layer: Layer, inputs: int) -> LayerModule:
    """Raises TrainingError for a layer that can't be trained."""
    if layer.initial:
        raise TrainingError(f"layer {layer.name!r}: initial can't be trained; remove it")
    return kind_of(layer)(layer, inputs)


def kind_of(layer: Layer) -> type[LayerModule]:
    """The module of the type's own file, or else the one that unrolls any cell."""
    if layer.type not in MODULES:
        return CellModule
    kind: type[LayerModule] = MODULES.load(layer.type).MODULE
    return kind
