"""A second training, on the training and the validation split together.

It takes the number of epochs that the first training found best.

RUN/first.pt    the best checkpoint of the first training; metrics of the validation split are its
RUN/refit/      of the second: best.pt, last.pt, history.csv, curves.png and tensorboard/. It has
                seen its validation split.
RUN/best.pt     becomes the second training's last epoch
"""

from __future__ import annotations

import dataclasses

from ..data.recordings import Splits
from . import checkpoint
from .loop import Training
from .stages import Stage, kept, train_stage

FOLDER = "refit"


def joined(splits: Splits) -> Splits:
    return dataclasses.replace(splits, train=splits.train + splits.val)


def refit(training: Training, splits: Splits, *, resume: bool) -> None:
    """Train anew after a `training` that has ended, and make the result RUN/best.pt.

    The specification stays that of the first training. resume: go on with what is in RUN/refit.
    Every rank calls this. Raises TrainingError if a loss is not finite.
    """
    first = kept(training, checkpoint.FIRST)
    settings = training.config.train.model_copy(
        update={"epochs": training.progress.best_epoch, "patience": 0}
    )
    out = training.out / FOLDER
    what = "[train] refit on training and validation split together"
    teacher = training.teacher
    stage = Stage(training.spec, settings, joined(splits), out, what, teacher=teacher)
    train_stage(training, stage, resume=resume)
    if training.fabric.is_global_zero:
        checkpoint.save(
            training.out / checkpoint.BEST,
            first | {"model": checkpoint.load(out / checkpoint.LAST)["model"]},
        )
    training.fabric.barrier()
