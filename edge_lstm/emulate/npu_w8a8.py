"""The network as an NPU computes it in w8a8, differentiable. It rounds as the int8 cell does.

In each layer with a state the product of x and h is int8 (docs/int8.md):

- the weights have a step for each column of sums,
- x comes in several channels whose sum is finer than int8,
- the rounding error of h is added in the next step,
- each sum lies on a grid with a scale and a centre of its own.

The other states, the gates and the other layers are float16 on the NPU and float32 here. Gradients
pass the rounding as if it were not there, except for the slope by the scale: scales and centres
are learned (Esser et al. 2020, arXiv 1902.08153).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.layers import FEATURES, Float32, Layer
from edge_lstm_runtime.layers.ops import NUMPY
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Sequence
from ..layers import LayerModule, State
from ..layers.ops import TORCH, GivenSums
from ..named import Named
from ..network import CompactNet, canonical_weights
from .cpu_int8 import RoundedNet
from .npu_ranges import Float64, input_parts, input_range, search_ranges, walk

SAMPLES = 4096  # training steps that the ranges start from
OWN = ("x_range", "start_scale.", "start_centre.", "width.", "shift.")  # beside a CompactNet's


class NpuNet(RoundedNet):
    """A CompactNet whose answers are the int8 cell's.

    The scales of a layer's S sums are start_scale * exp(width), the centres are
    start_centre + start_scale * shift. Weight decay then pulls them back to their beginnings, and
    not to 0.
    """

    def __init__(
        self, spec: ModelSpec, *, dropout: float = 0.0, embedding: int | None = None
    ) -> None:
        super().__init__(spec, dropout=dropout, embedding=embedding)
        self.x_range: Tensor
        self.register_buffer("x_range", torch.ones(spec.inputs.feature_size))
        self.start_scale = Named()
        self.start_centre = Named()
        self.width = Named()
        self.shift = Named()
        for layer in rounded_layers(spec):
            sums = self.module(layer.name).canonical()["b"].shape
            self.start_scale[layer.name] = torch.ones(sums)
            self.start_centre[layer.name] = torch.zeros(sums)
            self.width[layer.name] = nn.Parameter(torch.zeros(sums))
            self.shift[layer.name] = nn.Parameter(torch.zeros(sums))

    def ranges(self, name: str) -> tuple[Tensor, Tensor]:
        """The scales and the centres of a layer's sums, (S,) each."""
        start = self.start_scale[name]
        centre = self.start_centre[name] + start * self.shift[name]
        scale: Tensor = start * self.width[name].exp()
        return scale, centre

    def integers(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """The integers of a layer's product, and its step.

        Returns x's weights (S, inputs), which `share_out` divides among the parts of x, h's weights
        (S, H), and the step (S, 1). In a layer that reads the features, x's weights are for
        x / x_range.
        """
        W_x, W_h, _ = self._joined(name)
        x_range, parts = self.x_inputs(name)
        return integers(W_x.t().detach() * x_range, W_h.t().detach(), parts)

    def x_inputs(self, name: str) -> tuple[Tensor, int]:
        """The range of a layer's input, and in how many parts it comes."""
        module = self.module(name)
        if module.layer.inputs == (FEATURES,):
            return self.x_range, input_parts(self.spec.inputs.feature_size)
        return self.x_range.new_ones(module.inputs), 1

    def _joined(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        module = self.module(name)
        return module.layer.joined(TORCH, module.canonical())

    def run_rounded(self, module: LayerModule, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The rounding error of h begins at 0 with every call."""
        name = module.layer.name
        count, steps, _ = x.shape
        slow = (count * steps * 127) ** -0.5  # so that the few ranges don't outweigh the weights
        scale, centre = (slow * part + (1 - slow) * part.detach() for part in self.ranges(name))
        W_x, W_h, b = self._joined(name)
        x_range, parts = self.x_inputs(name)
        q_x, q_h, step = self.integers(name)
        exact = (W_x.t() * (x_range / parts)).repeat(1, parts)
        on_x = exact + (share_out(q_x, parts) * step - exact.detach())  # (S, parts inputs)
        on_h = W_h.t() + (q_h * step - W_h.t().detach())
        v = _spread(x, x_range, parts) if parts > 1 else x + (_on_grid(x.detach()) - x.detach())
        if module.run_npu is not None:
            sums = linear(v.transpose(0, 1), on_x, b)  # (T, N, S)
            return module.run_npu(sums, on_h.t(), (scale, centre), state, _on_grid)
        return _by_cell(module, linear(v, on_x, b), on_h.t(), (scale, centre), state)


def _by_cell(
    module: LayerModule, sums: Tensor, W_h: Tensor, ranges: tuple[Tensor, Tensor], state: State
) -> tuple[Tensor, State]:
    """Any layer type, by its cell. sums: (N, T, S) x's share. W_h: (H, S) on its grid."""
    layer = module.layer
    weights = module.canonical()
    error = torch.zeros_like(state[layer.recurrent])
    found = []
    for t in range(sums.shape[1]):
        h = state[layer.recurrent]
        wanted = h + error
        rounded = _on_grid(wanted.detach())
        error = wanted.detach() - rounded
        total = sums[:, t] + (h + (rounded - h.detach())) @ W_h
        scale, centre = ranges
        scaled = (total - centre) / scale
        at = _on_grid(scaled.detach())
        inside = ((scaled - at).detach().abs() <= 0.51 / 127).to(scaled.dtype)
        given = centre + scale * (at + inside * (scaled - scaled.detach()))

        def product(name: str, v: Tensor) -> Tensor:
            return v @ weights[name]

        y, state = layer.cell(
            GivenSums(given), product, weights, sums.new_zeros(len(sums), module.inputs), state
        )
        found.append(y)
    return torch.stack(found, dim=1), state


def rounded_layers(spec: ModelSpec) -> list[Layer]:
    """The layers whose product is int8."""
    return [layer for layer in spec.network.layers if layer.multiplies_state]


def integers(W_x: Tensor, W_h: Tensor, parts: int) -> tuple[Tensor, Tensor, Tensor]:
    """The weights in whole steps, and the step (S, 1).

    W_x: (S, inputs) for the sum of all parts, returned as numbers up to 127 parts. W_h: (S, H),
    returned as numbers up to 127.
    """
    largest = torch.maximum(
        W_x.abs().amax(dim=1, keepdim=True) / parts, W_h.abs().amax(dim=1, keepdim=True)
    )
    step = largest.clamp_min(1e-9) / 127
    return torch.round(W_x / step), torch.round(W_h / step), step


def share_out(q: Tensor, parts: int) -> Tensor:
    """Whole numbers (S, F) divided into parts with the same sum, (S, parts F).

    The parts of a number differ by at most 1.
    """
    low = torch.floor(q / parts)
    return torch.cat([low + (q - parts * low > part) for part in range(parts)], dim=1)


def starting_ranges(
    spec: ModelSpec, weights: dict[str, Tensor], sequences: Many[Sequence]
) -> dict[str, Tensor]:
    """The part of an NpuNet's state that a CompactNet's `weights` lack.

    It follows from the sums that occur in training recordings, reset and carried.
    """
    net = CompactNet(spec)
    net.load_state_dict(weights)
    canonical = canonical_weights(net)
    backend = NumpyBackend(spec, canonical)
    rng = np.random.default_rng(0)
    inputs = [spec.inputs.features(s.x)[0] for s in sequences]
    rows: list[NDArray[Any]] = []
    states: dict[str, list[NDArray[Any]]] = {name: [] for name in spec.network.state}
    for n, k in enumerate(rng.permutation(len(inputs))):
        if n % 2 == 0:
            backend.reset()
        for x in inputs[k]:
            rows.append(x)
            for name, array in backend.state.items():
                states[name].append(array)
            backend.step(x.astype(np.float32))
        if len(rows) >= SAMPLES:
            break
    before = {name: np.stack(parts) for name, parts in states.items()}
    found = {"x_range": torch.from_numpy(input_range(np.concatenate(inputs))).float()}
    for seen in walk(spec.network, canonical, np.stack(rows), before):
        scale, centre = search_ranges(seen.sums, seen.importance)
        name = seen.layer.name
        zeros = torch.zeros(len(scale))
        found |= {f"start_scale.{name}": torch.from_numpy(scale).float()}
        found |= {f"start_centre.{name}": torch.from_numpy(centre).float()}
        found |= {f"width.{name}": zeros, f"shift.{name}": zeros.clone()}
    return found


def settled(
    spec: ModelSpec, state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """An NpuNet's state as a CompactNet's with its weights on the grid, and the learned ranges.

    The ranges are x_range (F,) and, for each rounded layer, NAME.scale and NAME.centre (S,).
    """
    net = NpuNet(spec)
    net.load_state_dict(state)
    weights = {name: tensor for name, tensor in state.items() if not name.startswith(OWN)}
    learned = {"x_range": net.x_range}
    for layer in rounded_layers(spec):
        q_x, q_h, step = net.integers(layer.name)
        x_range, _ = net.x_inputs(layer.name)
        module = net.module(layer.name)
        settled_ = module.from_joined(q_x * step / x_range, q_h * step)
        weights |= {f"layers.{layer.name}.{name}": tensor for name, tensor in settled_.items()}
        scale, centre = net.ranges(layer.name)
        learned |= {f"{layer.name}.scale": scale.detach().clone()}
        learned |= {f"{layer.name}.centre": centre.detach().clone()}
    return weights, learned


def product(
    layer: Layer, weights: Mapping[str, Float32], x_range: NDArray[Any], parts: int
) -> tuple[Float64, Float64]:
    """The integers (parts inputs + H, S) of a layer's product, and the steps (S,).

    weights: canonical, on the grid.
    """
    W_x, W_h, _ = layer.joined(NUMPY, weights)
    exact = [torch.from_numpy(W.astype(np.float64).T) for W in (W_x, W_h)]
    q_x, q_h, step = integers(
        exact[0] * torch.from_numpy(np.asarray(x_range, np.float64)), exact[1], parts
    )
    return torch.cat([share_out(q_x, parts), q_h], dim=1).T.numpy(), step[:, 0].numpy()


def _on_grid(values: Tensor) -> Tensor:
    return torch.round(127 * values).clamp_(-128, 127).mul_(1 / 127)


def _spread(x: Tensor, x_range: Tensor, parts: int) -> Tensor:
    """As `packing.spread`. x: (..., F). Returns (..., parts F)."""
    offsets = (torch.arange(parts, device=x.device) - (parts - 1) / 2) / parts
    rounded = torch.round((127 * x / x_range)[..., None, :] + offsets[:, None]).clamp_(-128, 127)
    return rounded.flatten(-2).mul_(1 / 127)
