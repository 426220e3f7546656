"""GRU by torch.nn.GRU, whose gates stand in our order, r, z, n.

torch knows linear_before_reset alone. Without it the cell is run step by step, on weights that lie
as torch's do.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.gru import Gru

from . import State, run_cell
from .recurrent import BIASES, MATRICES, RecurrentModule


class GruModule(RecurrentModule):
    gates = 3
    keeping = 1  # z near 1 keeps h

    def __init__(self, layer: Layer, inputs: int, *, both: bool = False) -> None:
        """Raises TrainingError for a layer both ways that torch has no module for."""
        self.linear_before_reset = cast(Gru, layer).linear_before_reset
        if both and not self.linear_before_reset:
            raise TrainingError(
                f"layer {layer.name!r}: linear_before_reset is false, expected true for a layer "
                "that reads both ways"
            )
        super().__init__(layer, inputs, both=both)

    def torch_module(self, both: bool) -> nn.RNNBase:
        return nn.GRU(self.inputs, self.units, batch_first=True, bidirectional=both)

    def forward(
        self, x: Tensor, state: State | None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self.linear_before_reset:
            return super().forward(x, state, lengths)
        weights = self.canonical()
        return run_cell(self.layer, weights, lambda name, v: v @ weights[name], x, state)

    def bias(self, suffix: str = "") -> Tensor:
        if not self.linear_before_reset:
            return super().bias(suffix)
        ih, hh = (getattr(self.rnn, name + suffix) for name in BIASES)
        gates = 2 * self.units
        return torch.cat([ih[:gates] + hh[:gates], ih[gates:], hh[gates:]])

    def canonical(self) -> dict[str, Tensor]:
        found = super().canonical()
        if not self.linear_before_reset:
            gates = 2 * self.units
            W_h = found.pop("W_h")
            b = found.pop("b")
            found |= {"W_h": W_h[:, :gates], "W_n": W_h[:, gates:], "b": b}
        return found

    def from_joined(self, W_x: Tensor, W_h: Tensor) -> dict[str, Tensor]:
        H = self.units
        last = (
            W_h[3 * H :]
            if self.linear_before_reset
            else cast(Tensor, self.rnn.weight_hh_l0)[2 * H :].detach()
        )
        parts = (W_x[: 3 * H], torch.cat([W_h[: 2 * H], last]))
        return {f"rnn.{name}": part for name, part in zip(MATRICES, parts, strict=True)}


MODULE = GruModule
