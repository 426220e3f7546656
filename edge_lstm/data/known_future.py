"""Inputs whose future is known when a forecast is made: a weather forecast, a plan.

Each column of `known` gets further channels, "temp+24" for the value 24 rows later. They are made
before the recordings are divided, so they reach over the border of a split, as a plan does. What is
read is what has come to be. So it is assumed that the forecast that one will have is as good.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from ..config.base import Contradiction, Count, Names, repeated
from ..config.sections import SampleSection, Whole
from .recordings import Float64
from .table import Table, Wanted

Future = tuple[tuple[str, int], ...]  # a channel, and so many rows later


class KnownSection(SampleSection):
    """The keys of [data] that say so.

    known        the channels whose future is known. Each gets further channels, for its values
    known_ahead  so many rows later. Of a forecast they are its steps ahead if left out
    """

    known: Names | None = None
    known_ahead: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None

    @property
    def known_columns(self) -> tuple[str, ...]:
        return self.known or ()

    def future(self, steps_ahead: tuple[int, ...]) -> Future:
        """The further channels. steps_ahead: those that the task forecasts."""
        steps = self.known_ahead or steps_ahead
        return tuple((name, step) for name in self.known_columns for step in steps)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        if self.known is None:
            if self.known_ahead is not None:
                alone = "has no meaning without `known`; add `known`, or remove it"
                yield ("data", "known_ahead"), alone
            return
        channels = self.named_channels or ()
        absent = [name for name in self.known if name not in channels]
        if absent or repeated(self.known):
            among = f"expected names among the channels {list(channels)}, each once"
            yield ("data", "known"), f"{among}, and {absent[0]!r} is not" if absent else among
        if repeated(self.known_ahead):
            yield ("data", "known_ahead"), "expected each step once"
        if self.known_ahead is None and not config.model.steps_ahead:
            none = f"expected the steps ahead, because task {config.model.task!r} has no `horizon`"
            yield ("data", "known_ahead"), none
        made = names(self.future(config.model.steps_ahead))
        if taken := [name for name in made if name in (*channels, self.dt_name)]:
            yield ("data", "known"), f"makes a channel {taken[0]!r}, and there is one of this name"


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


def without(wanted: Wanted, names: tuple[str, ...]) -> Wanted:
    """With "temp" in place of a column "temp+24" that is not among the names of a file."""
    numbers = {_column(name, names): key for name, key in wanted.numbers.items()}
    return dataclasses.replace(wanted, numbers=numbers)


def looked_ahead(table: Table, channels: tuple[str, ...]) -> Table:
    """The table of one recording, with columns such as "temp+24" made of "temp" if they lack."""
    numbers = dict(table.numbers)
    for name in channels:
        if name not in numbers:
            column, _, step = name.rpartition("+")
            rows = np.minimum(np.arange(table.rows) + int(step), table.rows - 1)
            numbers[name] = numbers[column][rows]
    return dataclasses.replace(table, numbers=numbers)


def _column(name: str, names: tuple[str, ...]) -> str:
    column, _, step = name.rpartition("+")
    later = name not in names and column in names and step.isdecimal()
    return column if later else name
