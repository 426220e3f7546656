"""What the stages after a training share: the model that each began with is kept, and each trains in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.common import PruneConfig, QuantizeConfig
from ..config.sections import TrainConfig
from ..data.recordings import Splits
from ..network import Cell, CompactLSTM
from ..results import plots
from . import checkpoint
from .distill import Teacher
from .loop import Training


def shorter(train: TrainConfig, asked: PruneConfig | QuantizeConfig, rate: float) -> TrainConfig:
    """Of a fine-tuning: the training's settings, but for its epochs and learning rate. rate: unless asked for, of the training's."""
    epochs = asked.epochs or max(1, round(0.2 * train.epochs))
    return train.model_copy(update={"epochs": epochs, "learning_rate": asked.learning_rate or rate * train.learning_rate})


def kept(training: Training, name: str) -> dict[str, Any]:
    """RUN/best.pt as it was before the stage that makes another of it, which is kept as RUN/name. Every rank calls this."""
    run = training.out
    if training.fabric.is_global_zero and not (run / name).exists():
        checkpoint.save(run / name, checkpoint.load(run / checkpoint.BEST))
    training.fabric.barrier()
    return checkpoint.load(run / name)


def train_stage(
    training: Training,
    spec: ModelSpec,
    settings: TrainConfig,
    splits: Splits,
    out: Path,
    what: str,
    *,
    begin: dict[str, Tensor] | None = None,
    resume: bool,
    network: type[CompactLSTM] = CompactLSTM,
    cell: Cell = "lstm",
    teacher: Teacher | None = None,
) -> Training:
    """Train in the folder `out` of a run whose first `training` has ended.

    begin: the weights to train on from; new ones when left out. what: for the messages. resume: go on with what is in the folder. network,
    cell, teacher: as of `Training`. Every rank calls this. Raises TrainingError on a loss that is not finite.
    """
    fabric = training.fabric
    if fabric.is_global_zero:
        out.mkdir(parents=True, exist_ok=True)
    fabric.barrier()
    config = training.config.model_copy(update={"train": settings})
    stage = Training(config, spec, splits, out, fabric, training.reporter, network, cell=cell, teacher=teacher)
    stage.fingerprint = training.fingerprint  # of the run's data, whichever part of it is used
    stage.threads.default = training.threads.default  # the training may have changed PyTorch's
    if resume and (out / checkpoint.LAST).exists():
        stage.restore(checkpoint.load(out / checkpoint.LAST), checkpoint.load(out / checkpoint.BEST))
    elif begin is not None:
        stage.begin_with(begin)
    training.reporter.line(f"{out}: {what}, after {stage.progress.epoch} of {settings.epochs} epochs")
    try:
        stage.run()
    except TrainingError as e:
        raise TrainingError(f"{what}: {e}") from e
    if fabric.is_global_zero:
        plots.save_figure(plots.plot_curves(stage.progress.history), out / "curves.png")
    fabric.barrier()
    return stage
