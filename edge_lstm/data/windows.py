"""From sequences to the arrays that training takes: features, masks, targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.checks import SMALLEST
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs import to_scale
from edge_lstm_runtime.model.spec import ModelSpec

from ..tasks.base import task_of
from .arrays import Arrays, Named
from .chunks import let_go
from .examples import Examples, Windows
from .recordings import Float64, Sequence

# Features, the steps that count, and targets as of `Task.targets`, in the types of `Examples`.
Piece = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any]]


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


def logarithmic(spec: ModelSpec) -> bool:
    """Whether a channel is learned on a logarithmic scale, so its error has no raw unit."""
    scaling = spec.answer.scaling(spec.inputs)
    return scaling is not None and scaling.units is not None


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


@dataclasses.dataclass(frozen=True)
class Cuts:
    """How sequences are cut, as [data] says. streams: of a text, cut as by `stream_cuts`."""

    window: int | None = None
    stride: int | None = None
    short: str = "refuse"
    streams: int | None = None

    def of(self, sequence: Sequence) -> Iterator[slice]:
        """Raises DataError for a sequence that is too short."""
        length = len(sequence.x)
        if self.streams is not None:
            if length <= self.streams:
                few = f"has {length} characters, too few for {self.streams} streams"
                raise DataError(f"text {sequence.name!r} {few}; lower batch_size in [train]")
            yield from stream_cuts(length - 1, self.window or length, self.streams)
        elif self.window is None:
            yield slice(0, length)
        elif length >= self.window:
            for start in window_starts(length, self.window, self.stride or self.window):
                yield slice(start, start + self.window)
        elif self.short == "pad":
            yield slice(0, length)
        elif self.short == "refuse":
            raise DataError(
                f"sequence {sequence.name!r} has {length} steps, and the window {self.window}; set "
                f"a `window` of at most {length} in [data], or short = 'pad' (padding is masked) "
                "or short = 'drop'"
            )

    def overlap(self, length: int) -> bool:
        """Whether windows of a sequence share most of their rows."""
        window = self.window
        apart = window is None or self.streams is not None or length < window
        return not apart and self.stride is not None and self.stride < (window or 0)


def examples(spec: ModelSpec, sequences: list[Sequence], **cuts: Any) -> Examples:
    """All training sequences or windows in one. cuts: the fields of `Cuts`."""
    return windows(spec, sequences, Cuts(**cuts)).take(slice(None))


def windows(spec: ModelSpec, sequences: list[Sequence], cuts: Cuts) -> Windows:
    """All training sequences or windows, in memory.

    Features and targets are made from whole sequences and then cut. A window's first steps so know
    what came before them. Raises DataError if there is nothing to learn.
    """
    arrays = Arrays(None)
    facts = add_windows(arrays, spec, sequences, cuts)
    return windows_of(arrays.end(), facts)


def add_windows(
    arrays: Arrays, spec: ModelSpec, sequences: list[Sequence], cuts: Cuts
) -> dict[str, Any]:
    """Add the arrays of `windows`. Returns what `windows_of` needs beside them."""
    made: Iterable[tuple[Piece, list[slice]]] = _made(spec, sequences, cuts)
    if cuts.window is None:
        made = list(made)
    steps = cuts.window or max(len(xs) for (xs, _, _), _ in made)
    of_rows = True
    for (xs, known, target), kept in made:
        of_rows = target.ndim > 0
        shared = cuts.overlap(len(xs))
        for piece in [slice(0, len(xs))] if shared else kept:
            first = arrays.rows("rows")
            starts = [first + p.start for p in kept] if shared else [first]
            arrays.add("starts", np.array(starts))
            arrays.add("rows", _lengthened(xs[piece], steps))
            arrays.add("known", _lengthened(known[piece], steps))
            if of_rows:
                arrays.add("y", _lengthened(target[piece], steps))
        if not of_rows:
            arrays.add("y", np.full(len(kept), target))
        arrays.add("lengths", np.array([p.stop - p.start for p in kept]))
    return {"steps": steps, "of_rows": of_rows}


def windows_of(arrays: Named, facts: Mapping[str, Any]) -> Windows:
    return Windows(**arrays, steps=facts["steps"], of_rows=facts["of_rows"])


def _lengthened(array: NDArray[Any], steps: int) -> NDArray[Any]:
    """With zeros at the end, to so many steps at least."""
    more = steps - len(array)
    if more <= 0:
        return array
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])


def _made(
    spec: ModelSpec, sequences: list[Sequence], cuts: Cuts
) -> Iterator[tuple[Piece, list[slice]]]:
    """Each sequence with the windows of it in which there is something to learn.

    In a text it is every window. Raises DataError if there is none.
    """
    task = task_of(spec)
    found = False
    for sequence in sequences:
        xs = spec.inputs.features(sequence.x)[0].astype(np.float32)
        target, known = task.targets(spec, sequence)
        target = target.astype(np.float32 if target.dtype.kind == "f" else np.int64)
        kept = [p for p in cuts.of(sequence) if cuts.streams is not None or known[p].any()]
        let_go(sequence.x)
        if kept:
            found = True
            yield (xs, known, target), kept
    if not found:
        need = task.nothing_known(spec)
        window = cuts.window
        if (
            window is not None
            and cuts.short == "drop"
            and all(len(s.x) < window for s in sequences)
        ):
            need = f"every sequence is shorter than the window ({window})"
        raise DataError(
            f"{len(sequences)} sequences give nothing to learn or to measure: {need}; "
            "longer ones are needed"
        )


def pieces(spec: ModelSpec, sequences: list[Sequence]) -> list[Piece]:
    """Whole sequences, without those that have nothing to measure.

    Raises DataError if none is left.
    """
    return [piece for piece, _ in _made(spec, sequences, Cuts())]


def counted(spec: ModelSpec, sequences: list[Sequence], cuts: Cuts) -> int:
    """How many windows there are. Raises DataError if there is nothing to learn."""
    return sum(len(kept) for _, kept in _made(spec, sequences, cuts))


def padded(cut: list[Piece], longest: int) -> Examples:
    """longest: the number of steps to which all are padded."""
    xs, known, target = (list(each) for each in zip(*cut, strict=True))
    y = np.array([_lengthened(t, longest) if t.ndim else t for t in target])
    return Examples(
        np.array([_lengthened(x, longest) for x in xs]),
        np.array([len(x) for x in xs]),
        np.array([_lengthened(k, longest) for k in known]),
        y,
    )


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
