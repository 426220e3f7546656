"""Parquet: a file, or a folder of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ..tables import TableSection, unreadable


class Section(TableSection):
    """[data] of source "parquet"."""

    def header(self, path: Path) -> pl.DataFrame | None:
        try:
            return pl.DataFrame(schema=list(pl.read_parquet_schema(path)))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            return None  # told when the table is read

    def table(self, path: Path) -> pl.DataFrame:
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
            raise unreadable(path, self.source, e) from e
