"""From lines of text to samples: CSV, or JSON lines."""

from __future__ import annotations

import contextlib
import json
import reprlib
from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

from ..errors import ConfigError, SampleError
from ..inputs import Inputs
from ..inputs.characters import Characters
from ..inputs.text import SEPARATORS, TextForm, fitting_separator
from ..inputs.times import Clock
from ..shown import counted
from ..tasks import json_of

RESET = "reset"
ECHOED = ("id", "ts")
LONGEST_ECHO = 256  # characters of an "id" or "ts", in JSON


class Sample(NamedTuple):
    numbers: list[float]  # one for each channel, in raw units
    timed: bool  # whether the number of the channel dt is the time itself


Quick = Callable[[str], tuple[list[float], list[str]] | None]


class Reader:
    """From lines to samples. The header and the time of the last sample are kept.

    echo: what the answer to the latest line repeats of it, see `echo_of`.
    """

    def __init__(self, inputs: Inputs, form: TextForm | None = None):
        self.clock = Clock()
        self.echo: dict[str, Any] = {}
        self._inputs = inputs
        self._form = inputs.text if form is None else form
        self._awaits_header = True
        self._has_header = False
        self._channels_alone = False  # without a header, and not the form's columns
        self._alone = False  # the same of the latest line
        self._width = 0  # cells of a line, 0 if neither a header nor the form says it
        self._names: tuple[str, ...] = inputs.names  # of the numbers in a line
        self._places: list[list[int]] = []  # the cells of each
        self._columns = inputs.names  # of a line
        self._quick: Quick | None = None
        self._take_columns(self._form.columns)

    @property
    def header(self) -> dict[str, Any]:
        """What the lines so far have said of those to come, for JSON. Assigning restores it."""
        return {
            "columns": self._columns if self._has_header else None,
            "awaited": self._awaits_header,
            "channels alone": self._channels_alone,
            "alone": self._alone,
        }

    @header.setter
    def header(self, value: Mapping[str, Any]) -> None:
        if value["columns"] is not None:
            self._take_columns(tuple(value["columns"]))
            self._has_header = True
        self._awaits_header = value["awaited"]
        self._alone = value["alone"]
        self._channels_alone = value["channels alone"]
        if self._channels_alone:
            self._columns = self._inputs.names
        self._quick = None

    def quick(self) -> Quick | None:
        """`TextForm.quick` for the lines to come: a sample's numbers, as `read` would find them.

        None if a header may still come, or if a number is a time.
        """
        if self._awaits_header or any(_is_time(self._inputs, name) for name in self._names):
            return None
        if self._quick is None:
            alone = self._channels_alone or not self._width
            places = range(len(self._names)) if alone else [place for (place,) in self._places]
            self._quick = self._form.quick(places, len(places) if alone else self._width)
        return self._quick

    def read(self, text: str | SampleError) -> Sample | str | None:
        """A sample, RESET, or None (a blank line, a comment, the header).

        text: a line, or the reason why it is none. Raises SampleError, ConfigError.
        """
        self.echo = {}
        if isinstance(text, SampleError):
            raise text
        line = text.removeprefix("\ufeff").rstrip("\r\n")
        start = line.lstrip()[:1]
        if start in ("[", "{"):
            # Rarely, a header or a row of text begins like this. A list may hold a channel's name.
            with contextlib.suppress(SampleError, ConfigError):
                if self._width or self._is_header(self._form.cells(line)):
                    return self._from_text(line)
            return self._from_json(line)
        if self._form.is_comment(line):
            return None
        if not start and not self._is_gap:
            return None
        return self._from_text(line)

    def _from_json(self, line: str) -> Sample | str:
        """A sample, or RESET. Raises SampleError."""
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise SampleError(f"not valid JSON ({e})") from None
        if isinstance(value, dict):
            self.echo = echo_of(value, self._inputs)
        return sample_of(value, self._inputs)

    @property
    def _is_gap(self) -> bool:
        """Whether a blank line is an empty cell, the only one in its line."""
        before = self._awaits_header and not self._form.columns
        width = self._width or len(self._names)
        return width == 1 and self._inputs.fills_gaps and not before

    def _from_text(self, line: str) -> Sample | None:
        """A sample, or None for the header. Raises SampleError, ConfigError."""
        cells = self._form.cells(line)
        if self._awaits_header and self._is_header(cells):
            self._take_header(cells)
            return None
        try:
            return self._from_cells(cells)
        except SampleError as e:
            if not self._is_late_header(cells):
                raise SampleError(f"{e}{self._advice(line, cells)}") from None
            before = self._columns
            self._take_header(cells)
            if self._columns != before:
                listed = reprlib.repr(list(self._columns))
                changed = "a header with other columns than before"
                raise SampleError(f"{changed}; from here on they are {listed}") from None
            return None

    def _take_header(self, cells: list[str]) -> None:
        """Raises ConfigError."""
        while not cells[-1]:  # separators at the end of each line
            cells.pop()
        self._take_columns(tuple(cells))
        self._awaits_header = False
        self._has_header = True
        self._channels_alone = False
        self._quick = None

    def values(self, sample: Sample) -> list[float]:
        """One for each channel, in raw units. A time becomes the seconds since the last sample."""
        if not sample.timed:
            return sample.numbers
        place = self._inputs.names.index(self._inputs.elapsed)
        return [self.clock.since(x) if k == place else x for k, x in enumerate(sample.numbers)]

    def taken(self, sample: Sample) -> None:
        """Note that a sample was used. From now on, a header must have all channels."""
        if self._awaits_header and not self._has_header:
            self._channels_alone = self._alone
            if self._alone:
                self._columns = self._inputs.names
        self._awaits_header = False
        if sample.timed:
            self.clock.take(sample.numbers[self._inputs.names.index(self._inputs.elapsed)])

    def _take_columns(self, columns: tuple[str, ...]) -> None:
        """Take these as the columns of each line. () leaves the channels, in their order.

        Raises ConfigError if they lack a channel or have one twice.
        """
        if not columns:
            return
        names = _given(self._inputs, columns)
        absent = [n for n in names if not set(self._form.parts(n)) <= set(columns)]
        if absent:
            has = reprlib.repr(list(columns))
            wrong = f"the input's header lacks the channels {absent}"
            raise ConfigError(f"{wrong}; it has {has}; expected {list(names)}")
        for part in (part for n in names for part in self._form.parts(n)):
            if columns.count(part) > 1:
                wrong = f"the input's header has {part!r} {columns.count(part)} times"
                raise ConfigError(f"{wrong}; expected each channel once: rename the others")
        self._names = names
        self._columns = columns
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

    def _is_late_header(self, cells: list[str]) -> bool:
        """Whether it names all channels, once each: a board that has started again."""
        needed = [part for n in _given(self._inputs, cells) for part in self._form.parts(n)]
        return all(cells.count(part) == 1 for part in needed)

    def _is_number(self, cell: str) -> bool:
        try:
            self._form.number(cell)
        except ValueError:
            return False
        return True

    def _from_cells(self, cells: list[str]) -> Sample:
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
        return Sample(numbers, names != channels)

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


def echo_of(value: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The members "id" and "ts" of an object, for its answer. A channel of that name is none.

    Raises SampleError for one that is neither a text nor a number.
    """
    found = {name: value[name] for name in ECHOED if name in value and name not in inputs.names}
    for name, part in found.items():
        if not isinstance(part, (str, int, float)) and part is not None:
            raise SampleError(f"{name!r} is {reprlib.repr(part)}; expected a text or a number")
        try:
            size = len(json_of(part))
        except ValueError:
            raise SampleError(f"{name!r} is {part}; expected a finite number") from None
        if size > LONGEST_ECHO:
            raise SampleError(
                f"{name!r} has {size} characters; expected at most {LONGEST_ECHO} in JSON"
            )
    return found


def sample_of(value: Any, inputs: Inputs) -> Sample | str:
    """A list or an object of JSON as a sample, or RESET. Raises SampleError."""
    names = inputs.names
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
        raise SampleError(
            f"{counted(len(value), 'value')}, expected {len(names)} ({', '.join(names)})"
        )
    if isinstance(inputs, Characters) and isinstance(value[0], str):
        value = [inputs.index(value[0])]
    for k, (name, item) in enumerate(zip(names, value, strict=True)):
        if _is_time(inputs, name):
            value[k] = inputs.text.times.seconds(item, name)
        elif item is not None and (isinstance(item, bool) or not isinstance(item, (int, float))):
            raise SampleError(f"channel {name!r} is {reprlib.repr(item)}; expected a number")
        elif inputs.text.is_gap(item):
            value[k] = None
    try:
        numbers = [float("nan") if item is None else float(item) for item in value]
    except OverflowError as e:
        raise SampleError(f"a number is too large ({e})") from None
    return Sample(numbers, names != inputs.names)


def _joined(form: TextForm, values: Mapping[str, Any]) -> dict[str, str]:
    """The time that two columns make together, if they are there."""
    if not form.time or not all(isinstance(values.get(part), str) for part in form.time):
        return {}
    return {form.time_name: " ".join(values[part] for part in form.time)}
