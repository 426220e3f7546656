"""NASA's turbofan files (C-MAPSS): tables without a header.

The life that is left at each row is worked out here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.text import TextForm

from ...config.base import Contradiction
from ...config.sections import Asked, Whole
from ..columns import Columns
from ..derived import DerivedSection
from ..files import locate
from ..read_text import read_table
from ..recordings import Float64, Recording
from ..table import Table, Wanted
from ..tables import Channels, recordings

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
    KEPT = True
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
        meaning = Columns(self.channels, asked.targets, group="unit", time=("cycle",))
        wanted = {name: key for name, key in meaning.wanted.numbers.items() if name != LIFE}
        reading = dataclasses.replace(meaning.wanted, numbers={**wanted, "cycle": "the source"})
        left = read_table(rul, _form((LIFE,)), Wanted({LIFE: "the source"})).numbers[LIFE]
        found: list[Recording] = []
        for path, part in ((train, "train"), (test, "test")):
            table = read_table(path, _form(COLUMNS), reading)
            found += recordings(_with_life(table, rul, left, part), meaning, part)
        return found

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if self.split.by != "given":
            files = "which has a training and a test file"
            yield ("data", "split", "by"), f"expected 'given' for source 'cmapss', {files}"
        yield from super().rules(config)


def _form(columns: tuple[str, ...]) -> TextForm:
    return TextForm(separator=" ", columns=columns)


def _with_life(table: Table, rul: Path, left: Float64, part: str) -> Table:
    """With the column LIFE. left: (engines,) the life after the last row of each test engine."""
    units, first, inverse = np.unique(table.texts["unit"], return_index=True, return_inverse=True)
    after = np.zeros(len(units))
    if part == "test":
        if len(units) != len(left):
            lines = f"{len(left)} lines for the {len(units)} engines of {table.path}"
            raise DataError(f"{rul}: {lines}; expected one for each")
        after[np.argsort(first)] = left  # the file has a line for each engine, in their order
    cycle = table.numbers["cycle"]
    last = np.zeros(len(units))
    np.maximum.at(last, inverse, cycle)
    life = (last + after)[inverse] - cycle
    return dataclasses.replace(table, numbers={**table.numbers, LIFE: life})
