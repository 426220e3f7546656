"""The facts: splits, channels, classes, windows, and the scores of simple models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data import recordings
from ..data.doubts import wild
from ..data.load import load_data, make_spec
from ..data.recordings import Float64, Splits
from ..data.season import with_season
from ..data.windows import Cuts, counted
from .short import class_counts, parts


@dataclasses.dataclass(frozen=True)
class Part:
    """groups: how many recordings, people and so on. windows: that training takes, or sequences."""

    title: str
    sequences: int
    groups: int
    steps: int
    shortest: int
    longest: int
    windows: int


@dataclasses.dataclass(frozen=True)
class Channel:
    """Over all splits, in raw units. missing: the share. far: values far from all others.

    drift: the median of the test split less that of training, in training's standard deviations.
    """

    name: str
    least: float
    median: float
    most: float
    missing: float
    far: int
    drift: float


@dataclasses.dataclass(frozen=True)
class Overview:
    """classes: name -> sequences, and steps, in each split."""

    config: Config
    spec: ModelSpec
    splits: Splits
    parts: tuple[Part, ...]
    channels: tuple[Channel, ...]
    classes: dict[str, tuple[list[int], list[int]]]


def overview(config: Config) -> Overview:
    """Raises DataError, and ConfigError."""
    splits = load_data(config)
    spec = make_spec(config, splits)
    config, _ = with_season(config, spec, splits)
    found = parts(splits)
    cuts = Cuts(**config.data.cuts)
    made = []
    for title, sequences in found.items():
        windows = counted(spec, sequences, cuts if sequences is splits.train else Cuts())
        lengths = [len(s.x) for s in sequences]
        groups = len({s.group for s in sequences})
        made.append(
            Part(title, len(sequences), groups, sum(lengths), min(lengths), max(lengths), windows)
        )
    channels: tuple[Channel, ...] = ()
    if not config.model.reads_characters:
        clock = config.data.derivation.clock  # a time has no range
        named = enumerate(splits.channels)
        channels = tuple(_channel(name, k, splits) for k, name in named if name != clock)
    counts = {} if config.model.reads_characters else class_counts(splits)
    return Overview(config, spec, splits, tuple(made), channels, counts)


def column(sequences: Sequence[recordings.Sequence], channel: int) -> Float64:
    """(steps,) of all sequences, NaN if missing."""
    return np.concatenate([s.x[:, channel] for s in sequences])


def _channel(name: str, k: int, splits: Splits) -> Channel:
    train, val, test = (column(part, k) for part in (splits.train, splits.val, splits.test))
    everything = np.concatenate([train, val, test])
    known = everything[~np.isnan(everything)]
    if not len(known):
        return Channel(name, np.nan, np.nan, np.nan, 1.0, 0, np.nan)
    far = wild([everything[:, None]])
    missing = 1 - len(known) / len(everything)
    drift = np.nan
    own, later = train[~np.isnan(train)], test[~np.isnan(test)]
    if len(own) and len(later) and own.std() > 0:
        drift = float((np.median(later) - np.median(own)) / own.std())
    return Channel(
        name,
        float(known.min()),
        float(np.median(known)),
        float(known.max()),
        missing,
        far.values if far else 0,
        drift,
    )
