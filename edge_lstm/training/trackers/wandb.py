"""Weights & Biases, by Lightning's logger.

WANDB_MODE=offline writes files alone, WANDB_DIR says where, and WANDB_PROJECT in which project.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import PROJECT, Status, Tracker

EXIT = {"finished": 0, "failed": 1, "stopped": 255}  # of W&B's run: 255 is shown as "killed"


class WandB(Tracker):
    needs = ("wandb", "pytorch_lightning")

    def __init__(self, name: str, key: str | None):
        from pytorch_lightning.loggers import WandbLogger

        self._logger = WandbLogger(
            name=name,
            id=key,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            save_dir=os.environ.get("WANDB_DIR", "."),
            resume="allow",
        )
        self._run = self._logger.experiment
        # Epochs that a resumed training does again are logged again, which steps don't allow.
        self._run.define_metric("epoch")
        self._run.define_metric("*", step_metric="epoch")

    @property
    def key(self) -> str:
        return str(self._run.id)

    def parameters(self, values: Mapping[str, Any]) -> None:
        self._logger.log_hyperparams(dict(values))

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self._run.log({**figures, "epoch": number})

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        self._run.summary.update(dict(figures))
        for file in files:
            self._run.save(str(file), base_path=str(file.parent), policy="now")

    def close(self, status: Status) -> None:
        self._run.finish(exit_code=EXIT[status])


TRACKER = WandB
