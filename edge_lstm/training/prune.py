"""Structured pruning: the hidden units that matter least are removed after the training.

It goes in rounds, each followed by fine-tuning.

RUN/full.pt          the best checkpoint of the training, as it was
RUN/prune/round1/    and so on: cut.pt (the model as it was cut), and of the fine-tuning best.pt,
                     last.pt, history.csv, curves.png and tensorboard/
RUN/best.pt          becomes the best of the last round: an ordinary model of fewer units
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.common import PruneConfig
from ..config.sections import TrainConfig
from ..data.examples import Examples
from ..data.recordings import Splits
from ..data.windows import Cuts, windows
from ..network import CompactNet
from ..results import sizes as compact
from ..stateful import stateful, units_of
from . import checkpoint
from .loop import Training
from .stages import Stage, kept, shorter, train_stage

FOLDER = "prune"
LOOKED_AT = 2048  # the most training sequences on which a unit's importance is measured
TOGETHER = 64  # of them in a batch
Units = dict[str, Tensor]  # by layer: scores, or places, of its outputs


def settings(train: TrainConfig, prune: PruneConfig) -> TrainConfig:
    """The settings of the fine-tuning after each round: see `shorter`."""
    return shorter(train, prune, 0.5)


def sizes(before: int, after: int, steps: int) -> list[int]:
    """Units after each round. Each removes about the same share, and at least one unit."""
    found = [round(before * (after / before) ** (n / steps)) for n in range(1, steps + 1)]
    return [size for size in dict.fromkeys(found) if size < before]


def prune(
    training: Training, config: PruneConfig, splits: Splits, *, resume: bool
) -> list[compact.Row]:
    """Make a smaller model of the best one of a `training` that has ended. It becomes RUN/best.pt.

    Returns the rows of the comparison. resume: go on with what is in RUN/prune. Every rank calls
    this. Raises TrainingError if a loss is not finite.
    """
    run = training.out
    first = training.fabric.is_global_zero
    full = kept(training, checkpoint.FULL)
    season = training.config.data.season
    short = settings(training.config.train, config)
    spec = training.spec
    weights = full["model"]
    rows = [compact.measure("before pruning", spec, weights, splits, season)] if first else []
    widest = max(units_of(layer) for layer in stateful(spec.network))
    rounds = sizes(widest, config.hidden_size, config.steps)
    for number, hidden_size in enumerate(rounds, start=1):
        out = run / FOLDER / f"round{number}"
        if first and not (out / "cut.pt").exists():
            out.mkdir(parents=True, exist_ok=True)
            scores = importance(spec, weights, _looked_at(training, splits))
            keep = strongest(spec, scores, hidden_size)
            checkpoint.save(out / "cut.pt", {"model": keep_units(spec, weights, keep)})
        training.fabric.barrier()
        spec = resized(spec, hidden_size)
        weights = checkpoint.load(out / "cut.pt", ("model",))["model"]
        if first:
            rows.append(compact.measure(f"cut to {hidden_size}", spec, weights, splits, season))
        what = f"[prune] fine-tuning with {hidden_size} units"
        stage = Stage(spec, short, splits, out, what, begin=weights, teacher=training.teacher)
        train_stage(training, stage, resume=resume)
        weights = checkpoint.load(out / checkpoint.BEST)["model"]
        if first:
            title = f"{hidden_size}, fine-tuned"
            rows.append(compact.measure(title, spec, weights, splits, season))
    if first:
        checkpoint.save(run / checkpoint.BEST, full | {"model": weights, "spec": spec.to_dict()})
    training.fabric.barrier()
    return rows


def resized(spec: ModelSpec, units: int) -> ModelSpec:
    """The specification with at most `units` units in each pruned layer.

    Raises TrainingError for a type without units.
    """
    names = {layer.name for layer in stateful(spec.network)}
    described = spec.network.to_list()
    for values in described:
        if values["name"] in names:
            own = values.get("layer", values)
            if "units" not in own:
                raise TrainingError(
                    f"layer {values['name']!r}: type {own['type']!r} has no `units` to lose; "
                    "remove [prune], or take another type"
                )
            own["units"] = min(own["units"], units)
    network = network_from(spec.inputs.feature_size, described)
    return dataclasses.replace(spec, network=network)


def check_prunable(spec: ModelSpec, config: PruneConfig) -> None:
    """Raises TrainingError, naming the layer, if one of the network can't be pruned."""
    resized(spec, config.hidden_size)
    alike = {
        layer.name: torch.zeros(spec.network.sizes[layer.name][1])
        for layer in stateful(spec.network)
    }
    keep_units(spec, CompactNet(spec).state_dict(), strongest(spec, alike, config.hidden_size))


def importance(spec: ModelSpec, weights: dict[str, Tensor], data: Examples) -> Units:
    """How much a unit changes what its readers get: (outputs,) float64 of each pruned layer.

    It is the standard deviation of the unit's output over the data, times the norm of the weights
    that this output meets. Measured to be the better of two, see docs/compact.md: the slope of the
    loss by a factor on h says little if the net fits its training data.
    """
    net = CompactNet(spec)
    net.load_state_dict(weights)
    lengths = torch.from_numpy(data.lengths)
    names = [layer.name for layer in stateful(spec.network)]
    sizes_ = {name: spec.network.sizes[name][1] for name in names}
    moments = {name: torch.zeros(2, size, dtype=torch.float64) for name, size in sizes_.items()}
    for start in range(0, len(data), TOGETHER):
        part = slice(start, start + TOGETHER)
        with torch.no_grad():
            given = lengths[part] if spec.whole else None
            values, _ = net.run(torch.from_numpy(data.x[part]), lengths=given)
        for name in names:
            hs = values[name].double()
            hs = hs[torch.arange(hs.shape[1]) < lengths[part, None]]  # (steps, outputs)
            moments[name] += torch.stack([hs.sum(dim=0), hs.square().sum(dim=0)])
    scores: Units = {}
    for name in names:
        mean, square = moments[name] / int(lengths.sum())
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        scores[name] = deviation * met(net, name).detach().double().norm(dim=0)
    return scores


def met(net: CompactNet, name: str) -> Tensor:
    """(rows, outputs) the weights that each output of a layer meets, in it and in its readers."""
    network = net.network
    size = network.sizes[name][1]
    own = net.module(name).canonical()
    layer = next(layer for layer in network.layers if layer.name == name)
    # Each direction's recurrent weights meet that direction's outputs.
    directions: dict[str, list[Tensor]] = {}
    for weight, W in own.items():
        *direction, last = weight.split(".")
        if W.dim() == 2 and last != layer.entry:
            directions.setdefault(".".join(direction), []).append(W.t())
    rows = [torch.cat([torch.cat(blocks) for blocks in directions.values()], dim=1)]
    for reader in network.layers:
        at = 0
        for source in reader.inputs:
            width = net.spec.inputs.feature_size if source == FEATURES else network.sizes[source][1]
            if source == name:
                for weight, W in net.module(reader.name).canonical().items():
                    if weight.split(".")[-1] == reader.entry:
                        rows.append(W.t()[:, at : at + size])
            at += width
    return torch.cat(rows)


def strongest(spec: ModelSpec, scores: Units, count: int) -> Units:
    """The places of the `count` highest scores of each layer and direction, in order."""
    kept: Units = {}
    for layer in stateful(spec.network):
        halves = torch.split(scores[layer.name], units_of(layer))
        kept[layer.name] = torch.cat(
            [
                half.argsort(descending=True, stable=True)[:count].sort().values
                + k * units_of(layer)
                for k, half in enumerate(halves)
            ]
        )
    return kept


def keep_units(spec: ModelSpec, weights: dict[str, Tensor], keep: Units) -> dict[str, Tensor]:
    """The state of a CompactNet that has only these units. keep: as from `strongest`."""
    net = CompactNet(spec)
    outputs = {FEATURES: torch.arange(spec.inputs.feature_size)}
    kept: dict[str, Tensor] = {}
    for layer in spec.network.layers:
        at = 0
        inputs = []
        for source in layer.inputs:
            inputs.append(outputs[source] + at)
            at += spec.inputs.feature_size if source == FEATURES else spec.network.sizes[source][1]
        size = spec.network.sizes[layer.name][1]
        outputs[layer.name] = keep.get(layer.name, torch.arange(size))
        prefix = f"layers.{layer.name}."
        own = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        smaller = net.module(layer.name).smaller(outputs[layer.name], torch.cat(inputs), own)
        kept |= {prefix + name: tensor for name, tensor in smaller.items()}
    return kept


def _looked_at(training: Training, splits: Splits) -> Examples:
    found = windows(training.spec, splits.train, Cuts(**training.config.data.cuts))
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    chosen = order[:LOOKED_AT].numpy()
    return found.take(chosen)
