"""The column of times among the columns of a table, and the form of its cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edge_lstm_runtime.errors import BundleError, DataError, SampleError
from edge_lstm_runtime.inputs.times import UNITS, Times

from ..data.recognized_times import DIGITS, EARLIEST, LATEST, formats_of, read, recognized
from ..data.recordings import Float64
from .columns import Column
from .draft import Key, Keys

NAME = re.compile(
    r"(.*[_ .])?(time|times|timestamp|datetime|date|dates|day|ts|t|sec|secs|seconds?|millis|"
    r"milliseconds?|ms|us|ns|epoch|unix|elapsed|zeit|uhrzeit|zeitstempel|datum|fecha)"
    r"([_ .(\[].*)?",
    re.IGNORECASE,
)
_SMALL = re.compile(
    r"(.*[_ .(\[])?(ms|millis|milliseconds?|us|micros|ns|nanos)[)\]]?", re.IGNORECASE
)
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp][Mm])?")
FORWARD = 0.5  # the least share of the steps that go forward
FEW = 1000  # cells that tell a time from another text


class Clock(NamedTuple):
    """keys: of [data]. seconds: (R,) of all rows. dated: whether they are since 1970."""

    keys: Keys
    seconds: Float64
    columns: tuple[str, ...]
    dated: bool


def find_clock(
    columns: Mapping[str, Column], stated: tuple[str, ...] | None, borders: Sequence[int]
) -> Clock | None:
    """The column, or the two, that tell when a row was taken. None if none does.

    stated: by the user, () for none. borders: the first rows of files. Raises DataError if a stated
    column is no time.
    """
    if stated is not None:
        return _stated(columns, stated, borders) if stated else None
    for names in _candidates(columns):
        found = _clock(columns, names, borders)
        if found is not None and _forward(found.seconds, borders) >= FORWARD:
            return found
    return None


def _stated(columns: Mapping[str, Column], names: tuple[str, ...], borders: Sequence[int]) -> Clock:
    found = _clock(columns, names, borders)
    if found is None:
        cell = " ".join(columns[name].texts[0] for name in names)
        raise DataError(f"column {' '.join(names)!r}: {cell!r} is no time that is known here")
    return found


def _candidates(columns: Mapping[str, Column]) -> Iterator[tuple[str, ...]]:
    """Texts that are dates, then numbers that are named like times, or sized like dates."""
    texts = [c for c in columns.values() if c.values is None]
    of_day = [c for c in texts if all(map(_TIME_OF_DAY.fullmatch, c.texts[:FEW]))]
    named = sorted(columns.values(), key=lambda c: not NAME.fullmatch(c.name))
    for column in named:
        if column.values is None and column not in of_day and all(column.texts):
            yield from ((column.name, other.name) for other in of_day[:1])
            yield (column.name,)
    for column in named:
        if column.values is None or np.isnan(column.values).any():
            continue
        dated = column.values.min() >= EARLIEST and len(set(column.values.tolist())) > 2
        if NAME.fullmatch(column.name) or dated:
            yield from ((column.name, other.name) for other in of_day[:1])
            yield (column.name,)


def _clock(
    columns: Mapping[str, Column], names: tuple[str, ...], borders: Sequence[int]
) -> Clock | None:
    cells = list(map(" ".join, zip(*(columns[name].texts for name in names), strict=True)))
    time = names[0] if len(names) == 1 else list(names)
    # A few cells tell a text that is no time, without reading all of them.
    if not any(_read(cells[:FEW], t) is not None for t in _forms(cells[:FEW], names)):
        return None
    best: tuple[float, Times, Float64] | None = None
    forms = list(_forms(cells, names))
    for form in forms:
        seconds = _read(cells, form)
        if seconds is None:
            continue
        score = _evenness(seconds, borders)
        if best is None or score > best[0]:
            best = score, form, seconds
    if best is None:
        return None
    _, form, seconds = best
    dated = bool(form.format) or not _is_number(cells[0]) or _since_1970(seconds)
    keys = {"time": Key(time, _rate(seconds, borders))}
    if form.format and recognize(cells, names) is None:
        others = " and ".join(repr(f.format) for f in forms if f.format and f != form)
        why = (
            f"of it and {others} the one with the more even steps" if others else "dates in digits"
        )
        keys["time_format"] = Key(form.format, why)
    if form.unit != "s":
        keys["time_unit"] = Key(form.unit, f"numbers such as {cells[0]}")
    return Clock(keys, seconds, names, dated)


def recognize(cells: Sequence[str], names: tuple[str, ...]) -> Times | None:
    """The form that training recognizes by itself."""
    try:
        return recognized(cells, Times(), "", " ".join(names))
    except DataError:
        return None


def _forms(cells: Sequence[str], names: tuple[str, ...]) -> Iterator[Times]:
    """The forms that may read the cells, the likeliest first."""
    first = cells[0].strip()
    if _is_number(first):
        yield from _number_forms(first, names)
        return
    if (own := recognize(cells, names)) is not None:
        yield own
        return
    for layout in formats_of(first):
        yield Times(layout)


def _number_forms(first: str, names: tuple[str, ...]) -> Iterator[Times]:
    whole = first.removesuffix(".0")
    if whole.isdigit() and len(whole) in DIGITS:
        layout = DIGITS[len(whole)] + (".0" if whole != first else "")
        if _read([first], Times(layout)) is not None and NAME.fullmatch(names[0]):
            yield Times(layout)
            return
    value = float(first)
    for unit, (per_second, _) in UNITS.items():
        if EARLIEST * per_second <= value < LATEST * per_second:
            yield Times(unit=unit)
            return
    small = _SMALL.fullmatch(names[0])
    units = {"m": "ms", "u": "us", "n": "ns"}
    unit = units[small[2][0].lower()] if small else "s"
    if small and small[2].lower().startswith("mic"):
        unit = "us"
    yield Times(unit=unit)


def _read(cells: Sequence[str], form: Times) -> Float64 | None:
    try:
        return read(cells, form, "", "")
    except (DataError, SampleError, BundleError):
        return None


def _steps(seconds: Float64, borders: Sequence[int]) -> Float64:
    """Between the rows of a file."""
    inner = np.ones(len(seconds), bool)
    inner[list(borders)] = False
    steps: Float64 = np.diff(seconds, prepend=seconds[:1])[inner]
    return steps


def _forward(seconds: Float64, borders: Iterable[int]) -> float:
    steps = _steps(seconds, list(borders))
    return float((steps > 0).mean()) if len(steps) else 0.0


def _evenness(seconds: Float64, borders: Sequence[int]) -> float:
    """The share of the steps that are the usual one."""
    steps = _steps(seconds, borders)
    ahead = steps[steps > 0]
    if not len(ahead):
        return 0.0
    return float((np.abs(steps - np.median(ahead)) <= 0.01 * np.median(ahead)).mean())


def usual_step(seconds: Float64, borders: Sequence[int]) -> float | None:
    """The median time from row to row, None if time stands still."""
    steps = _steps(seconds, borders)
    ahead = steps[steps > 0]
    return float(np.median(ahead)) if len(ahead) else None


def _rate(seconds: Float64, borders: Sequence[int]) -> str:
    steps = _steps(seconds, borders)
    usual = usual_step(seconds, borders)
    if usual is None:
        return ""
    rate = f"{1 / usual:.4g} Hz" if usual < 1.5 else f"one row every {_duration(usual)}"
    return f"{rate}: the median of {len(steps):,} differences"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= size:
            count = seconds / size
            return unit.removesuffix("s") if count == 1 else f"{count:.4g} {unit}"
    return f"{seconds:.4g} seconds"


def _since_1970(seconds: Float64) -> bool:
    return bool(((seconds >= EARLIEST) & (seconds <= LATEST)).all())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
