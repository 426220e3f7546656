"""Quantisation-aware training: the best float model trained a little further, rounded as the native kernel or an NPU rounds it.

RUN/float.pt    the best checkpoint of the training (and the pruning), as it was
RUN/int8/       or w8a8/, of the fine-tuning: best.pt (the best epoch in int8 on the validation split, its weights not rounded yet; epoch 0
                is before the first), last.pt, history.csv, curves.png, tensorboard/; after a refit, refit/ with the same for the model
                that is kept
RUN/best.pt     becomes the fine-tuned model with its weights on the int8 grid and, of w8a8, the ranges that it learned; it stays as it
                was where no epoch was better than none
"""

from __future__ import annotations

from pathlib import Path
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
from .refit import joined
from .streaming import answers

Weights = dict[str, Any]
NETWORKS: dict[str, type[CompactLSTM]] = {"int8": QuantisedLSTM, "w8a8": NpuLSTM}


def settings(train: TrainConfig, quantize: QuantizeConfig) -> TrainConfig:
    """Of the fine-tuning: the training's, but for its epochs and learning rate."""
    epochs = quantize.epochs or max(1, round(0.2 * train.epochs))
    return train.model_copy(update={"epochs": epochs, "learning_rate": quantize.learning_rate or 0.1 * train.learning_rate})


def fine_tune(training: Training, quantize: QuantizeConfig, splits: Splits, *, resume: bool) -> dict[str, Any]:
    """Train on from the best model of a `training` that has ended, and make the result RUN/best.pt. Returns what metrics.json says of it.

    After a refit, which has seen the validation split, the first training's model says for how many epochs that is worth while.

    resume: go on with what is in RUN/int8 or RUN/w8a8. Every rank calls this. Raises TrainingError on a loss that is not finite.
    """
    run, first, scheme = training.out, training.fabric.is_global_zero, quantize.scheme
    refitted = training.config.train.refit
    if first and not (run / checkpoint.FLOAT).exists():
        checkpoint.save(run / checkpoint.FLOAT, checkpoint.load(run / checkpoint.BEST))
    training.fabric.barrier()
    float_best = checkpoint.load(run / checkpoint.FLOAT)
    spec, weights = ModelSpec.from_dict(float_best["spec"]), float_best["model"]
    settled_on = settings(training.config.train, quantize)
    begun = checkpoint.load(run / checkpoint.FIRST)["model"] if refitted else weights
    tuning = _tune(training, spec, settled_on, scheme, begun, splits, run / scheme, resume=resume)
    epochs = tuning.progress.best_epoch
    metrics: dict[str, Any] = {"scheme": scheme, "epochs": tuning.progress.epoch, "best_epoch": epochs}
    trained = run / scheme / checkpoint.BEST
    if refitted and epochs:
        again = settled_on.model_copy(update={"epochs": epochs, "patience": 0})
        out = run / scheme / "refit"
        _tune(training, spec, again, scheme, weights, joined(splits), out, resume=resume)
        trained = out / checkpoint.LAST
    if not first:
        return {}
    start = _start(spec, weights, scheme, splits)
    metrics["before"] = metrics["after"] = _both(training.config, spec, scheme, weights, start, splits)
    best = float_best
    if epochs:
        state = checkpoint.load(trained)["model"]
        weights, learned = settled(spec, state) if scheme == "w8a8" else (grid_weights(state), {})
        metrics["after"] = _both(training.config, spec, scheme, weights, state, splits)
        best = float_best | {"model": weights} | ({"w8a8": learned} if learned else {})
    checkpoint.save(run / checkpoint.BEST, best)
    return metrics


def _start(spec: ModelSpec, weights: Weights, scheme: str, splits: Splits) -> Weights:
    """What the network that rounds begins with."""
    return weights | (starting_ranges(spec, weights, splits.train) if scheme == "w8a8" else {})


def _tune(
    training: Training,
    spec: ModelSpec,
    train: TrainConfig,
    scheme: str,
    weights: dict[str, Any],
    splits: Splits,
    out: Path,
    *,
    resume: bool,
) -> Training:
    """Train `weights` on, rounded, in the folder `out`."""
    fabric = training.fabric
    if fabric.is_global_zero:
        out.mkdir(exist_ok=True)
    fabric.barrier()
    config = training.config.model_copy(update={"train": train})
    tuning = Training(config, spec, splits, out, fabric, training.reporter, NETWORKS[scheme])
    if resume and (out / checkpoint.LAST).exists():
        tuning.restore(checkpoint.load(out / checkpoint.LAST), checkpoint.load(out / checkpoint.BEST))
    else:
        tuning.begin_with(_start(spec, weights, scheme, splits))
    training.reporter.line(f"{out}: fine-tuning for {scheme}, after {tuning.progress.epoch} of {train.epochs} epochs")
    try:
        tuning.run()
    except TrainingError as e:
        raise TrainingError(f"[quantize] fine-tuning for {scheme}: {e}") from e
    if fabric.is_global_zero:
        plots.save_figure(plots.plot_curves(tuning.progress.history), out / "curves.png")
    fabric.barrier()
    return tuning


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
