"""Causal convolution over all steps at once."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_lstm_runtime.layers.causal_conv import CausalConv
from edge_lstm_runtime.layers.ops import activated

from . import CellModule, State
from .ops import TORCH


class CausalConvModule(CellModule):
    layer: CausalConv

    def forward(
        self,
        x: Tensor,
        state: State | None,
        lengths: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, State]:
        layer = self.layer
        batch, steps, inputs = x.shape
        before = (layer.kernel - 1) * layer.dilation
        past = x.new_zeros(batch, before * inputs) if state is None else state["past"]
        rows = torch.cat([past.reshape(batch, before, inputs), x], dim=1)
        starts = range(0, before + 1, layer.dilation)
        taps = torch.cat([rows[:, start : start + steps] for start in starts], dim=2)
        weights = self.canonical()
        y = taps @ weights["W"] + weights["b"]
        return activated(TORCH, layer.activation, y), {"past": rows[:, steps:].flatten(1)}


MODULE = CausalConvModule
