"""Parquet files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl

from edge_lstm_runtime.inputs.text import STANDARD

from ...data.tables import unreadable
from ..columns import CELLS, Sample, columns_of
from ..finding import Finding, Search
from ..tables import check_alike, empty, paths_of, table_finding

SOURCE = "parquet"
FILES = 100  # that are looked at


def find(search: Search) -> Finding | None:
    files = search.place.of((".parquet", ".pq"))
    if search.place.whole:  # the source reads a folder for its own ending alone
        files = [file for file in files if file.ending == ".parquet"]
    if not files:
        return None
    looked_at = files[:: -(-len(files) // FILES)]
    frames = {file: _read(file.path) for file in looked_at}
    kept, dropped = check_alike({file.path: frame.columns for file, frame in frames.items()})
    rows = CELLS // (len(kept) * len(looked_at)) + 50
    samples = []
    for file, frame in frames.items():
        if not len(frame):
            raise empty(file.path)
        head = frame.head(rows)
        cells = {name: _texts(head[name]) for name in kept}
        samples.append(Sample(file.path, file.name, cells))
    columns = columns_of(samples, STANDARD)
    found = table_finding(search, paths_of(search, files), {}, columns, samples, dropped)
    return dataclasses.replace(found, source=SOURCE, rank=3)


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
        raise unreadable(path, SOURCE, e) from e


def _texts(series: pl.Series) -> list[str]:
    if series.dtype.is_nested() or series.dtype == pl.Binary:
        return ["(nested)"] * len(series)
    if series.dtype == pl.Boolean:
        series = series.cast(pl.Int8)
    if series.dtype.is_temporal() and series.dtype not in (pl.Time, pl.Duration):
        return [str(value) if value is not None else "" for value in series]
    return ["" if value is None or value != value else str(value) for value in series]
