"""What the stages after a training share.

Each keeps the model that it began with, and trains in a folder of its own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torch import Tensor

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.common import PruneConfig, QuantizeConfig
from ..config.sections import TrainConfig
from ..data.recordings import Splits
from ..data.windows import logarithmic
from ..network import CompactNet
from ..results import plots
from . import checkpoint
from .distill import Teacher
from .loop import Training


def shorter(train: TrainConfig, asked: PruneConfig | QuantizeConfig, rate: float) -> TrainConfig:
    """The settings of a fine-tuning: the training's, but for its epochs and learning rate.

    rate: the share of the training's learning rate, if `asked` has no learning rate of its own.
    """
    epochs = asked.epochs or max(1, round(0.2 * train.epochs))
    return train.model_copy(
        update={
            "epochs": epochs,
            "learning_rate": asked.learning_rate or rate * train.learning_rate,
        }
    )


def kept(training: Training, name: str) -> dict[str, Any]:
    """RUN/best.pt as it was before the stage that replaces it. A copy is kept as RUN/name.

    Every rank calls this.
    """
    run = training.out
    if training.fabric.is_global_zero and not (run / name).exists():
        checkpoint.save(run / name, checkpoint.load(run / checkpoint.BEST))
    training.fabric.barrier()
    return checkpoint.load(run / name)


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage trains.

    out: the folder. what: its name in messages. begin: the weights to train on from; new ones if
    None. network, teacher: as of `Training`.
    """

    spec: ModelSpec
    settings: TrainConfig
    splits: Splits
    out: Path
    what: str
    begin: dict[str, Tensor] | None = None
    network: type[CompactNet] = CompactNet
    teacher: Teacher | None = None


def train_stage(training: Training, stage: Stage, *, resume: bool) -> Training:
    """Train a stage of a run whose first `training` has ended.

    resume: go on with what is in the folder. Every rank calls this. Raises TrainingError if a loss
    is not finite.
    """
    out = stage.out
    fabric = training.fabric
    if fabric.is_global_zero:
        out.mkdir(parents=True, exist_ok=True)
    fabric.barrier()
    tuning = Training(
        training.config.model_copy(update={"train": stage.settings}),
        stage.spec,
        stage.splits,
        out,
        fabric,
        training.reporter,
        stage.network,
        teacher=stage.teacher,
    )
    tuning.fingerprint = training.fingerprint  # of the run's data, whichever part of it is used
    if resume and (out / checkpoint.LAST).exists():
        tuning.restore(
            checkpoint.load(out / checkpoint.LAST), checkpoint.load(out / checkpoint.BEST)
        )
    elif stage.begin is not None:
        tuning.begin_with(stage.begin)
    done = f"after {tuning.progress.epoch} of {stage.settings.epochs} epochs"
    training.reporter.line(f"{out}: {stage.what}, {done}")
    try:
        tuning.run()
    except TrainingError as e:
        raise TrainingError(f"{stage.what}: {e}") from e
    if fabric.is_global_zero and tuning.reporter.figures:
        scale = logarithmic(stage.spec)
        curves = plots.plot_curves(tuning.progress.history, logarithmic=scale)
        plots.save_figure(curves, out / "curves.png")
    fabric.barrier()
    return tuning
