"""Dates in text: ISO 8601 and RFC 3339, and formats in strptime's letters.

The same on every Python and in every locale, which `datetime.fromisoformat` and `strptime` are not.

ISO 8601 and RFC 3339, upper or lower case:

    date    2024-05-31, 2024/05/31 or 20240531, in the years 1 to 9999. Alone, it is midnight, but
            20240531 alone is a number
    time    after a T or spaces: 23, 23:55, 23:55:00, 2355 or 235500. Then, after a point or a
            comma, a fraction of any number of digits, of which nine are read
    zone    Z, UTC, GMT, +02:00, +0200 or +02, with or without spaces before it

A format's letters:

    %Y %y               the year. Of two digits, 69 to 99 are 1969 to 1999
    %m %b %B %d %j      the month, its English name (short or long), the day, the day of the year
    %H %I %p %M %S %f   the time of day. %S reads the fraction of the second too, if there is one
    %z                  a zone, as above
    %%                  a percent sign

Numbers have one or two digits (%j: up to three), or exactly two (three) next to other digits. A
space stands for one or more. Other text stands for itself, in upper or lower case.

24:00:00 is the next midnight, and second 60 is the next second.
"""

from __future__ import annotations

import functools
import re

from ..checks import DAY

LONGEST = 200  # characters of a text or a format: keeps a hostile one from taking long
_LENGTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "j": 3, "H": 2, "I": 2, "M": 2, "S": 2}
_SPACE = "[ \t\u00a0\u202f]"
ZONE = rf"{_SPACE}*([Zz]|[Uu][Tt][Cc]|[Gg][Mm][Tt]|[+-]\d\d(?::?\d\d)?)"
_OTHERS = {
    "b": r"([a-z]{3,9})\.?",
    "p": r"([ap])\.?m\.?",
    "f": r"(\d+)",
    "z": ZONE,
}
_FRACTION = r"(?:[.,](\d+))?"
_LETTERS = "YymbdjHIMSpfz"
# A flag for upper and lower case takes time, so that both are written out here.
_ISO = (
    r"(?!\d+\Z)(\d{4})([-/]?)(\d\d)\2(\d\d)"
    rf"(?:(?:[Tt]|{_SPACE}+)(\d\d)(?:(:?)(\d\d)(?:\6(\d\d){_FRACTION})?)?(?:{ZONE})?)?"
)
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH = {name[:n]: k for k, name in enumerate(MONTHS, 1) for n in (3, len(name))} | {"sept": 9}
_EXAMPLE = {
    "Y": "2024",
    "y": "24",
    "m": "05",
    "b": "May",
    "B": "May",
    "d": "31",
    "j": "152",
    "H": "23",
    "I": "11",
    "M": "55",
    "S": "00",
    "p": "PM",
    "f": "0",
    "z": "+00:00",
    "%": "%",
}


class Layout:
    """How dates are laid out in text: by a format, or by ISO 8601 if it is "".

    Raises ValueError for a format that can't be read.
    """

    def __init__(self, layout: str = ""):
        pattern, letters = _pattern(layout) if layout else (_ISO, "Y-mdH:MSfz")
        flags = re.ASCII | (re.IGNORECASE if layout else re.ASCII)
        # A letter that the layout lacks has the last group, which matches nothing.
        self._places = [letters.find(letter) % (len(letters) + 1) + 1 for letter in _LETTERS]
        self._match = re.compile(f"{pattern}((?!))?", flags).fullmatch

    def read(self, text: str) -> tuple[int, str | None, int | None] | None:
        """Seconds since 1970 in the date's own zone, the digits of their fraction, and the zone's
        offset in seconds. None for a text that is laid out in another way.

        Raises ValueError for a date that doesn't exist, such as 2024-02-30.
        """
        found = self._match(text) if len(text) <= LONGEST else None
        if found is None:
            return None
        *date, hour, half, minute, second, noon, fraction, zone = found.group(*self._places)
        h = int(hour) if hour else _of_halves(int(half), noon) if half else 0
        m = int(minute) if minute else 0
        s = int(second) if second else 0
        if (h > 23 and (h, m, s) != (24, 0, 0)) or m > 59 or s > 60:
            raise ValueError("there is no such time")
        since = DAY * _day(*date) + 3600 * h + 60 * m + s
        return since, fraction, _offset(zone) if zone else None


def example(layout: str) -> str:
    """31 May 2024, 23:55, in a format."""
    return re.sub("%(.)", lambda found: _EXAMPLE[found[1]], layout)


def _pattern(layout: str) -> tuple[str, str]:
    """The regular expression of a format, and the letters of its groups. Raises ValueError."""
    if len(layout) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} characters")
    same = layout.replace("%B", "%b").replace("%S.%f", "%S").replace("%S,%f", "%S")
    parts = re.findall(r"%.|\s+|.", same, re.DOTALL)
    given = [part[1:] for part in parts if part[0] == "%" and part != "%%"]
    _check(given)
    digits = [part.isdigit() or part[1:] in (*_LENGTHS, "f") for part in parts]
    pattern = letters = ""
    for k, part in enumerate(parts):
        letter = part[1:]
        if part[0] != "%" or letter == "%":
            pattern += f"{_SPACE}+" if part.isspace() else re.escape(part[-1])
            continue
        letters += letter
        if letter in _OTHERS:
            pattern += _OTHERS[letter]
            continue
        most = _LENGTHS[letter]
        fixed = letter in "Yy" or any(digits[max(k - 1, 0) : k] + digits[k + 1 : k + 2])
        pattern += rf"(\d{{{most if fixed else 1},{most}}})"
        if letter == "S" and "f" not in given:
            pattern += _FRACTION
            letters += "f"
    return pattern, letters


def _check(letters: list[str]) -> None:
    unknown = [letter for letter in letters if letter not in set(_LETTERS)]
    if unknown:
        known = " ".join(f"%{letter}" for letter in _EXAMPLE)
        raise ValueError(f"it has {f'%{unknown[0]}'!r}, and the letters are {known}")
    has = set(letters)
    if len(has) < len(letters):
        raise ValueError("it has a letter twice")
    if len(has & {"Y", "y"}) != 1:
        raise ValueError("it needs a year, %Y or %y")
    if has & {"m", "b", "d", "j"} not in ({"m", "d"}, {"b", "d"}, {"j"}):
        raise ValueError("it needs a month, %m or %b, and a day, %d, or else the day's number, %j")
    if len(has & {"H", "I"}) == 2 or ("I" in has) != ("p" in has):
        raise ValueError("it needs %H, or %I with %p, for the hour")
    for finer, coarser in (("M", "HI"), ("S", "M"), ("f", "S")):
        if finer in has and not has & set(coarser):
            raise ValueError(f"it has %{finer} without %{coarser[0]}")


@functools.lru_cache(maxsize=4096)
def _day(
    year: str | None,
    short: str | None,
    month: str | None,
    name: str | None,
    day: str | None,
    number: str | None,
) -> int:
    """Days since 1970. Raises ValueError."""
    if year:
        y = int(year)
    else:
        y = int(short or "")
        y += 1900 if y >= 69 else 2000
    leap = y % 4 == 0 and (y % 100 != 0 or y % 400 == 0)
    if number:
        d = int(number)
        _require(y > 0 and 1 <= d <= 365 + leap)
        return _since_1970(y, 1, d)
    m = int(month) if month else _MONTH.get((name or "").lower(), 0)
    d = int(day or "")
    _require(y > 0 and 1 <= m <= 12)
    _require(1 <= d <= (28 + leap if m == 2 else 30 + (m + m // 8) % 2))
    return _since_1970(y, m, d)


def _since_1970(year: int, month: int, day: int) -> int:
    """After Hinnant, as `calendar` does. day: may be beyond the month's last."""
    year -= month <= 2  # years begin in March, and leap days end them
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719468


def _of_halves(hour: int, noon: str) -> int:
    """The hour of 24, of one of 12 before (a) or after (p) noon. Raises ValueError."""
    _require(1 <= hour <= 12)
    return hour % 12 + 12 * (noon in "pP")


@functools.lru_cache(maxsize=256)
def _offset(zone: str) -> int:
    """Seconds that local time is ahead of UTC. Raises ValueError."""
    digits = zone[1:].replace(":", "")
    if not digits.isdigit():
        return 0
    hours = int(digits[:2])
    minutes = int(digits[2:] or 0)
    _require(hours <= 23 and minutes <= 59)
    return (3600 * hours + 60 * minutes) * (-1 if zone[0] == "-" else 1)


def _require(exists: bool) -> None:
    if not exists:
        raise ValueError("there is no such date")
