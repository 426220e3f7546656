"""Cells that hold a number, a gap, or neither: kinds B and C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .table import PLAIN, Case, Outcome

AROUND = "a,b\n1,2\n{},4\n5,6\n"


def _read(
    name: str,
    cell: str,
    value: float | None,
    *,
    json: Outcome | None = None,
    keys: Mapping[str, Any] | None = None,
    not_in: Mapping[str, str] | None = None,
) -> Case:
    """A cell that is read. json: words of the error if JSON has it as text alone."""
    rows: list[Any] = [[1, 2], [value, 4], [5, 6]]
    line: list[Any] = [[1, 2], json, [5, 6]]
    but = {"json": (None, line)} if json is not None else {}
    gaps = {"missing": "mask"} if value is None else {}
    return Case(
        name,
        "B",
        AROUND.format(cell),
        rows,
        keys={**gaps, **(keys or {})},
        but=but,
        not_in=not_in or {},
    )


def _refused(
    name: str,
    cell: str,
    trains: str = "is no number",
    runs: str = "channel 'a' is",
    **options: Any,
) -> Case:
    return Case(
        name, "B", AROUND.format(cell), trains, [[1, 2], runs, [5, 6]], **options
    )  # fmt: skip


AS_TEXT = "expected a number"
SPACES = {"space": "the space would separate it"}

READ = [
    _read("plus", "+1", 1, json=AS_TEXT),
    _read("no digit before the mark", ".5", 0.5, json=AS_TEXT),
    _read("no digit after the mark", "5.", 5, json=AS_TEXT),
    _read("negative, no digit before", "-.25", -0.25, json=AS_TEXT),
    _read("minus zero", "-0", 0),
    _read("minus zero with a mark", "-0.0", 0),
    _read("leading zeros", "007", 7, json=AS_TEXT),
    _read("power", "1e3", 1000),
    _read("Excel's power", "1.50E+03", 1500),
    _read("negative power", "25e-2", 0.25),
    _read("too small", "1e-400", 0),
    _read("smallest", "5e-324", 5e-324),
    _read("large", "1.7e30", 1.7e30),
    _read("25 decimals", "0.1234567890123456789012345", 0.12345678901234568),
    _read("whole number beyond 2**53", "9007199254740993", 9007199254740992),
    _read("30 digits", "1" + "0" * 29, 1e29),
    Case(
        "too large for any sensor",
        "B",
        AROUND.format("1" + "0" * 40),
        [[1, 2], [1e40, 4], [5, 6]],
        [[1, 2], "channel 'a' is 1e+40, more than 1e+30 standard deviations from", [5, 6]],
        like=PLAIN,
    ),
    _read("quoted", '"1.5"', 1.5),
    _read("quoted with spaces", '" 1.5 "', 1.5, json=AS_TEXT),
    _read("a non-breaking space after it", "1.5\u00a0", 1.5),
    _read("spaces around it", "  1.5  ", 1.5),
    _read("full-width digits", "１２", 12, json=AS_TEXT),
]

GAPS = [
    _read("empty cell", "", None, not_in={"space": "an empty cell is no cell"}),
    _read("spaces alone", "   ", None, not_in={"space": "an empty cell is no cell"}),
    _read("empty quotes", '""', None),
    *(
        _read(f"the word {word}", word, None, json=AS_TEXT)
        for word in ("NaN", "nan", "-nan", "NA", "N/A", "null", "NULL", "None", "?", "-", '"NA"')
    ),
    _read("a word of one's own", "Fehlt", None, json=AS_TEXT, keys={"missing_values": ["fehlt"]}),
    _read("Excel's #N/A as such", "#N/A", None, json=AS_TEXT, keys={"missing_values": ["#N/A"]}),
    _read("a number that stands for a gap", "-200", None, keys={"missing_values": [-200]}),
    _read("the same with decimals", "-200.00", None, keys={"missing_values": [-200]}),
    _read("the same with a power", "-2e2", None, keys={"missing_values": [-200]}),
    _read("given with decimals", "-999.9", None, keys={"missing_values": [-999.9]}),
    _read("given as text", "-999.9", None, keys={"missing_values": ["-999.9"]}),
    _read("another number than that", "-201", -201, keys={"missing_values": [-200]}),
]

REFUSED = [
    *(
        _refused(f"the cell {cell}", cell)
        for cell in ("0x10", "1_000", "0b1", "1e", "e5", "--1", "1d5", "5%", "€5", "1/2", "true")
    ),
    *(
        _refused(f"Excel's {cell}", cell)
        for cell in ("#N/A", "#DIV/0!", "#VALUE!", "#REF!", "########", "=A1+A2", "'5")
    ),
    *(_refused(f"of MSVC: {c}", c) for c in ("1.#INF", "1.#QNAN", "-1.#IND")),
    _refused("two marks", "1.0.0"),
    _refused("a minus of typography", "−5"),
    _refused("a word", "overflow"),
    _refused("zero-width space", "1\u200b"),
    _refused("a NUL in the cell", "1\0"),
    _refused("with a unit", '"3 V"'),
    _refused("thousands with spaces", '"1 234"'),
    _refused("thousands with narrow spaces", "1\u202f234", not_in=SPACES),
    _refused("thousands with apostrophes", "1'234.5"),
    _refused(
        "thousands as in English", '"1‚234·5"', not_in={"parquet": "see thousands as in German"}
    ),
    _refused("thousands as in German", '"1·234‚5"'),
    _refused("two numbers in a cell", '"1 2"'),
    _refused(
        "a decimal comma",
        '"1‚5"',
        "row 2: '1,5' is no number; ",
        but={form: ([[1, 2], [1.5, 4], [5, 6]], None) for form in ("german", "bar")},
    ),
    _refused(
        "a decimal point",
        '"1·5"',
        "row 2: '1.5' is no number; set decimal = '.', or",
        but={
            form: ([[1, 2], [1.5, 4], [5, 6]], None)
            for form in ("comma", "tab", "space", "parquet", "json")
        },
    ),
    *(
        _refused(
            f"not finite: {cell[:9]}",
            cell,
            "row 2: the value is inf",
            "inf",
            but={"json": (None, [[1, 2], json, [5, 6]])},
        )
        for cell, json in (
            ("inf", AS_TEXT),
            ("-inf", AS_TEXT),
            ("Infinity", AS_TEXT),
            ("1e400", "inf"),
            ("-1e400", "inf"),
            ("1" * 400, "too large"),
        )
    ),
]
CASES = [*READ, *GAPS, *REFUSED]
