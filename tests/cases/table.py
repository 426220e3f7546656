"""A case, and the formats in which its file is written."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

# A line of the answers: the sample in raw units, None for a gap, or words of its error.
Line = Sequence[float | None] | str
# All lines, or words of the error that ends the whole.
Outcome = Sequence[Line] | str

# The separator and the decimal mark of each format of text.
TEXTS = {
    "comma": (",", "."),
    "german": (";", ","),
    "tab": ("\t", "."),
    "space": (" ", "."),
    "bar": ("|", ","),
}
FORMATS = (*TEXTS, "parquet", "json")
NO_LINES = {"parquet": "it has no lines", "json": "its lines are no text with separators"}
NO_CELLS = dict.fromkeys((*TEXTS, "parquet"), "only JSON has this")


@dataclasses.dataclass(frozen=True)
class Case:
    """One input, and what is expected of it in every format.

    kind    of the issue, as the package's docstring lists them
    text    the file with commas between cells and points in numbers, which are replaced by those of
            the format. A comma and a point that stay are written as ‚ and ·
    rows    in place of `text`: the header and the rows. Cells are quoted if they must be, and not
            changed
    trains  what training reads, words of its error, or None if the input is a stream
    runs    what the board reads by the same specification. By default the same as training
    keys    further keys of [data]
    like    a file as `text`, for the specification if there is none of this one
    note    words of the note that training gives
    but     other outcomes in some formats, (trains, runs)
    not_in  the formats in which the case can't exist, and why
    encode  from the text to the bytes of the file
    """

    name: str
    kind: str
    text: str = ""
    trains: Outcome | None = None
    runs: Outcome | None = None
    rows: Sequence[Sequence[str]] = ()
    channels: tuple[str, ...] = ("a", "b")
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    like: str = ""
    note: str = ""
    but: Mapping[str, tuple[Outcome | None, Outcome | None]] = dataclasses.field(
        default_factory=dict
    )
    not_in: Mapping[str, str] = dataclasses.field(default_factory=dict)
    encode: Callable[[str], bytes] = str.encode

    def outcome(self, form: str) -> tuple[Outcome | None, Outcome]:
        """Of training, and of the board."""
        trains, runs = self.but.get(form, (self.trains, self.runs))
        if runs is None:
            assert not isinstance(trains, str), f"{self.name}: say what the board reads"
            assert trains is not None
            runs = trains
        return trains, runs

    def keys_in(self, form: str) -> dict[str, Any]:
        """The keys of [data] for the form of the text, and the case's own."""
        if form not in TEXTS:
            of_text = ("separator", "decimal", "columns", "comment", "skip_rows", "encoding")
            return {key: value for key, value in self.keys.items() if key not in of_text}
        separator, decimal = TEXTS[form]
        return {"separator": separator, "decimal": decimal, **self.keys}

    def content(self, form: str) -> bytes:
        """The file."""
        if form == "parquet":
            return _parquet(self._table())
        if form == "json":
            whole = self.text if self.trains is None else _json_lines(self._table())
            return self.encode(whole)
        if not self.rows:
            return self.encode(written(self.text, *TEXTS[form]))
        separator = TEXTS[form][0]
        lines = [separator.join(_quoted(cell, separator) for cell in row) for row in self.rows]
        return self.encode("".join(f"{line}\n" for line in lines))

    def sample(self, form: str) -> bytes:
        """A file for the specification."""
        text = self.like or PLAIN
        if form == "parquet":
            return _parquet(_cells_of(text))
        keys = self.keys_in(form)
        encode = self.encode if "encoding" in keys else str.encode
        return encode(written(text, keys["separator"], keys["decimal"]))

    def _table(self) -> list[list[str]]:
        return [list(row) for row in self.rows] or _cells_of(self.text)


# As JSON has it.
NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
PLAIN = "a,b\n1,2\n3,4\n5,6\n"


def written(text: str, separator: str, decimal: str) -> str:
    """The text of a case with these marks."""
    return text.translate(str.maketrans(",.‚·", f"{separator}{decimal},."))


def _cells_of(text: str) -> list[list[str]]:
    """Of a text, split at its commas. Cells in quotes hold no comma."""
    plain = [[cell.strip().strip('"') for cell in line.split(",")] for line in text.splitlines()]
    return [[cell.replace("‚", ",").replace("·", ".") for cell in row] for row in plain]


def _quoted(cell: str, separator: str) -> str:
    if separator in cell or '"' in cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _parquet(table: list[list[str]]) -> bytes:
    header, *rows = table
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    file = io.BytesIO()
    frame = pl.DataFrame([_series(n, c) for n, c in zip(header, columns, strict=True)])
    frame.write_parquet(file)
    return file.getvalue()


def _series(name: str, cells: Sequence[str]) -> pl.Series:
    """Of whole numbers or of numbers, if all are, else of text. An empty cell is null."""
    told = [cell or None for cell in cells]
    if all(cell is None or re.fullmatch("-?[0-9]{1,18}", cell) for cell in told):
        return pl.Series(name, [None if cell is None else int(cell) for cell in told], pl.Int64)
    if all(cell is None or re.fullmatch(NUMBER, cell) for cell in told):
        numbers = [None if cell is None else float(cell) for cell in told]
        return pl.Series(name, numbers, pl.Float64)
    return pl.Series(name, told, pl.String)


def _json_lines(table: list[list[str]]) -> str:
    """Numbers as numbers if JSON has them, else as text. An empty cell is null."""
    header, *rows = table
    lines = [
        ", ".join(f"{json.dumps(n)}: {_value(c)}" for n, c in zip(header, row, strict=True))
        for row in rows
    ]
    return "".join("{" + line + "}\n" for line in lines)


def _value(cell: str) -> str:
    if not cell:
        return "null"
    return cell if re.fullmatch(NUMBER, cell) else json.dumps(cell)
