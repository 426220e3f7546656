"""Plain text: its characters one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edge_lstm_runtime.errors import DataError

from ...config.base import Contradiction, Count, with_fact
from ...config.sections import Asked, Whole
from ...tasks import TASKS
from ..files import FileSection
from ..recordings import Recording

Window = Annotated[
    Count, Field(description="the characters over which the gradient is followed back")
]


class Section(FileSection):
    """[data] of source "text".

    lower  upper case is made lower case
    keep   the characters that stay. Each run of other characters becomes one space
    first  only so many characters, counted after that
    """

    characters = True

    window: Window
    lower: bool = False
    keep: Annotated[str, Field(min_length=1)] | None = None
    first: Count | None = None

    @property
    def cuts(self) -> dict[str, Any]:
        return {**super().cuts, "short": "pad"}  # a text shorter than the window is one piece

    def read(self, asked: Asked) -> list[Recording]:
        return [self._read(path, part, self.first) for path, part in self.files(asked.folder)]

    def read_alone(self, path: Path, channels: tuple[str, ...]) -> Recording:  # noqa: ARG002
        return self._read(path, None, None)

    def inputs(self, asked: Asked, width: int) -> tuple[str, ...]:  # noqa: ARG002
        return ("character",)

    def _read(self, path: Path, part: str | None, first: int | None) -> Recording:
        """x (T, 1): the code point of each character that is left."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(f"{path}: can't be read ({e}); expected a text in UTF-8") from e
        if self.lower:
            text = text.lower()
        if self.keep is not None:
            text = re.sub(f"[^{re.escape(self.keep)}]+", " ", text)
        text = text[:first]
        if len(text) < 2:
            those = "" if self.keep is None else ", of those that `keep` leaves"
            raise DataError(f"{path}: has {len(text)} characters{those}; expected a text")
        points = np.array([[ord(c)] for c in text], np.float64)
        return Recording(path.stem, path.stem, points, part=part)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if not config.model.reads_characters:
            tasks = " or ".join(f"{name!r}" for name in with_fact(TASKS, "reads_characters"))
            yield ("model", "task"), f"expected {tasks}, for source {self.source!r}"
        yield from super().rules(config)
