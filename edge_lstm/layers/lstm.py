"""LSTM by torch.nn.LSTM, and its rounded recurrences. The gates are in our order, i, f, g, o.

The recurrences have their gradients by hand. In all of them c, h, the gates and the head are float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.lstm import GATES

from . import State
from .recurrent import RecurrentModule

Round = Callable[[Tensor], Tensor]


class LstmModule(RecurrentModule):
    gates = len(GATES)
    keeping = GATES.index("f")

    def torch_module(self, both: bool) -> nn.RNNBase:
        return nn.LSTM(self.inputs, self.units, batch_first=True, bidirectional=both)

    @staticmethod
    def importance(layer: Layer, sums: Tensor, state: State) -> Tensor:  # noqa: ARG004
        """The squared slopes of the new c by the sums of i, f and g, and of the new h by o's."""
        i, f, g, o = sums.chunk(4, dim=1)
        i = torch.sigmoid(i)
        f = torch.sigmoid(f)
        g = torch.tanh(g)
        o = torch.sigmoid(o)
        c = state["c"]
        tanh_c = torch.tanh(f * c + i * g)
        slopes = [g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)]
        return torch.cat(slopes, dim=1) ** 2

    def run_int8(
        self, x: Tensor, weights: Mapping[str, Tensor], state: State, on_grid: Round
    ) -> tuple[Tensor, State]:
        """x: (N, T, inputs), rounded. weights: canonical, matrices on a grid. on_grid: for h."""
        sums = linear(x.transpose(0, 1), weights["W_x"].t(), weights["b"])  # (T, N, 4 H)
        hs, c = _Int8.apply(  # type: ignore[no-untyped-call]
            sums, weights["W_h"].t(), state["h"], state["c"], on_grid
        )
        return hs.transpose(0, 1), {"h": hs[-1], "c": c}

    def run_npu(
        self,
        shares: tuple[Tensor, Tensor],
        W_h: Tensor,
        ranges: tuple[Tensor, Tensor],
        state: State,
        on_grid: Round,
    ) -> tuple[Tensor, State]:
        """shares: (T, N, 4 H), x's in the rounded sums, and beside them. W_h: (H, 4 H), on its
        grid. ranges: the scales and the centres of the sums, (4 H,) each. The rounding error of h
        is added in the next step."""
        hs, c = _Npu.apply(  # type: ignore[no-untyped-call]
            torch.stack(shares),
            W_h.t(),
            torch.stack(ranges),
            torch.stack([state["h"], state["c"]]),
            on_grid,
        )
        return hs.transpose(0, 1), {"h": hs[-1], "c": c}


class _Int8(Function):
    """sums: (T, N, 4 H) x's share of the gates, in the order i, f, g, o. W: (4 H, H) on the grid.
    h, c: (N, H). Returns h of each step (T, N, H), and the last c (N, H)."""

    @staticmethod
    def forward(
        ctx: Any, sums: Tensor, W: Tensor, h: Tensor, c: Tensor, on_grid: Round
    ) -> tuple[Tensor, Tensor]:
        steps, count, hidden = len(sums), *h.shape
        gates = torch.empty_like(sums, memory_format=torch.contiguous_format)
        rounded, hs, tanh_c = (sums.new_empty(steps, count, hidden) for _ in range(3))
        cs = sums.new_empty(steps + 1, count, hidden)
        cs[0] = c
        transposed = W.t()
        for t in range(steps):
            rounded[t] = on_grid(h)
            a = torch.addmm(sums[t], rounded[t], transposed, out=gates[t])
            h = _cell(a, cs, hs, tanh_c, t)
        ctx.save_for_backward(W, gates, rounded, cs, tanh_c)
        return hs, cs[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_hs, d_c = gradients
        W, gates, rounded, cs, tanh_c = ctx.saved_tensors
        f = gates.chunk(4, dim=2)[1]
        c_by_h, slopes = _slopes(gates, cs, tanh_c)
        d_sums = torch.empty_like(gates)
        d_h = torch.zeros_like(d_c)
        for t in range(len(gates) - 1, -1, -1):
            d_h = d_h + d_hs[t]
            d_c = torch.addcmul(d_c, d_h, c_by_h[t])
            torch.mul(slopes[t], torch.cat([d_c, d_c, d_c, d_h], dim=1), out=d_sums[t])
            d_h = d_sums[t] @ W
            d_c = d_c * f[t]
        d_W = d_sums.flatten(0, 1).t() @ rounded.flatten(0, 1)
        return d_sums, d_W, d_h, d_c, None


class _Npu(Function):
    """As `_Int8`, with the sums rounded too.

    Each column of the sums is on a grid of 1/127 with a scale and a centre of its own. shares:
    (2, T, N, 4 H), x's in these sums, and what is added to them afterwards. ranges: (2, 4 H) the
    scales and the centres, which have gradients as well. state: (2, N, H) h and c.
    """

    @staticmethod
    def forward(
        ctx: Any, shares: Tensor, W: Tensor, ranges: Tensor, state: Tensor, on_grid: Round
    ) -> tuple[Tensor, Tensor]:
        sums, outer = shares.unbind()
        scale, centre = ranges.unbind()
        h, c = state.unbind()
        steps, count, hidden = len(sums), *h.shape
        gates, inside, left_out = (
            torch.empty_like(sums, memory_format=torch.contiguous_format) for _ in range(3)
        )
        rounded, hs, tanh_c = (sums.new_empty(steps, count, hidden) for _ in range(3))
        cs = sums.new_empty(steps + 1, count, hidden)
        cs[0] = c
        error = torch.zeros_like(h)
        transposed = W.t()
        for t in range(steps):
            wanted = h + error
            rounded[t] = on_grid(wanted)
            error = wanted - rounded[t]
            scaled = (torch.addmm(sums[t], rounded[t], transposed) - centre) / scale
            at = on_grid(scaled)
            inside[t] = (scaled - at).abs() <= 0.51 / 127
            left_out[t] = at - scaled * inside[t]  # the slope by the scale
            a = torch.addcmul(centre, at, scale, out=gates[t]).add_(outer[t])
            h = _cell(a, cs, hs, tanh_c, t)
        ctx.save_for_backward(W, gates, inside, left_out, rounded, cs, tanh_c)
        return hs, cs[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_hs, d_c = gradients
        W, gates, inside, left_out, rounded, cs, tanh_c = ctx.saved_tensors
        f = gates.chunk(4, dim=2)[1]
        c_by_h, slopes = _slopes(gates, cs, tanh_c)
        d_gates = torch.empty_like(gates)  # by the sums on their grid
        d_h = torch.zeros_like(d_c)
        for t in range(len(gates) - 1, -1, -1):
            d_h = d_h + d_hs[t]
            d_c = torch.addcmul(d_c, d_h, c_by_h[t])
            torch.mul(slopes[t], torch.cat([d_c, d_c, d_c, d_h], dim=1), out=d_gates[t])
            d_h = (d_gates[t] * inside[t]) @ W
            d_c = d_c * f[t]
        d_sums = d_gates * inside
        d_W = d_sums.flatten(0, 1).t() @ rounded.flatten(0, 1)
        d_scale = (d_gates * left_out).sum(dim=(0, 1))
        d_centre = (d_gates - d_sums).sum(dim=(0, 1))
        ranges = torch.stack([d_scale, d_centre])
        shares = torch.stack([d_sums, d_gates])
        return shares, d_W, ranges, torch.stack([d_h, d_c]), None


def _cell(a: Tensor, cs: Tensor, hs: Tensor, tanh_c: Tensor, t: int) -> Tensor:
    """a: (N, 4 H) the sums, which become the gates. Writes the new c and h, and returns h."""
    hidden = hs.shape[2]
    g = torch.tanh(a[:, 2 * hidden : 3 * hidden])
    i, f, _, o = a.sigmoid_().chunk(4, dim=1)
    a[:, 2 * hidden : 3 * hidden] = g
    torch.addcmul(f * cs[t], i, g, out=cs[t + 1])
    return torch.mul(o, torch.tanh(cs[t + 1], out=tanh_c[t]), out=hs[t])


def _slopes(gates: Tensor, cs: Tensor, tanh_c: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes that don't depend on later steps, for all steps at once.

    They are h's slope by c, and the slopes by the sums: c's by those of i, f and g, h's by o's.
    """
    i, f, g, o = gates.chunk(4, dim=2)
    c_by_h = o * (1 - tanh_c.square())
    parts = [g * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - g.square()), tanh_c * o * (1 - o)]
    return c_by_h, torch.cat(parts, dim=2)


MODULE = LstmModule
