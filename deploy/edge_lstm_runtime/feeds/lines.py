"""Samples as lines of text: CSV or JSON lines in, one JSON line out for each, in the same order."""

from __future__ import annotations

import csv
import json
import reprlib
from collections.abc import Container, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..detector import AnomalyDetector
from ..errors import BackendError, ConfigError, SampleError
from ..inputs import Inputs
from ..inputs.characters import Characters
from ..inputs.times import Clock, seconds
from ..model.spec import describe
from ..session import Session

RESET = "reset"
_MISSING = frozenset({"", "nan", "null", "na", "none"})


def answers(
    session: Session, lines: Iterable[str], reset_every: int = 0
) -> Iterator[dict[str, Any]]:
    """One object for every line: {"line": n, ...answer} or {"line": n, "error": "..."}.

    CSV has a header with the channels' names (other columns are ignored) or exactly one number for each channel; an empty cell or NaN is
    a missing value. A JSON line is a list of numbers in channel order, or an object with the channels' names; null is a missing
    value, and {"reset": true} sets the state to zero. To a language model a line is one character: its index, or in JSON itself, such as
    ["t"] or {"character": "t"}. A line that can't be used leaves the state as it was, and the stream goes on.
    Of a model with a channel `dt` a header or an object may have the time's column in its place: datetimes, or numbers of seconds.

    A bidirectional model answers whole sequences: a reset or the end of the lines ends one, and its lines are held until then.

    reset_every: samples after which the state is set to zero; 0 for never.
    Raises ConfigError when the header lacks a channel, BackendError when the backend fails.
    """
    channels = session.spec.inputs.names
    columns: list[int] | None = None
    names, clock = (
        channels,
        Clock(),
    )  # names: of the values, the time's in dt's place where it is given
    first, samples = True, 0
    answering: _Answering = _Whole(session) if session.spec.whole else _Stepwise(session)
    for number, text in enumerate(lines, start=1):
        line = text.strip().removeprefix("\ufeff")
        if not line:
            continue
        try:
            if line[0] in "[{":
                values, given = _from_json(line, session.spec.inputs)
            else:
                cells = _cells(line)
                if first and _is_header(cells, channels):
                    names = _given(session.spec.inputs, [cell.strip() for cell in cells])
                    columns = _header(cells, names)
                    first = False
                    continue
                values, given = _from_csv(cells, columns, names, session.spec.inputs), names
            if values is None:
                yield from answering.end()
                session.reset()
                clock.reset()
                samples = 0
                yield {"line": number, RESET: True}
                continue
            if reset_every and samples and samples % reset_every == 0:
                yield from answering.end()
                session.reset()
                clock.reset()
            moment = None
            if given != channels:
                place = channels.index(session.spec.inputs.elapsed)
                moment = values[place]
                values[place] = clock.since(moment)
            answered = answering.sample(number, values)
            if moment is not None:
                clock.take(moment)
        except SampleError as e:
            yield from answering.error(number, e)
            continue
        samples += 1
        first = False  # a header may come until a sample was taken, not after it: the order of the columns would be a guess
        yield from answered
    yield from answering.end()


class _Answering(Protocol):
    """What becomes of the lines; each method returns the objects that can be given out now."""

    def sample(self, number: int, values: list[float]) -> list[dict[str, Any]]:
        """Raises SampleError."""

    def error(self, number: int, error: SampleError) -> list[dict[str, Any]]: ...

    def end(self) -> list[dict[str, Any]]:
        """What of the sequence is not answered yet."""


class _Stepwise:
    """Each sample is answered at once."""

    def __init__(self, session: Session):
        self._session = session
        self._detector = AnomalyDetector(session.spec) if session.spec.detector else None

    def sample(self, number: int, values: list[float]) -> list[dict[str, Any]]:
        outputs = self._session.step(values)
        answer = _answer(self._session, number, outputs)
        if self._detector is not None:
            score, anomaly = self._detector(values, outputs)
            answer |= {"score": None if np.isnan(score) else score, "anomaly": anomaly}
        return [answer]

    def error(self, number: int, error: SampleError) -> list[dict[str, Any]]:
        return [{"line": number, "error": str(error)}]

    def end(self) -> list[dict[str, Any]]:
        if self._detector is not None:
            self._detector.reset()
        return []


class _Whole:
    """Samples are held, and answered together at the end of their sequence; a line that can't be used is no part of it."""

    def __init__(self, session: Session):
        self._session, self._try = (
            session,
            session.spec.inputs.preprocessor(np.float32, None, keep_last=False),
        )
        self._samples: list[tuple[int, list[float]]] = []
        self._errors: dict[int, dict[str, Any]] = {}

    def sample(self, number: int, values: list[float]) -> list[dict[str, Any]]:
        self._try(values)
        self._samples.append((number, values))
        return []

    def error(self, number: int, error: SampleError) -> list[dict[str, Any]]:
        self._errors[number] = {"line": number, "error": str(error)}
        return []

    def end(self) -> list[dict[str, Any]]:
        outputs = self._session.run([values for _, values in self._samples])
        lines = self._errors | {
            n: _answer(self._session, n, y)
            for (n, _), y in zip(self._samples, outputs, strict=True)
        }
        self._samples, self._errors = [], {}
        return [lines[number] for number in sorted(lines)]


def _answer(session: Session, number: int, outputs: NDArray[Any]) -> dict[str, Any]:
    return {"line": number, **answer_of(session, outputs, f"line {number}")}


def answer_of(session: Session, outputs: NDArray[Any], place: str) -> dict[str, Any]:
    """The answer's description, of outputs (O,) that are finite; else BackendError, with the place in the input."""
    if not np.isfinite(outputs).all():
        raise BackendError(
            f"backend {session.backend.name!r} answered {place} with values that are not finite: {outputs}"
        )
    return describe(session.spec, outputs)


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error as e:
        raise SampleError(f"not valid CSV ({e})") from None


def _is_header(cells: list[str], channels: tuple[str, ...]) -> bool:
    """Names in place of numbers, or the channels' own names where these look like numbers."""
    return not all(_is_number(cell) for cell in cells) or {cell.strip() for cell in cells} >= set(
        channels
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().lower() in _MISSING
    return True


def _given(inputs: Inputs, names: Container[str]) -> tuple[str, ...]:
    """The channels; the time in dt's place where it is there and dt is not."""
    elapsed = inputs.elapsed
    timed = elapsed and elapsed not in names and inputs.time_column in names
    return tuple(inputs.time_column if timed and c == elapsed else c for c in inputs.names)


def _header(cells: list[str], channels: tuple[str, ...]) -> list[int]:
    names = [cell.strip() for cell in cells]
    absent = [name for name in channels if name not in names]
    if absent:
        raise ConfigError(
            f"the input's header lacks the channels {absent}; it has {reprlib.repr(names)}; expected {list(channels)}"
        )
    return [names.index(name) for name in channels]


def _is_time(inputs: Inputs, name: str) -> bool:
    return name != "" and name == inputs.time_column


def _from_csv(
    cells: list[str], columns: list[int] | None, channels: tuple[str, ...], inputs: Inputs
) -> list[float]:
    if columns is None:
        if len(cells) != len(channels):
            raise SampleError(
                f"{len(cells)} values, expected {len(channels)} ({', '.join(channels)})"
            )
        columns = list(range(len(channels)))
    elif len(cells) <= max(columns):
        raise SampleError(
            f"{len(cells)} values, expected at least {max(columns) + 1} as in the header"
        )
    return [
        _number(cells[column], name, inputs) for column, name in zip(columns, channels, strict=True)
    ]


def _number(cell: str, channel: str, inputs: Inputs) -> float:
    if _is_time(inputs, channel):
        return seconds(cell, channel)
    if cell.strip().lower() in _MISSING:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        raise SampleError(
            f"channel {channel!r} is {reprlib.repr(cell)}; expected a number"
        ) from None


def _from_json(line: str, inputs: Inputs) -> tuple[list[float] | None, tuple[str, ...]]:
    """The values, or None for a request to reset; and their names."""
    channels = inputs.names
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise SampleError(f"not valid JSON ({e})") from None
    if isinstance(value, dict):
        if value.get(RESET) is True:
            return None, channels
        channels = _given(inputs, value)
        absent = [name for name in channels if name not in value]
        if absent:
            raise SampleError(f"channels {absent} are missing; expected {list(channels)}")
        value = [value[name] for name in channels]
    if len(value) != len(channels):
        raise SampleError(f"{len(value)} values, expected {len(channels)} ({', '.join(channels)})")
    if isinstance(inputs, Characters) and isinstance(value[0], str):
        value = [inputs.index(value[0])]
    for k, (name, item) in enumerate(zip(channels, value, strict=True)):
        if _is_time(inputs, name):
            value[k] = seconds(item, name)
        elif item is not None and (isinstance(item, bool) or not isinstance(item, (int, float))):
            raise SampleError(f"channel {name!r} is {reprlib.repr(item)}; expected a number")
    try:
        return [float("nan") if item is None else float(item) for item in value], channels
    except OverflowError as e:
        raise SampleError(f"a number is too large ({e})") from None
