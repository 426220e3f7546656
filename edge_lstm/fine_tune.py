"""Quantisation-aware training: the best float model trained a little further, rounded as the native kernel or an NPU rounds it.

RUN/float.pt    the best checkpoint of the training (and the pruning), as it was
RUN/int8/       or w8a8/, of the fine-tuning: best.pt (the best epoch in int8 on the validation split, its weights not rounded yet; epoch 0
                is before the first), last.pt, history.csv, curves.png, tensorboard/
RUN/best.pt     becomes the fine-tuned model with its weights on the int8 grid and, of w8a8, the ranges that it learned; it stays as it
                was where no epoch was better than none
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
from .npu_lstm import NpuLSTM, settled, starting_ranges
from .quantised import QuantisedLSTM, grid_weights
from .streaming import answers

NETWORKS: dict[str, type[CompactLSTM]] = {"int8": QuantisedLSTM, "w8a8": NpuLSTM}


def settings(train: TrainConfig, quantize: QuantizeConfig) -> TrainConfig:
    """Of the fine-tuning: the training's, but for its epochs and learning rate."""
    epochs = quantize.epochs or max(1, round(0.2 * train.epochs))
    return train.model_copy(update={"epochs": epochs, "learning_rate": quantize.learning_rate or 0.1 * train.learning_rate})


def fine_tune(training: Training, quantize: QuantizeConfig, splits: Splits, *, resume: bool) -> dict[str, Any]:
    """Train on from the best model of a `training` that has ended, and make the result RUN/best.pt. Returns what metrics.json says of it.

    resume: go on with what is in RUN/int8 or RUN/w8a8. Every rank calls this. Raises TrainingError on a loss that is not finite.
    """
    run, fabric, reporter, scheme = training.out, training.fabric, training.reporter, quantize.scheme
    config = training.config.model_copy(update={"train": settings(training.config.train, quantize)})
    out = run / scheme
    first = fabric.is_global_zero
    if first:
        out.mkdir(exist_ok=True)
        if not (run / checkpoint.FLOAT).exists():
            checkpoint.save(run / checkpoint.FLOAT, checkpoint.load(run / checkpoint.BEST))
    fabric.barrier()
    float_best = checkpoint.load(run / checkpoint.FLOAT)
    spec, weights = ModelSpec.from_dict(float_best["spec"]), float_best["model"]
    start = weights | (starting_ranges(spec, weights, splits.train) if scheme == "w8a8" else {})
    tuning = Training(config, spec, splits, out, fabric, reporter, NETWORKS[scheme])
    if resume and (out / checkpoint.LAST).exists():
        tuning.restore(checkpoint.load(out / checkpoint.LAST), checkpoint.load(out / checkpoint.BEST))
    else:
        tuning.begin_with(start)
    reporter.line(f"{out}: fine-tuning for {scheme}, after {tuning.progress.epoch} of {config.train.epochs} epochs")
    try:
        tuning.run()
    except TrainingError as e:
        raise TrainingError(f"[quantize] fine-tuning for {scheme}: {e}") from e
    if not first:
        return {}
    metrics: dict[str, Any] = {"scheme": scheme, "epochs": tuning.progress.epoch, "best_epoch": tuning.progress.best_epoch}
    metrics["before"] = metrics["after"] = _both(config, spec, scheme, weights, start, splits)
    best = float_best
    if tuning.progress.best_epoch:
        state = checkpoint.load(out / checkpoint.BEST)["model"]
        weights, learned = settled(spec, state) if scheme == "w8a8" else (grid_weights(state), {})
        metrics["after"] = _both(config, spec, scheme, weights, state, splits)
        best = float_best | {"model": weights} | ({"w8a8": learned} if learned else {})
    plots.save_figure(plots.plot_curves(tuning.progress.history), out / "curves.png")
    checkpoint.save(run / checkpoint.BEST, best)
    return metrics


def _both(config: Config, spec: ModelSpec, scheme: str, weights: dict[str, Any], state: dict[str, Any], splits: Splits) -> dict[str, Any]:
    """Validation and test metrics of these weights and of the network that rounds: {"float32": {"val": ..., "test": ...}, scheme: ...}."""
    found: dict[str, Any] = {}
    for name, net, loaded in (("float32", CompactLSTM(spec), weights), (scheme, NETWORKS[scheme](spec), state)):
        net.load_state_dict(loaded)
        found[name] = {}
        for part in ("val", "test"):
            sequences = getattr(splits, part)
            found[name][part] = evaluate(spec, sequences, answers(net, sequences), season=config.data.season)
    return found
