"""A second training on the training and the validation split together, for the number of epochs that the first one found best.

RUN/first.pt    the best checkpoint of the first training, which the metrics of the validation split are of
RUN/refit/      of the second: best.pt, last.pt, history.csv, curves.png, tensorboard/; its validation split is one that it has seen
RUN/best.pt     becomes the second training's last epoch
"""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime.errors import TrainingError

from . import checkpoint, plots
from .data.types import Splits
from .loop import Training

FOLDER = "refit"


def joined(splits: Splits) -> Splits:
    return dataclasses.replace(splits, train=splits.train + splits.val)


def refit(training: Training, splits: Splits, *, resume: bool) -> None:
    """Train anew after a `training` that has ended, and make the result RUN/best.pt; the specification stays that of the first.

    resume: go on with what is in RUN/refit. Every rank calls this. Raises TrainingError on a loss that is not finite.
    """
    run, fabric = training.out, training.fabric
    epochs = training.progress.best_epoch
    config = training.config.model_copy(update={"train": training.config.train.model_copy(update={"epochs": epochs, "patience": 0})})
    out = run / FOLDER
    if fabric.is_global_zero:
        out.mkdir(exist_ok=True)
        if not (run / checkpoint.FIRST).exists():
            checkpoint.save(run / checkpoint.FIRST, checkpoint.load(run / checkpoint.BEST))
    fabric.barrier()
    again = Training(
        config, training.spec, joined(splits), out, fabric, training.reporter, cell=training.net.cell, teacher=training.teacher
    )
    again.fingerprint = training.fingerprint  # of the run's data, whichever part of it is used
    if resume and (out / checkpoint.LAST).exists():
        again.restore(checkpoint.load(out / checkpoint.LAST), checkpoint.load(out / checkpoint.BEST))
    training.reporter.line(f"{out}: training and validation split together, after {again.progress.epoch} of {epochs} epochs")
    try:
        again.run()
    except TrainingError as e:
        raise TrainingError(f"[train] refit: {e}") from e
    if fabric.is_global_zero:
        plots.save_figure(plots.plot_curves(again.progress.history), out / "curves.png")
        last = checkpoint.load(out / checkpoint.LAST)
        checkpoint.save(run / checkpoint.BEST, checkpoint.load(run / checkpoint.FIRST) | {"model": last["model"]})
    fabric.barrier()
