"""The time since the sample before, from the times of samples."""

from __future__ import annotations

import datetime
import math
import reprlib

from ..errors import SampleError


class Clock:
    """It moves on with each sample that was taken; a clock that is set back takes no time."""

    def __init__(self) -> None:
        self._before: float | None = None

    def since(self, moment: float) -> float:
        """Seconds since the sample before; 0 for the first."""
        return 0.0 if self._before is None else max(moment - self._before, 0.0)

    def take(self, moment: float) -> None:
        self._before = moment

    def reset(self) -> None:
        self._before = None


def of_datetime(text: str) -> float:
    """Seconds since 1970 of an ISO datetime, UTC where it names no zone. Raises ValueError for another text."""
    at = datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")
    )  # Python 3.10 doesn't know the Z
    return (at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)).timestamp()


def seconds(cell: object, column: str) -> float:
    """A number as it is, a datetime (UTC where it names no zone) as seconds since 1970. Raises SampleError for anything else."""
    if isinstance(cell, str):
        text = cell.strip()
        try:
            moment = float(text)
        except ValueError:
            try:
                moment = of_datetime(text)
            except ValueError:
                moment = math.nan
    else:
        moment = (
            float(cell)
            if isinstance(cell, (int, float)) and not isinstance(cell, bool)
            else math.nan
        )
    if not math.isfinite(moment):
        raise SampleError(
            f"time {column!r} is {reprlib.repr(cell)}; expected seconds or a datetime such as 2024-05-31 23:55:00"
        )
    return moment
