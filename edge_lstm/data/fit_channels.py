"""From the training split to the inputs of the specification: their scales, limits and moments.

Rows that are known as anomalous count nowhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge_lstm_runtime.checks import LARGEST
from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs import to_scale
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.transforms import (
    Calendar,
    Clip,
    Compared,
    Difference,
    Distance,
    Log,
    Transform,
)

from ..config.schema import Config
from ..config.transforms import Derivation, TransformConfig
from .calendars import holiday_table, span, zone_table
from .chunks import Rows
from .recordings import Float64, Splits, in_turn
from .robust import centre_and_spread

# Of the channel's deviation. What is derived and varies less is rounding.
CONSTANT = 1e-9


def fit_channels(config: Config, splits: Splits) -> Channels:
    """Raises DataError for data that doesn't go with the transforms."""
    asked = config.data.derivation
    described = config.data.described
    names = splits.channels
    raw = Rows(lambda: (s.normal for s in splits.train), sum(s.x.nbytes for s in splits.train))
    front_end = config.asked.front_end
    if front_end is None:
        low, high = extremes(raw, described.get("dt", ""), names)
        described |= {"low": low, "high": high}
    units = {}
    if "dt" in described:
        units[described["dt"]] = described["dt_unit"] = _unit(
            raw.column(names.index(described["dt"]))
        )
    for table in asked.transforms:
        if table.type == "log":
            for name in _channels(table, config):
                _check_not_negative(name, splits)
                units[name] = _unit(raw.column(names.index(name)))
    limits: dict[int, tuple[float, float]] = {}  # by the place of the channel

    usual = raw.changed(functools.partial(_on_scale, names=names, units=units, limits=limits))
    transforms: list[Transform] = []
    for table in asked.transforms:
        chosen = _channels(table, config)
        if table.type == "log":
            transforms.append(Log(chosen, tuple(units[name] for name in chosen)))
        elif table.type == "clip":
            places = [names.index(name) for name in chosen]
            ends = [_quantiles(usual.column(k), table.quantiles) for k in places]
            limits |= dict(zip(places, ends, strict=True))
            low, high = zip(*ends, strict=True)
            transforms.append(Clip(chosen, low, high))
        else:
            transforms += _compared(table, chosen, described.get("dt") or asked.clock)
    if asked.calendar is not None:
        transforms.append(_calendar(asked, splits))
    mean, std = mean_std(usual, names, robust=splits.robust)
    if transforms or asked.drop:
        drop = (*asked.drop, *filter(None, [asked.clock]))
        described |= {"transforms": tuple(transforms), "drop": drop}
    inputs = Channels(names, mean, std, front_end=front_end, text=splits.form, **described)
    return _with_moments(inputs, splits)


def _on_scale(
    part: Float64,
    names: tuple[str, ...],
    units: Mapping[str, float],
    limits: Mapping[int, tuple[float, float]],
) -> Float64:
    """part: (T, C) raw units -> the same on the logarithmic scale of `units`, then clipped."""
    part = part.copy(order="K")
    for name, unit in units.items():
        place = names.index(name)
        part[:, place] = to_scale(part[:, place], unit)
    for place, (low, high) in limits.items():
        part[:, place] = np.clip(part[:, place], low, high)
    return part


def _channels(table: TransformConfig, config: Config) -> tuple[str, ...]:
    return table.channels or config.data.named_channels or ()


def _unit(x: Float64) -> float:
    """x: (T,) raw units -> the unit of its logarithmic scale.

    The median of the values above 0, 1 if there are none.
    """
    above = x[x > 0]
    return float(np.median(above)) if len(above) else 1.0


def _check_not_negative(name: str, splits: Splits) -> None:
    place = splits.channels.index(name)
    for sequence in in_turn((*splits.train, *splits.val, *splits.test)):
        rows = np.flatnonzero(sequence.x[:, place] < 0)
        if len(rows):
            raise DataError(
                f"{sequence.name}: channel {name!r} is {sequence.x[rows[0], place]:g} at step "
                f"{rows[0]}, and [data] asks for its log; expected 0 or more; take it out of the "
                "table with type = 'log', or correct the value"
            )


def _quantiles(x: Float64, quantiles: tuple[float, float]) -> tuple[float, float]:
    known = x[~np.isnan(x)]
    # A channel without any value is told by `mean_std`.
    low, high = np.quantile(known, quantiles).tolist() if len(known) else (0.0, 0.0)
    return low, high


def _compared(table: TransformConfig, chosen: tuple[str, ...], clock: str) -> list[Transform]:
    """With a mean of 0 and a deviation of 1 for now."""
    zeros = (0.0,) * len(chosen)
    ones = (1.0,) * len(chosen)
    if table.type == "difference":
        return [Difference(chosen, zeros, ones, lag=lag) for lag in table.lags]
    if table.seconds is not None:
        return [Distance(chosen, zeros, ones, seconds=s, clock=clock) for s in table.spans]
    return [Distance(chosen, zeros, ones, steps=int(n)) for n in table.spans]


def _calendar(asked: Derivation, splits: Splits) -> Calendar:
    """Its tables cover the data of all splits, and YEARS_AHEAD more."""
    calendar = asked.calendar
    assert calendar is not None
    place = splits.channels.index(asked.clock)
    every = in_turn((*splits.train, *splits.val, *splits.test))
    first, last = np.transpose([(s.x[:, place].min(), s.x[:, place].max()) for s in every])
    years = span(float(first.min()), float(last.max()))
    days = () if calendar.holidays is None else holiday_table(calendar.holidays, years)
    zone = zone_table(calendar.zone, years)
    return Calendar(asked.clock, calendar.all_parts, calendar.ahead, zone, days)


def _with_moments(inputs: Channels, splits: Splits) -> Channels:
    """With the mean and the deviation of what is derived, of the training split."""
    compared = [t for t in inputs.transforms if isinstance(t, Compared)]
    if not compared:
        return inputs
    lags = [t.lag for t in compared if isinstance(t, Difference)]
    shortest = min(splits.train, key=lambda s: len(s.x))
    if lags and max(lags) >= len(shortest.x):
        raise DataError(
            f"[data] transforms: lag = {max(lags)}, and training sequence {shortest.name!r} has "
            f"{len(shortest.x)} steps; expected a smaller lag, or longer sequences"
        )
    start = len(inputs.kept)
    transforms: list[Any] = []
    for transform in inputs.transforms:
        width = len(transform.names) if transform in inputs.derived else 0
        if isinstance(transform, Compared):
            places = inputs.places(transform.channels)
            made = functools.partial(_known, inputs, splits, places, slice(start, start + width))
            found = Rows(made, sum(8 * len(s.x) * width for s in splits.train))
            mean, std = mean_std(found, transform.names, robust=splits.robust)
            least = CONSTANT * inputs.arrays[1][places]
            std = tuple(s if s > small else 1.0 for s, small in zip(std, least, strict=True))
            transform = dataclasses.replace(transform, mean=mean, std=std)
        transforms.append(transform)
        start += width
    return dataclasses.replace(inputs, transforms=tuple(transforms))


def _known(inputs: Channels, splits: Splits, places: list[int], chosen: slice) -> Iterator[Float64]:
    """The chosen features of each training sequence, NaN where a channel of `places` is."""
    for sequence in in_turn(splits.train):
        known = ~np.isnan(sequence.normal[:, places])
        yield np.where(known, inputs.features(sequence.x)[0][:, chosen], np.nan)


def extremes(
    usual: Rows, dt: str, names: tuple[str, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """usual: (T, C) raw units -> the least and the largest known value of each channel.

    Of the channel `dt` it is the least above 0, because a recording begins with 0. () for both if a
    channel has no value.
    """
    ends = [(np.fmin.reduce(part), np.fmax.reduce(part)) for part in usual]
    low = np.fmin.reduce([least for least, _ in ends])
    high = np.fmax.reduce([most for _, most in ends])
    if not (np.isfinite(low) & np.isfinite(high)).all():  # which `mean_std` refuses
        return (), ()
    if dt:
        steps = usual.column(names.index(dt))
        low[names.index(dt)] = (
            np.min(steps[steps > 0], initial=np.inf) if (steps > 0).any() else 0.0
        )
    return tuple(np.maximum(low, -LARGEST).tolist()), tuple(np.minimum(high, LARGEST).tolist())


class NoValueError(DataError):
    """A channel has no value in the training split."""


def mean_std(
    x: Rows, names: tuple[str, ...], *, robust: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """x: (T, C) -> the mean and the standard deviation of each channel's known values.

    robust: the median and a spread by quantiles in their place, see `centre_and_spread`. If that
    spread is 0, it stays the mean and the deviation.
    The deviation of a constant channel is 1. The normalized channel is then 0 throughout. Raises
    NoValueError if a channel has no value, and DataError for values that are too large.
    """
    count = np.zeros(len(names), np.int64)

    def counted(part: Float64) -> Float64:
        known = ~np.isnan(part)
        count[:] += known.sum(axis=0)
        return np.where(known, part, 0)

    total = x.changed(counted).sum()
    if not count.all():
        raise NoValueError(
            f"channel {names[int(np.argmin(count))]!r} has no value in the training split; "
            "take it out of `channels`"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # said below, with the channel's name
        mean = total / count
        squares = x.changed(lambda part: np.where(np.isnan(part), 0, (part - mean) ** 2))
        std = np.sqrt(squares.sum() / count)
    largest = np.finfo(float).max if robust else LARGEST  # robust ones are put in their place
    good = (np.abs(mean) <= largest) & (std <= largest)
    if not good.all():
        k = int(np.argmin(good))
        raise DataError(
            f"channel {names[k]!r} has values up to {np.nanmax(np.abs(x.column(k))):g}, "
            "too large to normalize; correct them"
        )
    for k in range(len(names)) if robust else ():
        column = x.column(k)
        centre, spread = centre_and_spread(column[~np.isnan(column)])
        if spread > 0:
            mean[k] = centre
            std[k] = spread
    # The mean of equal numbers is rounded, which leaves a spread of about 1e-16 of them.
    std = np.where(std <= 1e-12 * np.abs(mean), 1.0, std)
    return tuple(mean.tolist()), tuple(std.tolist())
