"""Which input channels matter: the task's metrics on the test split, while one channel after the
other is held at its mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Run, Sequence, evaluate
from edge_lstm.results.answers import answers, in_units, outputs
from edge_lstm_runtime.inputs.channels import Channels as ChannelInputs

# key: (in words, True if higher is better). The first that the task has orders the channels.
METRICS = {
    "accuracy": ("accuracy at the last step", True),
    "accuracy_all_steps": ("accuracy over all steps", True),
    "macro_f1": ("macro F1", True),
    "rmse": ("RMSE", False),
    "mae": ("MAE", False),
    "nrmse": ("mean NRMSE of the targets", False),  # if there are several, without rmse and mae
}
TOLD = 3  # channels that the sentence names


@dataclasses.dataclass(frozen=True)
class Channels:
    """intact: the metrics with every channel. occluded: for each channel, those without it."""

    intact: dict[str, float]
    occluded: dict[str, dict[str, float]]

    def harm(self, channel: str, metric: str) -> float:
        """How much worse the metric is without the channel. Negative if it is better."""
        without = self.occluded[channel][metric]
        intact = self.intact[metric]
        return intact - without if METRICS[metric][1] else without - intact

    @property
    def order(self) -> list[str]:
        """The channels, the one that matters most first: by the first metric, then by the next."""
        return sorted(
            self.occluded, key=lambda name: [-self.harm(name, metric) for metric in self.intact]
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "intact": self.intact,
            "occluded": {name: self.occluded[name] for name in self.order},
        }

    def sentences(self) -> list[str]:
        """Judged as the figures are printed: if four digits are the same, there is no
        difference."""
        # If the first metric moves for no channel (few sequences, all right), the next one may.
        looks = (self.intact, *self.occluded.values())
        moved = [m for m in self.intact if len({_shown(look, m) for look in looks}) > 1]
        metric = next(iter(moved or self.intact))
        words, higher = METRICS[metric]
        ranked = sorted(self.occluded, key=lambda name: -self.harm(name, metric))
        intact = _shown(self.intact, metric)
        without = {name: _shown(self.occluded[name], metric) for name in ranked}
        hurt = [name for name in ranked if self.harm(name, metric) > 0 and without[name] != intact]
        if not hurt:
            names = self.order[0] if len(ranked) == 1 else "each channel in turn"
            held = f"With {names} held at its mean the {words} gets no worse than it is, {intact}"
            return [f"{held}: nothing hangs on it alone."]
        verb = "falls" if higher else "rises"
        told = "; ".join(f"without {name} to {without[name]}" for name in hurt[:TOLD])
        alone = len(hurt) == 1 or without[hurt[0]] != without[hurt[1]]
        most = f" {hurt[0]} matters most." if alone and len(ranked) > 1 else ""
        said = [f"The {words} is {intact}; it {verb} {told}.{most}"]
        if idle := [name for name in ranked if name not in hurt]:
            names = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
            said.append(
                f"It gets no worse without {len(idle)} of the {len(ranked)}, "
                f"each by itself: {names}."
            )
        return said


def _shown(metrics: dict[str, float], metric: str) -> str:
    return f"{metrics[metric]:.4g}"


def measure_channels(run: Run) -> Channels | None:
    """The network is given a channel's training mean at every step, as if it were measured.

    The truth stays as it is, and so does the value now, to which a residual forecast is added.
    None if no metric has a figure, because there are several targets and none changes.
    """
    spec = run.spec
    test = run.splits.test
    season = run.season
    inputs = spec.inputs
    assert isinstance(inputs, ChannelInputs)

    def metrics(found: list[NDArray[np.float32]]) -> dict[str, float]:
        figures = evaluate(spec, test, found, season=season)
        measured = {key: float(figures[key]) for key in METRICS if figures.get(key) is not None}
        if "accuracy" in measured and "accuracy_all_steps" not in measured:
            # Of a class for each step there is no other accuracy.
            measured = {"accuracy_all_steps": measured.pop("accuracy"), **measured}
        if "rmse" in measured:
            del measured["nrmse"]
        return measured

    occluded = {}
    for n, name in enumerate(inputs.names):
        made = outputs(run.model, [without(sequence, n, inputs.raw_mean[n]) for sequence in test])
        occluded[name] = metrics(in_units(spec, made, test))
    intact = metrics(answers(run.model, test))
    return Channels(intact, occluded) if intact else None


def without(sequence: Sequence, channel: int, value: float) -> Sequence:
    x = sequence.x.copy()
    x[:, channel] = value
    return dataclasses.replace(sequence, x=x)
