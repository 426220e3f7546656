"""The network as an NPU computes it in w8a8, differentiable. It rounds as the int8 cell does.

In each layer with a state the product of h, and of the outputs of `bounded` layers, is int8
(docs/int8.md):

- the weights have a step for each column of sums,
- the rounding error of h is added in the next step,
- each sum lies on a grid with a scale and a centre of its own.

The product of the other inputs, such as the features, is added to these sums.

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
from edge_lstm_runtime.layers import Float32, Layer
from edge_lstm_runtime.layers.ops import NUMPY
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Sequence
from ..layers import LayerModule, State
from ..layers.ops import TORCH, GivenSums
from ..named import Named
from ..network import CompactNet, canonical_weights
from .cpu_int8 import RoundedNet
from .npu_ranges import Float64, int8_inputs, search_ranges, walk

SAMPLES = 4096  # training steps that the ranges start from
OWN = ("start_scale.", "start_centre.", "width.", "shift.")  # beside a CompactNet's


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

    def integers(self, name: str) -> tuple[Tensor, Tensor]:
        """The integers of a layer's product (S, n + H), and its step (S, 1)."""
        return integers(self.parts(name)[0].detach())

    def parts(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The matrix of a layer's int8 product (S, n + H), that of the other inputs
        (S, inputs - n), b (S,), and which inputs are the n, (inputs,)."""
        module = self.module(name)
        W_x, W_h, b = module.layer.joined(TORCH, module.canonical())
        inside = torch.from_numpy(int8_inputs(self.spec.network, module.layer)).to(W_x.device)
        return torch.cat([W_x[inside], W_h]).t(), W_x[~inside].t(), b, inside

    def run_rounded(self, module: LayerModule, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The rounding error of h begins at 0 with every call."""
        name = module.layer.name
        count, steps, _ = x.shape
        slow = (count * steps * 127) ** -0.5  # so that the few ranges don't outweigh the weights
        scale, centre = (slow * part + (1 - slow) * part.detach() for part in self.ranges(name))
        W, outer, b, inside = self.parts(name)
        q, step = integers(W.detach())
        W = W + (q * step - W.detach())
        n = int(inside.sum())
        v = x[..., inside]
        v = v + (_on_grid(v.detach()) - v.detach())
        beside = linear(_half(x[..., ~inside]), _half(outer))
        shares = (linear(v, W[:, :n], b), beside)
        ranges = (scale, centre)
        if module.run_npu is not None:
            first, second = (share.transpose(0, 1) for share in shares)  # (T, N, S)
            return module.run_npu((first, second), W[:, n:].t(), ranges, state, _on_grid)
        return _by_cell(module, shares, W[:, n:].t(), ranges, state)


def _by_cell(
    module: LayerModule,
    shares: tuple[Tensor, Tensor],
    W_h: Tensor,
    ranges: tuple[Tensor, Tensor],
    state: State,
) -> tuple[Tensor, State]:
    """Any layer type, by its cell. shares: (N, T, S) x's in the rounded sums, and beside them.
    W_h: (H, S) on its grid."""
    sums, outer = shares
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
        given = centre + scale * (at + inside * (scaled - scaled.detach())) + outer[:, t]

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


def integers(W: Tensor) -> tuple[Tensor, Tensor]:
    """The weights (S, inputs) in whole steps up to 127, and the step (S, 1)."""
    step = W.abs().amax(dim=1, keepdim=True).clamp_min(1e-9) / 127
    return torch.round(W / step), step


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
    found: dict[str, Tensor] = {}
    for seen in walk(spec.network, canonical, np.stack(rows), before):
        name = seen.layer.name
        outside = ~int8_inputs(spec.network, seen.layer)
        W_x, _, _ = seen.layer.joined(NUMPY, seen.weights)
        sums = seen.sums - seen.inputs[:, outside] @ W_x[outside]
        scale, centre = search_ranges(sums, seen.importance)
        zeros = torch.zeros(len(scale))
        found |= {f"start_scale.{name}": torch.from_numpy(scale).float()}
        found |= {f"start_centre.{name}": torch.from_numpy(centre).float()}
        found |= {f"width.{name}": zeros, f"shift.{name}": zeros.clone()}
    return found


def settled(
    spec: ModelSpec, state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """An NpuNet's state as a CompactNet's with its weights on the grid, and the learned ranges.

    The ranges are NAME.scale and NAME.centre (S,) of each rounded layer.
    """
    net = NpuNet(spec)
    net.load_state_dict(state)
    weights = {name: tensor for name, tensor in state.items() if not name.startswith(OWN)}
    learned: dict[str, Tensor] = {}
    for layer in rounded_layers(spec):
        W, outer, _, inside = (part.detach() for part in net.parts(layer.name))
        q, step = integers(W)
        n = int(inside.sum())
        W_x = W.new_empty(len(W), len(inside))
        W_x[:, inside] = (q * step)[:, :n]
        W_x[:, ~inside] = outer
        settled_ = net.module(layer.name).from_joined(W_x, (q * step)[:, n:])
        weights |= {f"layers.{layer.name}.{name}": tensor for name, tensor in settled_.items()}
        scale, centre = net.ranges(layer.name)
        learned |= {f"{layer.name}.scale": scale.detach().clone()}
        learned |= {f"{layer.name}.centre": centre.detach().clone()}
    return weights, learned


def product(
    layer: Layer, weights: Mapping[str, Float32], inside: NDArray[np.bool_]
) -> tuple[Float64, Float64, Float64, Float64]:
    """A layer's product: the integers (n + H, S), the steps (S,), the matrix of the other inputs
    (inputs - n, S), and b (S,).

    weights: canonical, on the grid. inside: (inputs,) which inputs are the n.
    """
    W_x, W_h, b = (array.astype(np.float64) for array in layer.joined(NUMPY, weights))
    q, step = integers(torch.from_numpy(np.concatenate([W_x[inside], W_h]).T))
    return q.T.numpy(), step[:, 0].numpy(), W_x[~inside], b


def _half(values: Tensor) -> Tensor:
    """Rounded to float16. The gradient passes."""
    return values + (values.half().to(values.dtype) - values).detach()


def _on_grid(values: Tensor) -> Tensor:
    return torch.round(127 * values).clamp_(-128, 127).mul_(1 / 127)
