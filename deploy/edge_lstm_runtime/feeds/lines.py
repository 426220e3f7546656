"""Samples as lines of text: CSV or JSON lines in, one JSON line out for each, in the same order."""

from __future__ import annotations

import contextlib
import json
import reprlib
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..detector import AnomalyDetector
from ..errors import BackendError, ConfigError, SampleError
from ..inputs import Inputs
from ..inputs.characters import Characters
from ..inputs.text import SEPARATORS, TextForm, fitting_separator
from ..inputs.times import Clock
from ..model.spec import ModelSpec, describe
from ..session import Session

RESET = "reset"


def answers(
    session: Session,
    lines: Iterable[str],
    reset_every: int = 0,
    *,
    form: TextForm | None = None,
    skip_rows: int = 0,
) -> Iterator[dict[str, Any]]:
    """One object for every line: {"line": n, ...answer} or {"line": n, "error": "..."}.

    A line of text has exactly one number for each channel, in raw units, written as the inputs'
    `text` says (commas between them, unless the training file was another). If a header has named
    the channels, other columns are ignored.
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
    form: of the lines; the inputs' own if left out. skip_rows: lines before the header.
    Raises ConfigError if the header lacks a channel, and BackendError if the backend fails.
    """
    reader = _Reader(session.spec.inputs, form)
    answering: _Answering = _Whole(session) if session.spec.whole else _Stepwise(session)
    samples = 0  # since the last reset
    for number, text in enumerate(lines, start=1):
        if number <= skip_rows:
            continue
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


def recordings(
    inputs: Inputs, lines: Iterable[str], skip_rows: int = 0
) -> list[NDArray[np.float64]]:
    """All samples, (T, C) in raw units for each recording. A line {"reset": true} ends one.

    skip_rows: lines before the header.
    Raises SampleError for a line that can't be used, with its number, and if there is no sample.
    """
    reader = _Reader(inputs)
    preprocessor = inputs.preprocessor(np.float32, None, keep_last=False)
    found: list[list[list[float]]] = [[]]
    for number, text in enumerate(lines, start=1):
        if number <= skip_rows:
            continue
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

    def __init__(self, inputs: Inputs, form: TextForm | None = None):
        self.clock = Clock()
        self._inputs = inputs
        self._form = inputs.text if form is None else form
        self._awaits_header = True
        self._has_header = False
        self._channels_alone = False  # without a header, and not the form's columns
        self._alone = False  # the same of the latest line
        self._width = 0  # cells of a line, 0 if neither a header nor the form says it
        self._names: tuple[str, ...] = inputs.names  # of the numbers in a line
        self._places: list[list[int]] = []  # the cells of each
        self._take_columns(self._form.columns)

    def read(self, text: str) -> _Sample | str | None:
        """A sample, RESET, or None (a blank line, a comment, the header).

        Raises SampleError, ConfigError.
        """
        line = text.removeprefix("\ufeff").rstrip("\r\n")
        start = line.lstrip()[:1]
        if start in ("[", "{"):
            # Rarely, a header or a row of text begins like this.
            with contextlib.suppress(SampleError):
                if self._width or self._is_header(self._form.cells(line)):
                    return self._from_text(line)
            return _from_json(line, self._inputs)
        if self._form.is_comment(line):
            return None
        if not start and not self._is_gap:
            return None
        return self._from_text(line)

    @property
    def _is_gap(self) -> bool:
        """Whether a blank line is an empty cell, the only one in its line."""
        before = self._awaits_header and not self._form.columns
        width = self._width or len(self._names)
        return width == 1 and self._inputs.fills_gaps and not before

    def _from_text(self, line: str) -> _Sample | None:
        """A sample, or None for the header. Raises SampleError, ConfigError."""
        cells = self._form.cells(line)
        if self._awaits_header and self._is_header(cells):
            while not cells[-1]:  # separators at the end of each line
                cells.pop()
            self._take_columns(tuple(cells))
            self._awaits_header = False
            self._has_header = True
            return None
        try:
            return self._from_cells(cells)
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
        if self._awaits_header and not self._has_header:
            self._channels_alone = self._alone
        self._awaits_header = False
        if sample.timed:
            self.clock.take(sample.numbers[self._inputs.names.index(self._inputs.elapsed)])

    def _take_columns(self, columns: tuple[str, ...]) -> None:
        """Take these as the columns of each line. () leaves the channels, in their order.

        Raises ConfigError if they lack a channel.
        """
        if not columns:
            return
        names = _given(self._inputs, columns)
        absent = [n for n in names if not set(self._form.parts(n)) <= set(columns)]
        if absent:
            has = reprlib.repr(list(columns))
            wrong = f"the input's header lacks the channels {absent}"
            raise ConfigError(f"{wrong}; it has {has}; expected {list(names)}")
        self._names = names
        self._width = len(columns)
        self._places = [[columns.index(part) for part in self._form.parts(n)] for n in names]

    def _is_header(self, cells: list[str]) -> bool:
        """Whether it names a channel or the time's column.

        If the names look like numbers, the line must have all channels.
        """
        inputs = self._inputs
        times = self._form.parts(inputs.time_column) if inputs.time_column else ()
        channels = {part for name in inputs.names for part in self._form.parts(name)}
        named = {*channels, *times}.intersection(cells)
        return named >= channels or any(not self._is_number(name) for name in named)

    def _is_number(self, cell: str) -> bool:
        try:
            self._form.number(cell)
        except ValueError:
            return False
        return True

    def _from_cells(self, cells: list[str]) -> _Sample:
        names = self._names
        places = self._places
        width = self._width
        channels = self._inputs.names
        # A text without a header has all columns of the training file or the channels alone. The
        # first sample decides.
        alone = len(cells) == len(channels) != width and self._awaits_header
        if not width or alone or self._channels_alone:
            names = channels
            width = len(channels)
            places = [[k] for k in range(width)]
        try:
            cells = self._form.fitted(cells, width)
        except SampleError as e:
            listed = "as in the header" if self._has_header else f"({', '.join(channels)})"
            raise SampleError(f"{e} {listed}") from None
        self._alone = alone
        numbers = [
            self._number(" ".join(cells[k] for k in where), name)
            for where, name in zip(places, names, strict=True)
        ]
        return _Sample(numbers, names != channels)

    def _number(self, cell: str, channel: str) -> float:
        if _is_time(self._inputs, channel):
            return self._form.times.seconds(cell, channel)
        try:
            return self._form.number(cell)
        except ValueError:
            raise SampleError(
                f"channel {channel!r} is {reprlib.repr(cell)}; expected a number"
            ) from None

    def _advice(self, line: str, cells: list[str]) -> str:
        """Advice on a line that can't be used, or ""."""
        if (other := fitting_separator(line, self._form, self._fits)) is not None:
            count = len(other.cells(line))
            mine = SEPARATORS[self._form.separator]
            theirs = SEPARATORS[other.separator]
            option = f"--separator {other.separator!r}"
            return f"; between {theirs} it has {count}: separate them by {mine}, or see {option}"
        if self._awaits_header and not all(map(self._is_number, cells)):
            return "; nor is it a header with the channels' names"
        return ""

    def _fits(self, cells: list[str]) -> bool:
        """Whether the cells make a header or a sample, perhaps with another decimal mark."""
        needed = {part for n in _given(self._inputs, cells) for part in self._form.parts(n)}
        if self._awaits_header and needed <= set(cells):
            return True
        mark = self._form.decimal
        try:
            self._from_cells([cell.replace({".": ",", ",": "."}[mark], mark) for cell in cells])
        except SampleError:
            return False
        return True


def _given(inputs: Inputs, names: Container[str]) -> tuple[str, ...]:
    """The channels, with the time in the place of dt if `names` has the time and lacks dt."""
    elapsed = inputs.elapsed
    time = inputs.time_column
    there = time in names or all(part in names for part in inputs.text.parts(time))
    timed = elapsed and elapsed not in names and time and there
    return tuple(time if timed and c == elapsed else c for c in inputs.names)


def _is_time(inputs: Inputs, name: str) -> bool:
    return bool(name) and name in (inputs.time_column, inputs.clock)


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
        value = {**value, **_joined(inputs.text, value)}
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
            value[k] = inputs.text.times.seconds(item, name)
        elif item is not None and (isinstance(item, bool) or not isinstance(item, (int, float))):
            raise SampleError(f"channel {name!r} is {reprlib.repr(item)}; expected a number")
    try:
        numbers = [float("nan") if item is None else float(item) for item in value]
    except OverflowError as e:
        raise SampleError(f"a number is too large ({e})") from None
    return _Sample(numbers, names != inputs.names)


def _joined(form: TextForm, values: Mapping[str, Any]) -> dict[str, str]:
    """The time that two columns make together, if they are there."""
    if not form.time or not all(isinstance(values.get(part), str) for part in form.time):
        return {}
    return {form.time_name: " ".join(values[part] for part in form.time)}
