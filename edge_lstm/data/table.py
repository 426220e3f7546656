"""A table in memory: the columns that are asked for, whatever file they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.text import TextForm
from edge_lstm_runtime.near import did_you_mean

from .recognized_times import EARLIEST, LATEST, read
from .recordings import Float64


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The columns to read, each with the key of the configuration that names it.

    time        the columns that are the time together, () for none
    configured  whether they are of a configuration, which a message may advise to change
    """

    numbers: Mapping[str, str]
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    time: tuple[str, ...] = ()
    configured: bool = True

    @property
    def keys(self) -> dict[str, str]:
        """All columns, each once, with their keys of the configuration."""
        return {**self.numbers, **self.texts, **dict.fromkeys(self.time, "time in [data]")}

    def check(self, columns: Sequence[str], where: str, hint: str = "") -> None:
        """Raises DataError for a column that is not there, or there twice."""
        for name, key in self.keys.items():
            count = columns.count(name)
            if count > 1:
                raise DataError(
                    f"{where}: {count} columns have the name {name!r} ({key}); expected one: "
                    "rename the others"
                )
            if not count:
                meant = "" if hint else did_you_mean(name, columns)
                raise DataError(
                    f"{where}: there is no column {name!r} ({key}); "
                    f"{meant}the columns are {', '.join(columns)}{hint}"
                )


@dataclasses.dataclass(frozen=True)
class Times:
    """The column of times.

    cells    (T,) as they are written. If there are seconds, for messages alone
    seconds  (T,) float64, if the file itself says what they are, and whether these are dates
    """

    name: str
    cells: Sequence[str]
    seconds: Float64 | None = None
    dated: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """numbers  (T,) each, NaN if a cell is blank
    texts    (T,) each, "" if a cell is empty
    form     the form of the text, with which a board reads the same file
    notes    what a reader of the file should know
    """

    path: Path
    rows: int
    numbers: Mapping[str, Float64]
    texts: Mapping[str, NDArray[np.str_]] = dataclasses.field(default_factory=dict)
    times: Times | None = None
    form: TextForm = dataclasses.field(default_factory=TextForm)
    notes: tuple[str, ...] = ()

    def check_labels(self, name: str) -> None:
        """Raises DataError if a cell of the column is empty."""
        empty = self.texts[name] == ""
        if empty.any():
            raise DataError(
                f"{self.path}: label column {name!r}, row {int(np.argmax(empty)) + 1}: "
                "there is no label; expected one in every row; label it, or remove the row"
            )

    def seconds(self, *, since_1970: bool = False) -> Float64:
        """(T,) float64 the times, datetimes as seconds since 1970, UTC.

        since_1970: whether they must be dates. Raises DataError.
        """
        assert self.times is not None
        found = self.times.seconds
        dated = self.times.dated
        if found is None:
            form = self.form.times
            found = read(self.times.cells, form, str(self.path), self.times.name)
            dated = bool(form.format) or not _is_number(self.times.cells[0])
        if since_1970 and not dated and not ((found >= EARLIEST) & (found <= LATEST)).all():
            raise DataError(
                f"{self.path}: time column {self.times.name!r} holds numbers such as "
                f"{self.times.cells[0]!r}, which [data.calendar] can't date; expected datetimes "
                "such as 2024-05-31 23:55:00, or seconds since 1970"
            )
        return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_values(x: Float64, channels: tuple[str, ...], where: str, missing: str) -> None:
    """Raises DataError if x (T, C) has an inf, or a NaN and `missing` is "refuse"."""
    for bad, what, action in (
        (
            np.isinf(x),
            "inf",
            "correct the value, or leave the cell blank and set missing = 'ffill' or 'mask'",
        ),
        (
            np.isnan(x) & (missing == "refuse"),
            "missing (NaN)",
            "fill the cell, or set missing = 'ffill' or 'mask' in [data]",
        ),
    ):
        if bad.any():
            row, channel = np.argwhere(bad)[0]
            raise DataError(
                f"{where}: column {channels[channel]!r}, row {row + 1}: "
                f"the value is {what}; expected a number; {action}"
            )


def check_increasing(
    time: Float64,
    rows: NDArray[np.int64],
    table: Table,
    *,
    equal: bool = False,
) -> None:
    """Raises DataError if a time is not after the one before.

    time: (T,) of one recording. rows: (T,) their rows in the file, from 0. equal: whether two rows
    may have the same time.
    """
    back = np.flatnonzero(time[1:] < time[:-1] if equal else time[1:] <= time[:-1])
    if len(back):
        assert table.times is not None
        k = int(back[0]) + 1
        cells = table.times.cells
        raise DataError(
            f"{table.path}: time column {table.times.name!r}, row {rows[k] + 1}: "
            f"{cells[int(rows[k])]} comes after {cells[int(rows[k - 1])]}; "
            "expected times that increase within a recording; sort the file, "
            "name the `group` column that tells its recordings apart, or "
            "set time_back = 'keep' in [data] "
            "if the rows are in the order of measurement and the clock is wrong"
        )
