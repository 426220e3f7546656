"""CSV: a file, or a folder of them. Any text with a separator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from ...config.base import Contradiction, Names
from ...config.sections import Asked, Whole
from .. import known_future
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

    def header(self, path: Path) -> pl.DataFrame | None:
        """By the first line. The names of a file without a header are those of `columns`."""
        if self.columns is not None:
            return pl.DataFrame(schema=self.columns)
        if self.separator == " ":
            return None
        try:
            return pl.read_csv(path, separator=self.separator, infer_schema=False, n_rows=0)
        except (pl.exceptions.PolarsError, OSError):
            return None  # told when the table is read

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if not self.separator.isascii() or self.separator in '"\r\n':
            yield ("data", "separator"), "expected one ASCII character, no quote and no line break"
        yield from super().rules(config)

    def read_alone(self, path: Path, channels: tuple[str, ...]) -> Recording:
        timed = bool(self.dt or self.derivation.clock)
        made = (self.derivation.clock, self.dt_name)
        meaning = dataclasses.replace(
            self._columns(Asked("")),
            channels=tuple(name for name in channels if name not in made),
            label=None,
            group=None,
            time=self.time if timed else None,
            keep_time=False,
        )
        frame = known_future.looked_ahead(self.table(path), channels)
        (found,) = recordings(frame, path, meaning, None)
        return found
