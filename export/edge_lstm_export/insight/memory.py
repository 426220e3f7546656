"""The memory of the cell on one recording.

Its values over time, and how long one sample, or one character, is felt in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Sequence
from edge_lstm.results.characters import bits_of
from edge_lstm_runtime import DataError, ModelSpec
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.layers.ops import NUMPY

from ..measure.cells import products
from .recording import Float64, Trace, before, lstm_layers, trace

SHOWN_STEPS = 500
LATER = 100  # steps after a sample in which its effect is followed
SAMPLES = 16  # whose effect is measured
OTHERS = 30  # characters that each of them is replaced by


@dataclasses.dataclass(frozen=True)
class Memory:
    """name, steps, length: of the recording, its first steps that are shown and all that it has.

    x       (T, C) features, standard deviations from the training mean; of a text (T, 1) the bits
            that each character took, NaN for the first one
    c       per layer (T, H) the cell after each step
    starts  the steps s whose sample is followed
    effect  per layer (S, K + 1), for n = 0 ... K: the Frobenius norm of d c[s + n] / d x[s], x in
            standard deviations; of a text the norm of the change of c[s + n] if the character at s
            is another one, the root mean square over the others
    text    None, or the T characters of a text
    """

    name: str
    steps: int
    length: int
    x: Float64
    c: list[Float64]
    starts: NDArray[np.int64]
    effect: list[Float64]
    text: tuple[str, ...] | None

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
        return {
            "recording": self.name,
            "steps": self.steps,
            "length": self.length,
            "samples": self.starts.tolist(),
            "layers": layers,
        }

    def sentences(self) -> list[str]:
        return self.cell_sentences() + self.effect_sentences()

    def cell_sentences(self) -> list[str]:
        said = []
        for k, c in enumerate(self.c):
            change = growth(c)
            trend = (
                "it is still filling up"
                if change > 1.25
                else "it is emptying again"
                if change < 0.8
                else "it has found its level"
            )
            said.append(
                f"Layer {k + 1}: on {self.name} the cell stays within ±{np.abs(c).max():.3g}, "
                f"95 % of it within ±{np.percentile(np.abs(c), 95):.3g}; its mean size in the last "
                f"quarter of these {self.steps} steps is {change:.2f} times that in the second: "
                f"{trend}."
            )
        return said

    def effect_sentences(self) -> list[str]:
        sample = "sample" if self.text is None else "character"
        said = []
        for k, effect in enumerate(self.effect):
            curve = np.median(effect, axis=0)
            half = falls_below(curve, 0.5)
            tenth = falls_below(curve, 0.1)
            last = len(curve) - 1
            peak = int(curve.argmax())
            largest = "at once" if not peak else f"{_steps(peak)} later"
            begin = f"Layer {k + 1}: a {sample}'s effect on the cell is largest {largest}"
            if half is None:
                said.append(
                    f"{begin}, and after {_steps(last)} more than half of it is still there: "
                    "its memory is longer than that."
                )
                continue
            rest = (
                f"to a tenth after {tenth}"
                if tenth is not None
                else f"is still above a tenth after {last}, as far as it was followed"
            )
            said.append(f"{begin}, falls to half of that after {_steps(half)} and {rest}.")
        return said


def _steps(n: int) -> str:
    return f"{n} step{'' if n == 1 else 's'}"


def growth(c: Float64) -> float:
    """The mean of |c| in the last quarter over that in the second one.

    The first one starts at zero and would flatter.
    """
    quarter = max(1, len(c) // 4)
    before = float(np.abs(c[quarter : 2 * quarter]).mean())
    return float(np.abs(c[-quarter:]).mean() / before) if before > 0 else 1.0


def falls_below(curve: Float64, share: float) -> int | None:
    """The first step from which a curve stays below a share of its peak; None if it doesn't."""
    above = np.flatnonzero(curve >= share * curve.max())
    return None if above[-1] == len(curve) - 1 else int(above[-1]) + 1


def measure_memory(
    spec: ModelSpec, weights: Mapping[str, NDArray[Any]], recording: Sequence
) -> Memory:
    """On the recording's first steps, from the zero state.

    Raises DataError for a recording of fewer than 4 steps, and for a text of one character again
    and again.
    """
    length = len(recording.x)
    if length < 4:
        raise DataError(
            f"recording {recording.name!r} has {length} steps; expected at least 4, to see "
            "anything last"
        )
    xs = spec.inputs.features(recording.x)[0][:SHOWN_STEPS]
    weights = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    layers = trace(spec, weights, xs)
    later = min(LATER, len(xs) // 2)
    starts = np.unique(np.linspace(0, len(xs) - 1 - later, SAMPLES).round().astype(np.int64))
    cells = [layer.c for layer in layers]
    if not isinstance(spec.inputs, Characters):
        effect = sample_effect(spec, weights, layers, starts, later)
        return Memory(
            recording.name, len(xs), length, xs[:, : measured(spec)], cells, starts, effect, None
        )
    characters = recording.x[: len(xs)]
    head = spec.network.own(spec.network.layers[-1], weights)
    logits = layers[-1].h @ head["W"] + head["b"]
    bits = np.append(np.nan, bits_of(dataclasses.replace(recording, x=characters), logits))
    texts = Texts(xs, frequent(recording))
    effect = character_effect(spec, weights, layers, texts, starts, later)
    text = tuple(spec.inputs.characters[int(k)] for k in characters[:, 0])
    return Memory(recording.name, len(xs), length, bits[:, None], cells, starts, effect, text)


def measured(spec: ModelSpec) -> int:
    """The features that are values. Those behind them say which channels are missing."""
    masks = spec.inputs.size if getattr(spec.inputs, "missing", "") == "mask" else 0
    return spec.inputs.feature_size - masks


def sample_effect(
    spec: ModelSpec,
    weights: Mapping[str, Float64],
    layers: Many[Trace],
    starts: NDArray[np.int64],
    later: int,
) -> list[Float64]:
    """Per layer (S, later + 1), as `Memory.effect`: the cell's derivative, from each start on."""
    S = len(starts)
    C = measured(spec)
    own = [spec.network.own(layer, weights) for layer in lstm_layers(spec)]
    dh = [np.zeros((S, C, layer.c.shape[1])) for layer in layers]
    dc = [np.zeros((S, C, layer.c.shape[1])) for layer in layers]
    norms = [np.zeros((S, later + 1)) for _ in layers]
    sample = np.zeros((S, C, spec.inputs.feature_size))
    sample[:, range(C), range(C)] = 1.0
    for n in range(later + 1):
        dx = sample if n == 0 else np.zeros_like(sample)
        for k, layer in enumerate(layers):
            values = (layer.i, layer.f, layer.g, layer.o, layer.tanh_c, before(layer.c))
            i, f, g, o, tanh_c, c_before = (
                value[starts + n][:, None] for value in values
            )  # (S, 1, H) each
            da = dx @ own[k]["W_x"] + dh[k] @ own[k]["W_h"]  # (S, C, 4 H)
            di, df, dg, do = np.split(da, 4, axis=-1)  # each (S, C, H)
            di, df, do = (v * (1 - v) * d for v, d in ((i, di), (f, df), (o, do)))
            dg = (1 - g * g) * dg
            dc[k] = f * dc[k] + c_before * df + g * di + i * dg
            dh[k] = tanh_c * do + o * (1 - tanh_c**2) * dc[k]
            norms[k][:, n] = np.sqrt((dc[k] ** 2).sum(axis=(1, 2)))
            dx = dh[k]
    return norms


def frequent(text: Sequence) -> NDArray[np.int64]:
    """The most frequent characters of a text, at most OTHERS."""
    found, counts = np.unique(text.x, return_counts=True)
    if len(found) < 2:
        raise DataError(
            f"text {text.name!r} has one character again and again; expected at least 2, to see "
            "what another would change"
        )
    return found[np.argsort(-counts, kind="stable")[:OTHERS]].astype(np.int64)


class Texts(NamedTuple):
    """xs: (T, V), one-hot; others: (M,) the characters that each of it is replaced by."""

    xs: Float64
    others: NDArray[np.int64]


def character_effect(
    spec: ModelSpec,
    weights: Mapping[str, Float64],
    layers: Many[Trace],
    texts: Texts,
    starts: NDArray[np.int64],
    later: int,
) -> list[Float64]:
    """Per layer (S, later + 1), as `Memory.effect`.

    The text is read again from each start on, with each of the others there instead.
    """
    xs, others = texts
    replaced = np.eye(spec.inputs.feature_size)[others]  # (M, V)
    # (S,) of the others: the character itself changes nothing.
    truly = (others != xs[starts].argmax(axis=1)[:, None]).sum(axis=1)
    h = [before(layer.h)[starts][:, None] for layer in layers]
    c = [before(layer.c)[starts][:, None] for layer in layers]
    norms = [np.zeros((len(starts), later + 1)) for _ in layers]
    cells = lstm_layers(spec)
    own = [spec.network.own(cell, weights) for cell in cells]
    for n in range(later + 1):
        x = xs[starts + n][:, None] if n else replaced[None]
        for k, layer in enumerate(layers):
            state = {"h": h[k], "c": c[k]}
            x, state = cells[k].cell(NUMPY, products(own[k]), own[k], x, state)  # (S, M, H)
            h[k] = state["h"]
            c[k] = state["c"]
            change = c[k] - layer.c[starts + n][:, None]
            norms[k][:, n] = np.sqrt((change**2).sum(axis=(1, 2)) / truly)
    return norms
