"""Structured pruning: the hidden units that matter least are removed after the training, in rounds, each followed by fine-tuning.

RUN/full.pt          the best checkpoint of the training, as it was
RUN/prune/round1/    and so on: cut.pt (the model as it was cut), best.pt, last.pt, history.csv, curves.png, tensorboard/ of the fine-tuning
RUN/best.pt          becomes the best of the last round: an ordinary model of fewer units
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edge_lstm_runtime.model.spec import ModelSpec

from ..config.common import PruneConfig
from ..config.sections import TrainConfig
from ..data.recordings import Splits
from ..data.windows import Examples, examples
from ..network import CompactLSTM
from ..results import sizes as compact
from . import checkpoint
from .loop import Training
from .stages import kept, shorter, train_stage

FOLDER = "prune"
LOOKED_AT = 2048  # training sequences, at most, from which a unit's importance follows
TOGETHER = 64  # of them at once
Block = tuple[int, str]  # a layer and the suffix of its direction in PyTorch's names
Units = dict[Block, Tensor]


def settings(train: TrainConfig, prune: PruneConfig) -> TrainConfig:
    """Of the fine-tuning after each round: the training's, but for its epochs and learning rate."""
    return shorter(train, prune, 0.5)


def sizes(before: int, after: int, steps: int) -> list[int]:
    """Units after each round, the same share removed in each as far as that goes."""
    found = [round(before * (after / before) ** (n / steps)) for n in range(1, steps + 1)]
    return [size for size in dict.fromkeys(found) if size < before]


def prune(training: Training, config: PruneConfig, splits: Splits, *, resume: bool) -> list[compact.Row]:
    """Make a smaller model of the best one of a `training` that has ended, in RUN/best.pt. Returns the rows of the comparison.

    resume: go on with what is in RUN/prune. Every rank calls this. Raises TrainingError on a loss that is not finite.
    """
    run, first = training.out, training.fabric.is_global_zero
    full = kept(training, checkpoint.FULL)
    season = training.config.data.season
    short = settings(training.config.train, config)
    spec, weights = training.spec, full["model"]
    rows = [compact.measure("before pruning", spec, weights, splits, season)] if first else []
    rounds = sizes(spec.hidden_size, config.hidden_size, config.steps)
    for number, hidden_size in enumerate(rounds, start=1):
        out = run / FOLDER / f"round{number}"
        if first and not (out / "cut.pt").exists():
            out.mkdir(parents=True, exist_ok=True)
            keep = strongest(importance(spec, weights, _looked_at(training, splits)), hidden_size)
            checkpoint.save(out / "cut.pt", {"model": keep_units(spec, weights, keep)})
        training.fabric.barrier()
        spec, weights = dataclasses.replace(spec, hidden_size=hidden_size), checkpoint.load(out / "cut.pt", ("model",))["model"]
        if first:
            rows.append(compact.measure(f"cut to {hidden_size}", spec, weights, splits, season))
        what = f"[prune] fine-tuning with {hidden_size} units"
        train_stage(training, spec, short, splits, out, what, begin=weights, resume=resume, teacher=training.teacher)
        weights = checkpoint.load(out / checkpoint.BEST)["model"]
        if first:
            rows.append(compact.measure(f"{hidden_size}, fine-tuned", spec, weights, splits, season))
    if first:
        checkpoint.save(run / checkpoint.BEST, full | {"model": weights, "spec": spec.to_dict()})
    training.fabric.barrier()
    return rows


def importance(spec: ModelSpec, weights: dict[str, Tensor], data: Examples) -> Units:
    """(H,) for each layer and direction: how much of what a unit says changes, the standard deviation of its h over the data, times the
    norm of the weights that h meets.

    Measured to be the better of two, see docs/compact.md: the loss's slope by a factor on h says little of a net that fits its training
    data.
    """
    scores: Units = {}
    lengths = torch.from_numpy(data.lengths)
    for layer in range(spec.num_layers):
        below = CompactLSTM(dataclasses.replace(spec, num_layers=layer + 1))
        below.lstm.load_state_dict({name: weights[f"lstm.{name}"] for name in below.lstm.state_dict()})
        below.head = nn.Identity()  # type: ignore[assignment]
        moments = torch.zeros(2, spec.directions * spec.hidden_size, dtype=torch.float64)
        for start in range(0, len(data), TOGETHER):
            part = slice(start, start + TOGETHER)
            with torch.no_grad():
                hs = below(torch.from_numpy(data.x[part]), lengths=lengths[part] if spec.bidirectional else None)[0].double()
            hs = hs[torch.arange(hs.shape[1]) < lengths[part, None]]  # (steps, directions H)
            moments += torch.stack([hs.sum(dim=0), hs.square().sum(dim=0)])
        mean, square = moments / int(lengths.sum())
        deviations = (square - mean.square()).clamp_min(0).sqrt().chunk(spec.directions)
        for block, deviation in zip((b for b in blocks(spec) if b[0] == layer), deviations, strict=True):
            met = torch.cat([weights[name][:, columns] for name, columns in outgoing(spec, block)])
            scores[block] = deviation * met.double().norm(dim=0)
    return scores


def strongest(scores: Units, count: int) -> Units:
    """The `count` units of each layer and direction with the highest scores, in their order."""
    return {block: score.argsort(descending=True, stable=True)[:count].sort().values for block, score in scores.items()}


def keep_units(spec: ModelSpec, weights: dict[str, Tensor], keep: Units) -> dict[str, Tensor]:
    """The state of a CompactLSTM of these units alone. keep: for each layer and direction, units in increasing order."""
    hidden, kept = spec.hidden_size, {"head.bias": weights["head.bias"]}
    inputs = torch.arange(spec.feature_size)
    for layer in range(spec.num_layers):
        here = [block for block in keep if block[0] == layer]
        for block in here:
            rows = torch.cat([gate * hidden + keep[block] for gate in range(4)])
            name = f"l{layer}{block[1]}"
            kept[f"lstm.weight_ih_{name}"] = weights[f"lstm.weight_ih_{name}"][rows][:, inputs]
            kept[f"lstm.weight_hh_{name}"] = weights[f"lstm.weight_hh_{name}"][rows][:, keep[block]]
            for bias in ("bias_ih", "bias_hh"):
                kept[f"lstm.{bias}_{name}"] = weights[f"lstm.{bias}_{name}"][rows]
        inputs = torch.cat([direction * hidden + keep[block] for direction, block in enumerate(here)])
    return kept | {"head.weight": weights["head.weight"][:, inputs]}


def blocks(spec: ModelSpec) -> list[Block]:
    """Every layer and direction, in order."""
    return [(layer, suffix) for layer in range(spec.num_layers) for suffix in ("", "_reverse")[: spec.directions]]


def outgoing(spec: ModelSpec, block: Block) -> Iterator[tuple[str, slice]]:
    """The matrices that a block's h meets, and which of their columns."""
    layer, suffix = block
    hidden = spec.hidden_size
    start = hidden if suffix else 0
    yield f"lstm.weight_hh_l{layer}{suffix}", slice(0, hidden)
    above = [f"lstm.weight_ih_l{layer + 1}{s}" for n, s in blocks(spec) if n == layer + 1]
    for name in above or ["head.weight"]:
        yield name, slice(start, start + hidden)


def _looked_at(training: Training, splits: Splits) -> Examples:
    found = examples(training.spec, splits.train, **training.config.data.cuts)
    chosen = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:LOOKED_AT].numpy()
    return Examples(found.x[chosen], found.lengths[chosen], found.mask[chosen], found.y[chosen])
