"""Reads the vendor's log: errors that its return code hides, and the table of operators."""

from __future__ import annotations

import re
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
# The vendor's code writes errors at once and all else in blocks, so one can stand inside a line.
_ERROR = re.compile(r"(?:^E\s+|E (?=RKNN: \[))(?P<message>.*\S)")
_TABLE = "Network Layer Information Table"
_COLUMNS = {
    "ID": "id",
    "OpType": "operator",
    "DataType": "dtype",
    "Target": "target",
    "InputShape": "inputs",
    "OutputShape": "outputs",
    "Cycles(DDR/NPU/Total)": "cycles",
    "RW(KB)": "traffic_kb",
    "FullName": "name",
}
_MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([0-9.]+)KB")
_PREFIX = re.compile(r"^D RKNN: \[[0-9:.]+\] ?")


def errors(text: str) -> list[str]:
    """The messages of the lines at error level, without colours."""
    matches = (_ERROR.search(_ANSI.sub("", line)) for line in text.splitlines())
    return [match["message"] for match in matches if match]


def operators(text: str) -> list[dict[str, Any]]:
    """The rows of the converter's table of operators, or [] if there is no table.

    id, operator, dtype, target (NPU or CPU), inputs, outputs, cycles ("DDR/NPU/total"), traffic_kb,
    name. Columns that only some targets have, such as rv1126b's SparseRatio, are left out.

    Raises ValueError with the line if one does not fit its heading.
    """
    lines = iter(_PREFIX.sub("", _ANSI.sub("", line)) for line in text.splitlines())
    for line in lines:
        if _TABLE in line:
            break
    rows: list[dict[str, Any]] = []
    columns: list[tuple[str, int, int]] = []  # name, where it starts, where the next one starts
    for line in lines:
        if line.startswith("<<<"):
            break
        if line.startswith("ID "):
            found = [(match[0], match.start()) for match in re.finditer(r"\S+", line)]
            ends = [start for _, start in found[1:]] + [len(line)]
            columns = [
                (_COLUMNS.get(name, name), start, end)
                for (name, start), end in zip(found, ends, strict=True)
            ]
            if missing := set(_COLUMNS.values()) - {name for name, _, _ in columns}:
                raise ValueError(f"no column for {', '.join(sorted(missing))} in: {line.strip()}")
        elif columns and line[:1].isdigit():
            # Only a column that some targets alone have is ever blank.
            names = [
                name
                for name, start, end in columns
                if name in _COLUMNS.values() or line[start:end].strip()
            ]
            cells = line.split(maxsplit=len(names) - 1)
            if len(cells) == len(names) - 1 and names[-1] == "name":
                cells.append("")  # an operator that the converter has put in
            if len(cells) != len(names):
                raise ValueError(f"not a row of {len(names)} cells: {line.strip()}")
            row: dict[str, Any] = {
                n: c.strip() for n, c in zip(names, cells, strict=True) if n in _COLUMNS.values()
            }
            rows.append({**row, "id": int(row["id"]), "traffic_kb": float(row["traffic_kb"])})
    return rows


def memory_kb(text: str) -> dict[str, float]:
    """{"internal": KB, "weight": KB} as the converter reports them."""
    return {kind.lower(): float(size) for kind, size in _MEMORY.findall(text)}
