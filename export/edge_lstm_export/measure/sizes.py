"""How large the values of a net get over its samples, and what float16 makes of them.

An NPU keeps the features, the layers' outputs and the states in float16, whose numbers near v are
2^(floor(log2 |v|) - 10) apart, and which ends at 65,504. A net that another tool trained may have a
state that is far larger than its outputs, or one that counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec, compare
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.ops import NUMPY
from edge_lstm_runtime.model.network import Network

Float64 = NDArray[np.float64]
LARGEST = 65504.0  # of float16
STREAMED = 6000  # steps, the last ones, over which values are rounded to float16
BLOCK = 1000  # steps that are kept at a time
PARTS = 4  # of the samples, to see growth
GROWTH = 1.15  # from each part to the next
LARGE = 8.0  # what grows and stays below it is no news


@dataclasses.dataclass(frozen=True)
class Size:
    """name: FEATURES, a layer, or a state such as "lstm0.c". is_state: which of them.

    largest, unit, step: of |value|, and where it is so large, from 0. error: the NRMSE of the
    answers over the last STREAMED samples if this value alone is rounded to float16 at each step.
    parts: the mean |value| in each quarter of the samples, of the unit that grows most.
    """

    name: str
    is_state: bool
    largest: float
    unit: int
    step: int
    error: float
    parts: tuple[float, ...]

    @property
    def spacing(self) -> float:
        """Between the numbers that float16 has near the largest."""
        return float(2.0 ** (np.floor(np.log2(max(self.largest, 2.0**-14))) - 10))

    @property
    def grows(self) -> bool:
        """Whether a state is larger in each quarter of the samples than in the one before."""
        steady = all(b >= GROWTH * a for a, b in zip(self.parts, self.parts[1:], strict=False))
        return self.is_state and self.largest >= LARGE and steady


def sizes(spec: ModelSpec, weights: Mapping[str, NDArray[Any]], xs: NDArray[Any]) -> list[Size]:
    """Of the features, of the outputs that can be beyond 1, and of the states, over one stream.

    xs: (T, F) features. The network must step.
    """
    walk = _Walk(spec.network, weights)
    names = walk.names
    largest = {name: np.zeros(size) for name, size in names.items()}
    steps = {name: np.zeros(size, np.int64) for name, size in names.items()}
    sums = {name: np.zeros((PARTS, size)) for name, size in names.items()}
    answers: list[Float64] = []
    for start in range(0, len(xs), BLOCK):
        kept: dict[str, list[Float64]] = {name: [] for name in names}
        for t in range(start, min(start + BLOCK, len(xs))):
            if t == max(0, len(xs) - STREAMED):
                walk.branch()
            values = walk.step(xs[t])
            for name in names:
                kept[name].append(values[name][0])
            if walk.rounded:
                answers.append(values[spec.network.layers[-1].name])
        for name, rows in kept.items():
            block = np.abs(np.stack(rows))
            above = block.max(axis=0) > largest[name]
            steps[name][above] = start + block.argmax(axis=0)[above]
            largest[name] = np.maximum(largest[name], block.max(axis=0))
            np.add.at(sums[name], PARTS * np.arange(start, start + len(block)) // len(xs), block)
    found = np.stack(answers, axis=1)  # (1 + names, steps, O)
    sizes = []
    for row, name in enumerate(names, start=1):
        unit = int(largest[name].argmax())
        means = sums[name] * PARTS / len(xs)
        grown = means[:, int((means[-1] - means[-2]).argmax())]
        sizes.append(
            Size(
                name,
                name in spec.network.state,
                float(largest[name][unit]),
                unit,
                int(steps[name][unit]),
                compare(found[row], found[0]).nrmse,
                tuple(grown.tolist()),
            )
        )
    return sizes


class _Walk:
    """A network in float64, step by step. After `branch` it runs several times side by side: row 0
    is exact, and in each other row one of `names` is rounded to float16.

    names: -> its size. rounded: whether it has branched.
    """

    def __init__(self, network: Network, weights: Mapping[str, NDArray[Any]]) -> None:
        exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
        self._network = network
        self._own = {layer.name: network.own(layer, exact) for layer in network.layers}
        outputs = {
            layer.name: network.sizes[layer.name][1]
            for layer in network.layers
            if not (layer.bounded or layer.multiplies_state)  # else it is a state
        }
        self.names = {FEATURES: network.features, **network.state, **outputs}
        self.rounded = False
        self._rows = {name: row for row, name in enumerate(self.names, start=1)}
        self._state = {name: np.zeros((1, size)) for name, size in network.state.items()}

    def branch(self) -> None:
        self.rounded = True
        self._state = {
            name: np.repeat(array, 1 + len(self.names), axis=0)
            for name, array in self._state.items()
        }

    def step(self, x: NDArray[Any]) -> dict[str, Float64]:
        """x: (F,). Returns the values and states after the step, (rows, size) each, by name."""
        rows = 1 + len(self.names) if self.rounded else 1
        values = {FEATURES: self._round(FEATURES, np.tile(x.astype(np.float64), (rows, 1)))}
        after = {}
        for layer in self._network.layers:
            inputs = NUMPY.join([values[name] for name in layer.inputs])
            y, states = self._cell(layer, inputs)
            values[layer.name] = self._round(layer.name, y)
            for name, array in states.items():
                after[f"{layer.name}.{name}"] = self._round(f"{layer.name}.{name}", array)
        self._state = after
        return {**values, **after}

    def _cell(self, layer: Layer, inputs: Float64) -> tuple[Float64, dict[str, Float64]]:
        own = self._own[layer.name]
        before = self._network.own(layer, self._state)
        y, after = layer.cell(NUMPY, lambda name, v: v @ own[name], own, inputs, before)
        return y, after

    def _round(self, name: str, values: Float64) -> Float64:
        """A copy with this name's own row in float16."""
        if not self.rounded or name not in self._rows:
            return values
        values = values.copy()
        row = self._rows[name]
        with np.errstate(over="ignore"):  # beyond the largest it is infinite, as on an NPU
            values[row] = values[row].astype(np.float16)
        return values
