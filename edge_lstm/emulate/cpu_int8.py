"""The network as the native kernel computes it in int8, differentiable: what it rounds is rounded here.

Weights of the LSTM layers lie on a grid for each gate's unit, x and h on one for each sequence and step, of a 127th of the largest among
them; sums, gates, c and the head are float. Rounding has no slope, so gradients pass it as if it were not there (the straight-through
estimator: Bengio et al. 2013, arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout, linear

from ..network import CompactLSTM, State

LEVELS = 127  # of int8, on either side of 0


def on_grid(values: Tensor) -> Tensor:
    """Each row of the last dimension rounded to whole multiples of a 127th of its largest value."""
    largest = values.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30)
    return torch.round(values * (LEVELS / largest)).mul_(largest * (1.0 / LEVELS))


def straight_through(values: Tensor) -> Tensor:
    return values + (on_grid(values.detach()) - values.detach())


def grid_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a CompactLSTM, the matrices of its LSTM layers on the kernel's grid."""
    return {
        name: on_grid(tensor) if name.startswith("lstm.weight") else tensor
        for name, tensor in weights.items()
    }


class RoundedLSTM(CompactLSTM):
    """A CompactLSTM whose layers round, each in its own way (`_layer`). Its weights are those that are rounded; of one direction only."""

    def forward(
        self,
        features: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,  # noqa: ARG002  (of bidirectional models)
    ) -> tuple[Tensor, State]:
        """As CompactLSTM's, and always in float32."""
        with torch.autocast(features.device.type, enabled=False):
            layers, shape = self.spec.num_layers, (len(features), self.spec.hidden_size)
            h, c = features.new_zeros(2, layers, *shape) if state is None else state
            inputs = features.transpose(0, 1)  # (T, N, F)
            last_h, last_c = [], []
            for k in range(layers):
                hs, last = self._layer(k, inputs, h[k], c[k])
                last_h.append(hs[-1])
                last_c.append(last)
                inputs = dropout(hs, self.lstm.dropout, self.training) if k < layers - 1 else hs
            return self.head(inputs.transpose(0, 1)), (torch.stack(last_h), torch.stack(last_c))

    def _layer(self, k: int, inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """inputs: (T, N, F or H), not rounded yet; h, c: (N, H) -> h of each step (T, N, H), the last c (N, H)."""
        raise NotImplementedError

    def _bias(self, k: int) -> Tensor:
        """(4 H,)"""
        bias: Tensor = getattr(self.lstm, f"bias_ih_l{k}") + getattr(self.lstm, f"bias_hh_l{k}")
        return bias


class QuantisedLSTM(RoundedLSTM):
    """A CompactLSTM whose answers are the int8 kernel's."""

    def _layer(self, k: int, inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        W_x, W_h = (
            straight_through(getattr(self.lstm, f"weight_{name}_l{k}")) for name in ("ih", "hh")
        )
        sums = linear(straight_through(inputs), W_x, self._bias(k))  # (T, N, 4 H)
        return _Recurrence.apply(sums, W_h, h, c)  # type: ignore[no-untyped-call, no-any-return]


class _Recurrence(Function):
    """sums: (T, N, 4 H) x's share of the gates, in the order i, f, g, o; W: (4 H, H) on the grid; h, c: (N, H) -> h of each step
    (T, N, H), and the last c (N, H).

    Backward by hand: through autograd each step would cost several times as much, and be kept several times over.
    """

    @staticmethod
    def forward(ctx: Any, sums: Tensor, W: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        steps, count, hidden = len(sums), *h.shape
        gates = torch.empty_like(sums, memory_format=torch.contiguous_format)
        rounded, hs, tanh_c = (sums.new_empty(steps, count, hidden) for _ in range(3))
        cs = sums.new_empty(steps + 1, count, hidden)
        cs[0] = c
        transposed = W.t()
        for t in range(steps):
            rounded[t] = on_grid(h)
            a = torch.addmm(sums[t], rounded[t], transposed, out=gates[t])
            g = torch.tanh(a[:, 2 * hidden : 3 * hidden])
            i, f, _, o = a.sigmoid_().chunk(4, dim=1)
            a[:, 2 * hidden : 3 * hidden] = g
            torch.addcmul(f * cs[t], i, g, out=cs[t + 1])
            h = torch.mul(o, torch.tanh(cs[t + 1], out=tanh_c[t]), out=hs[t])
        ctx.save_for_backward(W, gates, rounded, cs, tanh_c)
        return hs, cs[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        d_hs, d_c = gradients
        W, gates, rounded, cs, tanh_c = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=2)
        # All that doesn't depend on the steps to come, for all steps at once: c's slope by h, and the sums' slopes by c and, of o, by h.
        c_by_h = o * (1 - tanh_c.square())
        slopes = torch.cat(
            [g * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - g.square()), tanh_c * o * (1 - o)],
            dim=2,
        )
        d_sums = torch.empty_like(gates)
        d_h = torch.zeros_like(d_c)
        for t in range(len(gates) - 1, -1, -1):
            d_h = d_h + d_hs[t]
            d_c = torch.addcmul(d_c, d_h, c_by_h[t])
            torch.mul(slopes[t], torch.cat([d_c, d_c, d_c, d_h], dim=1), out=d_sums[t])
            d_h = d_sums[t] @ W
            d_c = d_c * f[t]
        return d_sums, d_sums.flatten(0, 1).t() @ rounded.flatten(0, 1), d_h, d_c
