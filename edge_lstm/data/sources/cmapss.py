"""NASA's turbofan files (C-MAPSS): tables without a header.

The life that is left at each row is worked out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import Field

from edge_lstm_runtime.errors import DataError

from ...config.base import Contradiction
from ...config.sections import Asked, Whole
from .. import columns
from ..derived import DerivedSection
from ..files import locate
from ..recordings import Recording
from ..tables import Channels, Columns, recordings

COLUMNS = (
    *("unit", "cycle"),
    *(f"setting_{k}" for k in range(1, 4)),
    *(f"sensor_{k}" for k in range(1, 22)),
)
LIFE = "life"  # cycles until the engine fails, at each row

TrainPath = Annotated[str, Field(description="the path of train_FD001.txt, or of a file like it")]
TestPath = Annotated[str, Field(description="the path of test_FD001.txt, or of a file like it")]
LifePath = Annotated[
    str,
    Field(
        description="the path of the file with the life left to each test engine (RUL_FD001.txt)"
    ),
]


class Section(DerivedSection):
    """[data] of source "cmapss". Each engine is a recording, its unit the group.

    Training engines run until they fail: their last row has a life of 0. Test engines stop before.

    channels  the columns that are the inputs, of COLUMNS
    rul       the file with the life that is left to each test engine at its last row, a line for
              each, in the order of the units
    """

    PATHS = ("train_path", "test_path", "rul")
    NOT_HERE = dict.fromkeys(
        ("time", "label", "group"), "source 'cmapss' knows its columns; remove it"
    )
    has_columns = True

    train_path: TrainPath
    test_path: TestPath
    rul: LifePath
    channels: Channels

    @property
    def named_channels(self) -> tuple[str, ...]:
        return self.channels

    def read(self, asked: Asked) -> list[Recording]:
        train, test, rul = (locate(path, asked.folder) for path in self.paths)
        left = _numbers(rul, 1)
        meaning = Columns(self.channels, asked.targets, group="unit", time="cycle")
        found: list[Recording] = []
        for path, part in ((train, "train"), (test, "test")):
            names = {f"column_{k}": name for k, name in enumerate(COLUMNS, 1)}
            frame = _numbers(path, len(COLUMNS)).rename(names)
            frame = frame.with_columns(pl.col("unit").cast(pl.Int64))
            rest = frame.select("unit").unique(maintain_order=True).with_columns(end=pl.lit(0.0))
            if part == "test":
                if len(rest) != len(left):
                    lines = f"{len(left)} lines for the {len(rest)} engines of {path}"
                    raise DataError(f"{rul}: {lines}; expected one for each")
                rest = rest.with_columns(end=left["column_1"])
            frame = frame.join(rest, on="unit", maintain_order="left")
            last = pl.col("cycle").max().over("unit") - pl.col("cycle") + pl.col("end")
            frame = frame.with_columns(last.alias(LIFE))
            found += recordings(frame, path, meaning, part)
        return found

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if self.split.by != "given":
            files = "which has a training and a test file"
            yield ("data", "split", "by"), f"expected 'given' for source 'cmapss', {files}"
        yield from super().rules(config)


def _numbers(path: Path, width: int) -> pl.DataFrame:
    """A table of numbers between spaces, with columns column_1, column_2, ..."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        reason = e.strerror or e
        raise DataError(f"{path}: can't be read: {reason}; expected a file of C-MAPSS") from e
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows:
        raise DataError(f"{path}: the file is empty; expected {width} numbers in each line")
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            expected = f"expected {width}, as in the C-MAPSS files"
            raise DataError(f"{path}: line {number} has {len(row)} values; {expected}")
    names = [f"column_{k}" for k in range(1, width + 1)]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.select(
        pl.Series(name, columns.numbers(frame[name], str(path), "refuse")) for name in names
    )
