"""From the times of samples to the seconds since the sample before."""

from __future__ import annotations

import datetime
import math
import reprlib

from ..errors import SampleError


class Clock:
    """The time of the last sample that was used. If times go back, no time has passed."""

    def __init__(self) -> None:
        self._before: float | None = None

    def since(self, moment: float) -> float:
        """Seconds since the sample before, 0 for the first one."""
        return 0.0 if self._before is None else max(moment - self._before, 0.0)

    def take(self, moment: float) -> None:
        self._before = moment

    def reset(self) -> None:
        self._before = None


def of_datetime(text: str) -> float:
    """Seconds since 1970 of an ISO datetime, in UTC if it names no zone.

    Raises ValueError for another text.
    """
    text = text.replace("Z", "+00:00")  # Python 3.10 doesn't know the Z
    at = datetime.datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)).timestamp()


def seconds(cell: object, column: str) -> float:
    """A number unchanged, or a datetime as seconds since 1970, in UTC if it names no zone.

    column: for the message. Raises SampleError for anything else.
    """
    try:
        moment = _moment(cell)
    except (ValueError, OverflowError):
        moment = math.nan
    if not math.isfinite(moment):
        raise SampleError(
            f"time {column!r} is {reprlib.repr(cell)}; "
            "expected seconds or a datetime such as 2024-05-31 23:55:00"
        )
    return moment


def _moment(cell: object) -> float:
    """Raises ValueError or OverflowError if it is no time."""
    if isinstance(cell, str):
        text = cell.strip()
        try:
            return float(text)
        except ValueError:
            return of_datetime(text)
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        raise ValueError
    return float(cell)
