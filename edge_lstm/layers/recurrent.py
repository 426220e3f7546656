"""What torch's recurrent modules share: nn.LSTM, nn.GRU and nn.RNN differ in their gates alone.

Their matrices are the canonical ones transposed, with the gates as blocks of rows. They have two
biases, `bias_ih` and `bias_hh`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.both_ways import REVERSE

from ..threads import using
from . import LayerModule, State

MATRICES = ("weight_ih_l0", "weight_hh_l0")
BIASES = ("bias_ih_l0", "bias_hh_l0")


class RecurrentModule(LayerModule):
    """gates: blocks of rows. keeping: the gate, if any, whose bias begins at 1, to remember."""

    gates: ClassVar[int]
    keeping: ClassVar[int | None] = None

    def __init__(self, layer: Layer, inputs: int, *, both: bool = False) -> None:
        super().__init__(layer, inputs)
        self.both = both
        self.units: int = layer.outputs(inputs)
        if both:
            self.outputs *= 2
        self.rnn = self.torch_module(both)

    def torch_module(self, both: bool) -> nn.RNNBase:
        """The module of torch, of one layer and batch first."""
        raise NotImplementedError

    def initialize(self) -> None:
        """Per gate: recurrent weights orthogonal, input weights Xavier uniform, biases 0 or 1."""
        for name, parameter in self.rnn.named_parameters():
            kind = name.split("_l")[0]  # of weight_hh_l0 and weight_hh_l0_reverse
            if kind == "weight_hh":
                # One thread: a QR decomposition with more of them gives other weights.
                with using(1):
                    for block in parameter.chunk(self.gates):
                        nn.init.orthogonal_(block)
            elif kind == "weight_ih":
                for block in parameter.chunk(self.gates):
                    nn.init.xavier_uniform_(block)
            else:
                nn.init.zeros_(parameter)
                if kind == "bias_ih" and self.keeping is not None:  # in one of the two: they add up
                    nn.init.ones_(parameter.chunk(self.gates)[self.keeping])

    def to_torch(self, state: State | None) -> Tensor | tuple[Tensor, ...] | None:
        """The state as the module of torch takes it, (1, N, H) each."""
        if state is None:
            return None
        parts = tuple(part[None] for part in state.values())
        return parts if len(parts) > 1 else parts[0]

    def from_torch(self, state: Tensor | tuple[Tensor, ...]) -> State:
        if self.both:
            return {}
        parts = state if isinstance(state, tuple) else (state,)
        return {n: p[0] for n, p in zip(self.layer.state(self.inputs), parts, strict=True)}

    def forward(
        self, x: Tensor, state: State | None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        before = None if self.both else self.to_torch(state)
        if lengths is None or not self.both:
            y, after = self.rnn(x, before)
            return y, self.from_torch(after)
        # The backward direction must not read the padding. DDP moves the lengths to the device.
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        answered, after = self.rnn(packed, before)
        y, _ = pad_packed_sequence(answered, batch_first=True, total_length=x.shape[1])
        return y, self.from_torch(after)

    def bias(self, suffix: str = "") -> Tensor:
        """The canonical bias of a direction, from the two that torch has."""
        ih, hh = (getattr(self.rnn, name + suffix) for name in BIASES)
        return cast(Tensor, ih + hh)

    def canonical(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for suffix, prefix in (("", ""), ("_reverse", REVERSE))[: 2 if self.both else 1]:
            W_x, W_h = (getattr(self.rnn, name + suffix).t() for name in MATRICES)
            found |= {f"{prefix}W_x": W_x, f"{prefix}W_h": W_h, f"{prefix}b": self.bias(suffix)}
        return found

    def rows(self) -> list[str]:
        return [f"rnn.{name}" for name in MATRICES]

    def from_joined(self, W_x: Tensor, W_h: Tensor) -> dict[str, Tensor]:
        return {"rnn.weight_ih_l0": W_x, "rnn.weight_hh_l0": W_h}

    def smaller(
        self, units: Tensor, inputs: Tensor, weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """units: of both directions together, those of the backward one from H on."""
        kept: dict[str, Tensor] = {}
        for direction, suffix in enumerate(("", "_reverse")[: 2 if self.both else 1]):
            first = direction * self.units
            own = units[(units >= first) & (units < first + self.units)] - first
            rows = torch.cat([gate * self.units + own for gate in range(self.gates)])
            kept[f"rnn.weight_ih_l0{suffix}"] = weights[f"rnn.weight_ih_l0{suffix}"][rows][
                :, inputs
            ]
            kept[f"rnn.weight_hh_l0{suffix}"] = weights[f"rnn.weight_hh_l0{suffix}"][rows][:, own]
            for name in BIASES:
                kept[f"rnn.{name}{suffix}"] = weights[f"rnn.{name}{suffix}"][rows]
        return kept
