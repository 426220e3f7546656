"""The values of columns that are no inputs, at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.regress import Regress

from ..config.base import Contradiction, Names, repeated, with_fact
from ..config.sections import Whole
from ..data.recordings import Parts, Recording, Sequence, Splits
from ..data.sources import SOURCES
from ..results.numbers import judged, with_ends
from ..results.plots import TRUTH, VALIDATION, draw_against, label_axes, legend_below, new_figure
from ..results.words import LAST
from .base import Answers, Metrics
from .numbers import NumberSection, NumberTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Targets = Annotated[Names, Field(description="the names of the columns to answer")]


class Section(NumberSection):
    """[model] of task "regress".

    targets     the columns to answer, none of them an input
    target_cap  a larger target counts as this value
    """

    FITS = "numbers"

    targets: Targets
    target_cap: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @property
    def target_columns(self) -> tuple[str, ...]:
        return self.targets

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        capped = {part: [self._capped(r) for r in found] for part, found in parts.items()}
        return super().divide(capped, channels)

    def _capped(self, recording: Recording) -> Recording:
        if self.target_cap is None or recording.y is None:
            return recording
        return dataclasses.replace(recording, y=np.minimum(recording.y, self.target_cap))

    def answer(self, splits: Splits, dt_name: str) -> Regress:  # noqa: ARG002
        count = len(self.targets)
        return Regress(self.targets, (0.0,) * count, (1.0,) * count)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if not config.data.has_columns:
            tables = f"expected one of {', '.join(with_fact(SOURCES, 'has_columns'))}"
            none = f"source {config.data.source!r} has none"
            yield ("data", "source"), f"{tables}: 'regress' needs target columns, and {none}"
        for target in self.targets:
            if target in (config.data.named_channels or ()):
                given = "an answer that is given needs no model"
                yield ("model", "targets"), f"{target!r} is an input (`channels`) too; {given}"
        if repeated(self.targets):
            yield ("model", "targets"), "expected each name once"
        yield from super().rules(config)


class RegressionTask(NumberTask):
    figure = "regression.png"
    titles: ClassVar[Mapping[str, str]] = {
        "mae": "MAE, every step",
        "rmse": "RMSE, every step",
        "mae_last": "MAE, last step",
        "rmse_last": "RMSE, last step",
    }
    printed = ("mae", "rmse", "rmse_last")
    simple: ClassVar[Mapping[str, str]] = {"mean": "the training split's mean"}
    rivals: ClassVar[Mapping[str, str]] = {
        "mean": "edge_lstm.compare.regressions:mean",
        "linear": "edge_lstm.compare.regressions:linear",
    }
    quick = ("mean", "linear")
    errors: ClassVar[Mapping[str, str]] = {"rmse": " over all steps", "rmse_last": f" {LAST}"}

    def check_known(self, spec: ModelSpec, unknown: NDArray[np.bool_]) -> None:
        if unknown.any():
            target = spec.answer.targets[int(np.argmax(unknown))]
            none = "has no known value in the training split"
            raise DataError(f"target {target!r} {none}; fill it in, or take it out of `targets`")

    def evaluate(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        season: int | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """mae, rmse, nrmse, the same per_target, mae_last and rmse_last, and the verdict.

        They are over every step whose target is known, and the last two over the last such step
        of each sequence. Several targets need not have one unit. Errors in units are then None
        except in per_target, and nrmse is the mean over the targets that change. The baseline is
        the mean of the training split. It is beaten (beats_mean) if MAE and RMSE of every target
        are lower, as the verdict prints them.
        """
        truths = [self.truth(spec, s) for s in sequences]
        known = [np.asarray(np.isfinite(t).all(axis=1)) for t in truths]
        chosen = np.concatenate(known)
        if not chosen.any():
            raise DataError(
                f"no step of the {len(sequences)} sequences has a known target; expected at least "
                "one"
            )
        truth = np.concatenate(truths)[chosen]
        answer = np.concatenate(answers).astype(np.float64)[chosen]
        # The rows of `truth` that are a sequence's last known step.
        ends = np.cumsum([k.sum() for k in known])[[bool(k.any()) for k in known]] - 1
        # The answers' offset is the mean of the training split's targets.
        mean = np.tile(np.asarray(spec.answer.offset), (len(truth), 1))
        result, baseline = (with_ends(spec, rows, truth, ends) for rows in (answer, mean))
        result |= {"sequences": len(ends), "steps": len(truth), "baselines": {"mean": baseline}}
        return result | judged(result, {"mean": "mean of the training split over all steps"})

    def draw(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        metrics: Metrics,  # noqa: ARG002
    ) -> Figure:
        """The first target."""
        truth = [self.truth(spec, s)[:, 0] for s in sequences]
        return plot_regression(truth, [a[:, 0] for a in answers], spec.answer.targets[0])

    def closing(self, test: Metrics, carried: Metrics | None) -> list[str]:
        """A line for each target, then one for each at the last steps."""
        *lines, verdict = super().closing(test, carried)
        for target, found in test["per_target"].items():
            figures = f"MAE {found['mae_last']:.4g}, RMSE {found['rmse_last']:.4g}"
            steps = f"at the last step of {test['sequences']} sequences"
            lines.append(f"at the end      {self.of(test, target)}{figures} {steps}")
        return [*lines, verdict]


def plot_regression(truth: Many[NDArray[Any]], answers: Many[NDArray[Any]], target: str) -> Figure:
    """The longest sequence over time, and the answers at the last known steps against their truth.

    truth, answers: per sequence (T,), raw units, NaN if unknown.
    """
    figure = new_figure(12, 3.8)
    over_time, against = figure.subplots(1, 2, width_ratios=(2.4, 1))
    longest = max(range(len(truth)), key=lambda k: len(truth[k]))
    over_time.plot(truth[longest], color=TRUTH, linewidth=1.2, label="truth")
    over_time.plot(answers[longest], color=VALIDATION, linewidth=1.2, label="answer")
    label_axes(
        over_time,
        f"{target}: the longest sequence of the test split",
        "step of the sequence",
        f"{target} (raw units)",
    )
    legend_below(over_time)
    last = [
        (k, int(np.flatnonzero(known)[-1]))
        for k, t in enumerate(truth)
        if (known := np.isfinite(t)).any()
    ]
    draw_against(
        against,
        np.array([truth[k][n] for k, n in last]),
        np.array([answers[k][n] for k, n in last]),
        markersize=6,
    )
    label_axes(
        against, "At the last step of each sequence", f"truth, {target}", f"answer, {target}"
    )
    return figure


TASK = RegressionTask()
