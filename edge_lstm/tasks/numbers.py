"""The part that all tasks with numbers as answers share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.sections import CarriedTrainConfig, TaskSection, TrainConfig
from ..data.chunks import Rows
from ..data.fit_channels import NoValueError, mean_std
from ..data.recordings import PARTS, Float64, Parts, Sequence, Splits, in_turn
from ..results.numbers import places, spread
from ..results.words import more, signed
from ..training.losses import NumberLoss
from ..training.tally import NumberTally
from .base import Carried, Detail, Metrics, Task

# The errors of a target that a report's table has, with their titles.
ERRORS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "nrmse": "NRMSE",
    "mae_last": "MAE, last step",
    "rmse_last": "RMSE, last step",
}
MOST_TARGETS = 8  # of that table
MOST_STEPS = 12


class NumberTrainConfig(CarriedTrainConfig):
    """[train] of tasks that answer with numbers.

    loss  the squared error, or "huber", which large errors (rare jumps) don't dominate
    """

    loss: Literal["mse", "huber"] = "mse"


class NumberSection(TaskSection):
    """[model] of tasks that answer with numbers."""

    MONITORS = ("loss", "mae", "rmse", "nrmse")
    Train: ClassVar[type[TrainConfig]] = NumberTrainConfig

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        train, val, test = (
            [Sequence(r.full_name, r.group, r.x, None, r.y, r.time, r.anomalous) for r in parts[p]]
            for p in PARTS
        )
        return Splits(train, val, test, channels)


class NumberTask(Task):
    """Its answer has targets, and an offset and a scale.

    errors  the errors of a target that a report names, and the steps over which they are
    """

    errors: ClassVar[Mapping[str, str]] = {"rmse": ""}

    def truth(self, spec: ModelSpec, sequence: Sequence) -> Float64:  # noqa: ARG002
        """(T, O) the right answer at each step, raw units, NaN if it is unknown."""
        assert sequence.y is not None
        return sequence.y

    def learned(self, spec: ModelSpec, sequence: Sequence) -> Float64:
        """(T, O) the truth that is learned, less the values that the runtime adds to the answer."""
        return self.truth(spec, sequence)

    def outputs(self, spec: ModelSpec, sequence: Sequence) -> Float64:
        """(T, O) the network's outputs that are right, NaN if they are unknown."""
        offset = np.asarray(spec.answer.offset)
        scale = np.asarray(spec.answer.scale)
        wanted: Float64 = (self.learned(spec, sequence) - offset) / scale
        return wanted

    def targets(self, spec: ModelSpec, sequence: Sequence) -> tuple[Float64, NDArray[np.bool_]]:
        wanted = self.outputs(spec, sequence)
        known: NDArray[np.bool_] = np.asarray(~np.isnan(wanted).any(axis=1))
        return np.where(known[:, None], wanted, 0), known

    def fitted(self, spec: ModelSpec, splits: Splits, monitor: str) -> Any:
        """The offset is the mean of the training split's targets, the scale their deviation.

        Both are robust if the splits are.
        """
        answer: Any = spec.answer
        check_monitor(monitor, len(answer.targets))
        rows = sum(len(s.x) for s in splits.train)
        made = lambda: (self.outputs(spec, s) for s in in_turn(splits.train))  # noqa: E731
        wanted = Rows(made, 8 * rows * answer.size)
        try:
            offset, deviation = mean_std(wanted, answer.names, robust=splits.robust)
        except NoValueError:
            self.check_known(spec, np.all([np.isnan(part).all(axis=0) for part in wanted], axis=0))
            raise
        return dataclasses.replace(answer, offset=offset, scale=deviation)

    def check_known(self, spec: ModelSpec, unknown: NDArray[np.bool_]) -> None:
        """Raise DataError for the (O,) outputs that the training split has no truth for."""

    def loss(self, config: TrainConfig, spec: ModelSpec) -> NumberLoss:  # noqa: ARG002
        assert isinstance(config, NumberTrainConfig)
        return NumberLoss(config.loss == "huber")

    def tally(self, spec: ModelSpec, sequences: Many[Sequence]) -> NumberTally:
        deviations = None
        if len(spec.answer.targets) > 1:
            truth = np.concatenate([self.truth(spec, s) for s in sequences])
            known = np.isfinite(truth).all(axis=1)
            deviations = spread(spec, truth[known][:, self.points(spec)])
        return NumberTally(np.asarray(spec.answer.scale), deviations, self.points(spec))

    def points(self, spec: ModelSpec) -> slice:  # noqa: ARG002
        """The outputs that are measured by their errors, for each step ahead the targets'."""
        return slice(None)

    def score(self, metrics: Metrics) -> float:
        """R^2, the mean over the targets: 1 - MSE / variance of the truth.

        A target that doesn't change has none and is left out. NaN if no target changes.
        """
        found = [each["nrmse"] for each in metrics["per_target"].values()]
        squares = [1 - nrmse**2 for nrmse in found if nrmse is not None]
        return float(np.mean(squares)) if squares else float("nan")

    def closing(self, test: Metrics, carried: Metrics | None) -> list[str]:  # noqa: ARG002
        """A line for each target, or each step ahead that is listed, and the verdict last."""
        lines = []
        for place, found in places(test).items():
            nrmse = "" if found["nrmse"] is None else f", NRMSE {found['nrmse']:.4g}"
            figures = f"MAE {found['mae']:.4g}, RMSE {found['rmse']:.4g}{nrmse}"
            steps = f"over {test['steps']:,} steps"
            lines.append(f"test error      {place and f'{place}: '}{figures} {steps}")
        return [*lines, test["verdict"]]

    def of(self, test: Metrics, target: str) -> str:
        """The target's name before its figures, if there are several."""
        return "" if len(test["per_target"]) == 1 else f"{target}: "

    def detail(self, test: Metrics) -> Detail | None:
        """The errors of each target, at each step ahead, beside the baselines' MAE."""
        steps = test.get("per_step", [{"ahead": 0, "per_target": test["per_target"]}])
        targets = [*test["per_target"]]
        if len(steps) * len(targets) == 1:
            return None
        rivals = {self.simple.get(name, name): each for name, each in _rivals(test, steps).items()}
        keys = [key for key in ERRORS if key in steps[0]["per_target"][targets[0]]]
        own = [ERRORS[key] for key in keys]
        ahead = ("steps ahead",) if len(steps) > 1 else ()
        head = ("target", *ahead, *own, *(f"MAE, {title}" for title in rivals))
        rows = []
        shown = _evenly(len(steps), MOST_STEPS)
        for target in targets[:MOST_TARGETS]:
            for k in shown:
                found = steps[k]["per_target"][target]
                place = (target, steps[k]["ahead"]) if ahead else (target,)
                theirs = [each[k]["per_target"][target]["mae"] for each in rivals.values()]
                rows.append((*place, *(found[key] for key in keys), *theirs))
        parts = [f"the first {MOST_TARGETS} of {len(targets)} targets"] * (
            len(targets) > MOST_TARGETS
        )
        parts += [f"{len(shown)} of {len(steps)} steps ahead"] * (len(shown) < len(steps))
        which = f" These are {' and '.join(parts)}." if parts else ""
        each = " and each number of steps ahead" if ahead else ""
        caption = f"The errors of each target{each} in its own unit, over the test split."
        return Detail(caption + which, head, rows)

    def change(self, found: Metrics, float32: Metrics) -> str:
        parts = []
        count = len(found["per_target"])
        for key, steps in self.errors.items():
            changes = _more_errors(found, float32, key)
            most = max(changes, key=lambda name: changes[name])
            of = "" if count == 1 else f" of {most} (the most of {count} targets)"
            parts.append(f"{signed(changes[most])} % RMSE{of}{steps}")
        return " and ".join(parts)

    def worse(self, found: Metrics, float32: Metrics) -> list[float]:
        return [max(_more_errors(found, float32, key).values()) for key in self.errors]

    def carried(self, reset: Metrics, carried: Metrics) -> tuple[list[Carried], bool]:
        """Worse from 2 % on."""
        parts = []
        worse = False
        for target, found in carried["per_target"].items():
            of = "" if len(carried["per_target"]) == 1 else f" of {target}"
            for key, steps in self.errors.items():
                before = reset["per_target"][target][key]
                words = f"the RMSE{of}{steps} is"
                parts.append(Carried(words, f"{found[key]:.4g}", f"{before:.4g}"))
                worse |= found[key] > 1.02 * before
        return parts, worse


def _more_errors(found: Metrics, float32: Metrics, key: str) -> dict[str, float]:
    """By how many percent the error of each target is more."""
    before = float32["per_target"]
    return {name: more(each[key], before[name][key]) for name, each in found["per_target"].items()}


def _rivals(test: Metrics, steps: Many[Metrics]) -> dict[str, list[Metrics]]:
    """The baselines' errors at the same steps ahead."""
    found = {}
    for name, each in test.get("baselines", {}).items():
        found[name] = each.get("per_step", [{"per_target": each["per_target"]}])[: len(steps)]
    return found


def _evenly(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, the first and the last one among them."""
    places: list[int] = np.rint(np.linspace(0, count - 1, min(count, most))).astype(int).tolist()
    return places


def check_monitor(monitor: str, targets: int) -> None:
    """Raise ConfigError if so many targets don't have this monitor."""
    if targets > 1 and monitor in ("mae", "rmse"):
        why = f"{targets} targets have no common unit"
        raise ConfigError(f"[train] monitor = {monitor!r}: {why}; expected 'loss' or 'nrmse'")
    if targets == 1 and monitor == "nrmse":
        expected = "expected 'loss', 'mae' or 'rmse'"
        raise ConfigError(f"[train] monitor = 'nrmse': is for several targets; {expected}")
