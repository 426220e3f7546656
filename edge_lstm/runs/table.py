"""Runs as a table of text, in the order that is asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from ..results.columns import aligned
from ..results.metrics import title_of
from .found import Found

# What a table can be sorted by, with the column's title.
COLUMNS = {
    "name": "name",
    "data": "data",
    "task": "task",
    "units": "units",
    "parameters": "parameters",
    "bytes": "bytes",
    "metric": "metric on the test split",
    "us": "µs a step",
    "seed": "seed",
    "date": "date",
    "epochs": "epochs",
}
NUMBERS = frozenset({"parameters", "bytes", "us", "seed"})  # to the right
WIDEST = 36  # characters of a cell


def ordered(found: Sequence[Found], by: str) -> list[Found]:
    """by: of COLUMNS. Runs without a value are last."""
    if by == "metric":
        return sorted(found, key=lambda f: (f.metric, _worst_last(f)))
    if by == "date":
        return sorted(found, key=lambda f: f.date, reverse=True)
    return sorted(found, key=lambda f: (getattr(f, by) is None, getattr(f, by) or 0, f.name))


def _worst_last(one: Found) -> float:
    if one.value is None:
        return math.inf
    return -one.value if one.higher else one.value


def cells(one: Found) -> dict[str, str]:
    """By the keys of COLUMNS."""
    us = "–" if one.us is None else f"{one.us:.3g} {one.backend}"
    return {
        "name": one.name,
        "data": one.data,
        "task": one.task,
        "units": one.units,
        "parameters": f"{one.parameters:,}",
        "bytes": f"{one.bytes:,}",
        "metric": metric(one),
        "us": us,
        "seed": str(one.seed),
        "date": one.date[:16].replace("T", " "),
        "epochs": f"{one.best_epoch} of {one.epochs}",
    }


def metric(one: Found) -> str:
    """With its 95 % interval, if it has one."""
    value = "–" if one.value is None else f"{one.value:.4g}"
    interval = "" if one.low is None or one.high is None else f" ({one.low:.3g} to {one.high:.3g})"
    return f"{title_of(one.metric)} {value}{interval}"


def text(found: Sequence[Found]) -> str:
    rows = [[_short(row[key]) for key in COLUMNS] for row in (COLUMNS, *map(cells, found))]
    right = [k for k, key in enumerate(COLUMNS) if key in NUMBERS]
    return "\n".join(aligned(rows, right)) + "\n"


def _short(value: str) -> str:
    return value if len(value) <= WIDEST else f"{value[: WIDEST - 1]}…"


def as_json(one: Found) -> dict[str, Any]:
    """Without the curve."""
    values = dataclasses.asdict(one)
    del values["curve"]
    return values


def differences(found: Sequence[Found]) -> dict[str, list[Any]]:
    """The keys of the configurations that are not alike in all runs: a value, or None, for each."""
    keys = dict.fromkeys(key for one in found for key in one.config)
    values = {key: [one.config.get(key) for one in found] for key in keys}
    return {key: each for key, each in values.items() if any(v != each[0] for v in each)}
