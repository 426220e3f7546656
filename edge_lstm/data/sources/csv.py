"""CSV: a file, or a folder of them. Any text with a separator."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from edge_lstm_runtime.inputs.text import KEYS, TextForm

from ...config.base import Contradiction, Names
from ...config.sections import Asked, Whole
from .. import known_future
from ..read_text import check_columns, header_of, read_table
from ..recordings import Recording
from ..table import Table, Wanted
from ..tables import TableSection, recordings


def _ending(text: str) -> str:
    if re.fullmatch(r"\.[^./\\]+", text) is None:
        expected = "expected one point and letters, such as '.txt'"
        raise PydanticCustomError("ending", "{message}", {"message": expected})
    return text


class Section(TableSection):
    """[data] of source "csv".

    separator  a space stands for any number of them
    decimal    the mark in numbers, "." or ","
    columns    the names of all columns of a file without a header
    comment    lines that begin with this are skipped
    skip_rows  lines before the header
    encoding   such as "latin-1". If left out, that of the byte order mark, or else UTF-8
    ending     of the files that a folder is read for, such as ".txt", packed by gzip too
    """

    separator: str = ","
    decimal: Literal[".", ","] = "."
    columns: Names | None = None
    comment: str = ""
    skip_rows: Annotated[int, Field(ge=0)] = 0
    encoding: str = ""
    ending: Annotated[str, AfterValidator(_ending)] = ".csv"

    @property
    def endings(self) -> tuple[str, ...]:
        ending = self.ending.lower()
        return (f"{ending}.gz", ending)

    @property
    def form(self) -> TextForm:
        keys = {key: getattr(self, key) for key in KEYS}
        return dataclasses.replace(super().form, columns=self.columns or (), **keys)

    def table(self, path: Path, wanted: Wanted) -> Table:
        return read_table(path, self.form, wanted)

    def check_columns(self, path: Path, wanted: Wanted) -> None:
        check_columns(path, self.form, wanted)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        keys = {key: getattr(self, key) for key in KEYS}
        problems = list(TextForm.problems_of(**keys))
        yield from ((("data", key), problem) for key, problem in problems)
        if not problems:
            yield from super().rules(config)

    def read_alone(self, path: Path, channels: tuple[str, ...]) -> Recording:
        timed = bool(self.dt or self.derivation.clock)
        made = (self.derivation.clock, self.dt_name)
        meaning = dataclasses.replace(
            self._columns(Asked("")),
            channels=tuple(name for name in channels if name not in made),
            label=None,
            group=None,
            time=self.time_columns if timed else (),
            keep_time=False,
        )
        names = header_of(path, self.form)
        table = self.table(path, known_future.without(meaning.wanted, names))
        (table,) = self.timed([known_future.looked_ahead(table, meaning.channels)])
        (found,) = recordings(table, meaning, None)
        return found
