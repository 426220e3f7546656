"""The time between rows, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .recordings import Float64, Recording

UNITS = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3))
REGULAR = 0.8  # the least share of the steps that are within a tenth of the median
GAP = 1.5  # a gap is longer than so many usual steps
LONG = 100  # usual steps


def duration(seconds: float) -> str:
    """0 or more, in the largest unit that it fills."""
    for unit, size in UNITS:
        if seconds >= size:
            count = f"{seconds / size:,.3g}" if seconds < 1000 * size else f"{seconds / size:,.0f}"
            return f"{count} {unit.removesuffix('s') if count == '1' and len(unit) > 2 else unit}"
    return f"{seconds:.3g} s"


def steps_in_words(recordings: Sequence[Recording]) -> str:
    """Of recordings with times: the median step, gaps and what is irregular. "" without a step."""
    steps = np.concatenate([_steps(r) for r in recordings])
    ahead = steps[steps > 0]
    if not len(ahead):
        return ""
    usual = float(np.median(ahead))
    said = [f"one row every {duration(usual)}"]
    if _regular(ahead, usual):
        gaps = ahead[ahead > GAP * usual]
        if len(gaps):
            count = f"{len(gaps):,} gaps, the longest" if len(gaps) > 1 else "1 gap of"
            said.append(f"{count} {duration(float(gaps.max()))}")
    else:
        said[0] += " in the median"
        said.append(f"from {duration(float(ahead.min()))} to {duration(float(ahead.max()))}")
    for count, what in ((steps == 0).sum(), "the time of"), ((steps < 0).sum(), "a time before"):
        if count:
            said.append(f"{count:,} row{'s' * bool(count > 1)} with {what} the row before")
    return ", ".join(said)


def with_notes(found: list[Recording], name: str, *, dt: bool) -> list[Recording]:
    """With a note on the steps of time. name: of the column. dt: whether a gap is an input."""
    notes = []
    if words := steps_in_words(found):
        notes.append(f"time column {name!r}: {words}")
    gap = None if dt else longest_gap(found)
    if gap is not None:
        before, row, seconds, usual = gap
        number = row + 1 if before.rows is None else before.rows[row]
        notes.append(
            f"{before.file} row {number:,}: {duration(seconds)} after the row before, "
            f"{seconds / usual:,.0f} usual steps. The model takes it for one step: cut the "
            "file there, or set dt = true in [data]"
        )
    return [dataclasses.replace(found[0], notes=(*found[0].notes, *notes)), *found[1:]]


def without_times(found: Sequence[Recording]) -> list[Recording]:
    return [dataclasses.replace(recording, time=None) for recording in found]


def longest_gap(recordings: Sequence[Recording]) -> tuple[Recording, int, float, float] | None:
    """The recording, the row after the gap, its seconds and the usual step.

    None if no gap has LONG steps, or if steps are irregular.
    """
    steps = np.concatenate([_steps(r) for r in recordings])
    ahead = steps[steps > 0]
    usual = float(np.median(ahead)) if len(ahead) else 0.0
    if not len(ahead) or not _regular(ahead, usual) or steps.max() < LONG * usual:
        return None
    worst = max(recordings, key=lambda r: float(_steps(r).max(initial=0)))
    row = int(_steps(worst).argmax()) + 1
    return worst, row, float(_steps(worst)[row - 1]), usual


def _regular(ahead: Float64, usual: float) -> bool:
    return bool(np.mean(np.abs(ahead - usual) <= 0.1 * usual) >= REGULAR)


def _steps(recording: Recording) -> Float64:
    assert recording.time is not None
    return np.diff(recording.time)
