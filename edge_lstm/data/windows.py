"""From sequences to the arrays that training takes: features, masks, targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec

from .recordings import Float64, Sequence


@dataclasses.dataclass(frozen=True)
class Examples:
    """Sequences or windows, padded at their ends to the longest.

    x        (N, T, F) float32 normalised features, 0 in the padding
    lengths  (N,) steps before the padding
    mask     (N, T) the steps that count: not padding, and every target known
    y        classify: (N,) int64 classes; language: (N, T) int64 the next character's class; else (N, T, O) float32 what
             the network should put out, 0 where masked out
    """

    x: NDArray[np.float32]
    lengths: NDArray[np.int64]
    mask: NDArray[np.bool_]
    y: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x)


def future(spec: ModelSpec, x: Float64) -> Float64:
    """x: (T, C) raw units -> (T, O) what a forecast at each step should say, raw units; NaN past the end and where missing."""
    channels = spec.answer.channels(spec.inputs)
    padded = np.concatenate([x[:, channels], np.full((spec.answer.horizon, len(channels)), np.nan)])
    steps = np.arange(len(x))[:, None] + 1 + np.arange(spec.answer.horizon)
    truth: Float64 = padded[steps].reshape(len(x), spec.answer.size)
    return truth


def truth_of(spec: ModelSpec, sequence: Sequence) -> Float64:
    """(T, O) what the answer at each step should be, raw units; NaN where that is unknown. For "forecast" and "regress"."""
    if spec.answer.task == "forecast":
        return future(spec, sequence.x)
    assert sequence.y is not None
    return sequence.y


def network_targets(spec: ModelSpec, sequence: Sequence, filled: Float64) -> Float64:
    """(T, O) the network outputs from which `Postprocessor` makes the truth; NaN where that is. filled: as of `features`."""
    truth = truth_of(spec, sequence)
    if (
        spec.answer.task == "forecast" and sequence.anomalous is not None
    ):  # nothing is learned from what is known as wrong
        truth = np.where(sequence.anomalous[:, None], np.nan, future(spec, sequence.normal))
    if getattr(spec.answer, "residual", False):
        truth = truth - filled[:, spec.answer.channels(spec.inputs) * spec.answer.horizon]
    targets: Float64 = (truth - np.asarray(spec.answer.offset)) / np.asarray(spec.answer.scale)
    return targets


def next_characters(sequence: Sequence) -> NDArray[np.int64]:
    """(T - 1,) what the answer at each step but the last should be: the index of the next character. For "language"."""
    return sequence.x[1:, 0].astype(np.int64)


def stream_cuts(steps: int, window: int, streams: int) -> Iterator[slice]:
    """A text as so many streams side by side, all of one length but for what the last ones lack, each cut into windows: the first window of
    every stream, then the second of every stream and so on. Each step is in one window; at the end some are shorter, or empty.
    """
    length = -(-steps // streams)
    for start in range(0, length, window):
        for first in range(0, streams * length, length):
            stop = min(first + min(start + window, length), steps)
            yield slice(min(first + start, stop), stop)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Every `stride`, and one more at the end where rows would be left over."""
    starts = list(range(0, length - window + 1, stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return starts


def _cuts(
    sequence: Sequence, window: int | None, stride: int | None, short: str
) -> Iterator[slice]:
    length = len(sequence.x)
    if window is None:
        yield slice(0, length)
    elif length >= window:
        for start in window_starts(length, window, stride or window):
            yield slice(start, start + window)
    elif short == "pad":
        yield slice(0, length)
    elif short == "refuse":
        raise DataError(
            f"sequence {sequence.name!r} has {length} steps, and the window {window}; set a `window` of at most {length} in [data], "
            "or short = 'pad' (padding is masked) or short = 'drop'"
        )


def examples(
    spec: ModelSpec,
    sequences: list[Sequence],
    *,
    window: int | None = None,
    stride: int | None = None,
    short: str = "refuse",
    streams: int | None = None,
) -> Examples:
    """Features and targets are made from whole sequences and then cut, so a window's first steps know what came before them.

    streams: task "language": the windows are those of `stream_cuts`, in its order.
    """
    cut: list[tuple[Float64, NDArray[np.bool_], Any]] = []
    for sequence in sequences:
        xs, filled = spec.inputs.features(sequence.x)
        known = np.ones(len(xs), bool)
        target: Any = None
        if spec.answer.task == "language":
            target = np.append(next_characters(sequence), 0)
            known[-1] = False
        elif spec.answer.task != "classify":
            target = network_targets(spec, sequence, filled)
            known[:] = ~np.isnan(target).any(axis=1)
        if streams is not None and len(xs) <= streams:
            raise DataError(
                f"text {sequence.name!r} has {len(xs)} characters, too few for {streams} streams; lower batch_size in [train]"
            )
        for piece in (
            _cuts(sequence, window, stride, short)
            if streams is None
            else stream_cuts(len(xs) - 1, window or len(xs), streams)
        ):
            if streams is not None or known[piece].any():
                cut.append(
                    (xs[piece], known[piece], sequence.label if target is None else target[piece])
                )
    if not cut:
        need = (
            f"no step is followed by {spec.answer.horizon} known values"
            if spec.answer.task == "forecast"
            else "no step has a known target"
        )
        if window is not None and all(len(s.x) < window for s in sequences) and short == "drop":
            need = f"every sequence is shorter than the window ({window})"
        raise DataError(
            f"{len(sequences)} sequences give nothing to learn or to measure: {need}; longer ones are needed"
        )
    longest = window or max(len(xs) for xs, _, _ in cut)
    x = np.zeros((len(cut), longest, spec.inputs.feature_size), np.float32)
    mask = np.zeros((len(cut), longest), bool)
    y: NDArray[Any] = np.zeros((len(cut), longest, spec.answer.size), np.float32)
    if spec.answer.logits:
        y = np.zeros(len(cut) if spec.answer.task == "classify" else (len(cut), longest), np.int64)
    for k, (xs, known, target) in enumerate(cut):
        x[k, : len(xs)] = xs
        mask[k, : len(xs)] = known
        if spec.answer.task == "classify":
            y[k] = target
        else:
            y[k, : len(xs)] = (
                target if spec.answer.task == "language" else np.where(known[:, None], target, 0)
            )
    return Examples(x, np.array([len(xs) for xs, _, _ in cut]), mask, y)


def batches(lengths: NDArray[np.int64], tokens: int = 1 << 17) -> list[NDArray[np.int64]]:
    """Indices of sequences of similar length, at most about `tokens` steps with the padding, for evaluation."""
    found: list[list[int]] = []
    for k in np.argsort(lengths, kind="stable").tolist():
        if not found or (len(found[-1]) + 1) * int(lengths[k]) > tokens:
            found.append([])
        found[-1].append(k)
    return [np.array(batch) for batch in found]
