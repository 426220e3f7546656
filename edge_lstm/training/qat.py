"""Quantization-aware training: the best float model is trained a little further with rounding.

It is rounded as the native kernel or an NPU rounds it.

RUN/float.pt    the best checkpoint of the training (and the pruning), as it was
RUN/int8/       or w8a8/, of the fine-tuning: best.pt, last.pt, history.csv, curves.png and
                tensorboard/. best.pt is the best epoch in int8 on the validation split, its weights
                not rounded yet. Epoch 0 is before the first. After a refit, refit/ has the same
                for the model that is kept. There is no folder if rounding costs no more than
                `tolerance`.
RUN/best.pt     becomes the fine-tuned model with its weights on the int8 grid and, for w8a8, the
                ranges that it learned. It stays as it was if no epoch was better than none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.verify.error import INT8, compare

from ..config.common import QuantizeConfig
from ..config.schema import Config
from ..config.sections import TrainConfig
from ..data.recordings import Splits
from ..emulate.cpu_int8 import Int8Net, grid_weights
from ..emulate.npu_w8a8 import NpuNet, settled, starting_ranges
from ..network import CompactNet
from ..results.answers import answers
from ..results.metrics import evaluate
from . import checkpoint
from .loop import Training
from .refit import joined
from .stages import Stage, kept, shorter, train_stage

Weights = dict[str, Any]
NETWORKS: dict[str, type[CompactNet]] = {"int8": Int8Net, "w8a8": NpuNet}


def settings(train: TrainConfig, quantize: QuantizeConfig) -> TrainConfig:
    """The settings of the fine-tuning: see `shorter`."""
    return shorter(train, quantize, 0.1)


def fine_tune(
    training: Training, quantize: QuantizeConfig, splits: Splits, *, resume: bool
) -> dict[str, Any]:
    """Train on from the best model of a `training` that has ended. The result becomes RUN/best.pt.

    Nothing is trained if rounding costs no more than `tolerance`: an epoch that is better by chance
    on the validation split is no better elsewhere.

    A refitted model has seen the validation split. The first training's model then says how many
    epochs of fine-tuning are worth while.

    resume: go on with what is in RUN/int8 or RUN/w8a8. Every rank calls this. Returns what
    metrics.json says of it; {} on all ranks but the first. Raises TrainingError if a loss is not
    finite.
    """
    run = training.out
    scheme = quantize.scheme
    what = f"[quantize] fine-tuning for {scheme}"
    refitted = training.config.train.refit
    float_best = kept(training, checkpoint.FLOAT)
    spec = ModelSpec.from_dict(float_best["spec"])
    weights = float_best["model"]
    start = _start(spec, weights, scheme, splits)
    # The model that the validation split can judge.
    unseen = checkpoint.load(run / checkpoint.FIRST)["model"] if refitted else weights
    chosen_by = _start(spec, unseen, scheme, splits) if refitted else start
    short = settings(training.config.train, quantize)
    network = NETWORKS[scheme]
    metrics: dict[str, Any] = {"scheme": scheme, "epochs": 0, "best_epoch": 0}
    share, nrmse = _cost(training, spec, scheme, unseen, chosen_by, splits)
    if share > quantize.tolerance or nrmse > INT8.limit or not quantize.tolerance:
        stage = Stage(spec, short, splits, run / scheme, what, begin=chosen_by, network=network)
        tuning = train_stage(training, stage, resume=resume)
        metrics |= {"epochs": tuning.progress.epoch, "best_epoch": tuning.progress.best_epoch}
    else:
        monitor = training.config.train.monitor
        loss = (
            f"{100 * share:.2g} % of {monitor} and an NRMSE of {nrmse:.1e} on the validation split"
        )
        allowed = f"{100 * quantize.tolerance:g} % and {INT8.limit:g} are allowed"
        why = f"rounding costs {loss}; {allowed}; tolerance = 0 would try all the same"
        training.reporter.line(f"{run}: {what}: not done: {why}")
    epochs = metrics["best_epoch"]
    trained = run / scheme / checkpoint.BEST
    if refitted and epochs:
        again = short.model_copy(update={"epochs": epochs, "patience": 0})
        out = run / scheme / "refit"
        both = joined(splits)
        begin = _start(spec, weights, scheme, both)
        stage = Stage(spec, again, both, out, what, begin=begin, network=network)
        train_stage(training, stage, resume=resume)
        trained = out / checkpoint.LAST
    if not training.fabric.is_global_zero:
        return {}
    metrics["before"] = metrics["after"] = _both(
        training.config, spec, scheme, weights, start, splits
    )
    best = float_best
    if epochs:
        state = checkpoint.load(trained)["model"]
        weights, learned = (
            settled(spec, state)
            if scheme == "w8a8"
            else (grid_weights(CompactNet(spec), state), {})
        )
        metrics["after"] = _both(training.config, spec, scheme, weights, state, splits)
        best = float_best | {"model": weights} | ({"w8a8": learned} if learned else {})
    checkpoint.save(run / checkpoint.BEST, best)
    return metrics


def check_tunable(spec: ModelSpec, quantize: QuantizeConfig) -> None:
    """Raises TrainingError, naming the layer, if one of the network can't be fine-tuned."""
    net = NETWORKS[quantize.scheme](spec)
    if isinstance(net, NpuNet):
        settled(spec, net.state_dict())


def _start(spec: ModelSpec, weights: Weights, scheme: str, splits: Splits) -> Weights:
    """The state that the network that rounds begins with."""
    return weights | (starting_ranges(spec, weights, splits.train) if scheme == "w8a8" else {})


def _cost(
    training: Training,
    spec: ModelSpec,
    scheme: str,
    weights: Weights,
    state: Weights,
    splits: Splits,
) -> tuple[float, float]:
    """How much worse rounding makes the monitor on the validation split, and how far it moves the
    outputs.

    The first is a share of the monitor, negative if rounding gains. The second is the NRMSE of the
    target that moves most.
    """
    monitor = training.config.train.monitor
    nets = [net.to(training.fabric.device) for net in _nets(spec, scheme, weights, state)]
    exact, rounded = (training.validate(net)[f"val_{monitor}"] for net in nets)
    answered = [np.concatenate(answers(net, splits.val)) for net in nets]
    worse = (
        exact - rounded if monitor in training.config.model.HIGHER_IS_BETTER else rounded - exact
    )
    # Each target by itself: their units may differ, and their means may be far apart.
    targets = max(1, len(getattr(spec.answer, "targets", ())))
    moved = max(
        compare(answered[1][:, j::targets], answered[0][:, j::targets].astype(np.float64)).nrmse
        for j in range(targets)
    )  # fmt: skip
    return worse / max(abs(exact), 1e-12), moved


def _both(
    config: Config,
    spec: ModelSpec,
    scheme: str,
    weights: dict[str, Any],
    state: dict[str, Any],
    splits: Splits,
) -> dict[str, Any]:
    """Metrics of these weights and of the network that rounds, on the validation and test splits.

    Returns {"float32": {"val": ..., "test": ...}, scheme: ...}.
    """
    found: dict[str, Any] = {}
    for name, net in zip(("float32", scheme), _nets(spec, scheme, weights, state), strict=True):
        found[name] = {}
        for part in ("val", "test"):
            sequences = getattr(splits, part)
            found[name][part] = evaluate(
                spec, sequences, answers(net, sequences), season=config.data.season
            )
    return found


def _nets(
    spec: ModelSpec, scheme: str, weights: Weights, state: Weights
) -> tuple[CompactNet, CompactNet]:
    """The net in float32, with `weights`, and the net that rounds, with `state`."""
    exact = CompactNet(spec)
    rounded = NETWORKS[scheme](spec)
    exact.load_state_dict(weights)
    rounded.load_state_dict(state)
    return exact, rounded
