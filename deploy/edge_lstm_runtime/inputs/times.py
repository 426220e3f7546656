"""From the times of samples to the seconds since the sample before."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import math
import reprlib
from typing import Any

from .. import checks
from ..errors import BundleError, SampleError
from ..plain import changed
from . import dates

# How many of a unit a second has, and its name.
UNITS = {
    "s": (1, "seconds"),
    "ms": (10**3, "milliseconds"),
    "us": (10**6, "microseconds"),
    "ns": (10**9, "nanoseconds"),
}


class Clock:
    """The time of the last sample that was used. If times go back, no time has passed.

    before: that time in seconds, None if there was no sample.
    """

    def __init__(self) -> None:
        self.before: float | None = None

    def since(self, moment: float) -> float:
        """Seconds since the sample before, 0 for the first one."""
        return 0.0 if self.before is None else max(moment - self.before, 0.0)

    def take(self, moment: float) -> None:
        self.before = moment

    def reset(self) -> None:
        self.before = None


@dataclasses.dataclass(frozen=True)
class Times:
    """How the cells of a time column are read. Raises BundleError for a field that is wrong.

    format  of dates, in the letters that `dates` lists, such as "%d.%m.%Y %H:%M:%S". With a format,
            there are no other times: a number is read by it too. "" for ISO 8601 and RFC 3339
    unit    of numbers: "s", "ms", "us" or "ns"
    zone    ((second, offset), ...) in seconds, ascending: from this second on, UTC, a local time
            that names no zone is the UTC time plus this offset. () for UTC. At the end of summer
            time, an hour comes twice, and the first one is meant. A local time that the start of
            summer time skips is read as if the clock had not been set forward
    """

    format: str = ""
    unit: str = "s"
    zone: tuple[tuple[int, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, without the fields that have their default value."""
        return changed(self)

    def __post_init__(self) -> None:
        shown = f"format of times is {reprlib.repr(self.format)}"
        checks.require("inputs", isinstance(self.format, str), f"{shown}, expected a text")
        try:
            dates.Layout(self.format)
        except ValueError as e:
            raise BundleError(f"inputs: {shown}: {e}") from e
        known = isinstance(self.unit, str) and self.unit in UNITS
        expected = f"expected one of {', '.join(UNITS)}"
        checks.require("inputs", known, f"unit of times is {reprlib.repr(self.unit)}, {expected}")
        checks.check_zone("inputs", "zone of times", self.zone)

    def seconds(self, cell: object, column: str) -> float:
        """A number (int, float, or its text) in seconds, or a date's text as seconds since 1970.

        column: for the message. Raises SampleError for anything else.
        """
        try:
            moment = self._moment(cell)
        except (ValueError, OverflowError):
            moment = math.nan
        if not math.isfinite(moment):
            raise SampleError(f"time {column!r} is {shown(cell)}; expected {self.expected}")
        return moment

    @property
    def expected(self) -> str:
        """What a cell should be, for messages."""
        if self.format:
            return f"a time such as {dates.example(self.format)!r} ({self.format})"
        return f"{UNITS[self.unit][1]} or a datetime such as 2024-05-31 23:55:00"

    def _moment(self, cell: object) -> float:
        """Raises ValueError or OverflowError if it is no time."""
        if isinstance(cell, str):
            return self._of_text(cell.strip())
        if isinstance(cell, bool) or not isinstance(cell, (int, float)):
            raise ValueError("neither a number nor a text")
        if self.format:  # the number 20240531 in JSON
            return self._of_text(str(cell if isinstance(cell, int) else float(cell)))
        return float(cell) / UNITS[self.unit][0]

    def _of_text(self, text: str) -> float:
        date = self.layout.read(text)
        if date is None:
            # Python's float reads 1_000 and other digits than ASCII's. Tables of others don't.
            if self.format or "_" in text or not text.isascii() or len(text) > dates.LONGEST:
                raise ValueError("neither a date nor a number")
            return float(text) / UNITS[self.unit][0]
        return self.since_1970(*date)

    def since_1970(self, local: int, fraction: str | None, offset: int | None) -> float:
        """Of a date as `dates.Layout.read` returns it, in seconds."""
        local -= self._offset(local) if offset is None else offset
        if fraction is None:
            return float(local)
        # A division of whole numbers is rounded once. A sum of two floats is rounded twice.
        return (local * 10**9 + int(fraction[:9].ljust(9, "0"))) / 10**9

    def _offset(self, local: int) -> int:
        """Of a local time, in seconds."""
        return self.zone[bisect.bisect_right(self._changes, local)][1] if self.zone else 0

    @functools.cached_property
    def _changes(self) -> list[int]:
        """The local times from which on each further offset of the zone holds."""
        return [
            second + max(before, after)
            for (_, before), (second, after) in itertools.pairwise(self.zone)
        ]

    @functools.cached_property
    def layout(self) -> dates.Layout:
        return dates.Layout(self.format)


ISO_8601 = Times()


def shown(cell: object) -> str:
    """A cell in a message: one short line."""
    try:
        return reprlib.repr(cell)
    except ValueError:  # Python writes no more than 4,300 digits
        return "a number of thousands of digits"
