"""Parquet: a file, or a folder of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ..frames import table_of
from ..table import Table, Wanted
from ..tables import TableSection, unreadable


class Section(TableSection):
    """[data] of source "parquet"."""

    def check_columns(self, path: Path, wanted: Wanted) -> None:
        with _reading(path):
            names = pl.read_parquet_schema(path)
        wanted.check(list(names), str(path))

    def table(self, path: Path, wanted: Wanted) -> Table:
        self.check_columns(path, wanted)
        with _reading(path):
            frame = pl.read_parquet(path, columns=list(wanted.keys))
        return table_of(frame, path, self.form, wanted)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
        raise unreadable(path, "parquet", e) from e
