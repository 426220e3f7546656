"""history.csv, the TensorBoard events and the trackers: a row per epoch.

history.csv is written whole each time, so that it never ends in half a row. Events are appended
for TensorBoard. edge-lstm reads none of them back: the rows are in the checkpoints.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from edge_lstm_runtime.files import atomic_write

from . import checkpoint
from .checkpoint import Progress
from .events import Events


class Logger(Protocol):
    """Takes a row for each epoch."""

    def epoch(self, row: Mapping[str, float]) -> None: ...


class TensorBoard:
    """Raises OSError. done: the epochs that count; later ones of earlier files do not."""

    def __init__(self, folder: Path, done: int | None):
        self._events = Events(folder, None if done is None else done + 1)

    def epoch(self, row: Mapping[str, float]) -> None:
        scalars = {tag(name): value for name, value in row.items() if name != "epoch"}
        self._events.add(int(row["epoch"]), scalars)


class History:
    """Writes a row for each epoch. Rows of epochs that a resumed run does again are dropped.

    loggers: further ones that take each row.
    """

    def __init__(
        self, out: Path, progress: Progress, loggers: Sequence[Logger] = (), *, write: bool
    ):
        self._out = out
        self._history = list(progress.history)
        self._write = write
        self._loggers = [*loggers] if write else []
        self._unsaved = False

    def __enter__(self) -> History:
        if self._write:
            done = int(self._history[-1]["epoch"]) if self._history else None
            self._loggers.insert(0, TensorBoard(self._out / "tensorboard", done))
            self.save()
        return self

    def add(self, row: dict[str, float]) -> None:
        self._history.append(row)
        self._unsaved = True
        for logger in self._loggers:
            logger.epoch(row)

    def save(self) -> None:
        """Write history.csv. Raises OSError."""
        if self._write:
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            writer.writerows(self._history[:1])  # the names
            writer.writerows(row.values() for row in self._history)
            with atomic_write(self._out / checkpoint.HISTORY) as file:
                file.write(text.getvalue().encode())
        self._unsaved = False

    def __exit__(self, *_: object) -> None:
        if self._unsaved:
            self.save()


def tag(name: str) -> str:
    """TensorBoard groups by the part before the slash."""
    kind, _, metric = name.partition("_")
    return f"{metric}/{kind}" if kind in ("train", "val") else f"run/{name}"
