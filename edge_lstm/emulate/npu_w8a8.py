"""The network as an NPU computes it in w8a8, differentiable: what the converted int8 cell rounds is rounded here (docs/int8.md).

Of each layer one product is int8: its weights, with a step for each gate's unit; x, in several channels whose sum is finer than int8;
h, each rounding error made up for in the next step; and its sums, each on a grid with a scale and a centre of its own. c, h, the gates
and the head are float16 on the NPU and float32 here. Gradients pass the rounding as if it were not there, and what it leaves out is the
slope by the scale: scales and centres are learned (Esser et al. 2020, arXiv 1902.08153).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.inputs.channels import features
from edge_lstm_runtime.layers.layout import Float32, reorder
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Sequence
from ..network import Cell, CompactLSTM, canonical_weights
from .cpu_int8 import RoundedLSTM
from .npu_ranges import ORDER, Float64, input_parts, input_range, layer_sums, search_ranges

SAMPLES = 4096  # training steps that the ranges start from


class NpuLSTM(RoundedLSTM):
    """A CompactLSTM whose answers are the int8 cell's.

    The sums' scales and centres (layers, 4 H) are start_scale * exp(width) and start_centre + start_scale * shift: weight decay then pulls
    them back to where they began, not to 0.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        dropout: float = 0.0,
        cell: Cell = "lstm",
        embedding: int | None = None,
    ):
        super().__init__(spec, dropout=dropout, cell=cell, embedding=embedding)
        shape = spec.num_layers, 4 * spec.hidden_size
        self.x_range: Tensor
        self.start_scale: Tensor
        self.start_centre: Tensor
        self.register_buffer("x_range", torch.ones(spec.feature_size))
        self.register_buffer("start_scale", torch.ones(shape))
        self.register_buffer("start_centre", torch.zeros(shape))
        self.width, self.shift = (nn.Parameter(torch.zeros(shape)) for _ in range(2))

    def _layer(self, k: int, inputs: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """What rounding h left out begins at 0 with every call."""
        steps, count, _ = inputs.shape
        slow = (
            count * steps * 127
        ) ** -0.5  # so that the few ranges don't outweigh the weights' gradients
        scale, centre = (slow * part[k] + (1 - slow) * part[k].detach() for part in self.ranges())
        if k == 0:
            v = _spread(
                inputs, self.x_range, input_parts(self.spec.feature_size)
            )  # (T, N, parts F)
        else:
            v = inputs + (_on_grid(inputs.detach()) - inputs.detach())
        W_x, W_h = self._product(k)
        sums = linear(v, W_x, self._bias(k))  # (T, N, 4 H)
        return _Recurrence.apply(sums, W_h, scale, centre, h, c)  # type: ignore[no-untyped-call, no-any-return]

    def ranges(self) -> tuple[Tensor, Tensor]:
        """The sums' scales and centres, (layers, 4 H) each, gates in the order i, f, g, o."""
        return (
            self.start_scale * self.width.exp(),
            self.start_centre + self.start_scale * self.shift,
        )

    def integers(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of a layer's product: x's weights (4 H, inputs), which `share_out` divides among its parts, h's (4 H, H), the step (4 H, 1).

        The first layer's are for x / x_range.
        """
        W_x, W_h = (getattr(self.lstm, f"weight_{name}_l{layer}").detach() for name in ("ih", "hh"))
        x_range, parts = self._inputs(layer)
        return integers(W_x * x_range, W_h, parts)

    def _inputs(self, layer: int) -> tuple[Tensor, int]:
        if layer == 0:
            return self.x_range, input_parts(self.spec.feature_size)
        return self.x_range.new_ones(self.spec.hidden_size), 1

    def _product(self, layer: int) -> tuple[Tensor, Tensor]:
        """x's weights for each of its parts (4 H, parts inputs), and h's (4 H, H): on the grid, with the gradients of the weights."""
        W_x, W_h = (getattr(self.lstm, f"weight_{name}_l{layer}") for name in ("ih", "hh"))
        x_range, parts = self._inputs(layer)
        q_x, q_h, step = self.integers(layer)
        exact = (W_x * (x_range / parts)).repeat(1, parts)
        return exact + (share_out(q_x, parts) * step - exact.detach()), W_h + (
            q_h * step - W_h.detach()
        )


def integers(W_x: Tensor, W_h: Tensor, parts: int) -> tuple[Tensor, Tensor, Tensor]:
    """W_x: (4 H, inputs) for the sum of all parts, W_h: (4 H, H) -> both in whole steps, up to 127 parts and 127, and the step (4 H, 1)."""
    largest = torch.maximum(
        W_x.abs().amax(dim=1, keepdim=True) / parts, W_h.abs().amax(dim=1, keepdim=True)
    )
    step = largest.clamp_min(1e-9) / 127
    return torch.round(W_x / step), torch.round(W_h / step), step


def share_out(q: Tensor, parts: int) -> Tensor:
    """(4 H, F) whole numbers -> (4 H, parts F): for each of the parts one that is at most 1 from the others, the same in sum."""
    low = torch.floor(q / parts)
    return torch.cat([low + (q - parts * low > part) for part in range(parts)], dim=1)


def starting_ranges(
    spec: ModelSpec, weights: dict[str, Tensor], sequences: Many[Sequence]
) -> dict[str, Tensor]:
    """What NpuLSTM has beside a CompactLSTM's `weights`, from the sums that occur in training recordings, reset and carried."""
    net = CompactLSTM(spec)
    net.load_state_dict(weights)
    canonical = canonical_weights(net)
    backend = NumpyBackend(spec, canonical)
    rng = np.random.default_rng(0)
    inputs = [features(spec, s.x)[0] for s in sequences]
    found: list[tuple[NDArray[Any], ...]] = []
    for n, k in enumerate(rng.permutation(len(inputs))):
        if n % 2 == 0:
            backend.reset()
        for x in inputs[k]:
            found.append((x, *backend.state))
            backend.step(x.astype(np.float32))
        if len(found) >= SAMPLES:
            break
    x, h, c = (np.stack(part).astype(np.float64) for part in zip(*found, strict=True))
    scales, centres = [], []
    for layer in range(spec.num_layers):
        sums, importance, x = layer_sums(canonical, layer, x, h[:, layer], c[:, layer])
        scale, centre = search_ranges(sums, importance)
        scales.append(
            reorder(scale, ORDER)
        )  # back into the order i, f, g, o: the two orders are each other's inverse
        centres.append(reorder(centre, ORDER))
    ranges = {
        "x_range": input_range(np.concatenate(inputs)),
        "start_scale": np.stack(scales),
        "start_centre": np.stack(centres),
    }
    zeros = torch.zeros(spec.num_layers, 4 * spec.hidden_size)
    return {name: torch.from_numpy(array).float() for name, array in ranges.items()} | {
        "width": zeros,
        "shift": zeros.clone(),
    }


def settled(
    spec: ModelSpec, state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state of an NpuLSTM as that of a CompactLSTM with its weights on the grid, and the learned ranges.

    Ranges: x_range (F,) and, of each layer, layer{k}.scale and layer{k}.centre (4 H,), gates in the order i, f, g, o.
    """
    net = NpuLSTM(spec)
    net.load_state_dict(state)
    own = {"x_range", "start_scale", "start_centre", "width", "shift"}
    weights = {name: tensor for name, tensor in state.items() if name not in own}
    learned = {"x_range": net.x_range}
    scales, centres = (part.detach() for part in net.ranges())
    for k in range(spec.num_layers):
        q_x, q_h, step = net.integers(k)
        weights[f"lstm.weight_ih_l{k}"], weights[f"lstm.weight_hh_l{k}"] = (
            q_x * step / net._inputs(k)[0],
            q_h * step,
        )
        learned |= {f"layer{k}.scale": scales[k].clone(), f"layer{k}.centre": centres[k].clone()}
    return weights, learned


def product(
    weights: Mapping[str, Float32], layer: int, x_range: NDArray[Any], parts: int
) -> tuple[Float64, Float64]:
    """Canonical weights that lie on the grid -> the integers (parts inputs + H, 4 H) of a layer's product, and the steps (4 H,)."""
    W_x, W_h = (
        torch.from_numpy(weights[f"layer{layer}.{name}"].astype(np.float64).T)
        for name in ("W_x", "W_h")
    )
    q_x, q_h, step = integers(W_x * torch.from_numpy(np.asarray(x_range, np.float64)), W_h, parts)
    return torch.cat([share_out(q_x, parts), q_h], dim=1).T.numpy(), step[:, 0].numpy()


def _on_grid(values: Tensor) -> Tensor:
    return torch.round(127 * values).clamp_(-128, 127).mul_(1 / 127)


def _spread(x: Tensor, x_range: Tensor, parts: int) -> Tensor:
    """As `packing.spread`: (T, N, F) -> (T, N, parts F)."""
    offsets = (torch.arange(parts, device=x.device) - (parts - 1) / 2) / parts
    rounded = torch.round((127 * x / x_range)[..., None, :] + offsets[:, None]).clamp_(-128, 127)
    return rounded.flatten(-2).mul_(1 / 127)


class _Recurrence(Function):
    """sums: (T, N, 4 H) x's share of the gates, in the order i, f, g, o; W: (4 H, H) on the grid; scale, centre: (4 H,) of the sums;
    h, c: (N, H) -> h of each step (T, N, H), and the last c (N, H). Backward by hand, as for `quantised.QuantisedLSTM`.
    """

    @staticmethod
    def forward(
        ctx: Any, sums: Tensor, W: Tensor, scale: Tensor, centre: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
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
            rounded[t] = _on_grid(wanted)
            error = wanted - rounded[t]
            scaled = (torch.addmm(sums[t], rounded[t], transposed) - centre) / scale
            on_grid = _on_grid(scaled)
            inside[t] = (scaled - on_grid).abs() <= 0.51 / 127
            left_out[t] = on_grid - scaled * inside[t]  # the slope by the scale
            a = torch.addcmul(centre, on_grid, scale, out=gates[t])
            g = torch.tanh(a[:, 2 * hidden : 3 * hidden])
            i, f, _, o = a.sigmoid_().chunk(4, dim=1)
            a[:, 2 * hidden : 3 * hidden] = g
            torch.addcmul(f * cs[t], i, g, out=cs[t + 1])
            h = torch.mul(o, torch.tanh(cs[t + 1], out=tanh_c[t]), out=hs[t])
        ctx.save_for_backward(W, gates, inside, left_out, rounded, cs, tanh_c)
        return hs, cs[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        d_hs, d_c = gradients
        W, gates, inside, left_out, rounded, cs, tanh_c = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=2)
        c_by_h = o * (1 - tanh_c.square())
        slopes = torch.cat(
            [g * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - g.square()), tanh_c * o * (1 - o)],
            dim=2,
        )
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
        return (
            d_sums,
            d_W,
            (d_gates * left_out).sum(dim=(0, 1)),
            (d_gates - d_sums).sum(dim=(0, 1)),
            d_h,
            d_c,
        )
