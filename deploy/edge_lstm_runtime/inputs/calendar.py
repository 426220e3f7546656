"""The calendar of a moment, in local time, as features: sines, cosines, and holidays.

With a moment t in seconds since 1970 (UTC), and L = t + offset(t) its local seconds:

    day       floor(L / 86400), in days since 1970-01-01; s = L - 86400 day seconds since midnight
    hour      sin and cos of 2 pi s / 86400
    weekday   sin and cos of 2 pi ((day + 3) mod 7 + s / 86400) / 7, from Monday on
    yearday   sin and cos of 2 pi (n + s / 86400) / N, for day n (from 0) of a year of N days
    holiday   1 if the day is among the holidays, else 0

offset(t) is that of the last row of the zone's table whose second is not after t. Before the first
row it is the first row's, after the last row the last row's, and 0 without a table. A day outside
the table of holidays is none. The calendar is the Gregorian one. Days and years are whole-number
arithmetic after Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013): no library, no
table of zones, the same in C.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..checks import DAY

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
# The features that each part has.
PARTS = {
    "hour": ("sin", "cos"),
    "weekday": ("sin", "cos"),
    "yearday": ("sin", "cos"),
    "holiday": ("",),
}


def features(
    moments: Float64,
    parts: Sequence[str],
    zone: tuple[tuple[int, ...], tuple[int, ...]],
    holidays: Int64,
) -> Float64:
    """moments: (...) seconds since 1970 -> (..., features), those of the parts in order.

    zone: the seconds from which on each offset holds, ascending, and the offsets in seconds.
    holidays: (days,) since 1970, ascending.
    """
    local = moments + offsets(moments, zone)
    day = np.floor(local / DAY)
    share = (local - DAY * day) / DAY
    day = day.astype(np.int64)
    found = []
    for part in parts:
        if part == "holiday":
            found.append(_among(day, holidays))
            continue
        if part == "hour":
            turn = share
        elif part == "weekday":
            turn = ((day + 3) % 7 + share) / 7
        else:
            number, length = day_of_year(day)
            turn = (number + share) / length
        found += [np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)]
    return np.stack(found, axis=-1)


def _among(day: Int64, days: Int64) -> Float64:
    """1 for each day among the days, which are ascending, else 0. np.isin takes 50 times longer."""
    if not len(days):
        return np.zeros(day.shape)
    place = np.minimum(np.searchsorted(days, day), len(days) - 1)
    found: Float64 = (days[place] == day).astype(np.float64)
    return found


def offsets(moments: Float64, zone: tuple[tuple[int, ...], tuple[int, ...]]) -> Float64 | int:
    seconds, values = zone
    if not seconds:
        return 0
    if moments.size == 1:  # a step, which must be fast
        return values[max(bisect.bisect_right(seconds, moments.item()) - 1, 0)]
    rows = np.searchsorted(np.array(seconds, np.float64), moments, side="right") - 1
    found: Float64 = np.array(values, np.float64)[np.maximum(rows, 0)]
    return found


def day_of_year(day: Int64) -> tuple[Int64, Int64]:
    """day: since 1970-01-01 -> its number in its year, from 0, and the days of that year."""
    since = day + 719468  # since 0000-03-01: years begin in March, and leap days end them
    day_of_era = since % 146097  # an era has 400 years
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    since_march = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    late = since_march >= 306  # January and February, of the next year
    year = year_of_era + late
    leap = ((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))).astype(np.int64)
    return np.where(late, since_march - 306, since_march + 59 + leap), 365 + leap
