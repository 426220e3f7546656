"""CSV: a file, or a folder of them. Any text with a separator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from ...config.base import Contradiction, Names
from ...config.sections import Whole
from ..recordings import Recording
from ..tables import TableSection, read_csv, recordings


class Section(TableSection):
    """[data] of source "csv".

    separator  a space stands for any number of them
    columns    the names of all columns of a file without a header
    """

    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    columns: Names | None = None

    def table(self, path: Path) -> pl.DataFrame:
        return read_csv(path, self.separator, self.columns)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if not self.separator.isascii() or self.separator in '"\r\n':
            yield ("data", "separator"), "expected one ASCII character, no quote and no line break"
        yield from super().rules(config)

    def read_alone(self, path: Path, channels: tuple[str, ...]) -> Recording:  # noqa: ARG002
        timed = bool(self.dt or self.derivation.clock)
        meaning = dataclasses.replace(
            self._columns(()),
            label=None,
            group=None,
            time=self.time if timed else None,
            keep_time=False,
        )
        (found,) = recordings(self.table(path), path, meaning, None)
        return found
