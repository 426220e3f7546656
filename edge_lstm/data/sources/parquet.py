"""Parquet: a file, or a folder of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edge_lstm_runtime.files import atomic_write

from ..frames import table_of
from ..recordings import Recording, narrowest
from ..table import Table, Wanted
from ..tables import TableSection, unreadable

NAME = "parquet"
# The columns that `keep` makes.
GROUP = "recording"
LABEL = "label"
TIME = "time"


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


def keep(
    path: Path, recordings: list[Recording], channels: tuple[str, ...], targets: tuple[str, ...]
) -> None:
    """Write recordings as such a file, the same bytes from the same values.

    channels, targets: the names of the columns of `x` and of `y`. The column GROUP tells the
    recordings apart. LABEL and TIME are there if all of them have labels or times.
    """
    columns: dict[str, Any] = {}
    for names, of in ((channels, [r.x for r in recordings]), (targets, [r.y for r in recordings])):
        if names:
            values = np.concatenate([v for v in of if v is not None])
            columns |= {name: narrowest(values[:, k]) for k, name in enumerate(names)}
    counts = [len(r.x) for r in recordings]
    columns[GROUP] = np.repeat([str(k) for k in range(len(recordings))], counts)
    labels = [r.labels for r in recordings if r.labels is not None]
    times = [r.time for r in recordings if r.time is not None]
    for name, parts in ((LABEL, labels), (TIME, times)):
        if len(parts) == len(recordings):
            columns[name] = np.concatenate(parts)
    keep_frame(path, pl.DataFrame(columns))


def keep_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame as such a file."""
    with atomic_write(path) as file:
        frame.write_parquet(file)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
        raise unreadable(path, "parquet", e) from e
