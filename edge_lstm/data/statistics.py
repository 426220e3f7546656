"""The model specification of a training run: normalisation from the training split alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs import Inputs
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks import Answer
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Forecast
from edge_lstm_runtime.tasks.language import Language
from edge_lstm_runtime.tasks.regress import Regress

from ..config.schema import Config, ModelConfig
from .recordings import Float64, Splits
from .windows import network_targets


def make_spec(config: Config, splits: Splits) -> ModelSpec:
    """The specification, with the means and deviations of the training split. Raises DataError."""
    model = config.model
    if model.task == "language":
        inputs: Inputs = Characters(splits.classes)
        return _assembled(model, inputs, Language(splits.classes))
    usual, clock = _scaled_dt(config, np.concatenate([s.normal for s in splits.train]))
    mean, std = _mean_std(usual, splits.channels)
    inputs = Channels(
        splits.channels,
        tuple(mean.tolist()),
        tuple(std.tolist()),
        missing=config.data.missing,
        front_end=config.front_end.front_end() if config.front_end else None,
        **clock,
    )
    if model.task == "classify":
        return _assembled(model, inputs, Classify(splits.classes))
    if model.task == "regress":
        assert config.data.target is not None
        count = len(config.data.target)
        answer: Answer = Regress(config.data.target, (0.0,) * count, (1.0,) * count)
    else:
        assert model.horizon is not None
        targets = model.targets or tuple(c for c in splits.channels if c != config.data.dt_name)
        if absent := [t for t in targets if t not in splits.channels]:
            raise DataError(
                f"[model] targets: {absent[0]!r} is not among the channels {list(splits.channels)}"
            )
        count = model.horizon * len(targets)
        zeros = (0.0,) * count
        answer = Forecast(targets, model.horizon, zeros, (1.0,) * count, model.residual)
    spec = _assembled(model, inputs, answer)
    wanted = np.concatenate(
        [network_targets(spec, s, inputs.features(s.x)[1]) for s in splits.train]
    )
    if spec.answer.task == "forecast" and np.isnan(wanted).all(axis=0).any():
        raise DataError(
            f"no step of the training split is followed by {model.horizon} known values; lower `horizon` in [model]"
        )
    offset, scale = _mean_std(wanted, spec.answer.names)
    scaled = dataclasses.replace(
        spec.answer, offset=tuple(offset.tolist()), scale=tuple(scale.tolist())
    )
    return dataclasses.replace(spec, answer=scaled)


def _assembled(model: ModelConfig, inputs: Inputs, answer: Answer) -> ModelSpec:
    """`hidden_size` and `num_layers` are shorthand for the common net: so many layers and a head."""
    layers: list[dict[str, Any]] = []
    for k in range(model.num_layers):
        layer: dict[str, Any] = {"type": model.type, "units": model.hidden_size}
        if model.bidirectional:
            layer = {"type": "both_ways", "layer": layer}
        before = layers[-1]["name"] if layers else FEATURES
        layers.append({**layer, "name": f"{model.type}{k}", "inputs": [before]})
    head = {"type": "dense", "name": "head", "units": answer.size, "inputs": [layers[-1]["name"]]}
    return ModelSpec(inputs, network_from(inputs.feature_size, [*layers, head]), answer)


def _scaled_dt(config: Config, x: Float64) -> tuple[Float64, dict[str, Any]]:
    """x: (T, C) raw units -> the same with dt, the last channel, on its logarithmic scale; and what the specification says of it.

    The unit is the median of the training split's steps that take time.
    """
    if not config.data.dt:
        return x, {}
    steps = x[:, -1][x[:, -1] > 0]
    unit = float(np.median(steps)) if len(steps) else 1.0
    scaled = np.column_stack([x[:, :-1], np.log1p(x[:, -1] / unit)])
    return scaled, {"dt": config.data.dt_name, "dt_unit": unit, "time": config.data.time or ""}


def _mean_std(x: Float64, names: tuple[str, ...]) -> tuple[Float64, Float64]:
    """x: (T, C) -> mean and standard deviation (C,) each of what is not NaN; 1 for a constant channel, which then is 0 throughout."""
    known = ~np.isnan(x)
    count = known.sum(axis=0)
    if not count.all():
        raise DataError(
            f"channel {names[int(np.argmin(count))]!r} has no value in the training split; take it out of `channels`"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # said below, with the channel's name
        mean = np.where(known, x, 0).sum(axis=0) / count
        std = np.sqrt(np.where(known, (x - mean) ** 2, 0).sum(axis=0) / count)
    if not np.isfinite(std).all():
        k = int(np.argmin(np.isfinite(std)))
        raise DataError(
            f"channel {names[k]!r} has values up to {np.nanmax(np.abs(x[:, k])):g}, too large to normalise; correct them"
        )
    # The mean of equal numbers is rounded, which leaves a spread of about 1e-16 of them.
    return mean, np.where(std <= 1e-12 * np.abs(mean), 1.0, std)
