"""What each column of a table is for: time, class, group, target, input, or nothing."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edge_lstm_runtime.errors import ConfigError

from ..data.recordings import Float64
from .clock import Clock
from .columns import Column

MOST = 100  # classes that are guessed
LABEL = re.compile(
    r"(.*[_ ])?(labels?|class|classes|activity|activities|gesture|gestures|occupancy|occupied|"
    r"state|status|category|fault|faults|failure|anomaly|is_anomaly|attack|posture|behaviou?r|"
    r"stage|condition|event|events|target|targets|y|klasse|zustand)([_ ](id|name|label|nr))?",
    re.IGNORECASE,
)
GROUP = re.compile(
    r"(.*[_ ])?(subject|participant|person|user|patient|unit|device|machine|engine|station|site|"
    r"session|run|trial|recording|record|series|sequence|seq|episode|group|origin|location|animal|"
    r"driver|speaker|case|experiment|file|filename|asset|meter|household|customer|store|vehicle|"
    r"battery|cell|id)([_ ]?(id|nr|no|number|name))?",
    re.IGNORECASE,
)
TARGET = re.compile(
    r"(rul|life|life_left|remaining.*|.*[_ ]left|target|targets|ground_?truth|soc|soh)"
)
CALENDAR = re.compile(
    r"(year|quarter|month|week|weekofyear|day|dayofweek|day_of_week|dayofyear|weekday|dow|hour|"
    r"hr|minute|second|yr|mnth|jahr|monat|tag_?nr|stunde|wochentag)",
    re.IGNORECASE,
)
KNOWN = re.compile(
    r"(is_?)?(holiday|holidays|workingday|working_day|workday|weekend|school_?holiday|feiertag|"
    r"ferien|promo|promotion)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Stated:
    """What the user says, None or () for what is to be guessed. "none" rules a column out."""

    task: str | None = None
    label: str | None = None
    group: str | None = None
    time: tuple[str, ...] | None = None
    targets: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    horizon: int | tuple[int, ...] | None = None
    pattern: str | None = None


@dataclasses.dataclass(frozen=True)
class Roles:
    """channels  the columns of numbers that may be inputs
    label, group  columns, or None, each with the reason
    target    a column of numbers that looks like the answer, with the reason
    known     the channels that a calendar tells beforehand
    left_out  the other columns, with the reasons
    """

    channels: tuple[str, ...]
    label: tuple[str, str] | None
    group: tuple[str, str] | None
    target: tuple[str, str] | None
    known: tuple[str, ...]
    left_out: Mapping[str, str]


def find_roles(
    columns: Mapping[str, Column], clock: Clock | None, borders: Sequence[int], stated: Stated
) -> Roles:
    """borders: the first row of each file. Raises ConfigError for a stated column that is not
    there."""
    for name in _all_stated(stated):
        if name not in columns:
            raise ConfigError(f"there is no column {name!r}; the columns are {', '.join(columns)}")
    left: dict[str, str] = {}
    rest = dict(columns)
    for name in clock.columns if clock else ():
        rest.pop(name)
    group = _group(rest, clock, borders, stated)
    label = _label({n: c for n, c in rest.items() if group is None or n != group[0]}, stated)
    if label is not None:
        same = [n for n, c in rest.items() if n != label[0] and _same(c, rest[label[0]])]
        if group is not None and group[0] in same:  # each group would have one class
            others = {n: c for n, c in rest.items() if n not in (*same, label[0])}
            group = _group(others, clock, borders, stated) or group
        rest.pop(label[0])
        for name in same:
            if name not in (group and group[0], *stated.channels, *stated.targets):
                left[name] = f"the same as {label[0]}, in other words"
                rest.pop(name)
    if group is not None:
        rest.pop(group[0])
    target = None if label or stated.targets else _target(rest)
    channels = []
    for name, column in rest.items():
        reason = "" if name in stated.targets else _reason(column, clock, stated)
        if reason:
            left[name] = reason
        else:
            channels.append(name)
    given = [c for c in stated.channels if c in rest]
    chosen = tuple(dict.fromkeys([*given, *stated.targets])) if given else tuple(channels)
    known = tuple(c for c in chosen if KNOWN.fullmatch(c) and c not in stated.targets)
    return Roles(chosen, label, group, target, known, left)


def _all_stated(stated: Stated) -> list[str]:
    single = [name for name in (stated.label, stated.group) if name not in (None, "none")]
    time = stated.time or ()
    return [*map(str, single), *time, *stated.targets, *stated.channels]


def _reason(column: Column, clock: Clock | None, stated: Stated) -> str:
    """Why a column is no input, "" if it may be one."""
    if column.values is None:
        return "no numbers"
    if column.name in stated.channels:
        return ""
    if column.blank:
        return "all cells are empty"
    known = column.values[~np.isnan(column.values)]
    if len(known) < 0.5 * len(column.values):
        return f"{1 - len(known) / len(column.values):.0%} of it is missing"
    if clock is not None and CALENDAR.fullmatch(column.name) and column.whole:
        return f"{' '.join(clock.columns)} tells it"
    if column.counts_rows:
        return "counts the rows"
    if len(known) > 1 and (known == known[0]).all():
        return "never changes"
    if not column.name.strip():
        return "has no name"
    return ""


def _group(
    columns: Mapping[str, Column], clock: Clock | None, borders: Sequence[int], stated: Stated
) -> tuple[str, str] | None:
    if stated.group is not None:
        return None if stated.group == "none" else (stated.group, "as you said")
    able = [
        c
        for c in columns.values()
        if c.name not in (stated.label, *stated.targets, *stated.channels)
        and not CALENDAR.fullmatch(c.name)
        and (c.values is None or c.whole)
        and all(c.texts)
        and 2 <= len(c.distinct) <= len(c.texts) / 3
    ]
    able.sort(key=lambda c: (not GROUP.fullmatch(c.name), len(c.distinct)))
    name, order = _order(columns, clock)
    if order is not None and not increases(order, borders):
        for column in able:
            if column.name != name and increases(order, borders, column.texts):
                return column.name, f"{name} increases within each of {_some(column)}"
    for column in able:
        if GROUP.fullmatch(column.name) and _in_blocks(column.texts):
            return column.name, f"its name, and rows in blocks: {_some(column)}"
    return None


def _order(columns: Mapping[str, Column], clock: Clock | None) -> tuple[str, Float64 | None]:
    """What tells the order of the rows of a recording: the time, or a column that counts them."""
    if clock is not None:
        return clock.columns[0], clock.seconds
    able = (c for c in columns.values() if not CALENDAR.fullmatch(c.name))
    found = next((c for c in able if c.counts_rows), None)
    return ("", None) if found is None else (found.name, found.values)


def increases(
    seconds: Float64, borders: Sequence[int], groups: Sequence[str] | None = None
) -> bool:
    """Whether times increase within each file, or within each group in it."""
    ends = [*borders[1:], len(seconds)]
    for start, stop in zip(borders, ends, strict=True):
        time = seconds[start:stop]
        if groups is not None:
            _, names = np.unique(np.array(groups[start:stop]), return_inverse=True)
            order = np.argsort(names, kind="stable")
            same = names[order][1:] == names[order][:-1]
            if (np.diff(time[order])[same] <= 0).any():
                return False
        elif (np.diff(time) <= 0).any():
            return False
    return True


def _in_blocks(texts: Sequence[str]) -> bool:
    changes = sum(a != b for a, b in itertools.pairwise(texts))
    return changes < len(texts) / 4


def _label(columns: Mapping[str, Column], stated: Stated) -> tuple[str, str] | None:
    if stated.label is not None:
        return None if stated.label == "none" else (stated.label, "as you said")
    if stated.targets or stated.horizon:
        return None
    able = [c for c in columns.values() if _may_be_label(c, stated)]
    named = [c for c in able if LABEL.fullmatch(c.name) and not _is_axis(c.name, columns)]
    named.sort(key=lambda c: c.values is not None)
    if named:
        return named[0].name, f"its name, and {_some(named[0])}"
    ends = [[*columns][-1], next(iter(columns))] if columns else []
    for name in ends:
        texts = [c for c in able if c.values is None and c.name == name]
        if texts:
            return name, f"the only text at either end of the row: {_some(texts[0])}"
    last = [c for c in able if c.name in ends[:1] and len(c.distinct) == 2]
    if last and set(last[0].distinct) == {"0", "1"}:
        return last[0].name, "the last column, 0 or 1"
    return None


def _may_be_label(column: Column, stated: Stated) -> bool:
    if column.name in (*stated.channels, stated.group) or not column.name.strip():
        return False
    if CALENDAR.fullmatch(column.name) or KNOWN.fullmatch(column.name):
        return False
    count = len(column.distinct)
    most = min(MOST, max(2, len(column.texts) // 4)) if column.values is None else 20
    return 2 <= count <= most and (column.values is None or column.whole)


def _same(a: Column, b: Column) -> bool:
    """Whether each value of one stands for a value of the other, in all rows that b tells."""
    pairs = {(x, y) for x, y in zip(a.texts, b.texts, strict=True) if y}
    return 1 < len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def _is_axis(name: str, columns: Iterable[str]) -> bool:
    """Whether y stands beside x and z."""
    others = {other.lower() for other in columns}
    return name.lower() == "y" and "x" in others


def _target(columns: Mapping[str, Column]) -> tuple[str, str] | None:
    for column in columns.values():
        named = column.values is not None and TARGET.fullmatch(column.name.lower())
        if named and len(column.distinct) > 20:
            return column.name, "its name"
    return None


def _some(column: Column) -> str:
    found = column.distinct
    shown = ", ".join(found[:3])
    return f"{shown}, ... ({len(found)} values)" if len(found) > 3 else shown
