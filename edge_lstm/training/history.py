"""history.csv and the TensorBoard events: a row per epoch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import IO, Any

from . import checkpoint
from .checkpoint import Progress


class History:
    """Writes a row for each epoch. Rows of epochs that a resumed run does again are dropped."""

    def __init__(self, out: Path, progress: Progress, *, write: bool):
        self._out = out
        self._history = list(progress.history)
        self._write = write
        self._file: IO[str] | None = None
        self._events: Any = None

    def __enter__(self) -> History:
        if self._write:
            from torch.utils.tensorboard import SummaryWriter

            purge = int(self._history[-1]["epoch"]) + 1 if self._history else None
            self._events = SummaryWriter(str(self._out / "tensorboard"), purge_step=purge)
            self._file = (self._out / checkpoint.HISTORY).open("w", newline="")
            for row in self._history:
                self._line(row)
        return self

    def add(self, row: dict[str, float]) -> None:
        if self._write:
            self._line(row)
            for name, value in row.items():
                if name != "epoch":
                    kind, _, metric = name.partition("_")
                    tag = f"{metric}/{kind}" if kind in ("train", "val") else f"run/{name}"
                    self._events.add_scalar(tag, value, int(row["epoch"]))

    def _line(self, row: dict[str, float]) -> None:
        assert self._file is not None
        writer = csv.writer(self._file)
        if self._file.tell() == 0:
            writer.writerow(row)
        writer.writerow(row.values())
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._events.close()
