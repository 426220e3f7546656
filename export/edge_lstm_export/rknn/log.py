"""What the vendor's log says: errors that its return code hides, and where each operator runs."""

from __future__ import annotations

import re
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^E\s+(?P<message>.*\S)")
_TABLE = "Network Layer Information Table"
_COLUMNS = ("id", "operator", "dtype", "target", "inputs", "outputs", "cycles", "traffic_kb", "name")
_MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([0-9.]+)KB")
_PREFIX = re.compile(r"^D RKNN: \[[0-9:.]+\] ?")


def errors(text: str) -> list[str]:
    """The messages of the lines at error level, colours removed."""
    matches = (_ERROR.match(_ANSI.sub("", line)) for line in text.splitlines())
    return [match["message"] for match in matches if match]


def operators(text: str) -> list[dict[str, Any]]:
    """The rows of the converter's table of operators: id, operator, dtype, target (NPU or CPU), inputs, outputs, cycles ("DDR/NPU/total"),
    traffic_kb, name."""
    rows = []
    lines = iter(text.splitlines())
    for line in lines:
        if _TABLE in line:
            break
    for line in lines:
        cells = _PREFIX.sub("", line).split(maxsplit=len(_COLUMNS) - 1)
        if cells and cells[0].startswith("<<<"):
            break
        if len(cells) == len(_COLUMNS) and cells[0].isdigit():
            row: dict[str, Any] = dict(zip(_COLUMNS, (c.strip() for c in cells), strict=True))
            rows.append({**row, "id": int(row["id"]), "traffic_kb": float(row["traffic_kb"])})
    return rows


def memory_kb(text: str) -> dict[str, float]:
    """{"internal": KB, "weight": KB} as the converter reports them."""
    return {kind.lower(): float(size) for kind, size in _MEMORY.findall(text)}
