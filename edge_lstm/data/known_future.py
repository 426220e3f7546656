"""Inputs whose future is known when a forecast is made: a weather forecast, a plan.

Each column of `known` gets further channels, "temp+24" for the value 24 rows later. They are made
before the recordings are divided, so they reach over the border of a split, as a plan does. What is
read is what has come to be. So it is assumed that the forecast that one will have is as good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import polars as pl

from ..config.base import Contradiction, Names, repeated
from ..config.sections import Whole
from .recordings import Float64

Future = tuple[tuple[str, int], ...]  # a channel, and so many rows later


class Planned(Protocol):
    """The keys of [data] that are read here."""

    known: Names | None
    known_ahead: tuple[int, ...] | None

    @property
    def named_channels(self) -> tuple[str, ...]: ...

    @property
    def dt_name(self) -> str: ...


def future(section: Planned, steps_ahead: tuple[int, ...]) -> Future:
    """The further channels. steps_ahead: those that the task forecasts."""
    steps = section.known_ahead or steps_ahead
    return tuple((name, step) for name in section.known or () for step in steps)


def names(wanted: Future) -> tuple[str, ...]:
    return tuple(f"{name}+{step}" for name, step in wanted)


def with_future(x: Float64, channels: tuple[str, ...], wanted: Future) -> Float64:
    """x: (T, C) of one recording -> (T, C + wanted).

    Past the end a channel keeps its last known value, or NaN if it never had one.
    """
    if not wanted:
        return x
    found = [x]
    for name, step in wanted:
        values = x[:, channels.index(name)]
        known = values[~np.isnan(values)]
        after = np.full(step, known[-1] if len(known) else np.nan)
        found.append(np.concatenate([values, after])[step:, None])
    return np.concatenate(found, axis=1)


def looked_ahead(frame: pl.DataFrame, channels: tuple[str, ...]) -> pl.DataFrame:
    """The table of one recording, with columns such as "temp+24" made of "temp" if they lack."""
    for name in channels:
        column, _, step = name.rpartition("+")
        if name not in frame.columns and column in frame.columns and step.isdecimal():
            rows = np.minimum(np.arange(len(frame)) + int(step), len(frame) - 1)
            frame = frame.with_columns(frame[column].gather(rows).alias(name))
    return frame


def rules(section: Planned, config: Whole) -> Iterator[Contradiction]:
    """The keys `known` and `known_ahead` that contradict each other or other keys."""
    if section.known is None:
        if section.known_ahead is not None:
            alone = "has no meaning without `known`; add `known`, or remove it"
            yield ("data", "known_ahead"), alone
        return
    absent = [name for name in section.known if name not in section.named_channels]
    if absent or repeated(section.known):
        among = f"expected names among the channels {list(section.named_channels)}, each once"
        yield ("data", "known"), f"{among}, and {absent[0]!r} is not" if absent else among
    if repeated(section.known_ahead):
        yield ("data", "known_ahead"), "expected each step once"
    if section.known_ahead is None and not config.model.steps_ahead:
        none = f"expected the steps ahead, because task {config.model.task!r} has no `horizon`"
        yield ("data", "known_ahead"), none
    made = names(future(section, config.model.steps_ahead))
    if taken := [name for name in made if name in (*section.named_channels, section.dt_name)]:
        yield ("data", "known"), f"makes a channel {taken[0]!r}, and there is one of this name"
