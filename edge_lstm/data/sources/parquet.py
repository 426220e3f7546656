"""Parquet: a file, or a folder of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ..frames import table_of
from ..table import Table, Wanted
from ..tables import TableSection, unreadable


class Section(TableSection):
    """[data] of source "parquet"."""

    def check_columns(self, path: Path, wanted: Wanted) -> None:
        try:
            names = pl.read_parquet_schema(path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
            raise unreadable(path, self.source, e) from e
        wanted.check(list(names), str(path))

    def table(self, path: Path, wanted: Wanted) -> Table:
        try:
            names = pl.read_parquet_schema(path)
            needed = {*wanted.numbers, *wanted.texts, *wanted.time}
            wanted.check(list(names), str(path))
            frame = pl.read_parquet(path, columns=[name for name in names if name in needed])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
            raise unreadable(path, self.source, e) from e
        return table_of(frame, path, self.form, wanted)
