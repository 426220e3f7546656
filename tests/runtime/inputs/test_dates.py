"""Times in cells: ISO 8601, RFC 3339, formats, units, zones; the same on every Python."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_lstm.data.calendars import zone_table
from edge_lstm_runtime.errors import BundleError, SampleError
from edge_lstm_runtime.inputs import dates
from edge_lstm_runtime.inputs.times import Times
from helpers.pythons import VERSIONS, told

UTC = datetime.timezone.utc
LATE = 1717199700.0  # 2024-05-31 23:55:00 UTC, of `date -u -d '2024-05-31 23:55:00' +%s`
MIDNIGHT = 1717113600.0  # 2024-05-31 00:00:00 UTC
REFUSED = None
# format, cell, seconds
CASES: list[tuple[str, Any, float | None]] = [
    ("", "2024-05-31 23:55:00", LATE),
    ("", "2024-05-31T23:55:00", LATE),
    ("", "2024-05-31t23:55:00z", LATE),
    ("", "2024-05-31   23:55", LATE),
    ("", " 2024-05-31 23:55\r\n", LATE),
    ("", "2024/05/31 23:55:00", LATE),
    ("", "20240531T235500", LATE),
    ("", "20240531T2355", LATE),
    ("", "20240531 235500", LATE),
    ("", "2024-05-31", MIDNIGHT),
    ("", "2024/05/31", MIDNIGHT),
    ("", "2024-05-31T23", LATE - 55 * 60),
    ("", "2024-05-31 23:55:00.5", LATE + 0.5),
    ("", "2024-05-31 23:55:00,5", LATE + 0.5),
    ("", "2024-05-31T23:55:00.123456789Z", 1717199700.123456789),
    ("", "2024-05-31T23:55:00.1234567891234Z", 1717199700.123456789),
    ("", "2024-05-31T23:55:00Z", LATE),
    ("", "2024-05-31T23:55:00 Z", LATE),
    ("", "2024-05-31 23:55:00 UTC", LATE),
    ("", "2024-05-31 23:55:00 gmt", LATE),
    ("", "2024-05-31T23:55:00+02:00", LATE - 7200),
    ("", "2024-05-31T23:55:00.5+0200", LATE - 7199.5),
    ("", "2024-05-31T23:55:00 +02", LATE - 7200),
    ("", "20240531T235500-0330", LATE + 12600),
    ("", "2024-05-31T23:55-00:00", LATE),
    ("", "2024-05-31 23:59:60", MIDNIGHT + 86400),
    ("", "2024-05-31 24:00", MIDNIGHT + 86400),
    ("", "2024-05-31 24:00:00", MIDNIGHT + 86400),
    ("", "1970-01-01", 0.0),
    ("", "1969-12-31 23:59:59.25", -0.75),
    ("", "0001-01-01", -62135596800.0),
    ("", "9999-12-31", 253402214400.0),
    ("", "2000-02-29", 951782400.0),
    ("", "12.5", 12.5),
    ("", "-3e2", -300.0),
    ("", " 7 ", 7.0),
    ("", "20240531", 20240531.0),
    ("", 1717199700, LATE),
    ("", 0.25, 0.25),
    ("", "2024-02-30", REFUSED),
    ("", "2023-02-29", REFUSED),
    ("", "1900-02-29", REFUSED),
    ("", "0000-01-01", REFUSED),
    ("", "2024-00-10", REFUSED),
    ("", "2024-13-10", REFUSED),
    ("", "2024-04-31", REFUSED),
    ("", "2024-05-00", REFUSED),
    ("", "2024-05-31 24:01", REFUSED),
    ("", "2024-05-31 23:60", REFUSED),
    ("", "2024-05-31 23:59:61", REFUSED),
    ("", "2024-05-31 23:55+24:00", REFUSED),
    ("", "2024-05-31 23:55+02:60", REFUSED),
    ("", "2024-05-31 23:55 CEST", REFUSED),
    ("", "2024-05-31+02:00", REFUSED),
    ("", "2024-05/31", REFUSED),
    ("", "2024-05-31 2", REFUSED),
    ("", "2024-05-31 23:5500", REFUSED),
    ("", "2024-5-31", REFUSED),
    ("", "2024-W05-3", REFUSED),
    ("", "2024W053", REFUSED),
    ("", "2024-123", REFUSED),
    ("", "31.05.2024", REFUSED),
    ("", "23:55:00", REFUSED),
    ("", "", REFUSED),
    ("", "soon", REFUSED),
    ("", "nan", REFUSED),
    ("", "-Infinity", REFUSED),
    ("", "1e999", REFUSED),
    ("", "9" * 400, REFUSED),
    ("", 10**400, REFUSED),
    ("", "1_000", REFUSED),
    ("", "\u0661\u0662", REFUSED),
    ("", "\u0662\u0660\u0662\u0664-05-31", REFUSED),
    ("", "2024-05-31\x00", REFUSED),
    ("", "\x00", REFUSED),
    ("", "\ud800", REFUSED),
    ("", "2024-05-31\n23:55", REFUSED),
    ("", "2024-05-31 23:55:00." + "1" * 200, REFUSED),
    ("", None, REFUSED),
    ("", True, REFUSED),
    ("", [1], REFUSED),
    ("", {"a": 1}, REFUSED),
    ("%d.%m.%Y %H:%M:%S", "31.05.2024 23:55:00", LATE),
    ("%d.%m.%Y %H:%M:%S", "31.5.2024  23:55:00,5", LATE + 0.5),
    ("%d.%m.%Y %H:%M:%S.%f", "31.05.2024 23:55:00", LATE),
    ("%d.%m.%Y %H:%M:%S.%f", "31.05.2024 23:55:00.000001", 1717199700.000001),
    ("%m/%d/%Y %I:%M %p", "5/31/2024 11:55 PM", LATE),
    ("%m/%d/%Y %I:%M %p", "05/31/2024 12:00 am", MIDNIGHT),
    ("%m/%d/%Y %I:%M %p", "05/31/2024 12:00\u202fp.m.", MIDNIGHT + 43200),
    ("%Y%m%d%H%M", "202405312355", LATE),
    ("%Y%m%d%H%M", 202405312355, LATE),
    ("%Y%m%d%H%M.0", 202405312355.0, LATE),
    ("%Y%m%d%H%M%S%f", "2024053123550025", LATE + 0.25),
    ("%d-%b-%y", "31-MAY-24", MIDNIGHT),
    ("%d %B %Y", "31 may 2024", MIDNIGHT),
    ("%d %B %Y", "1 Sept. 2024", 1725148800.0),
    ("%Y-%j", "2024-152", MIDNIGHT),
    ("%Y%j", "2024366", 1735603200.0),
    ("%d.%m.%y", "01.01.69", -31536000.0),
    ("%d.%m.%y", "01.01.68", 3092601600.0),
    ("%d/%b/%Y:%H:%M:%S %z", "31/May/2024:23:55:00 +0200", LATE - 7200),
    ("%Y-%m-%dT%H:%M:%S%z", "2024-05-31T23:55:00Z", LATE),
    ("T=%d.%m.%Y", "t=31.05.2024", MIDNIGHT),
    ("%d.%m.%Y %%", "31.05.2024 %", MIDNIGHT),
    ("%d.%m.%Y", "2024-05-31", REFUSED),
    ("%d.%m.%Y", "31x05x2024", REFUSED),
    ("%d.%m.%Y", "12.5", REFUSED),
    ("%d.%m.%Y", "05.31.2024", REFUSED),
    ("%d.%m.%Y %H:%M", "31.05.2024", REFUSED),
    ("%d%m%Y", 1052024, REFUSED),
    ("%Y%j", "2023366", REFUSED),
    ("%Y%m%d", 10**400, REFUSED),
    ("%m/%d/%Y %I:%M %p", "05/31/2024 13:00 PM", REFUSED),
    ("%m/%d/%Y %I:%M %p", "05/31/2024 0:30 AM", REFUSED),
    ("%d %b %Y", "31 Mai 2024", REFUSED),
    ("%d %b %Y", "1 \u017fep 2024", REFUSED),
]
CODE = """
from edge_lstm_runtime.errors import SampleError
from edge_lstm_runtime.inputs.times import Times
found = []
for layout, cell, _ in json.load(sys.stdin):
    try:
        found.append(Times(layout).seconds(cell, "when"))
    except SampleError as e:
        found.append(str(e))
print(json.dumps(found))
"""


def read(cell: object, **times: Any) -> float:
    return Times(**times).seconds(cell, "when")


def outcome(cell: object, layout: str) -> float | str:
    try:
        return read(cell, format=layout)
    except SampleError as e:
        return str(e)


def is_refused(found: float | str) -> bool:
    """In one short line."""
    return (
        isinstance(found, str)
        and re.fullmatch(r"time 'when' is .{,120}; expected .*", found) is not None
    )


def test_a_cell_is_read_or_refused() -> None:
    wrong = []
    for layout, cell, expected in CASES:
        found = outcome(cell, layout)
        if not (is_refused(found) if expected is REFUSED else found == expected):
            wrong.append((layout, cell, expected, found))
    assert not wrong


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_reads_the_same(version: str) -> None:
    found = told(version, CODE, CASES)
    assert found == [outcome(cell, layout) for layout, cell, _ in CASES]


def test_other_objects_are_refused() -> None:
    for cell in (b"2024-05-31", 10**5000, object(), datetime.date(2024, 5, 31)):
        for layout in ("", "%Y-%m-%d"):
            assert is_refused(outcome(cell, layout))


@pytest.mark.parametrize(
    ("unit", "cell", "expected"),
    [
        ("s", "1717199700", LATE),
        ("ms", "1717199700123", 1717199700.123),
        ("ms", 1717199700123, 1717199700.123),
        ("us", "1717199700123456", 1717199700.123456),
        ("ns", "1717199700500000000", 1717199700.5),
        ("ms", "2024-05-31 23:55", LATE),
    ],
)
def test_numbers_have_a_unit(unit: str, cell: object, expected: float) -> None:
    assert read(cell, unit=unit) == expected


def test_a_message_names_the_unit_and_the_format() -> None:
    with pytest.raises(SampleError, match=r"expected milliseconds or a datetime such as 2024-05"):
        read("soon", unit="ms")
    expected = r"is 'soon'; expected a time such as '05/31/2024 11:55 PM' \(%m/%d/%Y %I:%M %p\)$"
    with pytest.raises(SampleError, match=expected):
        read("soon", format="%m/%d/%Y %I:%M %p")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 5}, "format of times is 5, expected a text"),
        ({"format": "%d.%m"}, r"'%d.%m': it needs a year, %Y or %y"),
        ({"format": "%Y %d"}, "it needs a month"),
        ({"format": "%Y %m %d %j"}, "it needs a month"),
        ({"format": "%Y %m %b %d"}, "it needs a month"),
        ({"format": "%Y%Y%m%d"}, "it has a letter twice"),
        ({"format": "%Y-%m-%d %I"}, "it needs %H, or %I with %p, for the hour"),
        ({"format": "%Y-%m-%d %H %p"}, "it needs %H, or %I with %p, for the hour"),
        ({"format": "%Y-%m-%d %M"}, "it has %M without %H"),
        ({"format": "%Y-%m-%d %H:%S"}, "it has %S without %M"),
        ({"format": "%Y-%m-%d %H:%M.%f"}, "it has %f without %S"),
        ({"format": "%Y-%m-%d %U"}, "it has '%U', and the letters are %Y %y"),
        ({"format": "%Y-%m-%d %"}, "it has '%', and the letters are %Y %y"),
        ({"format": "%Y-%m-%d" + "x" * 200}, "it has more than 200 characters"),
        ({"unit": "h"}, "unit of times is 'h', expected one of s, ms, us, ns"),
        ({"unit": ["s"]}, "unit of times is "),
        ({"zone": [[0, 3600]]}, r"zone of times is no list of \[second, offset\]"),
        ({"zone": ((0, 3600.0),)}, r"zone of times is no list of \[second, offset\]"),
        ({"zone": ((0, 90000),)}, "zone of times has an offset of more than a day"),
        ({"zone": ((10**400, 0),)}, "zone of times has other values than whole numbers"),
        ({"zone": ((5, 0), (5, 3600))}, "zone of times is not in ascending order"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=f"^inputs: .*{message}"):
        Times(**fields)


# --- against others ---

MOMENTS = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
ZONES = st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)


@given(MOMENTS, st.one_of(st.none(), ZONES), st.sampled_from(["T", " "]))
def test_what_datetime_writes_is_read(
    moment: datetime.datetime, zone: datetime.timezone | None, between: str
) -> None:
    moment = moment.replace(tzinfo=zone)
    expected = moment if zone else moment.replace(tzinfo=UTC)
    assert read(moment.isoformat(between)) == expected.timestamp()


# Pieces of dates in any order: most are none.
PIECES = st.lists(
    st.sampled_from(
        [*"0123456789-/:.,+ TtZz", "2024", "02", "29", "-05", "31", "23:55", "T10", "UTC", "\x00"]
    ),
    max_size=12,
).map("".join)

NEAR = st.from_regex(
    r"20[0-2][0-9]-?[01][0-9]-?[0-3][0-9][T ][0-2][0-9](:?[0-5][0-9]){0,2}([.,][0-9]{1,6})?"
    r"(Z|[+-][0-2][0-9](:?[0-5][0-9])?)?",
    fullmatch=True,
)


@settings(max_examples=2000)
@given(st.one_of(PIECES, NEAR))
@example("2024-05-31T10:30:15.5")
def test_a_date_that_both_read_is_the_same(text: str) -> None:
    """Python 3.11's `fromisoformat`. It may read more: any character is a T to it."""
    try:
        expected = datetime.datetime.fromisoformat(text)
    except ValueError:
        return
    try:
        found = read(text)
    except SampleError:
        return
    aware = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
    if text.replace(".", "").isdigit():  # Python reads 20240531.10 as a date
        assert found == float(text)
    else:
        assert found == aware.timestamp()


FORMATS = [
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%Y%m%d%H%M%S",
    "%d %b %Y %H:%M",
    "%B %d, %Y %I:%M:%S %p",
    "%y-%m-%d %H:%M",
    "%Y %j %H",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%d/%b/%Y:%H:%M:%S %z",
]


@given(
    st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2068, 12, 31)),
    ZONES,
    st.sampled_from(FORMATS),
)
def test_formats_are_read_as_strptime_reads_them(
    moment: datetime.datetime, zone: datetime.timezone, layout: str
) -> None:
    text = moment.replace(tzinfo=zone).strftime(layout)
    expected = datetime.datetime.strptime(text, layout)
    aware = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
    assert read(text, format=layout) == aware.timestamp()


@given(st.lists(MOMENTS, min_size=1, max_size=20))
def test_polars_reads_the_same(moments: list[datetime.datetime]) -> None:
    texts = [moment.strftime("%d.%m.") + f"{moment:%Y %H:%M:%S}".zfill(13) for moment in moments]
    column = pl.Series(texts).str.to_datetime("%d.%m.%Y %H:%M:%S", time_unit="us")
    found = [read(text, format="%d.%m.%Y %H:%M:%S") for text in texts]
    assert found == [value / 1e6 for value in column.to_physical()]


CELLS = st.one_of(
    st.text(max_size=40),
    PIECES,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.from_regex(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}[T ]?\d{0,2}:?\d{0,2}:?\d{0,2}"),
)


@settings(max_examples=3000)
@given(CELLS, st.sampled_from(["", *FORMATS]), st.sampled_from(["s", "ms", "us", "ns"]))
def test_another_cell_raises_no_other_error(cell: object, layout: str, unit: str) -> None:
    try:
        found: float | str = read(cell, format=layout, unit=unit)
    except SampleError as e:
        found = str(e)
    assert isinstance(found, float) or is_refused(found)


LAYOUTS = st.lists(
    st.sampled_from(["%" + letter for letter in "YymbBdjHIMSpfzQ%"] + list(".- :%1"))
)


@settings(max_examples=1000)
@given(st.one_of(st.text(max_size=20), LAYOUTS.map("".join)))
@example("%\x1e")
def test_another_format_raises_no_other_error(layout: str) -> None:
    try:
        Times(layout)
    except BundleError as e:
        problem = str(e)
    else:
        return
    assert problem.startswith("inputs: format of times is ")
    assert len(problem.splitlines()) == 1


@pytest.mark.parametrize("layout", FORMATS)
def test_a_format_reads_its_own_example(layout: str) -> None:
    assert MIDNIGHT <= read(dates.example(layout), format=layout) <= LATE


# --- local times ---

BERLIN = zone_table("Europe/Berlin", range(2020, 2030))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-01-15 12:00", "2024-01-15T11:00Z"),
        ("2024-07-15 12:00", "2024-07-15T10:00Z"),
        ("2024-07-15 12:00Z", "2024-07-15T12:00Z"),
        ("2024-07-15 12:00+05:00", "2024-07-15T07:00Z"),
        ("2024-03-31 01:59:59", "2024-03-31T00:59:59Z"),
        ("2024-03-31 02:30", "2024-03-31T01:30Z"),  # doesn't exist
        ("2024-03-31 03:00", "2024-03-31T01:00Z"),
        ("2024-10-27 01:59", "2024-10-26T23:59Z"),
        ("2024-10-27 02:30", "2024-10-27T00:30Z"),  # the first one
        ("2024-10-27 03:00", "2024-10-27T02:00Z"),
        ("1950-07-15 12:00", "1950-07-15T11:00Z"),  # before the table: its first offset
    ],
)
def test_local_times(cell: str, expected: str) -> None:
    assert read(cell, zone=BERLIN) == read(expected)
    assert read("100.5", zone=BERLIN) == 100.5


@pytest.mark.parametrize("name", ["America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"])
@given(moment=st.datetimes(datetime.datetime(2005, 1, 2), datetime.datetime(2025, 12, 30)))
def test_local_times_are_those_of_zoneinfo(name: str, moment: datetime.datetime) -> None:
    expected = moment.replace(tzinfo=zoneinfo.ZoneInfo(name)).timestamp()
    found = read(str(moment), zone=zone_table(name, range(2005, 2026)))
    assert found == expected
