"""The format of a time column, recognized from all cells, and what is refused as ambiguous."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm.data.recognized_times import read, recognized
from edge_lstm_runtime.errors import DataError, SampleError
from edge_lstm_runtime.inputs.times import Times

UTC = datetime.timezone.utc


def found(*cells: str, given: Times | None = None, **others: Any) -> Times:
    """The format, after a check that it reads every cell."""
    times = recognized(cells, given or Times(), "a.csv", "when", **others)
    rows = {key: value for key, value in others.items() if key == "rows"}
    read(cells, times, "a.csv", "when", **rows)
    return times


@pytest.mark.parametrize(
    ("cells", "layout"),
    [
        (("0", "0.5", "-1e3", "+.5", "7."), ""),
        (("2024-05-31 23:55", "2024-06-01", "20240601T0005Z", "2024/06/01 00:10:00,5"), ""),
        (("31.12.2024", "01.02.2025"), "%d.%m.%Y"),
        (("01.02.2025",), "%d.%m.%Y"),
        (("31.12.2024 23:55", "1.1.2025 0:05"), "%d.%m.%Y %H:%M"),
        (("31.12.2024 23:55:00", "01.01.2025 00:05:00.25"), "%d.%m.%Y %H:%M:%S"),
        (("31.12.2024  23:55:00 +0100",), "%d.%m.%Y %H:%M:%S%z"),
        (("31.12.2024, 23:55",), "%d.%m.%Y, %H:%M"),
        (("05/06/2024 09:00", "13/06/2024 09:00"), "%d/%m/%Y %H:%M"),
        (("05/06/2024 09:00", "06/13/2024 09:00"), "%m/%d/%Y %H:%M"),
        (("5-6-2024", "6-13-2024", "12-1-2024"), "%m-%d-%Y"),
        (("12/31/2024 11:55 PM", "1/1/2025 12:05 am"), "%m/%d/%Y %I:%M %p"),
        (("12/31/2024 11:55:00PM",), "%m/%d/%Y %I:%M:%S%p"),
        (("2024-05-31 9:55", "2024-05-31 10:05"), "%Y-%m-%d %H:%M"),
        (("2024.05.31 09:55",), "%Y.%m.%d %H:%M"),
        (("2024/5/31T09:55Z",), "%Y/%m/%dT%H:%M%z"),
        (("31-May-2024 09:55", "1-JUN-2024 09:55"), "%d-%b-%Y %H:%M"),
        (("31 May 2024", "1 June 2024"), "%d %b %Y"),
        (("May 31, 2024 9:55 PM",), "%b %d, %Y %I:%M %p"),
        # Numbers that are no dates, or no size of a smaller unit.
        (("20240531", "20241331", "99999999"), ""),
        (("1717199700", "1717200000"), ""),
        (("0", "1717199700000"), ""),
    ],
)
def test_a_format_is_recognized(cells: tuple[str, ...], layout: str) -> None:
    assert found(*cells) == Times(layout)


@pytest.mark.parametrize(
    ("cells", "row", "message"),
    [
        (
            ("05/06/2024 09:00", "06/07/2024 09:00"),
            1,
            r"'05/06/2024 09:00' can be 5 June or 6 May, and no row tells; "
            r"set time_format = '%d/%m/%Y %H:%M' or '%m/%d/%Y %H:%M' in \[data\]$",
        ),
        (("5-5-2024",), 1, "'5-5-2024' can be 5 May or 5 May"),
        (
            ("05/06/2024", "13/06/2024", "06/14/2024"),
            3,
            "'06/14/2024' has the day and the month in another order than '13/06/2024'",
        ),
        (("05/06/2024", "13/14/2024"), 2, "'13/14/2024' is a date that doesn't exist"),
        (("05/00/2024",), 1, "'05/00/2024' is a date that doesn't exist"),
        (("31/02/2024",), 1, r"'31/02/2024' can't be read; expected a time such as '31/05/2024'"),
        (("31.12.24",), 1, r"two digits; set time_format = '%d.%m.%y' or '%y.%m.%d' in \[data\]"),
        (("01/02/03",), 1, "'%d/%m/%y' or '%m/%d/%y' or '%y/%m/%d'"),
        (
            ("20240531", "20240601"),
            1,
            r"set time_format = '%Y%m%d' in \[data\], or time_unit = 's'",
        ),
        (("2024053123",), 1, "'%Y%m%d%H'"),
        (("202405312355",), 1, "'%Y%m%d%H%M'"),
        (("20240531235500",), 1, "'%Y%m%d%H%M%S'"),
        (("202405312355.0",), 1, r"'%Y%m%d%H%M\.0'"),
        (("20240531", "20240601", "20249999"), 1, "reads as a date, as other rows do"),
        (
            ("1717199700000",),
            1,
            r"size of milliseconds since 1970; set time_unit = 'ms' in \[data\]",
        ),
        (("1717199700000.5",), 1, "size of milliseconds"),
        (("1.7171997e15",), 1, "size of microseconds since 1970; set time_unit = 'us'"),
        (("1717199700000000000",), 1, "size of nanoseconds since 1970; set time_unit = 'ns'"),
        (
            ("1", "2", "soon"),
            3,
            r"'soon' is no time that is known; .* set `time_format` in \[data\]",
        ),
        (("2024-05-31", "2024-05-32"), 2, "'2024-05-32' can't be read"),
        (("2024-05-31", "5", "6"), 1, "'2024-05-31' is of another kind than '5'"),
        (("2024-05-31", "2024-06-01", "6"), 3, "'6' is of another kind than '2024-05-31'"),
        (
            ("31.05.2024", "31.05.2024 23:55", "01.06.2024"),
            2,
            "is of another kind than '31.05.2024'",
        ),
        (("31 Mai 2024",), 1, "can't be read"),
        (("nan",), 1, "'nan' is no time"),
        (("1_000",), 1, "'1_000' is no time"),
        (("1", "9" * 400), 2, "can't be read"),
        (("1", "\x00\ud800\n"), 2, r"'\\x00\\ud800\\n' is no time"),
    ],
)
def test_what_can_be_misread_is_refused(cells: tuple[str, ...], row: int, message: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.csv: time column 'when', row {row}: .*{message}"):
        found(*cells)
    rows = [10 * k for k in range(1, len(cells) + 1)]
    with pytest.raises(DataError, match=rf"row {10 * row}: "):
        found(*cells, rows=rows)


def test_a_given_format_is_checked() -> None:
    us = Times("%m/%d/%Y", zone=((0, 3600),))
    assert found("05/06/2024", given=us) == us
    with pytest.raises(DataError, match=r"row 2: '31/05/2024' can't be read; .*\(%m/%d/%Y\)"):
        found("05/06/2024", "31/05/2024", given=us)
    digits = Times("%Y%m%d%H%M")
    assert found("202405312355", given=digits) == digits


def test_a_given_unit_is_kept() -> None:
    ms = Times(unit="ms")
    assert found("1717199700000", given=ms, unit_set=True) == ms
    assert read(["1717199700000"], ms, "a.csv", "when").tolist() == [1717199700.0]
    seconds = Times()
    for cell in ("1717199700000", "20240531"):
        assert found(cell, given=seconds, unit_set=True) == seconds


def test_the_zone_is_kept() -> None:
    given = Times(zone=((0, 3600),))
    assert found("31.12.2024", given=given) == Times("%d.%m.%Y", zone=given.zone)


# --- all at once ---

ZONE = ((0, 3600), (1_000_000_000, 7200), (1_000_010_000, 3600))
CELLS = st.one_of(
    st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)).map(str),
    st.datetimes(datetime.datetime(2001, 9, 9), datetime.datetime(2001, 9, 10)).map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            *("2024-05-31", "2024-05-31T10:00 Z", "2024-05-31T10:00 +02", "2024-05-31t10:00"),
            *("2024-05-31 10:00", "2024-05-31T10:00 11:00", "2024-05-31t10:00T11:00", " 1 ", "24"),
            *("2024-05-31 24:00", "2024-05-31 24:30", "", " ", "T", "Z", "10:00", "1_0", "nan"),
            *("31.05.2024 10:00", "31.05.2024", "10:00 31.05.2024", "12:30 31.05.2024 AM"),
            *("24 31.05.2024 00", "24 31.05.2024 30", "May 31, 2024", "Feb 29, 2023", "inf"),
        ]
    ),
    st.floats().map(str),
    st.integers().map(str),
)
LAYOUTS = [
    "",
    "%d.%m.%Y %H:%M",
    "%H:%M %d.%m.%Y",
    "%I:%M %d.%m.%Y %p",
    "%H %d.%m.%Y %M",
    "%b %d, %Y",
    "%Y-%m-%dT%H:%M %z",
]


@settings(max_examples=2000)
@given(
    st.lists(CELLS, min_size=1, max_size=6), st.sampled_from(LAYOUTS), st.sampled_from([(), ZONE])
)
def test_all_at_once_are_as_one_by_one(
    cells: list[str], layout: str, zone: tuple[tuple[int, int], ...]
) -> None:
    times = Times(layout, zone=zone)
    try:
        expected = [times.seconds(cell, "when") for cell in cells]
    except SampleError:
        with pytest.raises(DataError):
            read(cells, times, "a.csv", "when")
    else:
        np.testing.assert_array_equal(read(cells, times, "a.csv", "when"), expected)


MOMENTS = st.lists(
    st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2050, 1, 1)),
    min_size=1,
    max_size=30,
)
WRITTEN = ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S", "%m-%d-%Y %I:%M:%S %p"]


@given(MOMENTS, st.sampled_from(WRITTEN))
def test_dates_are_read_back_or_refused(moments: list[datetime.datetime], layout: str) -> None:
    moments = [m if "%f" in layout else m.replace(microsecond=0) for m in moments]
    cells = [moment.strftime(layout) for moment in moments]
    tells = any(moment.day > 12 for moment in moments)
    if not tells and layout[:3] in ("%d/", "%m-"):
        with pytest.raises(DataError, match="and no row tells"):
            found(*cells)
        return
    times = found(*cells)
    expected = [moment.replace(tzinfo=UTC).timestamp() for moment in moments]
    assert read(cells, times, "a.csv", "when").tolist() == expected


@settings(max_examples=1000)
@given(st.lists(st.one_of(CELLS, st.text(min_size=1)), min_size=1, max_size=5))
def test_another_column_raises_no_other_error(cells: list[str]) -> None:
    cells = [cell for cell in cells if cell.strip()] or ["1"]
    try:
        times = found(*cells)
    except DataError as e:
        problem = str(e)
    else:
        assert len(read(cells, times, "a.csv", "when")) == len(cells)
        return
    assert problem.startswith("a.csv: time column 'when', row ")
    assert len(problem.splitlines()) == 1
