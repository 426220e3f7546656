"""The meaning of a table's columns."""

from __future__ import annotations

import dataclasses
from typing import Literal

from . import known_future
from .table import Wanted


@dataclasses.dataclass(frozen=True)
class Columns:
    """The meaning of a table's columns, as the keys of `TableSection` give it.

    targets   the columns to answer
    future    the values of later rows that are further channels
    clock     whether the times are a channel, before dt. "calendar": they must be dates
    unlabelled whether a cell of the label column may be blank
    keep_time whether the recordings keep their times
    """

    channels: tuple[str, ...]
    targets: tuple[str, ...] = ()
    future: known_future.Future = ()
    label: str | None = None
    unlabelled: bool = False
    group: str | None = None
    time: tuple[str, ...] = ()
    time_back: str = "refuse"
    missing: str = "refuse"
    dt: bool = False
    clock: Literal["", "seconds", "calendar"] = ""
    keep_time: bool = False

    @property
    def needs_times(self) -> bool:
        return bool(self.keep_time or self.dt or self.clock)

    @property
    def wanted(self) -> Wanted:
        """The columns to read."""
        numbers = dict.fromkeys(self.targets, "targets in [model]")
        numbers |= dict.fromkeys(self.channels, "channels in [data]")
        texts = {}
        if self.group:
            texts[self.group] = "group in [data]"
        if self.label:
            texts[self.label] = "label in [data]"
        return Wanted(numbers, texts, self.time)
