"""Tables, of whatever file, and the meaning of their columns.

Rows are counted from 1, without the header.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.text import TextForm

from ..config.base import Contradiction, Names, repeated
from ..config.sections import Asked, Whole
from ..config.transforms import CalendarConfig, Derivation
from . import calendars, known_anomalies, known_future
from .columns import Columns
from .derived import DerivedSection
from .files import FileSection, first_line, locate
from .folders import Files, files_in, named_parts, parts_of, stem
from .known_future import KnownSection
from .recordings import Recording
from .steps import with_notes, without_times
from .table import Table, Wanted, check_increasing, check_values
from .time_forms import TimeSection, with_times

if TYPE_CHECKING:
    import polars as pl

Channels = Annotated[Names, Field(description="the names of the input columns")]


class TableSection(TimeSection, FileSection, KnownSection, DerivedSection):
    """[data] of the sources that are a table, or a folder of tables, one for each recording.

    pattern    what the whole of a file's name looks like, a regular expression. The name is without
               its ending. In a subfolder it is "subfolder/file". Its part (?P<label>...) is the
               class, and (?P<group>...) the group
    channels   the columns that are the model's inputs, in order
    missing_values  further words for a missing value, such as "fehlt", and numbers, such as -200.
               An empty cell, NaN, "na", "n/a", "null", "none", "?" and "-" always are
    time_back  if the time doesn't increase within a recording (a clock set back): "refuse", or
               "keep" the rows in the file's order
    label      column of the class. A change of the label cuts the recording into sequences
    group      column that cuts a file into recordings (a subject, an engine)
    dt         a further input, the seconds since the row before (0 for the first), on a
               logarithmic scale: true, or its name. Rows may then have the same time
    calendar   [data.calendar]: further inputs, the hour, the weekday and so on, of `time`
    known_anomalies  a JSON file {"FILE": [[start, end], ...]}. FILE is relative to its folder
    """

    PATHS: ClassVar[tuple[str, ...]] = (*FileSection.PATHS, "known_anomalies")
    FOLDERS = True
    FOR_TASKS: ClassVar[tuple[str, ...]] = (*DerivedSection.FOR_TASKS, "known_anomalies")
    has_columns = True
    KEPT = True

    pattern: str | None = None
    channels: Channels
    missing_values: tuple[str | float, ...] = ()
    time_back: Literal["refuse", "keep"] = "refuse"
    label: str | None = None
    group: str | None = None
    dt: bool | Annotated[str, Field(min_length=1)] = False
    known_anomalies: str | None = None
    calendar: CalendarConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _stratified(cls, values: Any) -> Any:
        """Groups whose class a file's name tells are stratified, unless the file says no."""
        split = values.get("split") if isinstance(values, Mapping) else None
        if not isinstance(split, Mapping) or split.get("by") != "group" or "stratify" in split:
            return values
        pattern = values.get("pattern")
        if not isinstance(pattern, str) or "label" not in named_parts(pattern)[0]:
            return values
        return {**values, "split": {**split, "stratify": True}}

    @property
    def form(self) -> TextForm:
        """The form of a text with these columns."""
        pair = self.time_columns if len(self.time_columns) > 1 else ()
        return TextForm(missing=tuple(map(str, self.missing_values)), time=pair)

    @abstractmethod
    def table(self, path: Path, wanted: Wanted) -> Table:
        """The columns of a file, with the form that the configuration gives. Raises DataError."""

    @abstractmethod
    def check_columns(self, path: Path, wanted: Wanted) -> None:
        """Raise DataError if a file lacks a column. Its rows are not read."""

    def check(self, asked: Asked) -> None:
        """The columns of every file, before the rows of the first one."""
        super().check(asked)
        wanted = self._columns(asked).wanted
        for path, _ in self.files(asked.folder):
            for file, _ in self._files_at(path).found:
                self.check_columns(file, wanted)

    def read(self, asked: Asked) -> list[Recording]:
        meaning = self._columns(asked)
        named = list(self._tables(asked, meaning))
        timed = self.timed([table for table, _, _ in named])
        found: list[Recording] = []
        for table, (_, name, part) in zip(timed, named, strict=True):
            found += self._recordings(table, meaning, part, name)
        return self.finished(found, asked)

    def each(self, asked: Asked) -> Iterator[Recording]:
        """Raises DataError if the times of one file alone don't tell their form."""
        meaning = self._columns(asked)
        form = None
        for table, name, part in self._tables(asked, meaning):
            (timed,) = self.timed([table])
            if form not in (None, timed.form):
                raise DataError(f"{table.path}: its times are written in another form")
            form = timed.form
            yield from self._recordings(timed, meaning, part, name)

    def finished(self, found: list[Recording], asked: Asked) -> list[Recording]:
        """With notes on the times, and the known anomalies."""
        meaning = self._columns(asked)
        if meaning.time:
            noted = with_notes(found, self.time_name, dt=bool(self.dt))
            found = noted if meaning.needs_times else without_times(noted)
        if self.known_anomalies is None:
            return found
        return known_anomalies.marked(found, locate(self.known_anomalies, asked.folder))

    def _tables(self, asked: Asked, meaning: Columns) -> Iterator[tuple[Table, str, str | None]]:
        """Each file's table, its name and its part."""
        for path, part in self.files(asked.folder):
            files = self._files_at(path)
            note = files.note
            for file, name in files.found:
                table = self.table(file, meaning.wanted)
                if note:
                    table = dataclasses.replace(table, notes=(note, *table.notes))
                    note = ""
                yield table, name, part

    def _recordings(
        self, table: Table, meaning: Columns, part: str | None, name: str
    ) -> list[Recording]:
        made = timed_recordings(table, meaning, part, name)
        return [self._with_parts(recording, name) for recording in made]

    def read_frame(self, frame: pl.DataFrame, asked: Asked, *, answered: bool) -> list[Recording]:
        from .frames import table_of

        meaning = self._columns(asked)
        if not answered:
            meaning = dataclasses.replace(meaning, targets=(), label=None)
        wanted = meaning.wanted
        wanted.check(frame.columns, "the frame")
        table = table_of(frame.select(list(wanted.keys)), Path("the frame"), self.form, wanted)
        return timed_recordings(self.timed([table])[0], meaning, None, "the frame")

    def _files_at(self, path: Path) -> Files:
        """The files of a folder, or the one file."""
        if path.is_dir():
            return files_in(path, self.endings)
        return Files([(path, stem(path))], "")

    def _with_parts(self, recording: Recording, name: str) -> Recording:
        """With the label and the group that the file's name gives."""
        assert recording.file is not None
        parts = parts_of(self.pattern, name, recording.file)
        changes: dict[str, Any] = {}
        if (label := parts.get("label")) is not None:
            changes["labels"] = np.full(len(recording.x), label)
        if (group := parts.get("group")) is not None:
            changes["group"] = group
        return dataclasses.replace(recording, **changes) if changes else recording

    @property
    def endings(self) -> tuple[str, ...]:
        """Of the files that a folder is read for."""
        return (f".{self.source}",)

    def timed(self, tables: Iterable[Table]) -> list[Table]:
        """The tables with the form of their times. Raises DataError if it is not clear."""
        return with_times(list(tables), self)

    def _columns(self, asked: Asked) -> Columns:
        keys = ("channels", "label", "group", "time_back", "missing")
        keep = self.known_anomalies is not None
        named = {key: getattr(self, key) for key in keys}
        future = self.future(asked.steps_ahead)
        return Columns(
            targets=asked.targets,
            unlabelled=asked.unlabelled,
            future=future,
            dt=bool(self.dt),
            clock=self._clock,
            keep_time=keep,
            time=self.time_columns,
            **named,
        )

    @property
    def _clock(self) -> Literal["", "seconds", "calendar"]:
        """Whether the times are a channel, as of `Columns`."""
        if self.calendar is not None:
            return "calendar"
        timed = any(table.seconds is not None for table in self.transforms or ())
        return "seconds" if timed and not self.dt else ""

    @property
    def derivation(self) -> Derivation:
        clock = self.time_name if self._clock else ""
        return Derivation(self.transforms or (), self.drop or (), self.calendar, clock)

    @property
    def named_channels(self) -> tuple[str, ...]:
        return self.channels

    def inputs(self, asked: Asked, width: int) -> tuple[str, ...]:  # noqa: ARG002
        future = known_future.names(self.future(asked.steps_ahead))
        made = filter(None, [self.derivation.clock, self.dt_name])
        return (*self.channels, *future, *made)

    @property
    def dt_name(self) -> str:
        return self.dt if isinstance(self.dt, str) else "dt" if self.dt else ""

    @property
    def described(self) -> dict[str, object]:
        clock = {"dt": self.dt_name, "time": self.time_name} if self.dt else {}
        return {**super().described, **clock}

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        if repeated(tuple(map(str, self.missing_values))):
            yield ("data", "missing_values"), "expected each word and number once"
        yield from self._rules_of_labels(config)
        yield from self._rules_of_time()
        if self.calendar is not None:
            for key, problem in (*self.calendar.problems(), *calendars.unknown(self.calendar)):
                yield ("data", "calendar", key), problem

    def _rules_of_labels(self, config: Whole) -> Iterator[Contradiction]:
        parts, problem = named_parts(self.pattern)
        if problem:
            yield ("data", "pattern"), problem
            return
        if config.model.needs_labels and self.label is None and "label" not in parts:
            expected = f"expected the name of the label column, for task {config.model.task!r}"
            yield ("data", "label"), f"{expected}, or a `pattern` with (?P<label>...)"
        for key in ("label", "group"):
            name = getattr(self, key)
            if name is not None and key in parts:
                both = f"`pattern` in [data] has a part (?P<{key}>...) too"
                yield ("data", key), f"{both}; remove one of them"
            if name is not None and name in self.channels:
                leak = f"has {name!r}, the `{key}`, which a board won't have"
                yield ("data", "channels"), f"{leak}; take it out"

    def _rules_of_time(self) -> Iterator[Contradiction]:
        if self.time is None:
            time = "expected the name of the time column"
            if self.known_anomalies is not None:
                yield ("data", "time"), f"{time}, in which `known_anomalies` are told"
            if self.dt:
                yield ("data", "time"), f"{time}, from which `dt` is made"
            if self.calendar is not None:
                yield ("data", "time"), f"{time}, from which [data.calendar] is made"
            if self._clock == "seconds":
                yield ("data", "time"), f"{time}, for the `seconds` of [[data.transforms]]"
            if "time_back" in self.model_fields_set:
                alone = "has no meaning without `time`; add `time`, or remove it"
                yield ("data", "time_back"), alone
        elif self.dt or self._clock:
            if self.dt_name in (*self.channels, self.time_name, *self.time_columns):
                new = f"expected a new name, and {self.dt_name!r} is in `channels` or `time`"
                yield ("data", "dt"), new
            if among_channels := [name for name in self.time_columns if name in self.channels]:
                made = "`dt` is made" if self.dt else "further inputs are made"
                name = among_channels[0]
                among = f"expected no {name!r}, the `time` from which {made}, among them"
                yield ("data", "channels"), among


def recordings(table: Table, meaning: Columns, part: str | None) -> list[Recording]:
    """The recordings in a table. Its file's stem names them. Raises DataError."""
    found = timed_recordings(table, meaning, part, stem(table.path))
    if meaning.needs_times:
        return found
    return [dataclasses.replace(recording, time=None) for recording in found]


def timed_recordings(
    table: Table, meaning: Columns, part: str | None, name: str
) -> list[Recording]:
    """The same with their times, if there is a column of times. name: of the table."""
    path = table.path
    x = _numbers(table, meaning.channels, meaning.missing)
    labels = y = time = None
    if meaning.label:
        labels = table.texts[meaning.label]
        if not meaning.unlabelled:
            table.check_labels(meaning.label)
    if meaning.targets:  # if a cell is blank, the truth of its step is unknown
        y = _numbers(table, meaning.targets, "mask")
    if meaning.time:
        time = table.seconds(since_1970=meaning.clock == "calendar")
    found: list[Recording] = []
    for group, rows in _groups(table, meaning.group, name):
        if time is not None and meaning.time_back == "refuse":
            check_increasing(time[rows], rows, table, equal=meaning.dt)
        of_rows = {"labels": labels, "y": y, "time": time}
        own: dict[str, Any] = {k: v[rows] for k, v in of_rows.items() if v is not None}
        own |= {"part": part, "file": path, "form": table.form}
        own["notes"] = () if found else table.notes
        if meaning.group is not None:
            own["rows"] = rows + 1
        values = known_future.with_future(x[rows], meaning.channels, meaning.future)
        title = name if meaning.group is None else f"{name}:{group}"
        recording = Recording(title, group, values, **own)
        found.append(_with_times(recording, meaning))
    return found


def unreadable(path: Path, kind: str, error: BaseException) -> DataError:
    """The error for a file that can't be read as a `kind`."""
    expected = "expected a table with the same columns in every row"
    return DataError(f"{path}: can't be read as {kind}: {first_line(error)}; {expected}")


def _numbers(table: Table, names: tuple[str, ...], missing: str) -> NDArray[np.float64]:
    """(T, names)."""
    for name in names:  # one column after the other, so that the message is of the first one
        check_values(table.numbers[name][:, None], (name,), str(table.path), missing)
    return np.stack([table.numbers[name] for name in names], axis=1)


def _with_times(recording: Recording, meaning: Columns) -> Recording:
    """With the times as a further channel, then the seconds since the row before.

    These are 0 if the clock was set back.
    """
    time = recording.time
    x = [recording.x]
    if meaning.clock:
        assert time is not None
        x.append(time[:, None])
    if meaning.dt:
        assert time is not None
        x.append(np.maximum(np.diff(time, prepend=time[:1]), 0)[:, None])
    return dataclasses.replace(recording, x=np.hstack(x)) if len(x) > 1 else recording


def _groups(table: Table, column: str | None, name: str) -> list[tuple[str, Any]]:
    """Each group and its rows, in the file's order. Groups are in the order of their first rows.

    name: of the only group, if no column names them.
    """
    if column is None:
        return [(name, np.arange(table.rows))]
    table.check_labels(column)
    names, first, inverse = np.unique(table.texts[column], return_index=True, return_inverse=True)
    return [(str(names[k]), np.flatnonzero(inverse == k)) for k in np.argsort(first)]
