"""Small tables as people have them, and folders of such files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Cell = object


def wave(rows: int, k: int = 0) -> list[str]:
    """Two tones, so that no value is like the one before."""
    tones = (math.sin(i / 5 + k) + 0.3 * math.sin(i * 1.7 + k) for i in range(rows))
    return [f"{tone:.3f}" for tone in tones]


def table(
    names: Sequence[str],
    rows: int = 300,
    *more: Callable[[int], Cell],
    separator: str = ",",
    decimal: str = ".",
) -> str:
    """Columns of `more`, then two waves. names: of all of them, () for no header."""
    lines = [separator.join(names)] if names else []
    for i, (a, b) in enumerate(zip(wave(rows), wave(rows, 1), strict=True)):
        numbers = [a.replace(".", decimal), b.replace(".", decimal)]
        lines.append(separator.join([*(str(of(i)) for of in more), *numbers]))
    return "\n".join(lines) + "\n"
