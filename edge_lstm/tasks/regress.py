"""The values of columns that are no inputs, at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from edge_lstm_runtime.tasks.regress import Regress

from ..config.base import Contradiction, Names, repeated, with_fact
from ..config.sections import Whole
from ..data.recordings import Parts, Recording, Splits
from ..data.sources import SOURCES
from .numbers import NumberSection

Targets = Annotated[Names, Field(description="the names of the columns to answer")]


class Section(NumberSection):
    """[model] of task "regress".

    targets     the columns to answer, none of them an input
    target_cap  larger targets count as this one
    """

    targets: Targets
    target_cap: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @property
    def target_columns(self) -> tuple[str, ...]:
        return self.targets

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        capped = {part: [self._capped(r) for r in found] for part, found in parts.items()}
        return super().divide(capped, channels)

    def _capped(self, recording: Recording) -> Recording:
        if self.target_cap is None or recording.y is None:
            return recording
        return dataclasses.replace(recording, y=np.minimum(recording.y, self.target_cap))

    def answer(self, splits: Splits, dt_name: str) -> Regress:  # noqa: ARG002
        count = len(self.targets)
        return Regress(self.targets, (0.0,) * count, (1.0,) * count)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if not config.data.has_columns:
            tables = f"expected one of {', '.join(with_fact(SOURCES, 'has_columns'))}"
            none = f"source {config.data.source!r} has none"
            yield ("data", "source"), f"{tables}: 'regress' needs target columns, and {none}"
        for target in self.targets:
            if target in (config.data.named_channels or ()):
                given = "an answer that is given needs no model"
                yield ("model", "targets"), f"{target!r} is an input (`channels`) too; {given}"
        if repeated(self.targets):
            yield ("model", "targets"), "expected each name once"
        yield from super().rules(config)
