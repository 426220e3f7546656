"""The model specification of a training run. Only the training split is used to normalize."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.inputs import Inputs
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..tasks.base import task_of
from .recordings import Float64, Splits


def make_spec(config: Config, splits: Splits) -> ModelSpec:
    """The specification, with the training split's means and deviations.

    Raises DataError, and ConfigError for a `monitor` that the task's targets don't allow, and for
    `mask_channels` that hides none.
    """
    model = config.model
    inputs = _inputs(config, splits)
    answer = model.answer(splits, config.data.dt_name)
    network = model.network(inputs.feature_size, answer.size)
    spec = ModelSpec(inputs, network, answer)
    fitted = task_of(spec).fitted(spec, splits, config.train.monitor)
    return dataclasses.replace(spec, answer=fitted)


def _inputs(config: Config, splits: Splits) -> Inputs:
    if config.model.reads_characters:
        return Characters(splits.classes)
    described = config.data.described
    usual = np.concatenate([s.normal for s in splits.train])
    if "dt" in described:
        usual, described["dt_unit"] = _scaled_dt(usual)
    mean, std = mean_std(usual, splits.channels)
    share = config.augment.mask_channels if config.augment is not None else 0.0
    count = len(splits.channels)
    if 0 < share * count < 1:
        raise ConfigError(
            f"[augment] mask_channels = {share:g}: hides none of {count} channels; expected 0, or "
            "the share of at least one channel"
        )
    return Channels(splits.channels, mean, std, front_end=config.asked.front_end, **described)


def _scaled_dt(x: Float64) -> tuple[Float64, float]:
    """x with dt, its last channel, on the logarithmic scale, and the unit of dt.

    x: (T, C) raw units. The unit is the median of the training split's steps that take time, 1 if
    there are none.
    """
    steps = x[:, -1][x[:, -1] > 0]
    unit = float(np.median(steps)) if len(steps) else 1.0
    return np.column_stack([x[:, :-1], np.log1p(x[:, -1] / unit)]), unit


def mean_std(x: Float64, names: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """x: (T, C) -> the mean and the standard deviation of each channel's known values.

    The deviation of a constant channel is 1. The normalized channel is then 0 throughout. Raises
    DataError if a channel has no value, or values that are too large.
    """
    known = ~np.isnan(x)
    count = known.sum(axis=0)
    if not count.all():
        raise DataError(
            f"channel {names[int(np.argmin(count))]!r} has no value in the training split; "
            "take it out of `channels`"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # said below, with the channel's name
        mean = np.where(known, x, 0).sum(axis=0) / count
        std = np.sqrt(np.where(known, (x - mean) ** 2, 0).sum(axis=0) / count)
    if not np.isfinite(std).all():
        k = int(np.argmin(np.isfinite(std)))
        raise DataError(
            f"channel {names[k]!r} has values up to {np.nanmax(np.abs(x[:, k])):g}, "
            "too large to normalize; correct them"
        )
    # The mean of equal numbers is rounded, which leaves a spread of about 1e-16 of them.
    std = np.where(std <= 1e-12 * np.abs(mean), 1.0, std)
    return tuple(mean.tolist()), tuple(std.tolist())
