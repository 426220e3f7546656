"""The places where the NPU's int8 cell rounds, and how wide its steps are.

The fine-tuning and the export share them. See docs/int8.md.

Everything int8 but the weights lies on one grid: 1/127 apart, from -128/127 to 1. A value of a
wider range is divided by a scale first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.ops import NUMPY, NumpyOps
from edge_lstm_runtime.model.network import Network

from ..layers import kind_of

Float64 = NDArray[np.float64]
# The search tries these widths, in half ranges of a sum, and these shifts of its centre.
WIDTHS = np.arange(0.4, 1.11, 0.1)
SHIFTS = (-0.3, -0.15, 0.0, 0.15, 0.3)


def on_grid(values: Float64) -> Float64:
    rounded: Float64 = np.clip(np.rint(127 * values), -128, 127) / 127
    return rounded


def int8_inputs(network: Network, layer: Layer) -> NDArray[np.bool_]:
    """(inputs,): true for the inputs of a layer that enter its int8 product.

    They are outputs of layers that are `bounded`. The others, the features above all, enter a
    product in float16: a grid that is wide enough for the largest of them is too coarse.
    """
    sizes = {name: outputs for name, (_, outputs) in network.sizes.items()}
    sizes[FEATURES] = network.features
    bounded = {found.name: found.bounded for found in network.layers}
    return np.concatenate([np.full(sizes[name], bounded.get(name, False)) for name in layer.inputs])


@dataclasses.dataclass(frozen=True)
class Seen:
    """What happens in one step of a layer with a state, for N samples.

    weights: its own, canonical, float64. inputs: (N, inputs). state: before the step, (N, size)
    each. sums: (N, S), with the importance of each. products: the vectors that each matrix is
    multiplied with.
    """

    layer: Layer
    weights: Mapping[str, Float64]
    inputs: Float64
    state: Mapping[str, Float64]
    sums: Float64
    importance: Float64
    products: Mapping[str, Float64]


class _Sums(NumpyOps):
    """Keeps the sums of a cell."""

    kept: Float64

    def sums(self, value: Any) -> Any:
        self.kept = value
        return value


def walk(
    network: Network,
    weights: Mapping[str, NDArray[Any]],
    x: NDArray[Any],
    states: Mapping[str, NDArray[Any]],
) -> Iterator[Seen]:
    """One step of a network in float64: each layer that multiplies its state, in order.

    weights: canonical. x: (N, F). states: before the step, (N, size) each, by the network's names.
    """
    exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    values = {FEATURES: x.astype(np.float64)}
    for layer in network.layers:
        own = network.own(layer, exact)
        inputs = NUMPY.join([values[name] for name in layer.inputs])
        state = {n: a.astype(np.float64) for n, a in network.own(layer, states).items()}
        products: dict[str, Float64] = {}

        def product(
            name: str, v: Float64, own: Any = own, products: dict[str, Float64] = products
        ) -> Float64:
            products[name] = v
            result: Float64 = v @ own[name]
            return result

        ops = _Sums()
        values[layer.name], _ = layer.cell(ops, product, own, inputs, state)
        if not layer.multiplies_state:
            continue
        before = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in state.items()}
        importance = (
            kind_of(layer).importance(layer, torch.from_numpy(ops.kept), before).numpy() + 1e-8
        )
        yield Seen(layer, own, inputs, state, ops.kept, importance, products)


def search_ranges(sums: Float64, importance: Float64) -> tuple[Float64, Float64]:
    """The scale and the centre of each column with the least error, (S,) each.

    The error is the mean square of rounding and clipping, weighted by the importance. sums,
    importance: (N, S).
    """
    low = sums.min(axis=0)
    high = sums.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-3)
    middle = (high + low) / 2
    least = np.full(len(half), np.inf)
    scale = half.copy()
    centre = middle.copy()
    for width in WIDTHS:
        for shift in SHIFTS:
            s = half * width
            m = middle + half * shift
            error = (importance * (on_grid((sums - m) / s) * s + m - sums) ** 2).mean(axis=0)
            better = error < least
            least[better] = error[better]
            scale[better] = s[better]
            centre[better] = m[better]
    return scale, centre


def whole_range(sums: Float64, width: float) -> tuple[Float64, Float64]:
    """The scale and the centre of each column, (S,) each, that clip none of its sums.

    sums: (N, S). width: times the range that they have.
    """
    low = sums.min(axis=0)
    high = sums.max(axis=0)
    return np.maximum((high - low) / 2, 1e-3) * width, (high + low) / 2
