"""The format of a time column, recognized from all of its cells, and its times.

A date that can be read in two ways, and a number that may be a date or of a smaller unit than
seconds, are refused: `time_format` or `time_unit` in [data] must then say what they are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_lstm_runtime.errors import DataError, SampleError
from edge_lstm_runtime.inputs import dates
from edge_lstm_runtime.inputs.times import UNITS, Times, shown

from .recordings import Float64

# Seconds since 1970 that are taken for a date, of 1973 to 2286. Smaller numbers count from another
# beginning.
EARLIEST = 1e8
LATEST = 1e10
_TO_SHAPE = str.maketrans("0123456789", "9" * 10)
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
# Digits that may be a date, by their number. The .0 is of a program that had blank cells.
DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_PLAIN = re.compile(r"(9+)(\.9)?")
_FIRST = 1000  # cells that tell whether digits are dates. By chance, one in 1,400 reads as one
_YEARS = (-2208988800, 4133980800)  # 1900 to 2100, in seconds since 1970
# How a date may be written, and the formats that read it. The sign between its parts is "sep".
_DATES = (
    (r"\d{4}(?P<sep>[-/.])\d{1,2}(?P=sep)\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{1,2}(?P<sep>\.)\d{1,2}(?P=sep)\d{4}", ("%d-%m-%Y",)),
    (r"\d{1,2}(?P<sep>[-/])\d{1,2}(?P=sep)\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"\d{1,2}(?P<sep>[-/.])\d{1,2}(?P=sep)\d{2}", ("%d-%m-%y", "%m-%d-%y", "%y-%m-%d")),
    (r"\d{1,2}(?P<sep>[- ])[A-Za-z]{3,9}(?P=sep)\d{4}", ("%d-%b-%Y",)),
    (r"[A-Za-z]{3,9}(?P<sep> )\d{1,2}, \d{4}", ("%b-%d, %Y",)),
)
_CLOCK = (
    r"(?:(?P<gap>T|,? +)\d{1,2}:\d\d(?P<second>:\d\d(?:[.,]\d+)?)?"
    rf"(?P<noon> *[AaPp]\.?[Mm]\.?)?(?P<zone>{dates.ZONE})?)?"
)
_WRITTEN = [(re.compile(date + _CLOCK, re.ASCII), formats) for date, formats in _DATES]


class _Cells(NamedTuple):
    texts: Sequence[str]
    where: str
    column: str
    rows: Sequence[int] | None

    def error(self, place: int, problem: str) -> DataError:
        row = place + 1 if self.rows is None else self.rows[place]
        cell = shown(self.texts[place])
        return DataError(f"{self.where}: time column {self.column!r}, row {row}: {cell} {problem}")


class _Kind(NamedTuple):
    """Cells that are written alike: all digits at the same places.

    formats  that may read them
    first    the place of the first one
    size     how many there are
    """

    formats: tuple[str, ...]
    number: bool
    iso: bool
    first: int
    size: int


def recognized(
    cells: Sequence[str],
    given: Times,
    where: str,
    column: str,
    *,
    unit_set: bool = False,
    rows: Sequence[int] | None = None,
) -> Times:
    """`given`, with the format of the cells, if it has none. `read` checks each cell.

    cells: (N,) at least one, none blank. where, column: the file and the column, for messages.
    unit_set: whether the configuration says the unit of numbers. rows: (N,) of the cells, from 1,
    for messages. By default they are all rows. Raises DataError, with the row.
    """
    if given.format:
        return given
    told = _Cells(cells, where, column, rows)
    found = dataclasses.replace(given, format=_format(told, unit_set=unit_set))
    if not unit_set and not found.format and _NUMBER.fullmatch(cells[0]):
        _check_size(told, read(cells, found, where, column, rows=rows))
    return found


def read(
    cells: Sequence[str],
    times: Times,
    where: str,
    column: str,
    *,
    rows: Sequence[int] | None = None,
) -> Float64:
    """(N,) seconds, each to the bit what `times.seconds` returns for the cell.

    Arguments as of `recognized`. Raises DataError for a cell that is no such time.
    """
    found = _numbers(cells, times)
    if found is None:
        found = _dates(cells, times)
    if found is not None:
        return found
    found = np.empty(len(cells))
    for k, text in enumerate(cells):
        try:
            found[k] = times.seconds(text, column)
        except SampleError as e:
            problem = f"can't be read; expected {times.expected}"
            mend = "correct the cell, or set `time_format` in [data]"
            raise _Cells(cells, where, column, rows).error(k, f"{problem}; {mend}") from e
    return found


def _format(cells: _Cells, *, unit_set: bool) -> str:
    """ "" for numbers and ISO 8601."""
    shapes: dict[str, list[int]] = {}
    for k, text in enumerate(cells.texts):
        shapes.setdefault(text.translate(_TO_SHAPE), [k, 0])[1] += 1
    kinds = [_kind(cells.texts[first].strip(), first, count) for first, count in shapes.values()]
    if all(kind.number for kind in kinds):
        if not unit_set:
            _check_digits(cells, list(shapes))
        return ""
    if all(kind.iso for kind in kinds):
        return ""
    formats = _only(cells, kinds)
    if "%y" in formats[0]:
        fits = [layout for layout in formats if _fits(cells, layout)]
        both = _quoted(fits or formats)
        raise cells.error(0, f"has a year of two digits; set time_format = {both} in [data]")
    return formats[0] if len(formats) == 1 else _by_the_days(cells, formats)


def _kind(text: str, first: int, size: int) -> _Kind:
    number = _NUMBER.fullmatch(text) is not None
    try:
        iso = dates.Layout().read(text) is not None
    except ValueError:  # a date that doesn't exist
        iso = True
    return _Kind(() if number else formats_of(text), number, iso, first, size)


def formats_of(text: str) -> tuple[str, ...]:
    """The formats in which a text is laid out."""
    for written, formats in _WRITTEN:
        found = written.fullmatch(text)
        if found is None:
            continue
        clock = ""
        if found["gap"]:
            noon = found["noon"] or ""
            clock = re.sub(" +", " ", found["gap"]) + ("%I:%M" if noon else "%H:%M")
            clock += ":%S" if found["second"] else ""
            clock += (" %p" if noon[0] == " " else "%p") if noon else ""
            clock += "%z" if found["zone"] else ""
        return tuple(date.replace("-", found["sep"]) + clock for date in formats)
    return ()


def _only(cells: _Cells, kinds: list[_Kind]) -> tuple[str, ...]:
    """The formats that all kinds have in common. Raises DataError for a cell of another kind."""
    unknown = [kind for kind in kinds if not (kind.number or kind.iso or kind.formats)]
    if unknown:
        expected = f"expected {Times().expected}; correct the cell, or set `time_format` in [data]"
        raise cells.error(unknown[0].first, f"is no time that is known; {expected}")
    groups: dict[tuple[str, ...], list[_Kind]] = {}
    for kind in kinds:  # a date such as 20240531T2355 has no format
        groups.setdefault(kind.formats or ("number" if kind.number else "iso",), []).append(kind)
    if len(groups) == 1:
        return next(iter(groups))
    by_size = sorted(groups.values(), key=lambda group: sum(kind.size for kind in group))
    rare = by_size[0][0].first
    common = shown(cells.texts[by_size[-1][0].first])
    mend = "expected one kind of times in a column; correct the cells"
    raise cells.error(rare, f"is of another kind than {common}; {mend}")


def _by_the_days(cells: _Cells, formats: tuple[str, ...]) -> str:
    """The one of two formats, day or month first, that the days above 12 tell."""
    above: dict[int, str] = {}
    for head in dict.fromkeys(text.strip()[:10] for text in cells.texts):
        numbers = _day_and_month(head)
        if min(numbers) == 0 or min(numbers) > 12 or max(numbers) > 31:
            problem = "is a date that doesn't exist; correct the cell"
            raise cells.error(_place(cells, head), problem)
        if max(numbers) > 12:
            above.setdefault(numbers.index(max(numbers)), head)
    if len(above) == 1:
        return formats[next(iter(above))]
    if above:
        early, late = sorted(_place(cells, head) for head in above.values())
        problem = f"has the day and the month in another order than {cells.texts[early]!r}"
        raise cells.error(late, f"{problem}; expected one order in a column; correct the cells")
    day, month = _day_and_month(cells.texts[0])
    names = [dates.MONTHS[number - 1].title() for number in (month, day)]
    readings = f"{day} {names[0]} or {month} {names[1]}, and no row tells"
    mend = f"set time_format = {_quoted(formats)} in [data]"
    raise cells.error(0, f"can be {readings}; {mend}")


def _day_and_month(text: str) -> tuple[int, int]:
    """In the order of the text."""
    first, second = re.findall("[0-9]+", text)[:2]
    return int(first), int(second)


def _place(cells: _Cells, head: str) -> int:
    """Of the first cell that starts with it."""
    return next(k for k, text in enumerate(cells.texts) if text.strip().startswith(head))


def _check_digits(cells: _Cells, shapes: list[str]) -> None:
    """Raises DataError for digits of which most read as dates, so that one bad cell hides none."""
    plain = _PLAIN.fullmatch(shapes[0].strip())
    if len(shapes) > 1 or plain is None or len(plain[1]) not in DIGITS:
        return
    times = Times(DIGITS[len(plain[1])] + (".0" if plain[2] else ""))
    found = []
    for k, text in enumerate(cells.texts[:_FIRST]):
        try:
            if _YEARS[0] <= times.seconds(text, cells.column) < _YEARS[1]:
                found.append(k)
        except SampleError:
            pass
    if 2 * len(found) > len(cells.texts[:_FIRST]):
        mend = f"set time_format = {_quoted([times.format])} in [data]"
        number = "time_unit = 's' if it is a number of seconds"
        raise cells.error(found[0], f"reads as a date, as other rows do; {mend}, or {number}")


def _check_size(cells: _Cells, values: Float64) -> None:
    """Raises DataError for numbers of the size of milliseconds since 1970, or of smaller units."""
    for unit, (per_second, name) in UNITS.items():
        if per_second > 1 and _in_range(values, EARLIEST * per_second, LATEST * per_second):
            raise cells.error(
                0,
                f"has the size of {name} since 1970; set time_unit = {unit!r} in [data], "
                "or 's' if it is a number of seconds",
            )


def _in_range(values: Float64, least: float, most: float) -> bool:
    return bool(least <= values.min() and values.max() < most)


def _read(cells: _Cells, layout: str) -> Float64:
    return read(cells.texts, Times(layout), cells.where, cells.column)


def _fits(cells: _Cells, layout: str) -> bool:
    try:
        _read(cells, layout)
    except (SampleError, DataError):
        return False
    return True


def _quoted(formats: Sequence[str]) -> str:
    return " or ".join(f"'{layout}'" for layout in formats)


def _numbers(texts: Sequence[str], times: Times) -> Float64 | None:
    """None unless all are numbers."""
    if times.format or not _NUMBER.fullmatch(texts[0]):
        return None
    for text in texts:  # as in `Times`
        if "_" in text or not text.isascii() or len(text) > dates.LONGEST:
            return None
    try:
        found = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return None
    return found / UNITS[times.unit][0] if np.isfinite(found).all() else None


def _dates(texts: Sequence[str], times: Times) -> Float64 | None:
    """Reads each date and each time of day once. None if that may be wrong.

    With a date and a time of day that are apart, the seconds are the sum of theirs.
    """
    separator = _separator(texts[0], times)
    if not separator:
        return None
    date = texts[0].partition(separator)[0]
    time = texts[0][len(date) :]
    try:
        base = times.layout.read(texts[0])
        if base is None:
            return None
        heads: dict[str, int] = {}
        tails: dict[str, tuple[int, str | None, int | None]] = {}
        found = np.empty(len(texts))
        for k, text in enumerate(texts):
            head = text.partition(separator)[0]
            tail = text[len(head) :]
            if head not in heads:
                of_date = times.layout.read(head + time)
                if of_date is None or of_date[1:] != base[1:]:
                    return None
                heads[head] = of_date[0] - base[0]
            if tail not in tails:
                of_time = times.layout.read(date + tail)
                if of_time is None or bool(tail) != bool(time):
                    return None
                tails[tail] = of_time
            local, fraction, offset = tails[tail]
            found[k] = times.since_1970(heads[head] + local, fraction, offset)
    except ValueError:
        return None
    return found


def _separator(first: str, times: Times) -> str:
    """What is between the date and the time of day. "" if they aren't apart."""
    if not times.format:
        return " " if " " in first else "T"
    head = re.findall("%(.)", times.format.partition(" ")[0])
    letters = set(re.findall("%(.)", times.format))
    apart = all(
        letters & set(part) <= set(head) or not set(part) & set(head)
        for part in ("YymbBdj", "HIMSpf")
    )
    return " " if apart else ""
