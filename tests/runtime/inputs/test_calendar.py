"""The calendar's features against Python's own `datetime` and `zoneinfo`."""

from __future__ import annotations

import datetime
import math
import zoneinfo

import numpy as np
import pytest

from edge_lstm_runtime.inputs.calendar import day_of_year, features

UTC = datetime.timezone.utc
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
# The four changes of 2011 and 2012, in UTC: at 7:00 in spring, at 6:00 in autumn.
CHANGES = [
    (datetime.datetime(2011, 3, 13, 7, tzinfo=UTC), -4),
    (datetime.datetime(2011, 11, 6, 6, tzinfo=UTC), -5),
    (datetime.datetime(2012, 3, 11, 7, tzinfo=UTC), -4),
    (datetime.datetime(2012, 11, 4, 6, tzinfo=UTC), -5),
]
ZONE = (
    (0, *(int(at.timestamp()) for at, _ in CHANGES)),
    (-5 * 3600, *(3600 * hours for _, hours in CHANGES)),
)
LAST = datetime.datetime(2013, 3, 1, tzinfo=UTC)  # the table's
NONE: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
HOLIDAYS = [datetime.date(2011, 7, 4), datetime.date(2012, 1, 2)]
PARTS = ("hour", "weekday", "yearday", "holiday")


def by_datetime(moment: float, zone: datetime.tzinfo) -> list[float]:
    local = datetime.datetime.fromtimestamp(moment, zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    share = (local.replace(tzinfo=None) - midnight) / datetime.timedelta(days=1)
    year = datetime.date(local.year, 12, 31).timetuple().tm_yday
    turns = (
        share,
        (local.weekday() + share) / 7,
        (local.timetuple().tm_yday - 1 + share) / year,
    )
    circles = [f(2 * math.pi * turn) for turn in turns for f in (math.sin, math.cos)]
    return [*circles, float(local.date() in HOLIDAYS)]


def moments() -> list[float]:
    """Around every change of the clock, the ends of years, leap days, and at random."""
    edges = [at.timestamp() for at, _ in CHANGES]
    for year in (2011, 2012, 2013):
        edges += [datetime.datetime(year, *day, tzinfo=UTC).timestamp() for day in DAYS]
    near = [edge + shift for edge in edges for shift in (-3600, -1, -0.5, 0, 0.25, 1, 1800, 3600)]
    start = datetime.datetime(2011, 1, 1, 6, tzinfo=UTC).timestamp()
    rng = np.random.default_rng(0)
    near = [moment for moment in near if moment < LAST.timestamp()]
    return [*near, *(start + rng.uniform(0, 2 * 365 * 86400, 500))]


DAYS = [(1, 1), (3, 1), (1, 2), (7, 4), (7, 5), (12, 31)]


@pytest.mark.parametrize(("zone", "table"), [(UTC, NONE), (NEW_YORK, ZONE)])
def test_it_is_that_of_datetime(
    zone: datetime.tzinfo, table: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    at = moments()
    days = np.array([(day - datetime.date(1970, 1, 1)).days for day in HOLIDAYS])
    expected = [by_datetime(moment, zone) for moment in at]
    found = features(np.array(at), PARTS, table, days)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found[:, -1].sum() > 0
    singly = [features(np.array([moment]), PARTS, table, days)[0] for moment in at]
    np.testing.assert_array_equal(found, singly)


def test_the_day_of_the_year_of_four_centuries() -> None:
    first = datetime.date(1799, 1, 1)
    days = [first + datetime.timedelta(days=k) for k in range(0, 420 * 366, 1)]
    since = np.array([(day - datetime.date(1970, 1, 1)).days for day in days])
    number, length = day_of_year(since)
    assert number.tolist() == [day.timetuple().tm_yday - 1 for day in days]
    leap = [d.year % 4 == 0 and (d.year % 100 != 0 or d.year % 400 == 0) for d in days]
    assert length.tolist() == [366 if is_leap else 365 for is_leap in leap]


def test_outside_of_its_tables_the_last_offset_holds_and_no_day_is_a_holiday() -> None:
    def hour(moment: datetime.datetime) -> float:
        (sine, cosine, holiday), *_ = features(
            np.array([moment.timestamp()]), ("hour", "holiday"), ZONE, np.array([15000, 15001])
        )
        assert holiday == 0
        return math.atan2(sine, cosine) / (2 * math.pi) * 24 % 24

    assert hour(datetime.datetime(1960, 7, 1, 12, tzinfo=UTC)) == pytest.approx(7)
    assert hour(datetime.datetime(2050, 7, 1, 12, tzinfo=UTC)) == pytest.approx(7)
