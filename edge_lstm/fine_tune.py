"""Quantisation-aware training: the best float model trained a little further, rounded as the native kernel rounds it.

RUN/float.pt    the best checkpoint of the training, as it was
RUN/int8/       of the fine-tuning: best.pt (the best epoch in int8 on the validation split, its weights not rounded yet; epoch 0 is
                before the first), last.pt, history.csv, curves.png, tensorboard/
RUN/best.pt     becomes the fine-tuned model with its weights on the int8 grid; it stays as it was where no epoch was better than none
"""

from __future__ import annotations

from typing import Any

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.spec import ModelSpec

from . import checkpoint, plots
from .config import Config, QuantizeConfig, TrainConfig
from .data.types import Splits
from .evaluate import evaluate
from .loop import Training
from .model import CompactLSTM
from .quantised import QuantisedLSTM, grid_weights
from .streaming import answers

FOLDER = "int8"


def settings(train: TrainConfig, quantize: QuantizeConfig) -> TrainConfig:
    """Of the fine-tuning: the training's, but for its epochs and learning rate."""
    epochs = quantize.epochs or max(1, round(0.2 * train.epochs))
    return train.model_copy(update={"epochs": epochs, "learning_rate": quantize.learning_rate or 0.1 * train.learning_rate})


def fine_tune(training: Training, quantize: QuantizeConfig, splits: Splits, *, resume: bool) -> dict[str, Any]:
    """Train on from the best model of a `training` that has ended, and make the result RUN/best.pt. Returns what metrics.json says of it.

    resume: go on with what is in RUN/int8. Every rank calls this. Raises TrainingError on a loss that is not finite.
    """
    run, fabric, reporter = training.out, training.fabric, training.reporter
    config = training.config.model_copy(update={"train": settings(training.config.train, quantize)})
    out = run / FOLDER
    first = fabric.is_global_zero
    if first:
        out.mkdir(exist_ok=True)
        if not (run / checkpoint.FLOAT).exists():
            checkpoint.save(run / checkpoint.FLOAT, checkpoint.load(run / checkpoint.BEST))
    fabric.barrier()
    float_best = checkpoint.load(run / checkpoint.FLOAT)
    tuning = Training(config, training.spec, splits, out, fabric, reporter, QuantisedLSTM)
    if resume and (out / checkpoint.LAST).exists():
        tuning.restore(checkpoint.load(out / checkpoint.LAST), checkpoint.load(out / checkpoint.BEST))
    else:
        tuning.begin_with(float_best["model"])
    reporter.line(f"{out}: fine-tuning for int8, after {tuning.progress.epoch} of {config.train.epochs} epochs")
    try:
        tuning.run()
    except TrainingError as e:
        raise TrainingError(f"[quantize] fine-tuning for int8: {e}") from e
    if not first:
        return {}
    best = float_best["model"]
    metrics: dict[str, Any] = {"scheme": quantize.scheme, "epochs": tuning.progress.epoch, "best_epoch": tuning.progress.best_epoch}
    metrics["before"] = _both(config, training.spec, best, splits)
    if tuning.progress.best_epoch:
        best = grid_weights(checkpoint.load(out / checkpoint.BEST)["model"])
    metrics["after"] = _both(config, training.spec, best, splits)
    plots.save_figure(plots.plot_curves(tuning.progress.history), out / "curves.png")
    checkpoint.save(run / checkpoint.BEST, float_best | {"model": best})
    return metrics


def _both(config: Config, spec: ModelSpec, weights: dict[str, Any], splits: Splits) -> dict[str, Any]:
    """Validation and test metrics of these weights: {"float32": {"val": ..., "test": ...}, "int8": ...}."""
    found: dict[str, Any] = {}
    for name, network in (("float32", CompactLSTM), ("int8", QuantisedLSTM)):
        net = network(spec)
        net.load_state_dict(weights)
        found[name] = {}
        for part in ("val", "test"):
            sequences = getattr(splits, part)
            found[name][part] = evaluate(spec, sequences, answers(net, sequences), season=config.data.season)
    return found
