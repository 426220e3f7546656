"""The overview as lines of text, and the cells of its tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..results.columns import aligned
from ..results.metrics import figure
from ..results.words import percent
from .facts import Channel, Overview
from .scores import Score
from .short import TITLES

MOST = 40  # rows of a table that are printed
DRIFT = 1.0  # deviations

Cells = list[list[str]]  # rows of cells, the first one the head


def lines(found: Overview, scored: Sequence[Score]) -> Iterator[str]:
    """For a terminal."""
    config = found.config
    yield f"data       source {config.data.source}, {config.data.needs}"
    yield f"task       {config.model.task}"
    for title, cells in tables(found, scored):
        yield ""
        yield title
        yield from _aligned(cells)
    yield ""
    yield from (f"note: {note}" for note in found.splits.notes)
    for warning in warnings(found):
        yield f"note: {warning}"


def tables(found: Overview, scored: Sequence[Score]) -> Iterator[tuple[str, Cells]]:
    """Title and cells of each. The first cell of a row is text, the others are figures."""
    yield "splits", _parts(found)
    if found.classes:
        yield _of_classes(found)
    if found.channels:
        yield "inputs, in raw units", _filled(_channels(found.channels))
    if scored:
        yield "simple models, on the test split", _scores(scored)


def _parts(found: Overview) -> Cells:
    head = ["", "groups", "sequences", "steps", "shortest", "longest", "windows"]
    rows = [
        [
            part.title,
            *(f"{n:,}" for n in (part.groups, part.sequences, part.steps)),
            *(f"{n:,}" for n in (part.shortest, part.longest)),
            f"{part.windows:,}" if part.title == TITLES["train"] else "",
        ]
        for part in found.parts
    ]
    return [head, *rows]


def _of_classes(found: Overview) -> tuple[str, Cells]:
    per_row = any(s.labels is not None for s in found.splits.train)
    unit = "steps" if per_row else "sequences"
    rows = [[name, *(f"{n:,}" for n in each[per_row])] for name, each in found.classes.items()]
    return f"classes, in {unit}", [["", *TITLES.values()], *rows]


def _channels(channels: Sequence[Channel]) -> Cells:
    head = ["", "least", "median", "most", "missing", "far off", "drift"]
    rows = [
        [
            c.name,
            *(_number(v) for v in (c.least, c.median, c.most)),
            _share(c.missing),
            f"{c.far:,}" if c.far else "",
            "" if math.isnan(c.drift) else f"{c.drift:+.2f}",
        ]
        for c in channels
    ]
    return [head, *rows]


def _scores(scored: Sequence[Score]) -> Cells:
    titles = list(dict.fromkeys(title for score in scored for title in score.figures))
    rows = [
        [score.title, *(figure(score.figures.get(title)) for title in titles)] for score in scored
    ]
    return [["", *titles], *rows]


def warnings(found: Overview) -> Iterator[str]:
    """What a trained model would trip over."""
    drifted = [c for c in found.channels if abs(c.drift) >= DRIFT]
    if drifted:
        names = ", ".join(f"{c.name} ({c.drift:+.1f})" for c in drifted[:5])
        more = f" and {len(drifted) - 5} more" if len(drifted) > 5 else ""
        yield (
            f"the test split's median is far from training's, in its deviations: {names}{more}; a "
            "[[data.transforms]] of type difference or distance carries over to another level"
        )
    rare = [name for name, (sequences, _) in found.classes.items() if min(sequences) < 2]
    if rare and not any(s.labels is not None for s in found.splits.train):
        shown = ", ".join(rare[:5])
        yield f"less than 2 sequences in a split: {shown}; its figures are chance"


def _filled(cells: Cells) -> Cells:
    """Without the columns in which no row has anything."""
    kept = [k for k in range(len(cells[0])) if k == 0 or any(row[k] for row in cells[1:])]
    return [[row[k] for k in kept] for row in cells]


def _share(missing: float) -> str:
    if not missing:
        return ""
    return "< 0.1 %" if missing < 0.001 else percent(missing)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _aligned(cells: Cells) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    shown = cells[: MOST + 1]
    yield from (f"  {line}" for line in aligned(shown, range(1, len(cells[0]))))
    if len(cells) > len(shown):
        yield f"  ... and {len(cells) - len(shown)} more"
