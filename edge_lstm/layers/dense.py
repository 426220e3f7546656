"""Dense by torch.nn.Linear, whose matrix is the canonical one transposed."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.ops import activated

from . import LayerModule, State
from .ops import TORCH


class DenseModule(LayerModule):
    def __init__(self, layer: Layer, inputs: int) -> None:
        super().__init__(layer, inputs)
        assert isinstance(layer, Dense)
        self.activation = layer.activation
        self.linear = nn.Linear(inputs, self.outputs)

    def initialize(self) -> None:
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self,
        x: Tensor,
        state: State | None,  # noqa: ARG002
        lengths: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, State]:
        y = self.linear(x)
        return activated(TORCH, self.activation, y), {}

    def canonical(self) -> dict[str, Tensor]:
        return {"W": self.linear.weight.t(), "b": self.linear.bias}

    def smaller(
        self, units: Tensor, inputs: Tensor, weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return {
            "linear.weight": weights["linear.weight"][units][:, inputs],
            "linear.bias": weights["linear.bias"][units],
        }


MODULE = DenseModule
