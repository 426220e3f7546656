"""Samples as lines of text: CSV or JSON lines in, one JSON line out for each, in the same order."""

from __future__ import annotations

import csv
import json
import reprlib
from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..detector import AnomalyDetector
from ..errors import BackendError, ConfigError, SampleError
from ..inputs import Inputs
from ..inputs.characters import Characters
from ..inputs.times import Clock, seconds
from ..model.spec import ModelSpec, describe
from ..session import Session

RESET = "reset"
_MISSING = frozenset({"", "nan", "null", "na", "none"})


def answers(
    session: Session, lines: Iterable[str], reset_every: int = 0
) -> Iterator[dict[str, Any]]:
    """One object for every line: {"line": n, ...answer} or {"line": n, "error": "..."}.

    A line of CSV has exactly one number for each channel, in raw units. If a header has named the
    channels, other columns are ignored. An empty cell or NaN is a missing value.
    A line of JSON is a list of numbers in channel order, or an object with the channels' names.
    null is a missing value. The line {"reset": true} sets the state to zero.
    A line that can't be used leaves the state as it was, and the stream goes on.

    For a language model, a line is one character: its index or, in JSON, the character itself, such
    as ["t"] or {"character": "t"}.
    If the model has a channel `dt`, a header or an object may have the column of times in its
    place. Times are datetimes or numbers of seconds. So are those of a calendar's channel, whose
    seconds are since 1970, UTC. One column serves for both.

    A header may come until a sample was taken, after any number of lines that can't be used. A
    line is one if it names a channel or the time's column. Any other line, even the first, is a
    sample or gets an error line.

    A bidirectional model answers whole sequences. A reset or the end of the lines ends a sequence,
    and its lines are held until then.

    reset_every: samples after which the state is set to zero, 0 for never.
    Raises ConfigError if the header lacks a channel, and BackendError if the backend fails.
    """
    reader = _Reader(session.spec.inputs)
    answering: _Answering = _Whole(session) if session.spec.whole else _Stepwise(session)
    samples = 0  # since the last reset
    for number, text in enumerate(lines, start=1):
        try:
            found = reader.read(text)
            if found is None:
                continue
            if found == RESET or (reset_every and samples == reset_every):
                yield from answering.end()
                session.reset()
                reader.clock.reset()
                samples = 0
            if isinstance(found, str):
                yield {"line": number, RESET: True}
                continue
            answered = answering.sample(number, reader.values(found))
        except SampleError as e:
            yield from answering.error(number, e)
            continue
        reader.taken(found)
        samples += 1
        yield from answered
    yield from answering.end()


def recordings(inputs: Inputs, lines: Iterable[str]) -> list[NDArray[np.float64]]:
    """All samples, (T, C) in raw units for each recording. A line {"reset": true} ends one.

    Raises SampleError for a line that can't be used, with its number, and if there is no sample.
    """
    reader = _Reader(inputs)
    preprocessor = inputs.preprocessor(np.float32, None, keep_last=False)
    found: list[list[list[float]]] = [[]]
    for number, text in enumerate(lines, start=1):
        try:
            sample = reader.read(text)
            if sample == RESET:
                found.append([])
                preprocessor.reset()
                reader.clock.reset()
            elif isinstance(sample, _Sample):
                values = reader.values(sample)
                preprocessor(values)
                reader.taken(sample)
                found[-1].append(values)
        except SampleError as e:
            raise SampleError(f"line {number}: {e}") from e
    if not any(found):
        raise SampleError("no line has a sample; expected CSV or JSON lines")
    return [np.array(samples, np.float64) for samples in found if samples]


class _Answering(Protocol):
    """Makes answers of lines. Each method returns the objects that can be given out now."""

    def sample(self, number: int, values: list[float]) -> list[dict[str, Any]]:
        """Raises SampleError."""

    def error(self, number: int, error: SampleError) -> list[dict[str, Any]]: ...

    def end(self) -> list[dict[str, Any]]:
        """The lines of the sequence that were held back."""


class _Stepwise:
    """Each sample is answered at once."""

    def __init__(self, session: Session):
        self._session = session
        self._scores = Scores(session.spec)

    def sample(self, number: int, values: list[float]) -> list[dict[str, Any]]:
        outputs = self._session.step(values)
        answer = _answer(self._session, number, outputs)
        return [answer | self._scores.of(values, outputs)]

    def error(self, number: int, error: SampleError) -> list[dict[str, Any]]:
        return [{"line": number, "error": str(error)}]

    def end(self) -> list[dict[str, Any]]:
        self._scores.reset()
        return []


class _Whole:
    """Samples are held and answered together at the end of their sequence.

    A line that can't be used is not part of the sequence. Its error line is held too.
    """

    def __init__(self, session: Session):
        self._session = session
        self._try = session.spec.inputs.preprocessor(np.float32, None, keep_last=False)
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
        self._samples = []
        self._errors = {}
        return [lines[number] for number in sorted(lines)]


def _answer(session: Session, number: int, outputs: NDArray[Any]) -> dict[str, Any]:
    return {"line": number, **answer_of(session, outputs, f"line {number}")}


def answer_of(session: Session, outputs: NDArray[Any], place: str) -> dict[str, Any]:
    """`describe` for outputs (O,).

    place: in the input, for the message. Raises BackendError if an output is not finite.
    """
    if not np.isfinite(outputs).all():
        raise BackendError(
            f"backend {session.backend.name!r} answered {place} "
            f"with values that are not finite: {outputs}"
        )
    return describe(session.spec, outputs)


class Scores:
    """The columns that an anomaly detector adds to the answers, none if the model has none."""

    def __init__(self, spec: ModelSpec):
        self._detector = AnomalyDetector(spec) if spec.detector else None

    def of(self, x: ArrayLike, outputs: NDArray[Any]) -> dict[str, Any]:
        """For every sample x (C,) and its answer (O,), in order."""
        if self._detector is None:
            return {}
        score, anomaly = self._detector(x, outputs)
        return {"score": None if np.isnan(score) else score, "anomaly": anomaly}

    def reset(self) -> None:
        if self._detector is not None:
            self._detector.reset()


class _Sample(NamedTuple):
    numbers: list[float]  # one for each channel, in raw units
    timed: bool  # whether the number of the channel dt is the time itself


class _Reader:
    """From lines to samples. The header and the time of the last sample are kept."""

    def __init__(self, inputs: Inputs):
        self.clock = Clock()
        self._inputs = inputs
        self._names = inputs.names  # of the numbers in a line of CSV
        self._columns: list[int] | None = None  # of these names, if there was a header
        self._awaits_header = True

    def read(self, text: str) -> _Sample | str | None:
        """A sample, RESET, or None (a blank line, the header). Raises SampleError, ConfigError."""
        line = text.strip().removeprefix("\ufeff").strip()
        if not line:
            return None
        if line[0] in "[{":
            return _from_json(line, self._inputs)
        cells = _cells(line)
        if self._awaits_header and _is_header(cells, self._inputs):
            self._names = _given(self._inputs, cells)
            if absent := [name for name in self._names if name not in cells]:
                has = reprlib.repr(cells)
                expected = list(self._names)
                wrong = f"the input's header lacks the channels {absent}"
                raise ConfigError(f"{wrong}; it has {has}; expected {expected}")
            self._columns = [cells.index(name) for name in self._names]
            self._awaits_header = False
            return None
        try:
            return self._from_csv(cells)
        except SampleError as e:
            raise SampleError(f"{e}{self._advice(line, cells)}") from None

    def values(self, sample: _Sample) -> list[float]:
        """One for each channel, in raw units. A time becomes the seconds since the last sample."""
        if not sample.timed:
            return sample.numbers
        place = self._inputs.names.index(self._inputs.elapsed)
        return [self.clock.since(x) if k == place else x for k, x in enumerate(sample.numbers)]

    def taken(self, sample: _Sample) -> None:
        """Note that a sample was used.

        No header can follow, because the order of the columns would have been a guess.
        """
        self._awaits_header = False
        if sample.timed:
            self.clock.take(sample.numbers[self._inputs.names.index(self._inputs.elapsed)])

    def _from_csv(self, cells: list[str]) -> _Sample:
        count = len(cells)
        columns = self._columns
        if columns is None:
            columns = list(range(len(self._names)))
            if count != len(columns):
                expected = f"{len(columns)} ({', '.join(self._names)})"
                raise SampleError(f"{count} values, expected {expected}")
        elif count <= max(columns):
            least = max(columns) + 1
            raise SampleError(f"{count} values, expected at least {least} as in the header")
        named = zip(columns, self._names, strict=True)
        numbers = [_number(cells[column], name, self._inputs) for column, name in named]
        return _Sample(numbers, self._names != self._inputs.names)

    def _advice(self, line: str, cells: list[str]) -> str:
        """Advice on a line of CSV that can't be used, or ""."""
        for name, separator in (("semicolons", ";"), ("tabs", "\t"), ("spaces", None)):
            parts = line.split(separator)
            if len(parts) > 1 and self._fits([part.strip() for part in parts]):
                return f"; between {name} it has {len(parts)}: separate them by commas"
        if self._awaits_header and not all(map(_is_number, cells)):
            return "; nor is it a header with the channels' names"
        return ""

    def _fits(self, cells: list[str]) -> bool:
        """Whether the cells make a header or a sample, perhaps with decimal commas."""
        if self._awaits_header and set(_given(self._inputs, cells)) <= set(cells):
            return True
        try:
            self._from_csv([cell.replace(",", ".") for cell in cells])
        except SampleError:
            return False
        return True


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line]))]
    except csv.Error as e:
        raise SampleError(f"not valid CSV ({e})") from None


def _is_header(cells: list[str], inputs: Inputs) -> bool:
    """Whether it names a channel or the time's column.

    If the names look like numbers, the line must have all channels.
    """
    known = {*inputs.names, *filter(None, [inputs.time_column])}
    named = known.intersection(cells)
    return named >= set(inputs.names) or not all(map(_is_number, named))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in _MISSING
    return True


def _given(inputs: Inputs, names: Container[str]) -> tuple[str, ...]:
    """The channels, with the time in the place of dt if `names` has the time and lacks dt."""
    elapsed = inputs.elapsed
    time = inputs.time_column
    timed = elapsed and elapsed not in names and time in names
    return tuple(time if timed and c == elapsed else c for c in inputs.names)


def _is_time(inputs: Inputs, name: str) -> bool:
    return bool(name) and name in (inputs.time_column, inputs.clock)


def _number(cell: str, channel: str, inputs: Inputs) -> float:
    if _is_time(inputs, channel):
        return seconds(cell, channel)
    if cell.lower() in _MISSING:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        raise SampleError(
            f"channel {channel!r} is {reprlib.repr(cell)}; expected a number"
        ) from None


def _from_json(line: str, inputs: Inputs) -> _Sample | str:
    """A sample, or RESET."""
    names = inputs.names
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise SampleError(f"not valid JSON ({e})") from None
    if isinstance(value, dict):
        if value.get(RESET) is True:
            return RESET
        names = _given(inputs, value)
        absent = [name for name in names if name not in value]
        if absent:
            raise SampleError(f"channels {absent} are missing; expected {list(names)}")
        value = [value[name] for name in names]
    if len(value) != len(names):
        raise SampleError(f"{len(value)} values, expected {len(names)} ({', '.join(names)})")
    if isinstance(inputs, Characters) and isinstance(value[0], str):
        value = [inputs.index(value[0])]
    for k, (name, item) in enumerate(zip(names, value, strict=True)):
        if _is_time(inputs, name):
            value[k] = seconds(item, name)
        elif item is not None and (isinstance(item, bool) or not isinstance(item, (int, float))):
            raise SampleError(f"channel {name!r} is {reprlib.repr(item)}; expected a number")
    try:
        numbers = [float("nan") if item is None else float(item) for item in value]
    except OverflowError as e:
        raise SampleError(f"a number is too large ({e})") from None
    return _Sample(numbers, names != inputs.names)
