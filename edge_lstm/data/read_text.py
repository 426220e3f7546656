"""A text file as a table. Lines and cells are read as a board reads them, by `inputs/text.py`."""

from __future__ import annotations

import array
import io
import itertools
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np

from edge_lstm_runtime.errors import DataError, SampleError
from edge_lstm_runtime.feeds.source import UNREADABLE
from edge_lstm_runtime.inputs.text import TextForm, fitting_separator, open_bytes, open_text

from .table import Table, Times, Wanted

Read = TypeVar("Read")
BLOCK = 1 << 20  # bytes of lines that are read at once
LOOKED_AT = 50  # lines in which a header is searched, for a message


def header_of(path: Path, form: TextForm) -> tuple[str, ...]:
    """The names of the columns. Raises DataError if the file can't be read or has no line."""
    with _opened(path, form) as lines:
        return lines.header()[1]


def check_columns(path: Path, form: TextForm, wanted: Wanted) -> None:
    """Raises DataError if the header lacks a column."""
    with _opened(path, form) as lines:
        _Reading(path, form, wanted, lines)


def read_table(path: Path, form: TextForm, wanted: Wanted) -> Table:
    """Raises DataError."""
    with _opened(path, form) as lines:
        return _Reading(path, form, wanted, lines).table()


class _Lines:
    """The lines of a file, counted from 1."""

    def __init__(self, path: Path, form: TextForm, file: io.TextIOWrapper):
        self.path = path
        self.form = form
        self.file = file
        self.number = 0

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def block(self) -> list[str]:
        """The next lines, [] at the end. They are not counted."""
        return self._read(lambda: self.file.readlines(BLOCK))

    def line(self) -> str:
        """The next line, "" at the end."""
        line = self._read(self.file.readline)
        self.number += bool(line)
        return line

    def _read(self, read: Callable[[], Read]) -> Read:
        try:
            return read()
        except UnicodeDecodeError:
            self._undecodable()
        except UNREADABLE as e:  # a gzip file that is cut off, a bad mark
            raise DataError(f"{self.path}: can't be read: {e}") from e

    def header(self) -> tuple[int, tuple[str, ...]]:
        """The line of the header, 0 if the form has the names of the columns, and the names."""
        for _ in range(self.form.skip_rows):
            if not self.line():
                break
        if self.form.columns:
            return 0, self.form.columns
        while line := self.line():
            if line.strip() and not self.form.is_comment(line):
                return self.number, self._names(line)
        expected = "expected a header and at least one row of samples"
        raise DataError(f"{self.path}: the file is empty; {expected}")

    def _names(self, line: str) -> tuple[str, ...]:
        try:
            names = self.form.cells(line)
        except SampleError as e:
            raise DataError(f"{self.path}: line {self.number}: {e}") from None
        while names and not names[-1]:  # separators at the end of each line
            names.pop()
        if any("\0" in name for name in names):
            raise DataError(
                f"{self.path}: line {self.number} has NUL characters; set encoding = 'utf-16-le' "
                "in [data] if the text is UTF-16 without a byte order mark"
            )
        return tuple(names)

    def _undecodable(self) -> NoReturn:
        """Raises DataError with the place, which the decoder doesn't know."""
        encoding = self.file.encoding
        where = f"the text is not {encoding}"
        with open_bytes(self.path) as raw:
            for number, line in enumerate(raw, 1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as e:
                    where = f"line {number} has the byte 0x{line[e.start]:02X}, not {encoding}"
                    break
        latin = "'latin-1' or 'cp1252' for text of Windows" if encoding.startswith("utf") else ""
        advice = f"set `encoding` in [data]{', such as ' + latin if latin else ''}"
        raise DataError(f"{self.path}: {where}; {advice}")


def _opened(path: Path, form: TextForm) -> _Lines:
    try:
        return _Lines(path, form, open_text(path, form))
    except UNREADABLE as e:
        reason = getattr(e, "strerror", None) or e
        raise DataError(f"{path}: can't be read: {reason}; expected a text file") from e


class _Reading:
    """Rows, one after the other, into columns."""

    def __init__(self, path: Path, form: TextForm, wanted: Wanted, lines: _Lines):
        self._path = path
        self._form = form
        self._lines = lines
        self._header, self._names = lines.header()
        self._width = len(self._names)
        hint = self._hint(wanted.keys.keys())
        wanted.check(self._names, str(path), hint)
        self._wanted = wanted
        place = {name: k for k, name in reversed(list(enumerate(self._names)))}
        self._numbers = [place[name] for name in wanted.numbers]
        self._texts = [place[name] for name in (*wanted.texts, *wanted.time)]
        self._cells: list[list[str]] = [[] for _ in self._texts]
        self._values = array.array("d")
        self._rows = 0
        self._notes: list[str] = []
        self._short: DataError | None = None  # of a line that is only right at the file's end

    def table(self) -> Table:
        quick = self._form.quick(self._numbers, self._width)
        while lines := self._lines.block():
            self._read(lines, quick)
        if self._short is not None:
            if not self._rows:
                raise self._short
            self._notes.append(f"{self._short}: it is the last one, and was left out")
        if not self._rows:
            expected = "expected a header and at least one row of samples"
            raise DataError(f"{self._path}: the file is empty (no rows); {expected}")
        values = np.frombuffer(self._values, np.float64).reshape(self._rows, -1)
        texts = dict(zip(self._wanted.texts, self._cells, strict=False))
        return Table(
            self._path,
            self._rows,
            {name: values[:, k] for k, name in enumerate(self._wanted.numbers)},
            {name: np.array(cells) for name, cells in texts.items()},
            self._times(self._cells[len(texts) :]),
            self._form,
            tuple(self._notes),
        )

    def _times(self, columns: Sequence[list[str]]) -> Times | None:
        if not columns:
            return None
        name = " ".join(self._wanted.time)
        if len(columns) == 1:
            return Times(name, columns[0])
        return Times(name, list(map(" ".join, zip(*columns, strict=True))))

    def _read(
        self, lines: list[str], quick: Callable[[str], tuple[list[float], list[str]] | None]
    ) -> None:
        extend = self._values.extend
        pairs = list(zip(self._texts, self._cells, strict=True))
        self._no_short_line()
        last = self._lines.number + len(lines)
        for number, line in enumerate(lines, self._lines.number + 1):
            found = quick(line)
            if found is None:
                found = self._closely(line, number)
                if number < last:
                    self._no_short_line()
                if found is None:
                    continue
            numbers, cells = found
            extend(numbers)
            for place, column in pairs:
                column.append(cells[place].strip())
            self._rows += 1
        self._lines.number = last

    def _no_short_line(self) -> None:
        if self._short is not None:
            raise self._short

    def _closely(self, line: str, number: int) -> tuple[list[float], list[str]] | None:
        """The numbers and cells of a line, None if it is no row. Raises DataError."""
        form = self._form
        if form.is_comment(line) or (not line.strip() and self._width > 1):
            return None
        try:
            cells = form.cells(line)
        except SampleError as e:
            self._short = DataError(f"{self._path}: line {number}: {e}")
            return None
        if len(cells) < self._width:
            self._short = self._wrong_count(cells, line, number)
            return None
        try:
            cells = form.fitted(cells, self._width)
        except SampleError:
            raise self._wrong_count(cells, line, number) from None
        return [self._number(cells[place], place) for place in self._numbers], cells

    def _number(self, cell: str, place: int) -> float:
        try:
            return self._form.number(cell)
        except ValueError:
            marks = {".": ",", ",": "."}
            other = marks[self._form.decimal]
            mark = f"set decimal = {other!r}, or " if _is_with(cell, other) else ""
            found = f"{self._path}: column {self._names[place]!r}, row {self._rows + 1}: {cell!r}"
            if not self._wanted.configured:
                raise DataError(f"{found} is no number; correct the cell") from None
            raise DataError(
                f"{found} is no number; {mark}correct the cell, name it in `missing_values` "
                "if it stands for a missing value, or take the column out of `channels`"
            ) from None

    def _wrong_count(self, cells: list[str], line: str, number: int) -> DataError:
        there = f"line {number} has {len(cells)} cells"
        if not self._header:
            wanted = f"`columns` in [data] names {self._width}"
        else:
            wanted = f"the header (line {self._header}) {self._width}"
        other = fitting_separator(line, self._form, lambda found: len(found) == self._width)
        advice = "; correct the line, or set `skip_rows`, `comment` or `separator` in [data]"
        if other is not None:
            advice = f"; with separator = {other.separator!r} in [data] it has {self._width}"
        return DataError(f"{self._path}: {there}, and {wanted}{advice}")

    def _hint(self, names: Set[str]) -> str:
        """For a message on a header that lacks names: the separator or line that would fit."""
        if names <= set(self._names):
            return ""

        def fits(cells: list[str]) -> bool:
            return names <= set(cells)

        begin = max(self._lines.number - 1, 0)
        first = ""
        with _opened(self._path, self._form) as again:
            looked_at = list(itertools.islice(iter(again.line, ""), LOOKED_AT))
        if begin < len(looked_at):
            first = looked_at[begin]
        if other := fitting_separator(first, self._form, fits):
            return f"; they are there with separator = {other.separator!r}: set it in [data]"
        for number, line in enumerate(looked_at, 1):
            try:
                if number > self._lines.number and fits(self._form.cells(line)):
                    return f"; line {number} has them: set skip_rows = {number - 1} in [data]"
            except SampleError:
                continue
        return ""


def _is_with(cell: str, decimal: str) -> bool:
    """Whether it is a number with this decimal mark."""
    if cell.count(decimal) != 1:
        return False
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True
