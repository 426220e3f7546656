"""The model specification of a training run: normalisation from the training split alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.processing import features
from edge_lstm_runtime.spec import ModelSpec

from ..config import Config
from .types import Float64, Splits
from .windows import network_targets


def make_spec(config: Config, splits: Splits) -> ModelSpec:
    """The specification, with the means and standard deviations of the training split.

    Raises DataError, and ConfigError for a `monitor` that the number of targets doesn't allow.
    """
    model = config.model
    if model.task == "language":
        sizes = {"hidden_size": model.hidden_size, "num_layers": model.num_layers, "input_mean": (0.0,), "input_std": (1.0,)}
        return ModelSpec.from_dict({"task": "language", "channels": splits.channels, "classes": splits.classes, **sizes})
    usual, clock = _scaled_dt(config, np.concatenate([s.normal for s in splits.train]))
    mean, std = _mean_std(usual, splits.channels)
    common = {
        "channels": splits.channels,
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "input_mean": tuple(mean.tolist()),
        "input_std": tuple(std.tolist()),
        "missing": config.data.missing,
        "front_end": config.front_end and config.front_end.front_end(),
        **clock,
    }
    if model.task == "classify":
        return ModelSpec.from_dict({"task": "classify", "classes": splits.classes, "bidirectional": model.bidirectional, **common})
    answer: dict[str, Any]
    if model.task == "regress":
        assert config.data.target is not None
        answer = {"task": "regress", "targets": config.data.target}
    else:
        targets = model.targets or tuple(c for c in splits.channels if c != config.data.dt_name)
        if absent := [t for t in targets if t not in splits.channels]:
            raise DataError(f"[model] targets: {absent[0]!r} is not among the channels {list(splits.channels)}")
        answer = {"task": "forecast", "targets": targets, "horizon": model.horizon, "residual": model.residual}
    _check_monitor(config.train.monitor, len(answer["targets"]))
    outputs = (model.horizon or 1) * len(answer["targets"])
    spec = ModelSpec.from_dict({**common, **answer, "output_offset": (0.0,) * outputs, "output_scale": (1.0,) * outputs})
    wanted = np.concatenate([network_targets(spec, s, features(spec, s.x)[1]) for s in splits.train])
    if spec.task == "forecast" and np.isnan(wanted).all(axis=0).any():
        raise DataError(f"no step of the training split is followed by {model.horizon} known values; lower `horizon` in [model]")
    offset, scale = _mean_std(wanted, spec.output_names)
    return dataclasses.replace(spec, output_offset=tuple(offset.tolist()), output_scale=tuple(scale.tolist()))


def _check_monitor(monitor: str, targets: int) -> None:
    if targets > 1 and monitor in ("mae", "rmse"):
        why = f"{targets} targets have no common unit"
        raise ConfigError(f"[train] monitor = {monitor!r}: {why}; expected 'loss' or 'nrmse'")
    if targets == 1 and monitor == "nrmse":
        expected = "expected 'loss', 'mae' or 'rmse'"
        raise ConfigError(f"[train] monitor = 'nrmse': is for several targets; {expected}")


def _scaled_dt(config: Config, x: Float64) -> tuple[Float64, dict[str, Any]]:
    """x: (T, C) raw units -> the same with dt, the last channel, on its logarithmic scale; and what the specification says of it.

    The unit is the median of the training split's steps that take time.
    """
    if not config.data.dt:
        return x, {}
    steps = x[:, -1][x[:, -1] > 0]
    unit = float(np.median(steps)) if len(steps) else 1.0
    scaled = np.column_stack([x[:, :-1], np.log1p(x[:, -1] / unit)])
    return scaled, {"dt": config.data.dt_name, "dt_unit": unit, "time": config.data.time}


def _mean_std(x: Float64, names: tuple[str, ...]) -> tuple[Float64, Float64]:
    """x: (T, C) -> mean and standard deviation (C,) each of what is not NaN; 1 for a constant channel, which then is 0 throughout."""
    known = ~np.isnan(x)
    count = known.sum(axis=0)
    if not count.all():
        raise DataError(f"channel {names[int(np.argmin(count))]!r} has no value in the training split; take it out of `channels`")
    with np.errstate(over="ignore", invalid="ignore"):  # said below, with the channel's name
        mean = np.where(known, x, 0).sum(axis=0) / count
        std = np.sqrt(np.where(known, (x - mean) ** 2, 0).sum(axis=0) / count)
    if not np.isfinite(std).all():
        k = int(np.argmin(np.isfinite(std)))
        raise DataError(f"channel {names[k]!r} has values up to {np.nanmax(np.abs(x[:, k])):g}, too large to normalise; correct them")
    # The mean of equal numbers is rounded, which leaves a spread of about 1e-16 of them.
    return mean, np.where(std <= 1e-12 * np.abs(mean), 1.0, std)
