"""What the cell remembers on one recording: its values over time, and how long one sample is felt in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Sequence
from edge_lstm_runtime import DataError, ModelSpec
from edge_lstm_runtime.layout import gate
from edge_lstm_runtime.processing import features

from .recording import Float64, Trace, trace

SHOWN_STEPS = 500
LATER = 100  # steps after a sample in which its effect is followed
SAMPLES = 16  # whose effect is measured


@dataclasses.dataclass(frozen=True)
class Memory:
    """name, steps, length: of the recording, its first steps that are shown and all that it has.

    x       (T, C) features, standard deviations from the training mean
    c       per layer (T, H) the cell after each step
    starts  the steps s whose sample is followed
    effect  per layer (S, K + 1): the Frobenius norm of d c[s + n] / d x[s] for n = 0 ... K, x in standard deviations
    """

    name: str
    steps: int
    length: int
    x: Float64
    c: list[Float64]
    starts: NDArray[np.int64]
    effect: list[Float64]

    def to_dict(self) -> dict[str, Any]:
        layers = [
            {
                "largest": float(np.abs(c).max()),
                "p95": float(np.percentile(np.abs(c), 95)),
                "growth": growth(c),
                "effect": np.median(effect, axis=0).tolist(),
                "peak_after": int(np.median(effect, axis=0).argmax()),
                "half_after": falls_below(np.median(effect, axis=0), 0.5),
                "tenth_after": falls_below(np.median(effect, axis=0), 0.1),
            }
            for c, effect in zip(self.c, self.effect, strict=True)
        ]
        return {"recording": self.name, "steps": self.steps, "length": self.length, "samples": self.starts.tolist(), "layers": layers}

    def sentences(self) -> list[str]:
        return self.cell_sentences() + self.effect_sentences()

    def cell_sentences(self) -> list[str]:
        said = []
        for k, c in enumerate(self.c):
            change = growth(c)
            trend = "it is still filling up" if change > 1.25 else "it is emptying again" if change < 0.8 else "it has found its level"
            said.append(
                f"Layer {k + 1}: on {self.name} the cell stays within ±{np.abs(c).max():.3g}, 95 % of it within "
                f"±{np.percentile(np.abs(c), 95):.3g}; its mean size in the last quarter of these {self.steps} steps is {change:.2f} "
                f"times that in the second: {trend}."
            )
        return said

    def effect_sentences(self) -> list[str]:
        said = []
        for k, effect in enumerate(self.effect):
            curve = np.median(effect, axis=0)
            half, tenth, last = falls_below(curve, 0.5), falls_below(curve, 0.1), len(curve) - 1
            peak = int(curve.argmax())
            begin = f"Layer {k + 1}: a sample's effect on the cell is largest {'at once' if not peak else f'{_steps(peak)} later'}"
            if half is None:
                said.append(f"{begin}, and after {_steps(last)} more than half of it is still there: its memory is longer than that.")
                continue
            rest = f"a tenth after {tenth}" if tenth is not None else f"is still above a tenth after {last}, as far as it was followed"
            said.append(f"{begin}, falls to half of that after {_steps(half)} and {'to ' if tenth is not None else ''}{rest}.")
        return said


def _steps(n: int) -> str:
    return f"{n} step{'' if n == 1 else 's'}"


def growth(c: Float64) -> float:
    """The mean of |c| in the last quarter over that in the second one; the first one starts at zero and would flatter."""
    quarter = max(1, len(c) // 4)
    before = float(np.abs(c[quarter : 2 * quarter]).mean())
    return float(np.abs(c[-quarter:]).mean() / before) if before > 0 else 1.0


def falls_below(curve: Float64, share: float) -> int | None:
    """The first step from which a curve stays below a share of its peak; None where it doesn't."""
    above = np.flatnonzero(curve >= share * curve.max())
    return None if above[-1] == len(curve) - 1 else int(above[-1]) + 1


def measure_memory(spec: ModelSpec, weights: Mapping[str, NDArray[Any]], recording: Sequence) -> Memory:
    """On the recording's first steps, from the zero state. Raises DataError for a recording of fewer than 4 steps."""
    length = len(recording.x)
    if length < 4:
        raise DataError(f"recording {recording.name!r} has {length} steps; expected at least 4, to see anything last")
    xs = features(spec, recording.x)[0][:SHOWN_STEPS]
    layers = trace(spec, weights, xs)
    later = min(LATER, len(xs) // 2)
    starts = np.unique(np.linspace(0, len(xs) - 1 - later, SAMPLES).round().astype(np.int64))
    effect = sample_effect(spec, weights, layers, starts, later)
    shown = xs[:, : spec.input_size]
    return Memory(recording.name, len(xs), length, shown, [layer.c for layer in layers], starts, effect)


def sample_effect(
    spec: ModelSpec, weights: Mapping[str, NDArray[Any]], layers: Many[Trace], starts: NDArray[np.int64], later: int
) -> list[Float64]:
    """Per layer (S, later + 1), as `Memory.effect`: the derivative of `lstm_cell`, carried forward from each start."""
    S, C, H = len(starts), spec.input_size, spec.hidden_size
    dh = [np.zeros((S, C, H)) for _ in layers]
    dc = [np.zeros((S, C, H)) for _ in layers]
    norms = [np.zeros((S, later + 1)) for _ in layers]
    sample = np.zeros((S, C, spec.feature_size))
    sample[:, range(C), range(C)] = 1.0  # the indicators of missing values, which some models have behind the channels, are no sample
    for n in range(later + 1):
        dx = sample if n == 0 else np.zeros_like(sample)
        for k, layer in enumerate(layers):
            W_x, W_h = (np.asarray(weights[f"layer{k}.{name}"], np.float64) for name in ("W_x", "W_h"))
            i, f, g, o, tanh_c, before = (
                getattr(layer, name)[starts + n][:, None] for name in ("i", "f", "g", "o", "tanh_c", "before")
            )  # (S, 1, H) each
            da = dx @ W_x + dh[k] @ W_h  # (S, C, 4 H)
            di, df, do = (value * (1 - value) * gate(da, name) for name, value in (("i", i), ("f", f), ("o", o)))
            dg = (1 - g * g) * gate(da, "g")
            dc[k] = f * dc[k] + before * df + g * di + i * dg
            dh[k] = tanh_c * do + o * (1 - tanh_c**2) * dc[k]
            norms[k][:, n] = np.sqrt((dc[k] ** 2).sum(axis=(1, 2)))
            dx = dh[k]
    return norms
