"""history.csv and the TensorBoard events: a row per epoch.

history.csv is written whole each time, so that it never ends in half a row. Events are appended
for TensorBoard. edge-lstm reads neither back: the rows are in the checkpoints.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from edge_lstm_runtime.files import atomic_write

from . import checkpoint
from .checkpoint import Progress
from .events import Events


class History:
    """Writes a row for each epoch. Rows of epochs that a resumed run does again are dropped."""

    def __init__(self, out: Path, progress: Progress, *, write: bool):
        self._out = out
        self._history = list(progress.history)
        self._write = write
        self._events: Events | None = None
        self._unsaved = False

    def __enter__(self) -> History:
        if self._write:
            purge = int(self._history[-1]["epoch"]) + 1 if self._history else None
            self._events = Events(self._out / "tensorboard", purge)
            self.save()
        return self

    def add(self, row: dict[str, float]) -> None:
        self._history.append(row)
        self._unsaved = True
        if self._events is not None:
            scalars = {_tag(name): value for name, value in row.items() if name != "epoch"}
            self._events.add(int(row["epoch"]), scalars)

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


def _tag(name: str) -> str:
    """TensorBoard groups by the part before the slash."""
    kind, _, metric = name.partition("_")
    return f"{metric}/{kind}" if kind in ("train", "val") else f"run/{name}"
