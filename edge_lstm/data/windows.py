"""From sequences to the arrays that training takes: features, masks, targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.checks import SMALLEST
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs import to_scale
from edge_lstm_runtime.model.spec import ModelSpec

from ..tasks.base import task_of
from .examples import Examples
from .recordings import Float64, Sequence

# Features, the steps that count, and targets as of `Task.targets`.
Piece = tuple[Float64, NDArray[np.bool_], NDArray[Any]]


def future(spec: ModelSpec, x: Float64) -> Float64:
    """x: (T, C) raw units -> (T, O) what a forecast at each step should say, raw units.

    NaN past the end and if a value is missing.
    """
    return _later(spec, x, spec.answer.steps)


def season_before(spec: ModelSpec, x: Float64, season: int) -> Float64:
    """x: (T, C) raw units -> (T, O) the values one season before those of `future`.

    Further ahead than a season, it is as many seasons as are needed for a value that is known.
    NaN in the first season and if a value is missing.
    """
    steps = spec.answer.steps
    found = _later(spec, x, steps - season * -(-steps // season))
    found[:season] = np.nan
    return found


def filled_raw(spec: ModelSpec, x: Float64) -> Float64:
    """x: (T, C) raw units -> the same with the gaps filled."""
    return spec.inputs.in_raw_units(spec.inputs.features(x)[1])


def last_values(spec: ModelSpec, x: Float64) -> Float64:
    """x: (T, C) raw units -> (T, O) the value now, for every step ahead, gaps filled."""
    return filled_raw(spec, x)[:, spec.answer.channels_of_outputs(spec.inputs)]


def on_scale(spec: ModelSpec, values: Float64) -> Float64:
    """values: (..., O) raw units -> as they are learned: on the logarithmic scale of their channel,
    if it has one."""
    units = spec.answer.scaling(spec.inputs).units
    if units is None:
        return values
    return np.where(units > 0, to_scale(values, np.maximum(units, SMALLEST)), values)


def _later(spec: ModelSpec, x: Float64, steps: NDArray[np.int64]) -> Float64:
    """(T, O) each output's channel so many steps later, NaN outside. steps: (O,)"""
    rows = np.arange(len(x))[:, None] + steps
    inside = (rows >= 0) & (rows < len(x))
    values = x[np.where(inside, rows, 0), spec.answer.channels_of_outputs(spec.inputs)]
    found: Float64 = np.where(inside, values, np.nan)
    return found


def stream_cuts(steps: int, window: int, streams: int) -> Iterator[slice]:
    """A text as so many streams side by side, each cut into windows.

    All streams are of one length but for what the last ones lack. The first window of every stream
    comes first, then the second of every stream and so on. Each step is in one window. At the end
    some are shorter, or empty.
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
            f"sequence {sequence.name!r} has {length} steps, and the window {window}; set a "
            f"`window` of at most {length} in [data], or short = 'pad' (padding is masked) or "
            "short = 'drop'"
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
    """All training sequences or windows in one. See `pieces`."""
    cut = pieces(spec, sequences, window=window, stride=stride, short=short, streams=streams)
    return padded(cut, window or max(len(xs) for xs, _, _ in cut))


def pieces(
    spec: ModelSpec,
    sequences: list[Sequence],
    *,
    window: int | None = None,
    stride: int | None = None,
    short: str = "refuse",
    streams: int | None = None,
) -> list[Piece]:
    """Features and targets are made from whole sequences and then cut.

    A window's first steps so know what came before them. streams: of a text, whose windows are
    those of `stream_cuts`, in its order. Raises DataError if there is nothing to learn.
    """
    task = task_of(spec)
    cut: list[Piece] = []
    for sequence in sequences:
        xs, _ = spec.inputs.features(sequence.x)
        target, known = task.targets(spec, sequence)
        if streams is not None and len(xs) <= streams:
            raise DataError(
                f"text {sequence.name!r} has {len(xs)} characters, too few for {streams} streams; "
                "lower batch_size in [train]"
            )
        for piece in (
            _cuts(sequence, window, stride, short)
            if streams is None
            else stream_cuts(len(xs) - 1, window or len(xs), streams)
        ):
            if streams is not None or known[piece].any():
                wanted = target[piece] if target.ndim else target
                cut.append((xs[piece], known[piece], wanted))
    if not cut:
        need = task.nothing_known(spec)
        if window is not None and all(len(s.x) < window for s in sequences) and short == "drop":
            need = f"every sequence is shorter than the window ({window})"
        raise DataError(
            f"{len(sequences)} sequences give nothing to learn or to measure: {need}; "
            "longer ones are needed"
        )
    return cut


def padded(cut: list[Piece], longest: int) -> Examples:
    """longest: the number of steps to which all are padded."""
    xs, _, target = cut[0]
    x = np.zeros((len(cut), longest, xs.shape[1]), np.float32)
    mask = np.zeros((len(cut), longest), bool)
    steps = (longest, *target.shape[1:]) if target.ndim else ()
    numbers = np.float32 if target.dtype.kind == "f" else np.int64
    y: NDArray[Any] = np.zeros((len(cut), *steps), numbers)
    for k, (xs, known, target) in enumerate(cut):
        here = (k, slice(len(xs)))
        x[here] = xs
        mask[here] = known
        y[here if target.ndim else k] = target
    return Examples(x, np.array([len(xs) for xs, _, _ in cut]), mask, y)


def batches(lengths: NDArray[np.int64], tokens: int = 1 << 17) -> list[NDArray[np.int64]]:
    """Indices of sequences of similar length, for evaluation.

    A batch has at most about `tokens` steps with the padding.
    """
    found: list[list[int]] = []
    for k in np.argsort(lengths, kind="stable").tolist():
        if not found or (len(found[-1]) + 1) * int(lengths[k]) > tokens:
            found.append([])
        found[-1].append(k)
    return [np.array(batch) for batch in found]
