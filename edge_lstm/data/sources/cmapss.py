"""NASA's turbofan files (C-MAPSS): tables without a header, and the life that is left, which has to be worked out."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from edge_lstm_runtime.errors import DataError

from ...config.schema import DataConfig
from .. import columns
from ..recordings import Recording
from . import tables

COLUMNS = (
    "unit",
    "cycle",
    *(f"setting_{k}" for k in range(1, 4)),
    *(f"sensor_{k}" for k in range(1, 22)),
)
LIFE = "life"  # cycles until the engine fails, at each row


def read(files: list[Path], data: DataConfig) -> list[Recording]:
    """files: train, test, rul. Each engine is a recording, its unit the group.

    Training engines run until they fail: their last row has a life of 0. Test engines stop before; `rul` holds, a line for each in the
    order of the units, the life at their last row.
    """
    train, test, rul = files
    left = _numbers(rul, 1)
    found: list[Recording] = []
    for path, part in ((train, "train"), (test, "test")):
        frame = _numbers(path, len(COLUMNS)).rename(
            {f"column_{k}": name for k, name in enumerate(COLUMNS, 1)}
        )
        frame = frame.with_columns(pl.col("unit").cast(pl.Int64))
        rest = frame.select("unit").unique(maintain_order=True).with_columns(end=pl.lit(0.0))
        if part == "test":
            if len(rest) != len(left):
                raise DataError(
                    f"{rul}: {len(left)} lines for the {len(rest)} engines of {path}; expected one for each"
                )
            rest = rest.with_columns(end=left["column_1"])
        frame = frame.join(rest, on="unit", maintain_order="left")
        frame = frame.with_columns(
            (pl.col("cycle").max().over("unit") - pl.col("cycle") + pl.col("end")).alias(LIFE)
        )
        found += tables.of_frame(
            frame, path, data.model_copy(update={"group": "unit", "time": "cycle"}), part
        )
    return found


def _numbers(path: Path, width: int) -> pl.DataFrame:
    """A table of numbers between spaces, with columns column_1, column_2, ..."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise DataError(
            f"{path}: can't be read: {e.strerror or e}; expected a file of C-MAPSS"
        ) from e
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows:
        raise DataError(f"{path}: the file is empty; expected {width} numbers in each line")
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(
                f"{path}: line {number} has {len(row)} values; expected {width}, as in the C-MAPSS files"
            )
    frame = pl.DataFrame(rows, schema=[f"column_{k}" for k in range(1, width + 1)], orient="row")
    return frame.select(
        pl.Series(name, columns.numbers(frame[name], str(path), "refuse")) for name in frame.columns
    )
