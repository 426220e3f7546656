"""The next values of channels, at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.forecast import FARTHEST, MEDIAN, Forecast, ascending

from ..config.base import Contradiction, Fraction, Names, repeated
from ..config.sections import TrainConfig, Whole
from ..data.recordings import Float64, Sequence, Splits
from ..data.windows import future, last_values, on_scale, season_before
from ..results.numbers import errors, judged
from ..results.plots import (
    TRUTH,
    VALIDATION,
    date_axis,
    dates,
    draw_against,
    label_axes,
    legend_below,
    line_style,
    new_figure,
)
from ..results.quantiles import intervals, sentences, widths, with_quantiles
from ..results.words import ahead as in_words
from ..training.losses import NumberLoss, PinballLoss
from .base import Answers, Metrics
from .numbers import NumberSection, NumberTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 600  # the most steps of the figure


def _horizon(value: int | tuple[int, ...]) -> int | tuple[int, ...]:
    if isinstance(value, tuple):
        good = bool(value) and value[0] >= 1 and ascending(value) and value[-1] <= FARTHEST
    else:
        good = 1 <= value <= FARTHEST
    if not good:
        expected = f"expected a whole number, 1 to {FARTHEST:,}, or an ascending list of them"
        raise PydanticCustomError("horizon", "{message}", {"message": expected})
    return value


Horizon = Annotated[
    int | tuple[int, ...],
    AfterValidator(_horizon),
    Field(description="the number of steps to forecast"),
]
Bound = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Bound | dict[str, Bound] | None  # of every target, or by its name


class Section(NumberSection):
    """[model] of task "forecast".

    targets   the channels to forecast, all if left out
    horizon   the last step ahead, of all from 1 on, or a list of steps ahead
    residual  forecast the change from the value now, not the value
    quantiles  of each forecast, 0.5 among them: the model then learns these, not the mean
    low, high  bounds of the answer, for every target or by its name
    """

    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "bidirectional": "is for task 'classify': a forecast would read the future that it is to "
        "tell; remove it",
    }
    FITS = "next"
    USES = frozenset({"season"})
    splits_within_recordings = True

    horizon: Horizon
    targets: Names | None = None
    residual: bool = False
    quantiles: tuple[Fraction, ...] = ()
    low: Bounds = None
    high: Bounds = None

    def answer(self, splits: Splits, dt_name: str) -> Forecast:
        targets = self.targets or tuple(c for c in splits.channels if c != dt_name)
        if absent := [t for t in targets if t not in splits.channels]:
            among = f"is not among the channels {list(splits.channels)}"
            raise DataError(f"[model] targets: {absent[0]!r} {among}")
        steps = len(self.horizon) if isinstance(self.horizon, tuple) else self.horizon
        count = steps * len(targets) * (len(self.quantiles) or 1)
        return Forecast(
            targets,
            self.horizon,
            (0.0,) * count,
            (1.0,) * count,
            self.residual,
            self.quantiles,
            low=self._bounds("low", targets),
            high=self._bounds("high", targets),
        )

    def _bounds(self, key: str, targets: Many[str]) -> tuple[float | None, ...]:
        """The bound of each target, () if none has one. Raises DataError."""
        given = getattr(self, key)
        if given is None:
            return ()
        named = given if isinstance(given, dict) else {}
        if absent := [name for name in named if name not in targets]:
            raise DataError(f"[model] {key}: {absent[0]!r} is not among the targets {[*targets]}")
        return tuple(self._bound(key, t) for t in targets)

    @property
    def steps_ahead(self) -> tuple[int, ...]:
        given = self.horizon
        return given if isinstance(given, tuple) else tuple(range(1, given + 1))

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        channels = config.data.named_channels
        yield from self._of_answers(config)
        for target in self.targets or ():
            if channels is not None and target not in channels:
                among = f"expected names among the channels {list(channels)}"
                yield ("model", "targets"), f"{among}, and {target!r} is not"
        dropped = config.data.derivation.drop
        for target in self.targets or channels or ():
            if target in dropped and not self.residual:
                level = "the answer couldn't know its level, so expected true, or no `drop` of it"
                yield ("model", "residual"), f"target {target!r} is dropped in [data]: {level}"
        if repeated(self.targets):
            yield ("model", "targets"), "expected each name once"
        if config.data.known_columns and self.targets is None:
            more = "`known` in [data] makes further channels, which are not to be forecast"
            yield ("model", "targets"), f"is missing; expected names: {more}"
        if told := set(config.data.known_columns).intersection(self.targets or ()):
            target = min(told)
            yield ("data", "known"), f"expected no target, and the future of {target!r} is asked"
        for key in ("offset", "level"):
            if config.augment is not None and getattr(config.augment, key):
                other = "what it should answer would be another value too"
                yield ("augment", key), f"expected 0 for task {self.task!r}: {other}"
        yield from super().rules(config)

    def _of_answers(self, config: Whole) -> Iterator[Contradiction]:
        if self.quantiles and not (ascending(self.quantiles) and MEDIAN in self.quantiles):
            yield ("model", "quantiles"), f"expected ascending numbers, {MEDIAN} among them"
        if self.quantiles and "loss" in config.train.model_fields_set:
            why = "`quantiles` in [model] are learned by the pinball loss"
            yield ("train", "loss"), f"{why}; remove one of the two"
        both = [given for given in (self.low, self.high) if isinstance(given, dict)]
        for target in dict.fromkeys(name for given in both for name in given) or ("",):
            low = self._bound("low", target)
            high = self._bound("high", target)
            if low is not None and high is not None and low >= high:
                of = f" of {target!r}" if target else ""
                yield ("model", "low"), f"expected less than `high`{of}, {high:g}"

    def _bound(self, key: str, target: str) -> float | None:
        given: Bounds = getattr(self, key)
        return given.get(target) if isinstance(given, dict) else given


class ForecastTask(NumberTask):
    figure = "forecast.png"
    titles: ClassVar[Mapping[str, str]] = {
        "mae": "MAE",
        "rmse": "RMSE",
        "nrmse": "NRMSE",
        "pinball": "pinball loss",
    }
    printed = ("mae", "rmse", "nrmse")
    simple: ClassVar[Mapping[str, str]] = {
        "naive": "naive forecast",
        "seasonal": "seasonal forecast",
    }
    rivals: ClassVar[Mapping[str, str]] = {
        "naive": "edge_lstm.compare.forecasts:last_value",
        "seasonal": "edge_lstm.compare.forecasts:seasonal",
        "arima": "edge_lstm.compare.forecasts:arima",
        "ridge": "edge_lstm.compare.ridge:ridge",
        "ridge-seasonal": "edge_lstm.compare.ridge:seasonal",
        "nlinear": "edge_lstm.compare.nlinear:nlinear",
        "dlinear": "edge_lstm.compare.dlinear:dlinear",
        "boosting": "edge_lstm.compare.boosting:boosting",
    }
    quick: ClassVar[tuple[str, ...]] = ("naive", "seasonal", "ridge")

    def truth(self, spec: ModelSpec, sequence: Sequence) -> Float64:
        return future(spec, sequence.x)

    def learned(self, spec: ModelSpec, sequence: Sequence) -> Float64:
        """Nothing is learned from values that are known to be wrong."""
        truth = future(spec, sequence.normal)
        if sequence.anomalous is not None:
            truth = np.where(sequence.anomalous[:, None], np.nan, truth)
        wanted = on_scale(spec, truth)
        if not spec.answer.residual:
            return wanted
        return wanted - on_scale(spec, last_values(spec, sequence.x))

    def check_known(self, spec: ModelSpec, unknown: NDArray[np.bool_]) -> None:
        if unknown.any():
            none = f"no step of the training split {followed(spec)}"
            raise DataError(f"{none}; lower `horizon` in [model]")

    def nothing_known(self, spec: ModelSpec) -> str:
        return f"no step {followed(spec)}"

    def points(self, spec: ModelSpec) -> slice:
        points: slice = spec.answer.points
        return points

    def loss(self, config: TrainConfig, spec: ModelSpec) -> NumberLoss:
        quantiles = spec.answer.quantiles
        return PinballLoss(quantiles=quantiles) if quantiles else super().loss(config, spec)

    def calibrated(
        self, spec: ModelSpec, sequences: Many[Sequence], outputs: Callable[[], Answers]
    ) -> Forecast:
        """The quantiles' widths, so that the intervals hold their share of these sequences."""
        answer: Forecast = spec.answer
        if not answer.quantiles:
            return answer
        made = np.concatenate(outputs()).astype(np.float64)
        wanted = np.concatenate([self.outputs(spec, s) for s in sequences])
        return dataclasses.replace(answer, widths=widths(answer.quantiles, made, wanted))

    def evaluate(
        self, spec: ModelSpec, sequences: Many[Sequence], answers: Answers, season: int | None
    ) -> dict[str, Any]:
        """mae, rmse, nrmse, the same per_target and per_step ahead, baselines, and the verdict.

        Of quantiles it is the median that is measured, and there are pinball and coverage too, see
        `quantiles.with_quantiles`. If `horizon` is a list, these steps are `ahead`.

        nrmse is rmse / standard deviation of the truth. Several targets need not have one unit.
        mae and rmse are then None except in per_target, and nrmse is the mean over the targets that
        change. The baselines are measured on the same steps. One is beaten (beats_naive,
        beats_seasonal) if MAE and RMSE of every target are lower, as the verdict prints them.
        """
        rows: dict[str, list[Float64]] = {"truth": [], "model": [], "naive": []}
        points = spec.answer.points
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
                f"no step of the {len(sequences)} sequences {followed(spec)}; expected longer ones"
            )
        stacked = {name: np.concatenate(parts)[chosen] for name, parts in rows.items()}
        truth = stacked.pop("truth")
        measured = {
            name: errors(spec, forecast[:, points], truth[:, points])
            for name, forecast in stacked.items()
        }
        result = measured.pop("model")
        result["steps"] = int(chosen.sum())
        owners = np.repeat(np.arange(len(known)), [len(k) for k in known])
        result["sequences"] = len(np.unique(owners[chosen]))
        if isinstance(spec.answer.horizon, tuple):
            for figures in (result, *measured.values()):
                figures["ahead"] = list(spec.answer.horizon)
        result["baselines"] = measured
        if spec.answer.quantiles:
            with_quantiles(spec, result, stacked["model"], truth)
            note = "\n".join([*filter(None, [note]), *sentences(spec, result)])
        titles = {
            "naive": "naive forecast (last value)",
            "seasonal": f"seasonal naive forecast ({season} steps before)",
        }
        return result | judged(result, {name: titles[name] for name in measured}, note)

    def draw(
        self, spec: ModelSpec, sequences: Many[Sequence], answers: Answers, metrics: Metrics
    ) -> Figure:
        """The first target, as far ahead as it is forecast in the longest sequence."""
        target = spec.answer.targets[0]
        longest = max(range(len(sequences)), key=lambda k: len(sequences[k].x))
        last = slice(-len(spec.answer.targets) * spec.answer.levels, None)
        first = slice(0, spec.answer.levels)  # of the target's outputs at the last step ahead
        found = answers[longest][:, last][:, first]
        return plot_forecast(
            self.truth(spec, sequences[longest])[:, last][:, 0],
            dict(zip(spec.answer.quantiles or (MEDIAN,), found.T, strict=True)),
            target,
            ahead=spec.answer.ahead[-1],
            baseline=sequences[longest].x[:, spec.inputs.names.index(target)],
            by_step=_by_step(metrics, target),
            time=sequences[longest].time,
        )


def followed(spec: ModelSpec) -> str:
    """The values that a step must have ahead, in words."""
    steps = spec.answer.horizon
    if not isinstance(steps, tuple):
        return f"is followed by {steps} known values"
    named = " and ".join(", ".join(map(str, steps)).rsplit(", ", 1))
    return f"has known values {named} steps ahead"


def _by_step(metrics: Metrics, target: str) -> dict[str, dict[int, float]]:
    """Forecast -> steps ahead -> MAE."""
    found = {"model": metrics} | metrics["baselines"]
    return {
        name: {step["ahead"]: step["per_target"][target]["mae"] for step in each["per_step"]}
        for name, each in found.items()
    }


def plot_forecast(  # noqa: PLR0913 - what is drawn beside the forecast, if it is there
    truth: NDArray[Any],
    forecasts: Mapping[float, NDArray[Any]],
    target: str,
    *,
    ahead: int = 1,
    baseline: NDArray[Any] | None = None,
    by_step: Mapping[str, Mapping[int, float]] | None = None,
    time: NDArray[Any] | None = None,
) -> Figure:
    """Forecast and truth over time, one against the other, and the error by the steps ahead.

    truth, baseline (the last value), and each quantile of the forecasts, the median among them:
    (T,) raw units, made at the same steps, for `ahead` steps later. NaN is left out. The last DRAWN
    steps are drawn. by_step: the MAE of each forecast, drawn if there are several steps ahead.
    time: (T,) seconds of the steps, for an axis of dates, if they are since 1970.
    """
    forecast = forecasts[MEDIAN]
    by_step = by_step or {}
    several = any(len(each) > 1 for each in by_step.values())
    figure = new_figure(15 if several else 12, 3.8)
    panels = figure.subplots(1, 3 if several else 2, width_ratios=(2.4, 1, 1)[: 2 + several])
    over_time, against = panels[:2]
    start = max(0, len(truth) - DRAWN)
    moments = _moments(time, len(truth), ahead)[start:]
    if baseline is not None:
        over_time.plot(
            moments, baseline[start:], color="#bbbbbb", linewidth=1, label="naive (last value)"
        )
    ends = [values[start:] for values in forecasts.values()]
    for low, high, share in intervals(tuple(forecasts)):
        label = f"{100 * share:g} % interval"
        area = {"color": VALIDATION, "alpha": 0.2, "linewidth": 0}
        over_time.fill_between(moments, ends[low], ends[high], label=label, **area)
    over_time.plot(moments, truth[start:], color=TRUTH, linewidth=1.2, label="truth")
    over_time.plot(moments, forecast[start:], color=VALIDATION, linewidth=1.2, label="forecast")
    dated = date_axis(over_time, moments)
    dated = dated and f"time, {dated},"
    label_axes(
        over_time,
        f"{target}: forecast {in_words(ahead)}, test split",
        f"{dated or 'step of the sequence'} that is forecast",
        f"{target} (raw units)",
    )
    legend_below(over_time)
    draw_against(against, truth, forecast, markersize=2)
    label_axes(against, "Forecast against truth", f"truth, {target}", f"forecast, {target}")
    if several:
        for k, (name, errors_of) in enumerate(by_step.items()):
            points = [*errors_of], [*errors_of.values()]
            panels[2].plot(*points, marker="o", markersize=3, label=name, **line_style((k + 1) % 3))
        panels[2].set_ylim(bottom=0)
        label_axes(panels[2], "MAE by the steps ahead", "steps ahead", f"MAE, {target} (raw units)")
        legend_below(panels[2], 3)
    return figure


def _moments(time: NDArray[Any] | None, steps: int, ahead: int) -> NDArray[Any]:
    """(steps,) those that are forecast, as dates if there are any.

    The last ones lie behind the recording's end, so they are as far apart as its last two.
    """
    places = np.arange(steps) + ahead
    moments = dates(time)
    if moments is None or steps < 2:
        return places
    beyond = np.maximum(places - (steps - 1), 0)
    apart = moments[-1] - moments[-2]
    reached: NDArray[Any] = moments[np.minimum(places, steps - 1)] + beyond * apart
    return reached


TASK: NumberTask = ForecastTask()
