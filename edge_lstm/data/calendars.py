"""The tables that a calendar carries: the offsets of a time zone, and holidays."""

from __future__ import annotations

import datetime
import functools
import zoneinfo
from collections.abc import Iterator

from edge_lstm_runtime.errors import DataError

from ..config.transforms import CalendarConfig

YEARS_AHEAD = 30  # after the data's last year. Then the tables end
EPOCH = datetime.date(1970, 1, 1)
_UTC = datetime.timezone.utc
_DAY = 86400


def span(first: float, last: float) -> range:
    """The years of the tables, for data from `first` to `last`, seconds since 1970."""
    years = (datetime.datetime.fromtimestamp(moment, _UTC).year for moment in (first, last))
    start, end = years
    # One more at each end: local years begin at another moment.
    return range(max(start - 1, 1), min(end + YEARS_AHEAD + 2, 9999))


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """Raises DataError for an unknown one."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as e:
        expected = "expected a name of the IANA database, such as America/New_York"
        raise DataError(f"time zone {name!r} is unknown here; {expected}") from e


@functools.lru_cache
def zone_table(name: str, years: range) -> tuple[tuple[int, int], ...]:
    """[second, offset]: the first second of the years, and each change in them. () for UTC.

    Raises DataError for an unknown zone.
    """
    zone = zone_named(name)
    start, end = (
        int(datetime.datetime(year, 1, 1, tzinfo=_UTC).timestamp())
        for year in (years.start, years.stop)
    )
    rows = [(start, _offset(zone, start)), *_changes(zone, start, end)]
    return () if rows == [(start, 0)] else tuple(rows)


def _changes(zone: zoneinfo.ZoneInfo, start: int, end: int) -> Iterator[tuple[int, int]]:
    before = _offset(zone, start)
    for day in range(start, end, _DAY):
        after = _offset(zone, day + _DAY)
        if after == before:
            continue
        low = day
        high = day + _DAY
        while high - low > 1:  # the offset of `low` is the old one, that of `high` a new one
            middle = (low + high) // 2
            if _offset(zone, middle) == before:
                low = middle
            else:
                high = middle
        yield high, _offset(zone, high)
        before = after


def _offset(zone: zoneinfo.ZoneInfo, second: int) -> int:
    offset = datetime.datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def unknown(calendar: CalendarConfig) -> Iterator[tuple[str, str]]:
    """The keys whose zone or country is unknown here, and the words for it."""
    try:
        zone_named(calendar.zone)
    except DataError as e:
        yield "zone", str(e)
    try:
        if calendar.holidays is not None:
            holiday_table(calendar.holidays, range(2000, 2001))
    except DataError as e:
        yield "holidays", str(e)


def holiday_table(country: str, years: range) -> tuple[int, ...]:
    """Days since 1970, of a country such as "US" or a part of it such as "US-CA".

    Raises DataError for an unknown one.
    """
    import holidays

    code, _, part = country.partition("-")
    try:
        found = holidays.country_holidays(code, subdiv=part or None, years=years)
    except NotImplementedError as e:
        expected = 'expected a code such as "US", or "US-CA" with a subdivision'
        raise DataError(f"holidays of {country!r} are unknown ({e}); {expected}") from e
    return tuple(sorted((day - EPOCH).days for day in found))
