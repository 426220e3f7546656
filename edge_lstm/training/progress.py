"""The progress of a training run, on standard error: a bar on a terminal, else a line per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any


class Reporter:
    """quiet: show nothing, as on every rank but the first.

    figures: whether the run's figures are drawn, which takes longer than a small training.
    """

    def __init__(self, *, quiet: bool, figures: bool = True):
        self.quiet = quiet
        self.figures = figures
        self._bar: Any = None
        self._first_epoch = 0

    def line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        if not self.quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def start(self, epoch: int, epochs: int, samples: int) -> None:
        """epoch: how many are done. samples: per epoch."""
        self._first_epoch = epoch
        self._epochs = epochs
        self._samples = samples
        self._started = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                file=getattr(sys.stderr, "terminal", sys.stderr),
                desc=f"epoch {epoch + 1}/{epochs}",
                total=epochs * samples,
                initial=epoch * samples,
                unit=" samples",
                unit_scale=True,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_fmt}, {remaining} left{postfix}",
            )
        self._metric = ""

    def samples(self, done: int, loss: float) -> None:
        """done: samples since the start of the run, resumed parts included."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}{self._metric}", refresh=False)
            self._bar.update(done - self._bar.n)

    def epoch(self, row: Mapping[str, float], monitor: str, *, best: bool) -> None:
        epoch = int(row["epoch"])
        shown = f"val_{monitor}"
        if monitor == "loss":
            others = (key for key in row if key.startswith("val_") and key != "val_loss")
            shown = next(others, "")
        self._metric = f", val loss {row['val_loss']:.4g}"
        if shown:
            self._metric += f", {shown.removeprefix('val_')} {row[shown]:.4g}"
        if self._bar is not None:
            self._bar.set_description(
                f"epoch {min(epoch + 1, self._epochs)}/{self._epochs}", refresh=False
            )
            self.samples(epoch * self._samples, row["train_loss"])
            return
        spent = time.monotonic() - self._started
        left = spent / (epoch - self._first_epoch) * (self._epochs - epoch)
        metric = self._metric.replace(",", " ")
        self.line(
            f"epoch {epoch}/{self._epochs}  loss {row['train_loss']:.4g}{metric}  "
            f"{row['samples_per_s']:.0f} samples/s  {left:.0f} s left{'  best' if best else ''}"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
