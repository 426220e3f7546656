"""How samples are written as text: separators, decimal marks, words for a gap, times.

Training and `edge-lstm run` read text through this file alone. So a file that a model was trained
on means the same to the model on a board.
"""

from __future__ import annotations

import codecs
import dataclasses
import functools
import io
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_names, require
from ..errors import SampleError
from ..plain import changed, tuples
from ..shown import counted
from .times import ISO_8601, Times

# The words that programs write in place of a missing value, besides an empty cell.
BLANKS = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
KEYS = ("separator", "decimal", "comment", "skip_rows", "encoding")
BOMS = {  # the longer ones first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclasses.dataclass(frozen=True)
class TextForm:
    """separator  one ASCII character. A space stands for any number of spaces and tabs
    decimal    the mark in numbers, "." or ","
    columns    the names of all columns of a text without a header. () if a header names them
    missing    further words for a missing value, in any case, and numbers that stand for one
    comment    a line that begins with this is skipped. "" if there are none
    skip_rows  the lines of a file before its header
    encoding   such as "latin-1". "" for that of the byte order mark, or else UTF-8
    time       two columns that are the time together, such as ("date", "time"). () if it is one
    times      how a time is read

    A missing value is an empty cell, NaN, one of BLANKS, or one of `missing`.
    Raises BundleError for fields that are out of bounds.
    """

    separator: str = ","
    decimal: str = "."
    columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    comment: str = ""
    skip_rows: int = 0
    encoding: str = ""
    time: tuple[str, ...] = ()
    times: Times = ISO_8601

    def __post_init__(self) -> None:
        keys = {field: getattr(self, field) for field in KEYS}
        for field, problem in self.problems_of(**keys):
            require("inputs", False, f"text: {field} is {keys[field]!r}, {problem}")
        for field in ("columns", "missing", "time"):
            check_names("inputs", f"text: {field}", getattr(self, field), 0)
        require("inputs", len(self.time) in (0, 2), f"text: time is {self.time}, expected two")
        require("inputs", isinstance(self.times, Times), f"text: times is {self.times!r}")

    @staticmethod
    def problems_of(
        separator: object, decimal: object, comment: object, skip_rows: object, encoding: object
    ) -> Iterator[tuple[str, str]]:
        """The fields that are out of bounds, each with the value that was expected."""
        mark = separator if isinstance(separator, str) else ""
        if len(mark) != 1 or not mark.isascii() or mark.isalnum() or mark in '"\r\n\0+-._':
            yield "separator", "expected one ASCII sign that is in no number, such as ';'"
        if decimal not in (".", ","):
            yield "decimal", "expected '.' or ','"
        elif decimal == separator:
            yield "decimal", f"expected another sign than the separator, {separator!r}"
        if not isinstance(comment, str) or comment.strip() != comment:
            yield "comment", "expected the sign before a comment, such as '#', or ''"
        if type(skip_rows) is not int or skip_rows < 0:
            yield "skip_rows", "expected a number of lines, 0 or more"
        if not isinstance(encoding, str) or not _is_encoding(encoding):
            yield "encoding", "expected one that Python knows, such as 'utf-8' or 'latin-1'"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TextForm:
        """The inverse of `to_dict`. Raises BundleError, and TypeError for unknown keys."""
        given: dict[str, Any] = {k: tuples(v) for k, v in values.items()}
        if isinstance(times := values.get("times"), Mapping):
            given["times"] = Times(**{k: tuples(v) for k, v in times.items()})
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, without the fields that have their default value."""
        return changed(self)

    def words(self) -> str:
        """The form in words, for people."""
        marks = f"separator {self.separator!r}, decimal mark {self.decimal!r}"
        parts = [marks]
        if self.columns:
            parts.append(f"no header, columns {', '.join(self.columns)}")
        if self.missing:
            parts.append(f"missing {', '.join(map(repr, self.missing))}")
        if self.comment:
            parts.append(f"comments after {self.comment!r}")
        if self.skip_rows:
            parts.append(f"{self.skip_rows} lines before the header")
        if self.encoding:
            parts.append(self.encoding)
        if self.time:
            parts.append(f"time in {' and '.join(self.time)}")
        if self.times.format:
            parts.append(f"times as {self.times.format}")
        elif self.times.unit != "s":
            parts.append(f"times in {self.times.unit}")
        if self.times.zone:
            parts.append("local times")
        return ", ".join(parts)

    @property
    def time_name(self) -> str:
        """The name of the time that two columns make together."""
        return " ".join(self.time)

    def parts(self, name: str) -> tuple[str, ...]:
        """The columns that make up a channel or the time."""
        return self.time if self.time and name == self.time_name else (name,)

    def cells(self, line: str) -> list[str]:
        """The cells of a line, without the space around them. Raises SampleError."""
        if self.separator == " ":
            if '"' not in line:
                return line.split() or [""]
            line = " ".join(line.split())
        if '"' not in line:
            return [cell.strip() for cell in line.split(self.separator)]
        import csv  # here: for quoted cells alone

        try:
            rows = csv.reader(
                [line.strip()], delimiter=self.separator, strict=True, skipinitialspace=True
            )
            found = next(rows)
        except csv.Error as e:
            raise SampleError(f"a quoted cell is not closed in its line, or broken ({e})") from None
        return [cell.strip() for cell in found]

    def number(self, cell: str) -> float:
        """The number in a cell, NaN if it is missing. Raises ValueError for another text."""
        text = cell.strip()
        if self.is_missing(text):
            return math.nan
        if "_" in text:  # Python takes 1_000, and no other program writes it
            raise ValueError
        if self.decimal == ",":
            if "." in text:  # a decimal mark, or one of thousands: a guess
                raise ValueError
            text = text.replace(",", ".")
        value = float(text)
        return math.nan if self.is_gap(value) else value

    def is_gap(self, value: float | None) -> bool:
        """Whether a number stands for a missing value."""
        return value in self._missing_numbers

    def is_missing(self, text: str) -> bool:
        word = text.lower()
        return word in BLANKS or word in self._missing_words

    @functools.cached_property
    def _missing_words(self) -> frozenset[str]:
        return frozenset(word.strip().lower() for word in self.missing)

    @functools.cached_property
    def _missing_numbers(self) -> frozenset[float]:
        found = set()
        for word in self.missing:
            try:
                found.add(float(word.replace(",", ".")))
            except ValueError:
                continue
        return frozenset(found)

    def without_gaps(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """With NaN in place of the numbers that stand for a missing value."""
        gaps = list(self._missing_numbers)
        return np.where(np.isin(numbers, gaps), math.nan, numbers) if gaps else numbers

    def is_comment(self, line: str) -> bool:
        return bool(self.comment) and line.lstrip().startswith(self.comment)

    def fitted(self, cells: list[str], width: int) -> list[str]:
        """`width` cells. Empty ones at the end are too many. Raises SampleError."""
        if len(cells) > width and not any(cells[width:]):
            return cells[:width]
        if len(cells) != width:
            raise SampleError(f"{counted(len(cells), 'value')}, expected {width}")
        return cells

    def quick(
        self, places: Sequence[int], width: int
    ) -> Callable[[str], tuple[list[float], list[str]] | None]:
        """A function that reads the numbers at `places` of a line, and its `width` cells.

        It returns None for a line that needs a closer look, and else the same as `cells` and
        `number` would, but for the space around cells.
        """
        separator = None if self.separator == " " else self.separator
        comma = self.decimal == ","
        gaps = self._missing_numbers
        comment = self.comment
        pick: Callable[[list[str]], Sequence[str]] = (
            operator.itemgetter(*places)
            if len(places) > 1
            else lambda cells: [cells[place] for place in places]
        )

        def read(line: str) -> tuple[list[float], list[str]] | None:
            if '"' in line or "_" in line or (comment and comment in line):
                return None
            cells = line.split(separator)
            if len(cells) != width:
                return None
            chosen = pick(cells)
            if comma:
                if any("." in cell for cell in chosen):
                    return None
                chosen = [cell.replace(",", ".") for cell in chosen]
            try:
                numbers = list(map(float, chosen))
            except ValueError:
                return None
            return None if gaps and not gaps.isdisjoint(numbers) else (numbers, cells)

        return read


def _is_encoding(name: str) -> bool:
    if not name:
        return True
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False


STANDARD = TextForm()


def open_text(path: Path, form: TextForm, errors: str = "strict") -> io.TextIOWrapper:
    """A text file, also one packed by gzip (.gz). Line ends become newlines. Raises OSError."""
    file = open_bytes(path)
    try:
        encoding = encoding_of(file.peek(4)[:4], form)
        return io.TextIOWrapper(file, encoding, errors)
    except BaseException:
        file.close()
        raise


def open_bytes(path: str | Path, buffering: int = -1) -> Any:
    """The bytes of a file, unpacked if it is a .gz. Raises OSError."""
    if str(path).lower().endswith(".gz"):
        import gzip  # here: for packed files alone

        return gzip.open(path, "rb")
    return Path(path).open("rb", buffering)


def encoding_of(start: bytes, form: TextForm) -> str:
    """The encoding of a text that begins with these bytes. A byte order mark decides."""
    for bom, name in BOMS.items():
        if start.startswith(bom):
            return name
    return form.encoding or "utf-8"


def fitting_separator(
    line: str, form: TextForm, fits: Callable[[list[str]], bool]
) -> TextForm | None:
    """The form with another separator, with which the cells of a line fit. None if none does."""
    for separator in SEPARATORS:
        if separator == form.separator:
            continue
        decimal = "." if separator == "," else form.decimal
        other = dataclasses.replace(form, separator=separator, decimal=decimal)
        try:
            if fits(other.cells(line)):
                return other
        except SampleError:
            continue
    return None
