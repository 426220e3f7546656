"""Training that is interrupted, as by Ctrl-C, after a number of epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm import train
from edge_lstm.config.schema import Config
from edge_lstm.training import loop


def interrupted_after(
    epochs: int, run: Callable[..., dict[str, float]]
) -> Callable[..., dict[str, float]]:
    def epoch(self: loop.Training) -> dict[str, float]:
        if self.progress.epoch == epochs:
            raise KeyboardInterrupt
        return run(self)

    return epoch


def interrupt(
    config: Config, out: Path, stage: str, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train until the stage that writes a folder of this name has done so many epochs.

    Saves after every epoch.
    """
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    whole = loop.Training._epoch
    stopped = interrupted_after(epochs, whole)
    monkeypatch.setattr(
        loop.Training, "_epoch", lambda self: (stopped if self.out.name == stage else whole)(self)
    )
    with pytest.raises(KeyboardInterrupt):
        train(config, out, quiet=True)
    monkeypatch.setattr(loop.Training, "_epoch", whole)
