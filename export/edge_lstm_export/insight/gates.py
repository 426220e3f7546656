"""The distribution of the gates over the test split: how often each is shut, open, or between."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Sequence
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers.lstm import GATES

from .recording import lstm_layers, trace

MOST_STEPS = 20_000  # of all sequences together: the reference takes them one by one
NEAR = 0.1  # of an end: 0 and 1 for i, f, o; -1 and 1 for g, which is a tanh
BINS = 40
STUCK = 0.95  # a gate decides next to nothing if more than this share of it is at one end
LONGEST = 1e6  # steps; beyond it a mean forget gate of 1 - 1e-6 says no more than "for ever"


@dataclasses.dataclass(frozen=True)
class Gates:
    """steps: of the test split, those that were looked at. available: those that there are.

    low, high, mean  per layer and gate: of all values (steps times units), the share within 0.1 of
                     the lower end, the share within 0.1 of the upper end, and the mean
    counts           (BINS,) of a histogram from end to end
    memory           per layer (H,): the steps in which a unit's mean forget gate alone lets its
                     cell fall to 1 / e
    """

    steps: int
    available: int
    low: list[dict[str, float]]
    high: list[dict[str, float]]
    mean: list[dict[str, float]]
    counts: list[dict[str, NDArray[np.int64]]]
    memory: list[NDArray[np.float64]]

    def to_dict(self) -> dict[str, Any]:
        layers = [
            {
                **{
                    g: {
                        "near_low": self.low[k][g],
                        "near_high": self.high[k][g],
                        "mean": self.mean[k][g],
                    }
                    for g in GATES
                },
                "memory_steps": {f"p{q}": float(np.percentile(memory, q)) for q in (10, 50, 90)},
            }
            for k, memory in enumerate(self.memory)
        ]
        return {
            "steps": self.steps,
            "steps_available": self.available,
            "near": NEAR,
            "layers": layers,
        }

    def sentences(self) -> list[str]:
        said = []
        for k, memory in enumerate(self.memory):
            low = self.low[k]
            high = self.high[k]
            half = np.percentile(memory, 50)
            long = memory.max()
            said.append(
                f"Layer {k + 1}: the forget gate keeps nearly all (above 0.9) in "
                f"{_percent(high['f'])} of all cases and drops nearly all (below 0.1) in "
                f"{_percent(low['f'])}; the input gate is shut in {_percent(low['i'])}, "
                f"the output gate in {_percent(low['o'])}. "
                f"By its mean forget gate half of the units hold a value for {half:.3g} steps "
                "or more, and the slowest for "
                f"{'more than a million' if long >= LONGEST else f'{long:.3g}'}."
            )
        ends = {
            (k, g): (self.low[k][g], self.high[k][g])
            for k in range(len(self.memory))
            for g in GATES
        }
        (layer, gate), shares = max(ends.items(), key=lambda item: max(item[1]))
        worst = max(shares)
        end = "high" if shares[1] >= shares[0] else "low"
        where = f"at its {end} end in {_percent(worst)} of all cases"
        if worst > STUCK:
            said.append(f"Gate {gate} of layer {layer + 1} is {where}: it hardly decides anything.")
        else:
            most = f"the most one-sided, {gate} of layer {layer + 1}, is {where}"
            said.append(f"No gate is stuck in all of its units: {most}.")
        if self.steps < self.available:
            said.append(
                f"Measured on {self.steps:,} of the {self.available:,} steps of the test split: "
                "the beginning of each sequence."
            )
        return said


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def measure_gates(
    spec: ModelSpec,
    weights: Mapping[str, NDArray[Any]],
    sequences: Many[Sequence],
    most: int = MOST_STEPS,
) -> Gates:
    """Each sequence is streamed from the zero state.

    If there are more than `most` steps in all, the same share of each sequence is.
    """
    available = sum(len(s.x) for s in sequences)
    share = min(1.0, most / available)
    layers = lstm_layers(spec)
    counts = [{g: np.zeros(BINS, np.int64) for g in GATES} for _ in layers]
    low, high, total = ([dict.fromkeys(GATES, 0.0) for _ in layers] for _ in range(3))
    forget = [np.zeros(layer.units) for layer in layers]
    steps = 0
    for sequence in sequences:
        xs = spec.inputs.features(sequence.x)[0][: math.ceil(share * len(sequence.x))]
        steps += len(xs)
        for k, traced in enumerate(trace(spec, weights, xs)):
            forget[k] += traced.f.sum(axis=0)
            for g in GATES:
                values = getattr(traced, g)
                end = -1.0 if g == "g" else 0.0
                counts[k][g] += np.histogram(values, BINS, (end, 1.0))[0]
                low[k][g] += (values < end + NEAR).sum()
                high[k][g] += (values > 1 - NEAR).sum()
                total[k][g] += values.sum()

    def shares(sums: list[dict[str, float]]) -> list[dict[str, float]]:
        numbers = [steps * layer.units for layer in layers]
        pairs = zip(sums, numbers, strict=True)
        return [{g: float(value / n) for g, value in each.items()} for each, n in pairs]

    memory = [-1 / np.log(np.minimum(f / steps, np.exp(-1 / LONGEST))) for f in forget]
    return Gates(steps, available, shares(low), shares(high), shares(total), counts, memory)
