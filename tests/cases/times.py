"""Columns of times: kinds C and D. The seconds since the row before tell what was read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .table import Case, Line

ISO = ["2024-05-31T00:00:00", "2024-05-31T00:05:00", "2024-05-31T00:10:00"]
STEPS = (0, 300, 300)


def _rows(cells: Sequence[str | Sequence[str]]) -> list[list[str]]:
    """With the column a of 1, 2, 3. A time may be of two cells."""
    return [[*([c] if isinstance(c, str) else c), str(k)] for k, c in enumerate(cells, 1)]


def _like(cells: Sequence[str]) -> str:
    rows = "".join(f'"{cell}",{k}\n' for k, cell in enumerate(cells, 1))
    return "when,a\n" + rows.replace(".", "·")


def _read(
    name: str,
    cells: Sequence[str | Sequence[str]],
    steps: Sequence[float] = STEPS,
    *,
    kind: str = "D",
    not_in: Mapping[str, str] | None = None,
    **keys: Any,
) -> Case:
    """Rows at these times. steps: seconds since the row before."""
    time = keys.get("time", "when")
    names = [time] if isinstance(time, str) else list(time)
    return Case(
        name,
        kind,
        trains=[[k, dt] for k, dt in enumerate(steps, 1)],
        rows=[[*names, "a"], *_rows(cells)],
        channels=("a",),
        keys={"time": time, "dt": True, **keys},
        note="one row every 5 min" if steps == STEPS else "time column",
        not_in=not_in or {},
    )


def _refused(
    name: str,
    cells: Sequence[str],
    trains: str,
    runs: Sequence[float | str],
    *,
    like: Sequence[str] = ISO,
    **keys: Any,
) -> Case:
    """runs: the seconds since the row before, or words of the error, of each row."""
    lines: list[Line] = [
        [k, one] if isinstance(one, (int, float)) else one for k, one in enumerate(runs, 1)
    ]
    return Case(
        name,
        "D",
        trains=trains,
        runs=lines,
        rows=[["when", "a"], *_rows(cells)],
        channels=("a",),
        keys={"time": "when", "dt": True, **keys},
        like=_like(like),
    )


def _each(form: str, *parts: str) -> list[str]:
    """The form with each part in the place of {}."""
    return [form.replace("{}", part) for part in parts]


ISO_FORMS = [
    _read(f"ISO 8601: {name}", cells, kind="C")
    for name, cells in {
        "T": ISO,
        "a space": _each("2024-05-31 {}:00", "00:00", "00:05", "00:10"),
        "no seconds": _each("2024-05-31 00:{}", "00", "05", "10"),
        "a fraction": _each("2024-05-31T00:{}:00.5", "00", "05", "10"),
        "a fraction of 9 digits": _each("2024-05-31T00:{}:00.000000000", "00", "05", "10"),
        "a fraction of 7 digits": _each("2024-05-31T00:{}:00.0000000", "00", "05", "10"),
        "a fraction after a comma": _each("2024-05-31T00:{}:00,250", "00", "05", "10"),
        "Z": _each("2024-05-31T00:{}:00Z", "00", "05", "10"),
        "a fraction and Z": _each("2024-05-31T00:{}:00.5Z", "00", "05", "10"),
        "lower case": _each("2024-05-31t00:{}:00z", "00", "05", "10"),
        "UTC": _each("2024-05-31 00:{}:00 UTC", "00", "05", "10"),
        "+02:00": _each("2024-05-31T00:{}:00+02:00", "00", "05", "10"),
        "+0200": _each("2024-05-31T00:{}:00+0200", "00", "05", "10"),
        "+02": _each("2024-05-31T00:{}:00+02", "00", "05", "10"),
        "-0930": _each("2024-05-31T00:{}:00-0930", "00", "05", "10"),
        "a space before the zone": _each("2024-05-31 00:{}:00 +0200", "00", "05", "10"),
        "basic": _each("20240531T00{}00", "00", "05", "10"),
        "basic with Z": _each("20240531T00{}00Z", "00", "05", "10"),
        "basic without seconds": _each("20240531T00{}", "00", "05", "10"),
        "slashes": _each("2024/05/31 00:{}:00", "00", "05", "10"),
        "forms in turn": [
            "2024-05-31T00:00:00Z", "2024-05-31T00:05:00.000Z", "2024-05-31T02:10:00+02:00"],
        "spaces around it": _each(" 2024-05-31T00:{}:00 ", "00", "05", "10"),
    }.items()
]  # fmt: skip

DAY = (0, 86400, 86400)
MOMENTS = [
    _read("dates alone", ["2024-05-30", "2024-05-31", "2024-06-01"], DAY),
    _read("29 February", ["2024-02-28", "2024-02-29", "2024-03-01"], DAY),
    _read("no 29 February", ["2023-02-27", "2023-02-28", "2023-03-01"], DAY),
    _read("24:00", ["2024-05-31T23:55:00", "2024-05-31T24:00:00", "2024-06-01T00:05:00"]),
    _read("leap second", ["2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"],
          (0, 1, 0)),
    _read("before 1970", ["1969-12-31T23:55:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:05:00Z"]),
    _read("the years 1 to 9999", ["0001-01-01T00:00:00", "2024-01-01T00:00:00",
                                  "9999-12-31T23:59:59"], (0, 63839664000, 251698233599)),
    _read("milliseconds apart", ["2024-05-31T00:00:00.000", "2024-05-31T00:00:00.125",
                                 "2024-05-31T00:00:00.250"], (0, 0.125, 0.125)),
    _read("zones in turn, as at the end of summer time",
          ["2024-10-27T02:55:00+02:00", "2024-10-27T02:00:00+01:00", "2024-10-27T02:05:00+01:00"]),
]  # fmt: skip

ZONES = [
    _read("the hour that summer time skips",
          ["2024-03-31 01:55", "2024-03-31 03:00", "2024-03-31 03:05"], time_zone="Europe/Berlin"),
    _read("the same without a zone",
          ["2024-03-31 01:55", "2024-03-31 03:00", "2024-03-31 03:05"], (0, 3900, 300)),
    _read("the hour that comes twice",
          ["2024-10-27 01:55", "2024-10-27 02:55", "2024-10-27 03:00"], (0, 3600, 3900),
          time_zone="Europe/Berlin"),
    _read("in New York", ["11/03/2024 12:55:00 AM", "11/13/2024 12:55:00 AM",
                          "11/13/2024 1:00:00 AM"], (0, 867600, 300),
          time_zone="America/New_York"),
    _read("a zone of half an hour", _each("31.05.2024 00:{}", "00", "05", "10"),
          time_zone="Asia/Kolkata"),
    _read("a zone beside times that name theirs", _each("2024-03-31T01:{}:00Z", "00", "05", "10"),
          time_zone="Europe/Berlin"),
]  # fmt: skip

OTHERS = [
    _read("German", _each("31.05.2024 00:{}:00", "00", "05", "10")),
    _read("German without zeros", ["9.5.2024 9:55", "9.5.2024 10:00", "9.5.2024 10:05"]),
    _read("German with a comma", _each("31.05.2024, 00:{}:00", "00", "05", "10")),
    _read("British, told by a day", _each("31/05/2024 00:{}", "00", "05", "10")),
    _read("American, told by a day", _each("5/31/2024 0:{}", "00", "05", "10")),
    _read("American, told by the last row", ["3/11/2024 23:55", "3/12/2024 0:00",
                                             "3/13/2024 0:00"], (0, 300, 86400)),
    _read("American, of 12 hours", _each("05/31/2024 12:{}:00 AM", "00", "05", "10")),
    _read("noon", ["05/31/2024 11:55:00 AM", "05/31/2024 12:00:00 PM", "05/31/2024 12:05:00 PM"]),
    _read("midnight", ["05/30/2024 11:55 pm", "05/31/2024 12:00 am", "05/31/2024 12:05 am"]),
    _read("the month's name", _each("31-May-2024 00:{}:00", "00", "05", "10")),
    _read("the month's whole name", _each("31 May 2024 00:{}:00", "00", "05", "10")),
    _read("the month first", _each("May 31, 2024 00:{}:00", "00", "05", "10")),
    _read("ambiguous days and a format", _each("03/04/2024 00:{}", "00", "05", "10"),
          time_format="%m/%d/%Y %H:%M"),
    _read("two-digit years and a format", ["28.02.24", "29.02.24", "01.03.24"], DAY,
          time_format="%d.%m.%y"),
    _read("the day of the year", ["2024-059", "2024-060", "2024-061"], DAY, time_format="%Y-%j"),
    _read("8 digits and a format", ["20240228", "20240229", "20240301"], DAY,
          time_format="%Y%m%d"),
    _read("10 digits and a format", ["2024053122", "2024053123", "2024060100"], (0, 3600, 3600),
          time_format="%Y%m%d%H"),
    _read("12 digits and a format", ["202405312355", "202406010000", "202406010005"],
          time_format="%Y%m%d%H%M"),
    _read("14 digits and a format", ["20240531235500", "20240601000000", "20240601000500"],
          time_format="%Y%m%d%H%M%S"),
    _read("10 digits that are seconds since 1970", ["1717113600", "1717113900", "1717114200"]),
    _read("seconds with decimals", ["0.5", "300.5", "600.5"]),
    _read("seconds since 1970 with decimals", ["1717113600.25", "1717113900.25", "1717114200.25"]),
    _read("seconds in powers", ["0", "3e2", "6E+02"]),
    _read("negative seconds", ["-300", "0", "300"]),
    _read("milliseconds", ["1717113600000", "1717113900000", "1717114200000"], time_unit="ms"),
    _read("milliseconds of one's own clock", ["0", "300000", "600000"], time_unit="ms"),
    _read("microseconds", ["1717113600000000", "1717113900000000", "1717114200000000"],
          time_unit="us"),
    _read("nanoseconds", ["1717113600000000000", "1717113900000000000", "1717114200000000000"],
          time_unit="ns"),
    _read("8 digits that are seconds", ["20240101", "20240401", "20240701"], time_unit="s"),
    _read("two columns", [["31.05.2024", "23:55:00"], ["01.06.2024", "00:00:00"],
                          ["01.06.2024", "00:05:00"]], time=["day", "clock"]),
    _read("two columns, ISO 8601", [["2024-05-31", "23:55"], ["2024-06-01", "00:00"],
                                    ["2024-06-01", "00:05"]], time=["day", "clock"]),
    _read("two columns, American", [["5/31/2024", "11:55 PM"], ["6/1/2024", "12:00 AM"],
                                    ["6/1/2024", "12:05 AM"]], time=["day", "clock"]),
    _read("two columns and a format", [["240531", "2355"], ["240601", "0000"], ["240601", "0005"]],
          time=["day", "clock"], time_format="%y%m%d %H%M",
          not_in=dict.fromkeys(("parquet", "json"), "a number has no zeros before it")),
    _read("the same time twice", ["2024-05-31T00:00", "2024-05-31T00:05", "2024-05-31T00:05"],
          (0, 300, 0)),
    _read("back, and kept", ["2024-05-31T00:00", "2024-05-31T00:05", "2024-05-31T00:00"],
          (0, 300, 0), time_back="keep"),
]  # fmt: skip

BAD = "time 'when' is"
REFUSED = [
    _refused("ambiguous days", _each("03/04/2024 00:{}", "00", "05", "10"),
             "can be 3 April or 4 March, and no row tells", [BAD] * 3),
    _refused("two orders of day and month", ["31/05/2024", "06/13/2024", "07/01/2024"],
             "row 2: '06/13/2024' has the day and the month in another order than '31/05/2024'",
             [BAD] * 3),
    _refused("two-digit years", ["31/05/24", "01/06/24", "02/06/24"],
             "has a year of two digits; set time_format = '%d/%m/%y' or '%y/%m/%d' in [data]",
             [BAD] * 3),
    _refused("8 digits", ["20240530", "20240531", "20240601"],
             "reads as a date, as other rows do; set time_format = '%Y%m%d'", [0, 1, 70]),
    _refused("10 digits", ["2024053122", "2024053123", "2024060100"],
             "reads as a date, as other rows do; set time_format = '%Y%m%d%H'", [0, 1, 6977]),
    _refused("12 digits", ["202405312355", "202406010000", "202406010005"],
             "reads as a date, as other rows do; set time_format = '%Y%m%d%H%M'", [0, 697645, 5]),
    _refused("14 digits", ["20240531235500", "20240601000000", "20240601000500"],
             "reads as a date, as other rows do; set time_format = '%Y%m%d%H%M%S'",
             [0, 69764500, 500]),
    _refused("milliseconds without the unit", ["1717113600000", "1717113900000", "1717114200000"],
             "has the size of milliseconds since 1970; set time_unit = 'ms'", [0, 300000, 300000]),
    _refused("microseconds without the unit", ["1717113600000000", "1717113900000000",
                                               "1717114200000000"],
             "has the size of microseconds since 1970; set time_unit = 'us'", [0, 3e8, 3e8]),
    _refused("nanoseconds without the unit", ["1717113600000000000", "1717113900000000000",
                                              "1717114200000000000"],
             "has the size of nanoseconds since 1970; set time_unit = 'ns'", [0, 3e11, 3e11]),
    _refused("400 digits", ["0", "1" * 400, "600"], "row 2", [0, BAD, 600], like=["0", "1", "2"]),
    dataclasses.replace(
        _refused("5,000 digits", ["0", "1" * 5000, "600"], "row 2", [0, BAD, 600],
                 like=["0", "1", "2"]),
        but={"json": (None, [[1, 0], "not valid JSON", [3, 600]])}),
    _refused("an infinite time", ["0", "1e999", "600"], "row 2", [0, BAD, 600],
             like=["0", "1", "2"]),
    _refused("a time that is nan", ["0", "nan", "600"], "row 2", [0, BAD, 600],
             like=["0", "1", "2"]),
    *(
        _refused(f"no such time: {cell}", [ISO[0], cell, ISO[2]], "row 2", [0, BAD, 600])
        for cell in (
            "2024-02-30T00:00:00", "2023-02-29", "2024-13-01", "2024-00-10", "2024-05-00",
            "2024-05-31T25:00:00", "2024-05-31T24:00:01", "2024-05-31T23:60:00",
            "2024-05-31T23:59:61", "-2024-05-31T00:00:00", "0000-01-01T00:00:00",
            "+12024-05-31T00:00:00", "2024-05-31T00:00:00+25:00", "2024-W22-5", "2024-152",
            "２０２４-05-31T00:05:00", "2024-05-31T00:05:00 CEST", "0x10", "1_000", "yesterday",
        )
    ),
    dataclasses.replace(
        _refused("a blank time", [ISO[0], "", ISO[2]], "row 2: there is no time", [0, BAD, 600]),
        not_in={"space": "an empty cell is no cell"}),
    _refused("a time back", ISO[::-1], "comes after", [0, 0, 0]),
    _refused("a clock without dates", ["23:55:00", "23:56:00", "23:57:00"], "row 1", [BAD] * 3),
    _refused("minutes and seconds", ["00:01.5", "00:02.5", "00:03.5"], "row 1", [BAD] * 3),
    _refused("of e-mail", _each("Fri, 31 May 2024 00:{}:00 GMT", "00", "05", "10"), "row 1",
             [BAD] * 3),
    _refused("of C's ctime", _each("Fri May 31 00:{}:00 2024", "00", "05", "10"), "row 1",
             [BAD] * 3),
    _refused("of .NET's JSON", ["/Date(1717113600000)/"] * 3, "row 1", [BAD] * 3),
    _refused("a month's name in German", _each("31. Mai 2024 00:{}", "00", "05", "10"), "row 1",
             [BAD] * 3),
    _refused("another form than the format", _each("2024-05-31 00:{}", "00", "05", "10"),
             "row 1: '2024-05-31 00:00' can't be read; expected a time such as '31.05.2024'",
             [BAD] * 3, like=["30.05.2024", "31.05.2024", "01.06.2024"], time_format="%d.%m.%Y"),
]  # fmt: skip

CASES = [*ISO_FORMS, *MOMENTS, *ZONES, *OTHERS, *REFUSED]
