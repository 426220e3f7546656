"""The keys of [data] for the column of times, and what its cells turn out to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from edge_lstm_runtime.errors import BundleError, DataError
from edge_lstm_runtime.inputs.times import Times

from ..config.base import Contradiction, Names
from ..config.sections import DataSection, Whole
from .calendars import span, zone_named, zone_table
from .recognized_times import recognized
from .table import Table


class TimeSection(DataSection):
    """[data]: the times of rows.

    time         the column of datetimes or numbers, or two columns, a date and a time of day. The
                 times must increase within a recording
    time_format  of dates, in the letters of strptime ("%d.%m.%Y %H:%M"). If left out, ISO 8601, or
                 another one if the whole column fits it alone
    time_unit    of numbers: "s", "ms", "us" or "ns". If left out, seconds
    time_zone    of datetimes that name none, such as "Europe/Berlin". If left out, UTC
    """

    time: str | Names | None = None
    time_format: Annotated[str, Field(min_length=1)] | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_zone: str | None = None

    @property
    def time_columns(self) -> tuple[str, ...]:
        return (self.time,) if isinstance(self.time, str) else self.time or ()

    @property
    def time_name(self) -> str:
        """The name of the time, "" if there is none."""
        return " ".join(self.time_columns)

    @property
    def given_times(self) -> Times:
        return Times(self.time_format or "", self.time_unit or "s")

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        if isinstance(self.time, tuple) and len(set(self.time)) != 2:
            yield ("data", "time"), "expected a column, or two of them: a date and a time of day"
        try:
            Times(self.time_format or "")
        except BundleError as e:
            yield ("data", "time_format"), str(e)
        if self.time_zone is not None:
            try:
                zone_named(self.time_zone)
            except DataError as e:
                yield ("data", "time_zone"), str(e)
        if self.time is None:
            for key in ("time_format", "time_unit", "time_zone"):
                if key in self.model_fields_set:
                    alone = "has no meaning without `time`; add `time`, or remove it"
                    yield ("data", key), alone


def with_times(tables: list[Table], section: TimeSection) -> list[Table]:
    """The tables with the form of their times, the same for all. Raises DataError."""
    told = [t for t in tables if t.times is not None and t.times.seconds is None]
    if not told:
        return tables
    form = _form(told, section)
    if section.time_zone is not None:
        form = dataclasses.replace(form, zone=_zone(told, form, section.time_zone))
    return [dataclasses.replace(t, form=dataclasses.replace(t.form, times=form)) for t in tables]


def _form(tables: list[Table], section: TimeSection) -> Times:
    for table in tables:
        _check_blanks(table)
    try:
        return _of([cell for table in tables for cell in _cells(table)], tables[0], section)
    except DataError:
        for table in tables if len(tables) > 1 else ():  # so that the message is of its own file
            _of(_cells(table), table, section)
        raise


def _of(cells: Sequence[str], table: Table, section: TimeSection) -> Times:
    set_ = section.time_unit is not None
    name = section.time_name
    return recognized(cells, section.given_times, str(table.path), name, unit_set=set_)


def _cells(table: Table) -> Sequence[str]:
    assert table.times is not None
    return table.times.cells


def _check_blanks(table: Table) -> None:
    blank = next((row for row, cell in enumerate(_cells(table), 1) if not cell.strip()), 0)
    if blank:
        assert table.times is not None
        raise DataError(
            f"{table.path}: time column {table.times.name!r}, row {blank}: there is no time; "
            "expected one in every row; correct the cell, or remove `time` from [data]"
        )


def _zone(tables: list[Table], form: Times, name: str) -> tuple[tuple[int, int], ...]:
    """The offsets of the data's years, and some more."""
    timed = (dataclasses.replace(t, form=dataclasses.replace(t.form, times=form)) for t in tables)
    found = [table.seconds() for table in timed]
    first = min(float(seconds.min()) for seconds in found)
    last = max(float(seconds.max()) for seconds in found)
    return zone_table(name, span(first, last))
