"""How a text file is written: encoding, separator, header, comments, decimal mark."""

from __future__ import annotations

import collections
import csv
import dataclasses
import itertools
import re
from pathlib import Path
from typing import NamedTuple

from edge_lstm_runtime.errors import DataError, SampleError
from edge_lstm_runtime.feeds.source import UNREADABLE
from edge_lstm_runtime.inputs.text import BOMS, SEPARATORS, TextForm, open_bytes, open_text

from .draft import Key, Keys

LINES = 1000  # that are looked at
ORDER = ("\t", ";", "|", ",", " ")  # a comma and a space may be inside of a cell
ALIKE = 0.9  # of the lines have the same number of cells
COMMENTS = ("#", "%", "//", "!")
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_CLOCK = re.compile(r"\d{1,4}[-/.:]\d{1,2}[-/.:T ]\d{1,4}.*|\d{1,2}:\d\d(:\d\d.*)?")


class Written(NamedTuple):
    """keys: of [data] that say so. form: the same. names: of the columns."""

    keys: Keys
    form: TextForm
    names: tuple[str, ...]


def written(path: Path, *, sure: bool = False) -> Written | None:
    """None if the file is no table. Raises DataError for one that can't be read.

    sure: whether it is one by its name. If not, its cells must be numbers or times.
    """
    keys: dict[str, Key] = {}
    form = TextForm()
    if encoding := _encoding(path):
        keys["encoding"] = Key(encoding, "the text is not UTF-8")
        form = dataclasses.replace(form, encoding=encoding)
    lines = _lines(path, form)
    comment = _comment(lines)
    bare = [line for line in lines if not comment or not line.lstrip().startswith(comment)]
    found = _separated([line for line in bare if line.strip()], sure=sure)
    if found is None:
        return None
    form, rows = found[0], found[1]
    form = dataclasses.replace(form, encoding=encoding, comment=comment)
    if form.separator != ",":
        keys["separator"] = Key(form.separator, f"cells are parted by {SEPARATORS[form.separator]}")
    if form.decimal == ",":
        keys["decimal"] = Key(",", f"numbers such as {_first(rows, _COMMA)}")
    if comment:
        keys["comment"] = Key(comment, "lines that begin with it are skipped")
    width = _width(rows)
    first = next(k for k, cells in enumerate(rows) if len(cells) == width)
    head = rows[first]
    named = _named_in_comment(lines, comment, form, width)
    if named or not _is_header(head, rows[first + 1 :], form):
        names = named or tuple(f"column_{k}" for k in range(1, len(head) + 1))
        why = "the line of comment that has so many names" if named else "the file has no header"
        keys["columns"] = Key(list(names), why)
        return Written(keys, dataclasses.replace(form, columns=names), names)
    if first:
        skipped = _skipped(lines, comment, first)
        keys["skip_rows"] = Key(skipped, "lines before the header")
        form = dataclasses.replace(form, skip_rows=skipped)
    return Written(keys, form, tuple(_stripped(head)))


def _encoding(path: Path) -> str:
    """ "" for UTF-8, and if a byte order mark tells it."""
    try:
        with open_bytes(path) as file:
            start = file.read(1 << 20)
            if any(start.startswith(bom) for bom in BOMS):
                return ""
            odd, even = start[1::2].count(0), start[::2].count(0)
            if 3 * odd > len(start) / 2 or 3 * even > len(start) / 2:
                return "utf-16-le" if odd > even else "utf-16-be"
            if b"\0" in start:
                raise DataError(f"{path}: is no text: it has NUL bytes; expected a table")
            while start:
                end = max(start.rfind(b"\n") + 1, 0) or len(start)
                start[:end].decode("utf-8")
                start = start[end:] + (more := file.read(1 << 20))
                if not more and b"\n" not in start:
                    start.decode("utf-8")
                    break
    except UnicodeDecodeError:
        return "cp1252" if _decodes(path, "cp1252") else "latin-1"
    except UNREADABLE as e:
        raise DataError(f"{path}: can't be read: {e}; expected a text file") from e
    return ""


def _decodes(path: Path, encoding: str) -> bool:
    try:
        with open_text(path, TextForm(encoding=encoding)) as file:
            return all(file)
    except UnicodeDecodeError:
        return False


def _lines(path: Path, form: TextForm) -> list[str]:
    try:
        with open_text(path, form) as file:
            return [line.rstrip("\n") for line in itertools.islice(file, LINES)]
    except UnicodeDecodeError as e:
        raise DataError(f"{path}: the text can't be decoded ({e.reason}); save it as UTF-8") from e
    except UNREADABLE as e:
        raise DataError(f"{path}: can't be read: {e}; expected a text file") from e


def _comment(lines: list[str]) -> str:
    """The sign of comments, "" if no line begins with one."""
    for sign in COMMENTS:
        count = sum(line.lstrip().startswith(sign) for line in lines)
        if 0 < count <= len(lines) // 2:
            return sign
    return ""


def _separated(lines: list[str], *, sure: bool) -> tuple[TextForm, list[list[str]]] | None:
    """The form and the cells of each line. A table of one column is one of numbers."""
    if not lines:
        return None
    for separator in ORDER:
        form = TextForm(separator=separator)
        rows = [row for line in lines if (row := _cells(form, line)) is not None]
        width = _width(rows)
        alike = sum(len(row) == width for row in rows)
        if width < 2 or alike < ALIKE * (len(lines) - 1) or not alike:
            continue
        if separator in " ," and not sure and not _tells(rows, form):
            continue  # prose has spaces and commas too
        if separator == "," and len(rows[0]) == 1 and _are_decimal_commas(lines[1:]):
            continue
        if separator != "," and _is_decimal_comma(rows):
            form = dataclasses.replace(form, decimal=",")
        return form, rows
    alone = [[line.strip()] for line in lines]
    numbers = sum(_is_number(row[0], TextForm()) for row in alone[1:])
    if len(alone) > 1 and numbers >= ALIKE * (len(alone) - 1):
        return TextForm(), alone
    commas = TextForm(separator=";", decimal=",")
    numbers = sum(_is_number(row[0], commas) for row in alone[1:])
    if len(alone) > 1 and numbers >= ALIKE * (len(alone) - 1):
        return commas, alone
    return None


def _cells(form: TextForm, line: str) -> list[str] | None:
    try:
        return _stripped(form.cells(line))
    except (SampleError, csv.Error):
        return None


def _stripped(cells: list[str]) -> list[str]:
    """Without the empty ones that separators at the end of the line make."""
    while len(cells) > 1 and not cells[-1]:
        cells = cells[:-1]
    return cells


def _width(rows: list[list[str]]) -> int:
    """That most rows have. A row whose last cells are empty looks shorter, so the wider of two."""
    counts = collections.Counter(map(len, rows))
    if not counts:
        return 0
    most = max(counts.values())
    return max(width for width, count in counts.items() if 4 * count >= most)


def _tells(rows: list[list[str]], form: TextForm) -> bool:
    """Whether most rows have a number or a time."""
    comma = dataclasses.replace(form, separator=" ", decimal=",")
    told = sum(
        any(_is_number(c, form) or _is_number(c, comma) or _CLOCK.fullmatch(c) for c in row)
        for row in rows[1:] or rows
    )
    return told >= ALIKE * len(rows[1:] or rows)


def _are_decimal_commas(lines: list[str]) -> bool:
    return bool(lines) and all(_COMMA.fullmatch(line.strip()) for line in lines)


def _is_decimal_comma(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows for cell in row]
    return any(_COMMA.fullmatch(c) for c in cells) and not any(_POINT.fullmatch(c) for c in cells)


def _first(rows: list[list[str]], pattern: re.Pattern[str]) -> str:
    return next(cell for row in rows for cell in row if pattern.fullmatch(cell))


def _is_number(cell: str, form: TextForm) -> bool:
    try:
        form.number(cell)
    except ValueError:
        return False
    return bool(cell.strip())


def _is_header(head: list[str], rows: list[list[str]], form: TextForm) -> bool:
    """Names, no numbers and no times. Numbers in a row (0, 1, 2) above other cells are names."""
    if not rows:
        return not any(_is_number(cell, form) for cell in head)
    plain = [cell for cell in head if cell]
    if not any(_is_number(c, form) or _CLOCK.fullmatch(c) for c in plain):
        return bool(plain)
    counted = [[str(k) for k in range(start, start + len(head))] for start in (0, 1)]
    return len(head) > 2 and head in counted and all(row not in counted for row in rows)


def _named_in_comment(
    lines: list[str], comment: str, form: TextForm, width: int
) -> tuple[str, ...]:
    """The names that the last line of comment before the rows has, () if it has none."""
    if not comment:
        return ()
    before = list(itertools.takewhile(lambda line: line.lstrip().startswith(comment), lines))
    rest = lines[len(before) :]
    if not before or not rest:
        return ()
    names = _cells(form, before[-1].lstrip().removeprefix(comment).strip())
    first = _cells(form, rest[0])
    usual = names is not None and len(names) == width and len(set(names)) == width
    headless = first is not None and not _is_header(first, [], form)
    return tuple(names or ()) if usual and headless else ()


def _skipped(lines: list[str], comment: str, first: int) -> int:
    """The lines before the row number `first` of those that are neither blank nor comments."""
    seen = 0
    for number, line in enumerate(lines):
        if line.strip() and not (comment and line.lstrip().startswith(comment)):
            if seen == first:
                return number
            seen += 1
    return 0
