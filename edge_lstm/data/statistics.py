"""The model specification of a training run. Only the training split is used to normalize."""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.inputs import Inputs
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..tasks.base import task_of
from . import cache
from .fit_channels import fit_channels
from .recordings import Splits
from .remembered import is_large, remembered


def make_spec(config: Config, splits: Splits) -> ModelSpec:
    """The specification, with the training split's means and deviations.

    Raises DataError, and ConfigError for a `monitor` that the task's targets don't allow, and for
    `mask_channels` that hides none.
    """
    if not is_large(splits):
        return _make_spec(config, splits)
    key = ["specification", cache.module_of(type(config.model)), config.to_dict()]
    made = remembered(splits, key, lambda: _make_spec(config, splits).to_dict())
    return ModelSpec.from_dict(made)


def _make_spec(config: Config, splits: Splits) -> ModelSpec:
    model = config.model
    inputs = _inputs(config, splits)
    clock = config.data.derivation.clock  # a time is no target
    known = dataclasses.replace(splits, channels=tuple(c for c in splits.channels if c != clock))
    answer = model.answer(known, config.data.dt_name)
    network = model.network(inputs.feature_size, answer.size)
    spec = ModelSpec(inputs, network, answer)
    fitted = task_of(spec).fitted(spec, splits, config.train.monitor)
    return dataclasses.replace(spec, answer=fitted)


def _inputs(config: Config, splits: Splits) -> Inputs:
    if config.model.reads_characters:
        return Characters(splits.classes)
    share = config.augment.mask_channels if config.augment is not None else 0.0
    count = len(splits.channels)
    if 0 < share * count < 1:
        raise ConfigError(
            f"[augment] mask_channels = {share:g}: hides none of {count} channels; expected 0, or "
            "the share of at least one channel"
        )
    return fit_channels(config, splits)
