"""Tables, of whatever file, and the meaning of their columns.

Rows are counted from 1, without the header.
"""

from __future__ import annotations

import dataclasses
import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from edge_lstm_runtime.errors import DataError

from ..config.base import Contradiction, Names
from ..config.sections import Asked, Whole
from ..config.transforms import CalendarConfig, Derivation
from . import calendars, columns, known_anomalies, known_future
from .derived import DerivedSection
from .files import FileSection, first_line, locate
from .known_future import KnownSection
from .recordings import Recording

Channels = Annotated[Names, Field(description="the names of the input columns")]


@dataclasses.dataclass(frozen=True)
class Columns:
    """The meaning of a table's columns, as the keys of `TableSection` give it.

    targets   the columns to answer
    future    the values of later rows that are further channels
    clock     whether the times are a channel, before dt. "calendar": they must be dates
    unlabelled whether a cell of the label column may be blank
    keep_time whether the recordings keep their times
    """

    channels: tuple[str, ...]
    targets: tuple[str, ...] = ()
    future: known_future.Future = ()
    label: str | None = None
    unlabelled: bool = False
    group: str | None = None
    time: str | None = None
    time_back: str = "refuse"
    missing: str = "refuse"
    dt: bool = False
    clock: Literal["", "seconds", "calendar"] = ""
    keep_time: bool = False

    @property
    def named(self) -> Iterator[tuple[str, str]]:
        """Each column with the key that names it, in words."""
        yield from ((name, "channels in [data]") for name in self.channels)
        yield from ((name, "targets in [model]") for name in self.targets)
        timed = self.keep_time or self.dt or self.clock or self.time_back == "refuse"
        for key in ("label", "group", *(["time"] if timed else [])):
            if name := getattr(self, key):
                yield name, f"{key} in [data]"


class TableSection(FileSection, KnownSection, DerivedSection):
    """[data] of the sources that are a table, or a folder of tables, one for each recording.

    channels   the columns that are the model's inputs, in order
    time       column of datetimes or numbers. It must increase within a recording
    time_back  if it doesn't (a clock set back): "refuse", or "keep" the rows in the file's order
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

    channels: Channels
    time: str | None = None
    time_back: Literal["refuse", "keep"] = "refuse"
    label: str | None = None
    group: str | None = None
    dt: bool | Annotated[str, Field(min_length=1)] = False
    known_anomalies: str | None = None
    calendar: CalendarConfig | None = None

    @abstractmethod
    def table(self, path: Path) -> pl.DataFrame:
        """The table of a file. Raises DataError."""

    def header(self, path: Path) -> pl.DataFrame | None:  # noqa: ARG002
        """A table of no rows with a file's columns, None if they are known after reading it all.

        Raises DataError.
        """
        return None

    def check(self, asked: Asked) -> None:
        """The columns of every file, before the first one is read to its end."""
        super().check(asked)
        for file, _ in self._tables(asked):
            if (frame := self.header(file)) is not None:
                for name, key in self._columns(asked).named:
                    columns.column(frame, name, key, str(file))

    def _tables(self, asked: Asked) -> Iterator[tuple[Path, str | None]]:
        """Each file with its part."""
        for path, part in self.files(asked.folder):
            files = [path]
            if path.is_dir() and not (files := sorted(path.glob(f"*.{self.source}"))):
                expected = "expected one per recording"
                raise DataError(f"{path}: the folder has no *.{self.source} file; {expected}")
            for file in files:
                yield file, part

    def read(self, asked: Asked) -> list[Recording]:
        found = []
        for file, part in self._tables(asked):
            found += recordings(self.table(file), file, self._columns(asked), part)
        if self.known_anomalies is None:
            return found
        return known_anomalies.marked(found, locate(self.known_anomalies, asked.folder))

    def _columns(self, asked: Asked) -> Columns:
        keys = ("channels", "label", "group", "time", "time_back", "missing")
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
        clock = self.time if self._clock and self.time else ""
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
        clock = {"dt": self.dt_name, "time": self.time} if self.dt else {}
        return {**super().described, **clock}

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        if config.model.needs_labels and self.label is None:
            expected = f"expected the name of the label column, for task {config.model.task!r}"
            yield ("data", "label"), expected
        yield from self._rules_of_time()
        if self.calendar is not None:
            for key, problem in (*self.calendar.problems(), *calendars.unknown(self.calendar)):
                yield ("data", "calendar", key), problem

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
            if self.dt_name in (*self.channels, self.time):
                new = f"expected a new name, and {self.dt_name!r} is in `channels` or `time`"
                yield ("data", "dt"), new
            if self.time in self.channels:
                made = "`dt` is made" if self.dt else "further inputs are made"
                among = f"expected no {self.time!r}, the `time` from which {made}, among them"
                yield ("data", "channels"), among


def recordings(
    frame: pl.DataFrame, path: Path, meaning: Columns, part: str | None
) -> list[Recording]:
    """The recordings in a table. path: its file, whose stem names them. Raises DataError."""
    where = str(path)
    if not len(frame):
        expected = "expected a header and at least one row of samples"
        raise DataError(f"{where}: the file is empty (no rows); {expected}")
    x = _numbers(frame, meaning.channels, "channels in [data]", where, meaning.missing)
    label = y = time = None
    if meaning.label:
        cells = columns.column(frame, meaning.label, "label in [data]", where)
        label = columns.labels(cells, where, blank=meaning.unlabelled)
    if meaning.targets:  # if a cell is blank, the truth of its step is unknown
        y = _numbers(frame, meaning.targets, "targets in [model]", where, "mask")
    if meaning.time and (meaning.keep_time or meaning.dt or meaning.clock):
        cells = columns.column(frame, meaning.time, "time in [data]", where)
        dates = meaning.clock == "calendar"
        time = columns.since_1970(cells, where) if dates else columns.seconds(cells, where)
    found = []
    for group, rows in _groups(frame, meaning.group, path):
        if meaning.time and meaning.time_back == "refuse":
            shown = columns.column(frame, meaning.time, "time in [data]", where)
            times = columns.times(shown, where)[rows]
            columns.check_increasing(times, rows, shown, where, equal=meaning.dt)
        name = path.stem if meaning.group is None else f"{path.stem}:{group}"
        of_rows = {"labels": label, "y": y, "time": time}
        own: dict[str, Any] = {k: v[rows] for k, v in of_rows.items() if v is not None}
        values = known_future.with_future(x[rows], meaning.channels, meaning.future)
        recording = Recording(name, group, values, part=part, file=path, **own)
        found.append(_with_times(recording, meaning))
    return found


def read_csv(
    path: Path, separator: str = ",", names: tuple[str, ...] | None = None
) -> pl.DataFrame:
    """A table with all cells as text. Raises DataError.

    separator: a space stands for any number of them. names: of all columns, if there is no header.
    """
    try:
        content = path.read_bytes()
        if not content.strip():
            expected = "expected a header and at least one row of samples"
            raise DataError(f"{path}: the file is empty; {expected}")
        if separator == " ":  # as in tables that people look at
            lines = [re.sub(rb"[ \t]+", b" ", line.strip()) for line in content.splitlines()]
            content = b"\n".join(lines)
        # As text, so that a cell that is no number can be shown with its row.
        header = names is None
        frame = pl.read_csv(content, separator=separator, has_header=header, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as e:
        raise unreadable(path, "CSV", e) from e
    if names is None:
        return frame
    if len(frame.columns) != len(names):
        raise DataError(
            f"{path}: rows have {len(frame.columns)} columns, and `columns` in [data] names "
            f"{len(names)}; expected as many names as columns, and the right `separator` "
            f"(it is {separator!r})"
        )
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def unreadable(path: Path, kind: str, error: BaseException) -> DataError:
    """The error for a file that can't be read as a `kind`."""
    expected = "expected a table with the same columns in every row"
    return DataError(f"{path}: can't be read as {kind}: {first_line(error)}; {expected}")


def _numbers(
    frame: pl.DataFrame, names: tuple[str, ...], key: str, where: str, missing: str
) -> NDArray[np.float64]:
    """(T, names)."""
    found = [columns.numbers(columns.column(frame, n, key, where), where, missing) for n in names]
    return np.stack(found, axis=1)


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


def _groups(
    frame: pl.DataFrame, column: str | None, path: Path
) -> list[tuple[str, NDArray[np.int64]]]:
    """Each group and its rows, in the file's order. Groups are in the order of their first rows."""
    if column is None:
        return [(path.stem, np.arange(len(frame)))]
    names = columns.labels(columns.column(frame, column, "group in [data]", str(path)), str(path))
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    return [(str(names[first[k]]), np.flatnonzero(inverse == k)) for k in np.argsort(first)]
