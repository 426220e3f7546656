"""What the fitted forecasts see at a step: the values of the steps before, and the features.

Nothing later than the step is read. A lag that lies before the start of a sequence is the first
step's value.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64, Sequence
from .rows import Case

Rows = NDArray[np.int64]
SEASONS = (1, 7)  # of hourly data with a season of 24: a day and a week


@dataclasses.dataclass(frozen=True)
class Seen:
    """A sequence as its model reads it.

    values    (T, C) every channel but that of the time, gaps filled, normalized
    targets   (T, targets) those that are forecast
    features  (T, F) of the model's specification
    """

    values: Float64
    targets: Float64
    features: Float64


def seen(spec: ModelSpec, sequence: Sequence) -> Seen:
    inputs = spec.inputs
    assert isinstance(inputs, Channels)
    features, filled = inputs.features(sequence.x)
    values = (filled - np.asarray(inputs.mean)) / np.asarray(inputs.std)
    kept = [k for k, name in enumerate(inputs.names) if name != inputs.clock]
    return Seen(values[:, kept], values[:, spec.answer.channels(inputs)], features)


def lagged(values: Float64, rows: Rows, lags: Rows) -> Float64:
    """values: (T, C) -> (n, lags, C) the values so many steps before each of the n rows."""
    found: Float64 = values[np.maximum(rows[:, None] - lags, 0)]
    return found


@dataclasses.dataclass(frozen=True)
class Lags:
    """The columns of the last `steps` values of every channel.

    seasonal  further lags of the targets
    features  whether the features at the step are among the columns
    """

    steps: int
    seasonal: tuple[int, ...] = ()
    features: bool = False

    def __call__(self, given: Seen, rows: Rows) -> Float64:
        """(n, columns) for n rows of a sequence."""
        parts = [
            lagged(given.values, rows, np.arange(self.steps)),
            lagged(given.targets, rows, np.array(self.seasonal, np.int64)),
        ]
        flat = [part.reshape(len(rows), -1) for part in parts]
        if self.features:
            flat.append(given.features[rows])
        return np.concatenate(flat, axis=1)

    def __str__(self) -> str:
        return "1 lag" if self.steps == 1 else f"{self.steps} lags"


def seasonal_lags(season: int, steps_ahead: tuple[int, ...]) -> tuple[int, ...]:
    """One and seven seasons before each step ahead, and the steps beside these."""
    found = set()
    for ahead in steps_ahead:
        for seasons in SEASONS:
            lag = seasons * season - ahead
            while lag < 0:  # not known yet
                lag += season
            found |= {lag - 1, lag, lag + 1}
    return tuple(sorted(found - {-1}))


def candidates(steps: tuple[int, ...], case: Case, columns: int, most: int) -> list[int]:
    """Those of `steps`, with the season's, that the training sequences are long enough for.

    columns: those of one step. most: of all columns.
    """
    season = case.config.data.season
    more = () if season is None else (season, 2 * season, 7 * season)
    longest = max(len(s.x) for s in case.splits.train) // 2
    found = [n for n in sorted({*steps, *more}) if n <= longest and n * columns <= most]
    return found or [1]
