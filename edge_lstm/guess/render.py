"""A draft as a commented TOML file."""

from __future__ import annotations

import textwrap
from typing import Any

from edge_lstm_runtime.shown import in_a_line

from ..config.toml import literal
from .draft import Draft, Key, Table

WIDTH = 100
COLUMN = 28  # where a comment begins, if the key is shorter


def rendered(draft: Draft, about: tuple[str, ...]) -> str:
    """The text of the file. about: lines of comment at its top."""
    head = "\n".join(_comments(about))
    return "\n\n".join([head, *(_table(table) for table in draft.tables)]) + "\n"


def _table(table: Table) -> str:
    name = f"[[{table.name}]]" if table.listed else f"[{table.name}]"
    lines = [*_comments(table.remarks), name]
    for key, each in table.keys.items():
        lines += _line(key, each)
    return "\n".join(lines)


def _line(key: str, each: Key) -> list[str]:
    """The key with its reason behind it, or above it if the line is too long."""
    line = f"{key} = {literal(each.value)}"
    why = in_a_line(each.why)
    if not why:
        return _broken(key, each.value) if len(line) > WIDTH else [line]
    both = f"{line:<{COLUMN}}  # {why}"
    if len(both) <= WIDTH:
        return [both]
    return [*_comments((why,)), *(_broken(key, each.value) if len(line) > WIDTH else [line])]


def _broken(key: str, value: Any) -> list[str]:
    """A list over several lines."""
    if not isinstance(value, list | tuple):
        return [f"{key} = {literal(value)}"]
    lines = [""]
    for each in value:
        item = f"{literal(each)},"
        if lines[-1] and len(lines[-1]) + 1 + len(item) > WIDTH - 4:
            lines.append("")
        lines[-1] += f" {item}" if lines[-1] else item
    return [f"{key} = [", *(f"    {line}" for line in lines), "]"]


def _comments(lines: tuple[str, ...]) -> list[str]:
    wrapped = (textwrap.wrap(in_a_line(line), WIDTH - 2, break_long_words=False) for line in lines)
    return [f"# {line}".rstrip() for found in wrapped for line in found or [""]]
