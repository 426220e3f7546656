"""The next values of channels, at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.forecast import Forecast

from ..config.base import Contradiction, Count, Names, repeated
from ..config.sections import Whole
from ..data.recordings import Float64, Sequence, Splits
from ..data.windows import future, last_values, season_before
from ..results.numbers import errors, judged
from ..results.plots import TRUTH, VALIDATION, draw_against, label_axes, new_figure
from .base import Answers, Metrics
from .numbers import NumberSection, NumberTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 600  # the most steps of the figure
Horizon = Annotated[Count, Field(description="the number of steps to forecast")]


class Section(NumberSection):
    """[model] of task "forecast".

    targets   the channels to forecast, all if left out
    horizon   steps ahead
    residual  forecast the change from the value now, not the value
    """

    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "bidirectional": "is for task 'classify': a forecast would read the future that it is to "
        "tell; remove it",
    }
    USES = frozenset({"season"})
    splits_within_recordings = True

    horizon: Horizon
    targets: Names | None = None
    residual: bool = False

    def answer(self, splits: Splits, dt_name: str) -> Forecast:
        targets = self.targets or tuple(c for c in splits.channels if c != dt_name)
        if absent := [t for t in targets if t not in splits.channels]:
            among = f"is not among the channels {list(splits.channels)}"
            raise DataError(f"[model] targets: {absent[0]!r} {among}")
        count = self.horizon * len(targets)
        return Forecast(targets, self.horizon, (0.0,) * count, (1.0,) * count, self.residual)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        season = config.data.season
        channels = config.data.named_channels
        if season is not None and season < self.horizon:
            known = "the seasonal forecast must be known by then"
            yield ("data", "season"), f"expected at least the horizon ({self.horizon}): {known}"
        for target in self.targets or ():
            if channels is not None and target not in channels:
                among = f"expected names among the channels {list(channels)}"
                yield ("model", "targets"), f"{among}, and {target!r} is not"
        if repeated(self.targets):
            yield ("model", "targets"), "expected each name once"
        for key in ("offset", "level"):
            if config.augment is not None and getattr(config.augment, key):
                other = "what it should answer would be another value too"
                yield ("augment", key), f"expected 0 for task {self.task!r}: {other}"
        yield from super().rules(config)


class ForecastTask(NumberTask):
    figure = "forecast.png"
    titles: ClassVar[Mapping[str, str]] = {"mae": "MAE", "rmse": "RMSE", "nrmse": "NRMSE"}
    printed = ("mae", "rmse", "nrmse")
    simple: ClassVar[Mapping[str, str]] = {
        "naive": "naive forecast",
        "seasonal": "seasonal forecast",
    }
    rivals: ClassVar[Mapping[str, str]] = {
        "naive": "edge_lstm.compare.forecasts:last_value",
        "seasonal": "edge_lstm.compare.forecasts:seasonal",
        "arima": "edge_lstm.compare.forecasts:arima",
    }

    def truth(self, spec: ModelSpec, sequence: Sequence) -> Float64:
        return future(spec, sequence.x)

    def learned(self, spec: ModelSpec, sequence: Sequence) -> Float64:
        """Nothing is learned from values that are known to be wrong."""
        truth = future(spec, sequence.normal)
        if sequence.anomalous is not None:
            truth = np.where(sequence.anomalous[:, None], np.nan, truth)
        return truth - last_values(spec, sequence.x) if spec.answer.residual else truth

    def check_known(self, spec: ModelSpec, wanted: Float64) -> None:
        if np.isnan(wanted).all(axis=0).any():
            none = (
                f"no step of the training split is followed by {spec.answer.horizon} known values"
            )
            raise DataError(f"{none}; lower `horizon` in [model]")

    def nothing_known(self, spec: ModelSpec) -> str:
        return f"no step is followed by {spec.answer.horizon} known values"

    def evaluate(
        self, spec: ModelSpec, sequences: Many[Sequence], answers: Answers, season: int | None
    ) -> dict[str, Any]:
        """mae, rmse, nrmse, the same per_target and per_step ahead, baselines, and the verdict.

        nrmse is rmse / standard deviation of the truth. Several targets need not have one unit.
        mae and rmse are then None except in per_target, and nrmse is the mean over the targets that
        change. The baselines are measured on the same steps. One is beaten (beats_naive,
        beats_seasonal) if MAE and RMSE of every target are lower, as the verdict prints them.
        """
        rows: dict[str, list[Float64]] = {"truth": [], "model": [], "naive": []}
        seasonal_rows: list[Float64] = []
        known: list[NDArray[np.bool_]] = []
        known_season: list[NDArray[np.bool_]] = []
        for sequence, answer in zip(sequences, answers, strict=True):
            truth = self.truth(spec, sequence)
            rows["truth"].append(truth)
            rows["model"].append(answer.astype(np.float64))
            rows["naive"].append(last_values(spec, sequence.x))
            known.append(np.asarray(np.isfinite(truth).all(axis=1)))
            if season is not None:
                before = season_before(spec, sequence.x, season)
                seasonal_rows.append(before)
                known_season.append(np.asarray(np.isfinite(before).all(axis=1)))
        chosen = np.concatenate(known)
        note = ""
        if season is not None:
            both = chosen & np.concatenate(known_season)
            if both.any():  # all forecasts are measured on the same steps
                chosen = both
                rows["seasonal"] = seasonal_rows
            else:
                without = "so there is no seasonal naive forecast to compare with"
                both_known = f"known values both ahead and a season ({season} steps) before"
                note = f"No step has {both_known}, {without}."
        if not chosen.any():
            raise DataError(
                f"no step of the {len(sequences)} sequences is followed by {spec.answer.horizon} "
                "known values; expected longer ones"
            )
        stacked = {name: np.concatenate(parts)[chosen] for name, parts in rows.items()}
        truth = stacked.pop("truth")
        measured = {name: errors(spec, forecast, truth) for name, forecast in stacked.items()}
        result = measured.pop("model")
        result["steps"] = int(chosen.sum())
        owners = np.repeat(np.arange(len(known)), [len(k) for k in known])
        result["sequences"] = len(np.unique(owners[chosen]))
        kept = ("mae", "rmse", "nrmse", "per_target")
        result["baselines"] = {name: {k: m[k] for k in kept} for name, m in measured.items()}
        titles = {
            "naive": "naive forecast (last value)",
            "seasonal": f"seasonal naive forecast ({season} steps before)",
        }
        return result | judged(result, {name: titles[name] for name in measured}, note)

    def draw(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        metrics: Metrics,  # noqa: ARG002
    ) -> Figure:
        """The first target, as far ahead as it is forecast in the longest sequence."""
        target = spec.answer.targets[0]
        longest = max(range(len(sequences)), key=lambda k: len(sequences[k].x))
        output = -len(spec.answer.targets)
        return plot_forecast(
            self.truth(spec, sequences[longest])[:, output],
            answers[longest][:, output],
            target,
            ahead=spec.answer.horizon,
            baseline=sequences[longest].x[:, spec.inputs.names.index(target)],
        )


def plot_forecast(
    truth: NDArray[Any],
    forecast: NDArray[Any],
    target: str,
    *,
    ahead: int = 1,
    baseline: NDArray[Any] | None = None,
) -> Figure:
    """Forecast and truth over time, and one against the other.

    truth, forecast, baseline (the last value): (T,) raw units, made at the same steps, for `ahead`
    steps later. NaN is left out. The last DRAWN steps are drawn.
    """
    figure = new_figure(12, 3.8)
    over_time, against = figure.subplots(1, 2, width_ratios=(2.4, 1))
    start = max(0, len(truth) - DRAWN)
    moments = np.arange(start, len(truth)) + ahead
    if baseline is not None:
        over_time.plot(
            moments, baseline[start:], color="#bbbbbb", linewidth=1, label="naive (last value)"
        )
    over_time.plot(moments, truth[start:], color=TRUTH, linewidth=1.2, label="truth")
    over_time.plot(moments, forecast[start:], color=VALIDATION, linewidth=1.2, label="forecast")
    over_time.legend(frameon=False, ncols=3)
    steps_ahead = f"{ahead} step{'s' if ahead > 1 else ''} ahead"
    label_axes(
        over_time,
        f"{target}: forecast {steps_ahead}, test split",
        "step of the sequence that is forecast",
        f"{target} (raw units)",
    )
    draw_against(against, truth, forecast, markersize=2)
    label_axes(against, "Forecast against truth", f"truth, {target}", f"forecast, {target}")
    return figure


TASK: NumberTask = ForecastTask()
