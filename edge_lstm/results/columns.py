"""Rows of text as columns of one width each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """A line for each row. right: the columns of numbers, which end at the same place."""
    return ["  ".join(cells).rstrip() for cells in _filled(rows, right)]


def markdown(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """As a table of Markdown. rows: the titles, then the rulers such as "---:", then all others."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in _filled(rows, right))


def _filled(rows: Sequence[Sequence[str]], right: Collection[int]) -> Iterable[list[str]]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield [
            cell.rjust(width) if k in right and cell != "---" else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
